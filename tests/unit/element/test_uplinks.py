"""Several uplinks: the routes that they get, and when one is taken to lead nowhere."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from element import day0, uplinks
from element.factory import FactoryError
from element.model import Config, Granted, read
from element.plan import uplinks as plan
from element.plan.desired import LOCAL_PRIORITY, VRF_RULE_PRIORITY, desired
from element.plan.resources import LocalRule, Route, Rule
from element.uplinks import SILENT, SOUND, Uplinks, answers

FIRST = day0._way_out({"interface": "wan", "address": "192.0.2.10/29", "gateway": "192.0.2.9"})
SECOND = day0._way_out({"interface": "wan2", "address": "198.51.100.2/30", "gateway": "198.51.100.1"})


def box(*, second: bool = True, **more: Any) -> Config:
    beginning = day0.Day0(FIRST, (), SECOND if second else None)
    return replace(read(beginning.configuration(False)), **more)


def defaults(config: Config) -> list[tuple[int, int, str | None]]:
    found = [r for r in desired(config).values() if isinstance(r, Route) and r.prefix == "0.0.0.0/0"]
    return sorted((r.table, r.metric, r.link) for r in found)


def test_one_uplink_is_as_it_was() -> None:
    assert defaults(box(second=False)) == [(254, 0, "wan")]
    assert not [r for r in desired(box(second=False)).values() if isinstance(r, Rule)]


def test_the_first_is_preferred_and_each_has_what_leaves_with_its_address() -> None:
    assert defaults(box()) == [(254, 0, "wan"), (254, 100, "wan2"), (700, 0, "wan"), (701, 0, "wan2")]
    rules = {(r.source, r.table) for r in desired(box()).values() if isinstance(r, Rule)}
    assert rules == {("192.0.2.10", 700), ("198.51.100.2", 701)}


def test_a_tenants_packets_follow_its_routes_whatever_source_they_have() -> None:
    """Tenants may have the uplink's address too: those rules are the box's own packets', and come after the VRFs'."""
    found = list(desired(box()).values())
    rules = [r for r in found if isinstance(r, Rule) and r.source]
    assert {r.link for r in rules} == {"lo"}
    local = {r.priorities for r in found if isinstance(r, LocalRule)}
    assert local == {(LOCAL_PRIORITY,)}
    assert VRF_RULE_PRIORITY < LOCAL_PRIORITY < min(r.priority for r in rules)


def test_one_that_leads_nowhere_comes_last_and_can_still_be_asked() -> None:
    now = box(failed=frozenset({"wan"}))
    assert plan.order(now) == ("wan2", "wan")
    assert defaults(now) == [(254, 0, "wan2"), (254, 10100, "wan"), (700, 0, "wan"), (701, 0, "wan2")]


def test_a_lease_is_an_uplink_too() -> None:
    beginning = day0.Day0(day0._way_out({"interface": "wan", "dhcp": True}), (), SECOND)
    config = read(beginning.configuration(False))
    assert plan.order(config) == ("wan2",)
    leased = replace(config, granted=(Granted("wan", "192.168.1.10/24", "192.168.1.1"),))
    assert plan.order(leased) == ("wan", "wan2")
    assert (254, 0, "wan") in defaults(leased)


def test_day_0_may_name_a_second(tmp_path: Path) -> None:
    written = {"wan": {"interface": "wan", "dhcp": True}, "bootstrap-servers": []}
    path = tmp_path / "day0.json"
    path.write_text(json.dumps(written))
    assert day0.read(tmp_path).second is None
    second = {"interface": "wan2", "address": "198.51.100.2/30", "gateway": "198.51.100.1"}
    path.write_text(json.dumps(written | {"wan2": second}))
    assert day0.read(tmp_path).second == SECOND
    path.write_text(json.dumps(written | {"wan2": second | {"gateway": "198.51.100.9"}}))
    with pytest.raises(FactoryError, match=r"198\.51\.100\.9 is not on the network"):
        day0.read(tmp_path)


class Ways:
    """What the backend would be told."""

    def __init__(self) -> None:
        self.uplinks: tuple[str, ...] = ("wan", "wan2")
        self.peers: tuple[str, ...] = ("203.0.113.2", "203.0.113.9")
        self.dead = {"wan": False, "wan2": False}
        self.asked = {"wan": 0, "wan2": 0}
        self.failed: list[frozenset[str]] = []

    async def fail(self, names: frozenset[str]) -> None:
        self.failed.append(names)

    async def ask(self, uplink: str, peer: str) -> bool:
        """One of the peers is never there, which says nothing of the way."""
        if peer == self.peers[-1]:
            return False
        self.asked[uplink] += 1
        return not self.dead[uplink]

    async def until(self, failed: frozenset[str]) -> None:
        async with asyncio.timeout(10):
            while not self.failed or self.failed[-1] != failed:  # noqa: ASYNC110 - cables are looked at, too
                await asyncio.sleep(0.001)


@pytest.fixture
def links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in (("LINKS", tmp_path), ("LOOK", 0.002), ("INTERVAL", 0.004)):
        monkeypatch.setattr(uplinks, name, value)
    for name in ("wan", "wan2"):
        plug(tmp_path, name, "1")
    return tmp_path


def plug(links: Path, name: str, carrier: str) -> None:
    (links / name).mkdir(exist_ok=True)
    (links / name / "carrier").write_text(f"{carrier}\n")


async def test_silence_fails_an_uplink_and_answers_for_a_while_bring_it_back(links: Path) -> None:
    ways, memory = Ways(), links / "run" / "failed.json"
    running = asyncio.create_task(Uplinks(ways, memory, ways.ask).run())
    try:
        await ways.until(frozenset())
        ways.dead["wan"], before = True, ways.asked["wan"]
        await ways.until(frozenset({"wan"}))
        assert ways.asked["wan"] - before >= SILENT
        ways.dead["wan"], before = False, ways.asked["wan"]
        await ways.until(frozenset())
        assert ways.asked["wan"] - before >= SOUND
        plug(links, "wan", "0")
        await ways.until(frozenset({"wan"}))
        plug(links, "wan", "1")
        await ways.until(frozenset())
        ways.uplinks = ("wan",)
        plug(links, "wan", "0")
        await asyncio.sleep(0.05)
        assert ways.failed[-1] == frozenset(), "the only way is used whatever becomes of it"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_what_failed_is_remembered_over_a_restart(links: Path) -> None:
    ways, memory = Ways(), links / "run" / "failed.json"
    ways.dead["wan"] = True
    for restarted in (False, True):
        running = asyncio.create_task(Uplinks(ways, memory, ways.ask).run())
        try:
            await ways.until(frozenset({"wan"}))
            if restarted:
                assert ways.failed == [frozenset({"wan"})]
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        ways.failed.clear()


async def test_an_interface_that_is_not_there_leads_nowhere() -> None:
    assert not await answers("none", "127.0.0.1")
