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
from contextlib import ExitStack
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
from perf.statistics import LEAST_HEADROOM, LEAST_ROUNDS

Json = Any
ADD, POLICY, REKEY = "add a site", "change a policy", "rekey"
EVENTS = (ADD, POLICY, REKEY)
TUNNELS = (labs.GRE_ESP, labs.VXLAN_ESP, labs.ESP)
TOUCHED = {ADD: (), POLICY: (labs.GRE_ESP,), REKEY: (labs.GRE_ESP, labs.VXLAN_ESP)}
"""Whose traffic a change has to do with."""
SHARE = 0.9
"""Of what all tunnels together forward without loss."""
LEAST_OFFERED = 0.95
"""Of that. What is offered less passes a change more easily than what was promised: then nothing is said."""
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
    """Milliseconds in which nothing passed, by event, shape and by whom; and what share of the rate was offered."""

    changes: Changes
    lanes: Sequence[Lane]
    load: Load
    rates: dict[str, float]
    """Frames in a second of each shape, in each direction."""
    values: defaultdict[tuple[str, str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    offered: defaultdict[tuple[str, str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    ahead: bool = True
    """Whether senders waited for no other program."""

    def measure(self, event: str, who: str) -> None:
        """One change under load."""
        lab, until = self.changes.lab, f"/run/until-{secrets.token_hex(4)}"
        lanes = [lane for lane in self.lanes if lane.who == who]
        with ExitStack() as undoing, ThreadPoolExecutor(len(lanes)) as pool:
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
                undoing.callback(self.changes.make(event, who))
                self._more_come(lanes)
            finally:
                for node in {lane.path.ends(way)[0].node for lane in lanes for way in self.load.ways}:
                    node.exec("touch", until)
            done = [one.result() for one in offering]
        for lane, one in zip(lanes, done, strict=True):
            self.values[event, lane.shape, who].append(1000 * one.seconds * one.lost / one.sent)
            self.offered[event, lane.shape, who].append(one.sent / (one.seconds * one.rate * len(self.load.ways)))
            self.ahead &= one.ahead

    def _more_come(self, lanes: Sequence[Lane]) -> None:
        """Frames come out of every tunnel."""
        ends = [(lane.path, lane.path.ends(way)[1].node) for lane in lanes for way in self.load.ways]
        before = [trial.counted(node) for _, node in ends]
        for (path, node), was in zip(ends, before, strict=True):
            wait_for(f"frames of {path.name} to come out", partial(_all_more, node, path.counted, was), _SOON)

    def promises(self, failed: int, generator: float) -> dict[str, Json]:
        """Of ours: what a change has nothing to do with loses nothing; the rest no more than by hand. So much has
        `failed` in the run, and so many frames in a second the generator makes alone.
        """
        found = {}
        for (event, shape, who), values in sorted(self.values.items()):
            if who == OURS:
                touched = shape in TOUCHED[event]
                bound = max(self.values.get((event, shape, HAND), ()), default=0.0) if touched else 0.0
                name = f"blocked ms: {event}, {shape}, {'touched' if touched else 'untouched'}"
                beside = [self.offered.get((event, shape, one), []) for one in ((OURS, HAND) if touched else (OURS,))]
                found[name] = {
                    **_spread(values), "bound": round(bound, 3), "kept": max(values) <= bound,
                    "void": self._void(beside, failed, generator), "offered": _spread(self.offered[event, shape, OURS]),
                }  # fmt: skip
        return found

    def _void(self, offered: Sequence[Sequence[float]], failed: int, generator: float) -> str:
        """Why a promise that rests on these rounds says nothing; empty when it does."""
        rounds = min(map(len, offered))
        if rounds < LEAST_ROUNDS:
            return f"{rounds} rounds are fewer than {LEAST_ROUNDS}"
        if failed:
            return f"{failed} trials failed"
        headroom = generator / (sum(self.rates.values()) * len(self.load.ways))
        if headroom < LEAST_HEADROOM:
            return f"its generator makes only {headroom:.1f} times the offered load (< {LEAST_HEADROOM:g})"
        share = min(map(min, offered))
        if share < LEAST_OFFERED:
            late = "" if self.ahead else ": the kernel lets it go ahead of no other program"
            return f"its generator offered only {share:.2f} of the rate (< {LEAST_OFFERED:g}){late}"
        return ""

    def parts(self) -> dict[str, Json]:
        """What is behind them: by hand, and how much of the rate the generator could offer."""
        hand = {
            f"{event}, {shape}": _spread(values) for (event, shape, who), values in self.values.items() if who == HAND
        }
        offered = [share for shares in self.offered.values() for share in shares]
        return {"by hand, blocked ms": hand, "offered of the rate": _spread(offered)} if offered else {}


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


def _all_more(node: Node, ports: Sequence[int], before: trial.Counts) -> bool:
    now = trial.counted(node)
    return all(now.since(before, port) > 0 for port in ports)


def _spread(values: Sequence[float]) -> dict[str, Json]:
    return {
        "median": round(statistics.median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3),
        "rounds": [round(value, 3) for value in values],
    }  # fmt: skip
