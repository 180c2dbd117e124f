"""What a new box knows of its surroundings, and which files are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from element import day0
from element.factory import FactoryError
from element.model import read
from element.plan.desired import desired
from element.plan.resources import Address, Link, Route

GOOD: dict[str, Any] = {
    "wan": {"interface": "wan", "address": "203.0.113.2/30", "gateway": "203.0.113.1"},
    "bootstrap-servers": ["https://203.0.113.6:8572"],
}


def given(folder: Path, data: Any) -> Path:
    (folder / "day0.json").write_text(json.dumps(data))
    return folder


@pytest.mark.parametrize("forwarding", [True, False])
def test_the_first_configuration_is_the_way_out(tmp_path: Path, forwarding: bool) -> None:
    beginning = day0.read(given(tmp_path, GOOD))
    assert beginning.servers == ("https://203.0.113.6:8572",)
    config = read(beginning.configuration(forwarding))
    assert config.interface("wan").forwarding is forwarding
    wanted = list(desired(config).values())
    assert Address("wan", "203.0.113.2/30") in wanted
    assert [(r.prefix, r.gateway, r.link) for r in wanted if isinstance(r, Route)] == [
        ("0.0.0.0/0", "203.0.113.1", "wan")
    ]


NEW = {"interface": "wan", "address6": "2001:db8::2/64", "gateway6": "2001:db8::1"}


@pytest.mark.parametrize("old", [{}, {"dhcp": True}, GOOD["wan"]], ids=["alone", "dhcp", "static"])
def test_a_way_out_over_ipv6(tmp_path: Path, old: dict[str, Any]) -> None:
    beginning = day0.read(given(tmp_path, GOOD | {"wan": old | NEW}))
    config = read(beginning.configuration(forwarding=False))
    wan = config.interface("wan")
    assert (wan.ipv6, wan.forwarding6, wan.dhcp) == (True, False, "dhcp" in old)
    wanted = list(desired(config).values())
    assert Address("wan", "2001:db8::2/64") in wanted
    assert ("::/0", "2001:db8::1") in [(r.prefix, r.gateway) for r in wanted if isinstance(r, Route)]
    assert ("0.0.0.0/0" in [r.prefix for r in wanted if isinstance(r, Route)]) is ("address" in old)
    new = "https://[2001:db8:f::6]:8572"
    both = day0.read(given(tmp_path, {"wan": old | NEW, "bootstrap-servers": [*GOOD["bootstrap-servers"], new]}))
    assert both.ask(None)[-1] == new
    assert len(both.ask(None)) == (1 if "dhcp" in old else 2)


@pytest.mark.parametrize("old", [{}, {"dhcp": True}, GOOD["wan"]], ids=["alone", "dhcp", "static"])
@pytest.mark.parametrize("how", ["slaac", "dhcp6"])
def test_routers_say_the_way_out(tmp_path: Path, old: dict[str, Any], how: str) -> None:
    wan = {"interface": "wan", how: True} | old
    new = "https://[2001:db8:f::6]:8572"
    beginning = day0.read(given(tmp_path, {"wan": wan, "bootstrap-servers": [*GOOD["bootstrap-servers"], new]}))
    config = read(beginning.configuration(forwarding=True))
    link = desired(config)["link", "wan"]
    assert isinstance(link, Link)
    assert (link.slaac, link.dhcp6, link.ipv6) == (how == "slaac", how == "dhcp6", "router")
    assert config.interface("wan").dhcp is ("dhcp" in old)
    assert not [r for r in desired(config).values() if isinstance(r, Address) and ":" in r.address]
    assert beginning.ask(None) == (() if "dhcp" in old else (*GOOD["bootstrap-servers"],)) + (new,)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("wan", {"interface": "wan", "address": "203.0.113.2/30", "gateway": "198.51.100.1"}),
        ("wan", {"interface": "wan", "address": "nowhere", "gateway": "203.0.113.1"}),
        ("wan", {"interface": "wan"}),
        ("wan", {"interface": "wan", "address6": "2001:db8::2/64", "gateway6": "2001:db8:1::1"}),
        ("wan", {"interface": "wan", "address6": "192.0.2.2/30", "gateway6": "192.0.2.1"}),
        ("wan", {"interface": "wan", "address": "2001:db8::2/64", "gateway": "2001:db8::1"}),
        ("wan", {"interface": "wan", "dhcp": True, "address": "203.0.113.2/30", "gateway": "203.0.113.1"}),
        ("wan", {"interface": "wan", "slaac": True, "address6": "2001:db8::2/64", "gateway6": "2001:db8::1"}),
        ("wan", {"interface": "wan", "slaac": "yes"}),
        ("wan", {"interface": "wan", "dhcp6": True, "slaac": True}),
        ("wan", {"interface": "wan", "dhcp6": True, "address6": "2001:db8::2/64", "gateway6": "2001:db8::1"}),
        ("wan", None),
        ("bootstrap-servers", [1]),
        ("bootstrap-servers", None),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, part: str, value: Any) -> None:
    with pytest.raises(FactoryError, match="makes no sense"):
        day0.read(given(tmp_path, GOOD | {part: value}))


def test_a_box_without_the_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(FactoryError, match="does not know its uplink"):
        day0.read(tmp_path)


def test_servers_of_the_lease_are_asked_before_those_of_the_factory(tmp_path: Path) -> None:
    there = day0.read(given(tmp_path, GOOD))
    assert there.ask(None) == ("https://203.0.113.6:8572",)
    told = ("https://192.0.2.5:8572", "https://203.0.113.6:8572")
    for wan in (GOOD["wan"], {"interface": "wan", "dhcp": True}):
        beginning = day0.read(given(tmp_path, GOOD | {"wan": wan}))
        assert beginning.ask(told) == told
        assert beginning.ask(()) == ("https://203.0.113.6:8572",)


def test_nobody_is_asked_before_there_is_an_address(tmp_path: Path) -> None:
    assert day0.read(given(tmp_path, GOOD | {"wan": {"interface": "wan", "dhcp": True}})).ask(None) == ()
