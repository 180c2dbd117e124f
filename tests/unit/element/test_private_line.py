"""Private lines: VXLAN in clear on them and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from element.model import Config
from element.plan.desired import desired
from element.plan.firewall import ruleset
from element.plan.resources import Link

Tree = dict[str, Any]
Edit = Callable[[Callable[[Tree], None]], Config]


def line(tree: Tree) -> None:
    """Site 2 comes over a private line."""
    interfaces = tree["ietf-interfaces:interfaces"]["interface"]
    interfaces.append(
        {
            "name": "line",
            "type": "iana-if-type:ethernetCsmacd",
            "elasticlab-interface:private-line": True,
            "ietf-ip:ipv4": {"address": [{"ip": "100.126.0.1", "prefix-length": 16}]},
        }
    )
    vxlan = next(i for i in interfaces if i["name"] == "vxlan-2")["elasticlab-vxlan:vxlan"]
    vxlan |= {"local-address": "100.126.0.1", "remote-address": "100.126.2.1", "underlay": "line"}


def chain(config: Config, name: str) -> list[str]:
    found = re.search(rf"^  chain {name} {{\n(.*?)^  }}", ruleset(config).text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return [rule.strip() for rule in found[1].splitlines()[1:]]


REFUSED = 'counter name "private-line-denied" drop'


def test_only_that_peer_and_vni_come_in(changed: Edit) -> None:
    rules = [rule for rule in chain(changed(line), "input") if '"line"' in rule]
    assert rules[0] == ('iifname "line" ip saddr 100.126.2.1 ip daddr 100.126.0.1 udp dport 4789 @th,96,24 1020 accept')
    assert all("icmp type" in rule for rule in rules[1:-1])
    assert rules[-1] == f'iifname "line" {REFUSED}'


def test_it_comes_before_what_is_said_of_vxlan_in_clear(changed: Edit) -> None:
    rules = chain(changed(line), "input")
    accepted = next(n for n, rule in enumerate(rules) if '"line"' in rule and "4789" in rule)
    assert accepted < next(n for n, rule in enumerate(rules) if "vxlan-in-clear" in rule)
    assert not [rule for rule in rules if "100.126.2.1" in rule and "ipsec" in rule]


def test_only_that_leaves_in_clear_by_the_line_alone(changed: Edit) -> None:
    rules = chain(changed(line), "sending")
    leaving = 'oifname "line" ip saddr 100.126.0.1 ip daddr 100.126.2.1 udp dport 4789 @th,96,24 1020 accept'
    assert not [rule for rule in rules if "notrack" in rule and '"line"' in rule]
    leak = next(n for n, rule in enumerate(rules) if "overlay-leak" in rule and "4789" in rule)
    refused = rules.index(f'oifname "line" {REFUSED}')
    assert rules.index(leaving) < leak < refused, "before all that is a leak"
    assert not [rule for rule in rules[refused:] if "accept" in rule]
    assert f'oifname "line" {REFUSED}' in chain(changed(line), "forwarding")


def test_a_line_is_no_uplink(changed: Edit) -> None:
    for rule in chain(changed(line), "input"):
        if "500" in rule and "dport" in rule:
            assert '"line"' not in rule
            assert '"wan"' in rule


def test_without_a_line_the_rules_are_as_they_were(pop: Config) -> None:
    assert "line" not in ruleset(pop).text.replace("private-line-denied", "")


def test_the_device_is_bound_to_no_link(changed: Edit) -> None:
    link = desired(changed(line))["link", "vxlan-2"]
    assert isinstance(link, Link)
    assert (link.local, link.remote, link.underlay) == ("100.126.0.1", "100.126.2.1", None)
