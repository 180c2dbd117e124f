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
from element.plan.resources import Address, Route

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


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("wan", {"interface": "wan", "address": "203.0.113.2/30", "gateway": "198.51.100.1"}),
        ("wan", {"interface": "wan", "address": "nowhere", "gateway": "203.0.113.1"}),
        ("wan", {"interface": "wan"}),
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
