"""What a change costs those who send meanwhile (B9): effective blocked time, what was lost over what was offered.

Frames pass three of our tunnels at once, at 90 % of what they forward without loss, while a site is added, a policy
changed, and the keys of one box's tunnel are made anew; then the same by hand. Each ends when what was wanted is there
and frames have come out since.
"""

from __future__ import annotations

import re
import secrets
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from harness.lab import Lab, Node
from harness.wait import wait_for
from perf.buying import Customer
from perf.forwarding import lab as labs
from perf.forwarding import search, trial
from perf.forwarding.lane import HAND, OURS, Lane, Load
from perf.peers import handmade, shapes
from perf.statistics import LEAST_ROUNDS

Json = Any
ADD, POLICY, REKEY = "add a site", "change a policy", "rekey"
EVENTS = (ADD, POLICY, REKEY)
TUNNELS = (labs.GRE_ESP, labs.VXLAN_ESP, labs.ESP)
TOUCHED = {ADD: (), POLICY: (labs.GRE_ESP,), REKEY: (labs.GRE_ESP, labs.VXLAN_ESP)}
"""Whose traffic a change has to do with."""
SHARE = 0.9
"""Of what all tunnels together forward without loss."""
_TAG = 50
_LOCAL = "192.0.2.200/32"
_LONG, _SOON = 240.0, 30.0
_CHILDREN = re.compile(r"^\s+(?:in|out)\s+([0-9a-f]{8})", re.MULTILINE)


@dataclass
class Changes:
    """What is changed, by whom; each is undone again by what it returns."""

    lab: Lab
    customer: Customer
    routed: str
    """The service of the routed site."""

    def make(self, event: str, who: str) -> Callable[[], object]:
        made: dict[tuple[str, str], Callable[[], Callable[[], object]]] = {
            (ADD, OURS): self._add, (ADD, HAND): self._add_by_hand,
            (POLICY, OURS): self._policy, (POLICY, HAND): self._policy_by_hand,
            (REKEY, OURS): lambda: self._rekey("ucpe-1", "overlay"),
            (REKEY, HAND): lambda: self._rekey(handmade.SITE.node, handmade.CONNECTION),
        }  # fmt: skip
        return made[event, who]()

    def _add(self) -> Callable[[], object]:
        services = self.customer.internet(labs.bridged(self.customer, _TAG))
        return lambda: self.customer.end(*services)

    def _add_by_hand(self) -> Callable[[], object]:
        shapes.add_site(self.lab, _TAG)
        return lambda: shapes.remove_site(self.lab, _TAG)

    def _policy(self) -> Callable[[], object]:
        rule = {"name": "printer", "destination": _LOCAL, "action": "local"}
        local = {"default": "pop", "rules": [rule]}
        self.customer.change(self.routed, labs.routed(self.customer, localInternet=local))
        return lambda: self.customer.change(self.routed, labs.routed(self.customer))

    def _policy_by_hand(self) -> Callable[[], object]:
        shapes.local_route(self.lab, _LOCAL, there=True)
        return lambda: shapes.local_route(self.lab, _LOCAL, there=False)

    def _rekey(self, box: str, child: str) -> Callable[[], object]:
        node = self.lab[box]
        before = _keys(node)
        node.exec("swanctl", "--rekey", "--child", child)
        wait_for(f"{box} to have new keys", lambda: _keys(node) - before, 30)
        return lambda: None


def _keys(node: Node) -> set[str]:
    """SPIs of the SAs that are there."""
    return set(_CHILDREN.findall(node.exec("swanctl", "--list-sas")))


@dataclass
class Blocked:
    """Milliseconds in which nothing passed, by event, shape and by whom; and how much of the rate could be offered."""

    changes: Changes
    lanes: Sequence[Lane]
    load: Load
    rates: dict[str, float]
    """Frames in a second of each shape, in each direction."""
    values: defaultdict[tuple[str, str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    offered: list[float] = field(default_factory=list)

    def measure(self, event: str, who: str) -> None:
        """One change under load."""
        lab, until = self.changes.lab, f"/run/until-{secrets.token_hex(4)}"
        lanes = [lane for lane in self.lanes if lane.who == who]
        with ThreadPoolExecutor(len(lanes)) as pool:
            offering = [
                pool.submit(
                    trial.offer,
                    lab,
                    lane.path,
                    self.load.ways,
                    self.load.sizes,
                    _LONG,
                    self.rates[lane.shape],
                    until=until,
                )
                for lane in lanes
            ]
            try:
                self._more_come(lanes)
                undo = self.changes.make(event, who)
                self._more_come(lanes)
            finally:
                for node in {lane.path.ends(way)[0].node for lane in lanes for way in self.load.ways}:
                    node.exec("touch", until)
            done = [one.result() for one in offering]
        undo()
        for lane, one in zip(lanes, done, strict=True):
            self.values[event, lane.shape, who].append(1000 * one.seconds * one.lost / one.sent)
            self.offered.append(one.sent / (one.seconds * one.rate * len(self.load.ways)))

    def _more_come(self, lanes: Sequence[Lane]) -> None:
        """Frames come out of every tunnel."""
        ends = [(lane.path, lane.path.ends(way)[1].node) for lane in lanes for way in self.load.ways]
        before = [trial.counted(node)[0] for _, node in ends]
        for (path, node), was in zip(ends, before, strict=True):
            wait_for(f"frames of {path.name} to come out", partial(_all_more, node, path.counted, was), _SOON)

    def promises(self) -> dict[str, Json]:
        """Of ours: what a change has nothing to do with loses nothing; the rest no more than by hand."""
        found = {}
        for (event, shape, who), values in sorted(self.values.items()):
            if who == OURS:
                touched = shape in TOUCHED[event]
                bound = max(self.values[event, shape, HAND]) if touched else 0.0
                name = f"blocked ms: {event}, {shape}, {'touched' if touched else 'untouched'}"
                void = f"{len(values)} rounds are fewer than {LEAST_ROUNDS}" if len(values) < LEAST_ROUNDS else ""
                found[name] = {
                    **_spread(values), "bound": round(bound, 3), "kept": max(values) <= bound, "void": void
                }  # fmt: skip
        return found

    def parts(self) -> dict[str, Json]:
        """What is behind them: by hand, and how much of the rate the generator could offer."""
        hand = {
            f"{event}, {shape}": _spread(values) for (event, shape, who), values in self.values.items() if who == HAND
        }
        return {"by hand, blocked ms": hand, "offered of the rate": _spread(self.offered)} if self.offered else {}


def prepare(changes: Changes, lanes: Sequence[Lane], load: Load, goals: str) -> Blocked:
    """Ask once what each of our tunnels forwards without loss; by hand they get the same load. Raises SearchError."""
    used = [lane for lane in lanes if lane.shape in TUNNELS]
    rates = {}
    for lane in used:
        if lane.who == OURS:
            offer = partial(trial.offer, changes.lab, lane.path, load.ways, load.sizes)
            found = search.search(offer, offer(1.0).forwarded, goals, len(load.ways))[search.NDR]
            rates[lane.shape] = SHARE * found / len(load.ways) / len(TUNNELS)
    return Blocked(changes, used, load, rates)


def _all_more(node: Node, ports: Sequence[int], before: dict[int, int]) -> bool:
    now = trial.counted(node)[0]
    return all(now[port] > before[port] for port in ports)


def _spread(values: Sequence[float]) -> dict[str, Json]:
    return {
        "median": round(statistics.median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3),
        "rounds": [round(value, 3) for value in values],
    }  # fmt: skip
