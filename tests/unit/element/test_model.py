"""Reading configuration: defaults are the schema's, and what an element cannot do is refused with its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from element.model import Config, Kind, read
from element.unsupported import UnsupportedError

Tree = dict[str, Any]


def _interface(tree: Tree, name: str) -> Tree:
    return next(i for i in tree["ietf-interfaces:interfaces"]["interface"] if i["name"] == name)


def test_no_configuration_is_an_empty_one() -> None:
    assert read({}) == Config()


def test_interfaces_have_what_the_tree_says(pop: Config) -> None:
    bridge = pop.interface("br-2")
    assert bridge.kind is Kind.BRIDGE
    assert bridge.addresses == ("10.2.0.1/24",)
    assert bridge.bridge is not None
    assert bridge.bridge.mac == "02:e1:00:00:10:20"
    port = pop.interface("vxlan-2").port
    assert port is not None
    assert not port.learning


def test_defaults_are_supplied(pop: Config) -> None:
    connection = pop.connections[0]
    assert not connection.start
    assert connection.ca == "ca"
    assert connection.replay_window >= 1024
    assert pop.interface("wan").enabled


def test_defaults_that_are_given_make_no_difference(pop_tree: Tree) -> None:
    plain = read(pop_tree)
    _interface(pop_tree, "wan")["enabled"] = True
    _interface(pop_tree, "br-2")["elasticlab-bridge:bridge"]["vlan-aware"] = False
    pop_tree["elasticlab-ipsec:ipsec"]["conn-entry"][0] |= {"autostartup": "add", "replay-window": 1024}
    assert read(pop_tree) == plain


def test_a_tenants_table_follows_from_its_number(pop: Config) -> None:
    assert pop.tenant("acme").table == 1001
    assert {i.name for i in pop.members("acme")} == {"gre-1", "br-2"}


@pytest.mark.parametrize(
    ("edit", "path"),
    [
        (lambda t: _interface(t, "wan").update(type="iana-if-type:atm"), "interface[name='wan']/type"),
        (lambda t: _interface(t, "wan").update({"ietf-ip:ipv6": {"mtu": 1400}}), "ietf-ip:ipv6/mtu"),
        (
            lambda t: _interface(t, "wan")["ietf-ip:ipv4"]["address"].append({"ip": "1.2.3.4", "netmask": "255.0.0.0"}),
            "address[ip='1.2.3.4']",
        ),
    ],
)
def test_what_is_not_offered_is_refused_with_its_place(
    changed: Callable[[Callable[[Tree], None]], Config], edit: Callable[[Tree], None], path: str
) -> None:
    with pytest.raises(UnsupportedError) as refusal:
        changed(edit)
    assert path in refusal.value.path
