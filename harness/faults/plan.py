"""From a fault to what is to be done where: its targets found in the topology, its randomness drawn.

The outcome is plain data, the effects that `harness.agent.effects` knows, so nobody here needs a lab.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from harness.faults.kinds import (
    Clock,
    Corrupt,
    Cpu,
    Cut,
    Delay,
    Disk,
    Drop,
    Duplicate,
    Fault,
    FaultError,
    Jitter,
    Kill,
    Loss,
    MemoryPressure,
    Outage,
    Partition,
    Pause,
    Power,
    Rate,
    RekeyStorm,
    Reorder,
    Stop,
    Swizzle,
    retargeted,
)
from harness.faults.scenario import Timed
from harness.topology import Topology

SIDES = ("a", "b")
_OTHER = {"a": "b", "b": "a"}
_SITE = "site "
LAB = "lab"
_WHOLE = ((), (LAB,))
"""Targets of a fault that is of the lab as a whole, where it could be of a node."""

Effect = dict[str, Any]
Planner = Callable[[Any, "Targets", int], tuple[Effect, ...]]


@dataclass(frozen=True)
class Step:
    """Something that is in effect from `begin` to `end` (None: until it is ended), in seconds of the scenario."""

    begin: float
    end: float | None
    text: str
    effects: tuple[Effect, ...]
    seed: int
    fault: Fault = field(default_factory=Fault)


def steps(timed: Timed, topology: Topology, seed: int) -> list[Step]:
    """What a fault comes to; `seed` is used where the fault has none of its own.

    Raises FaultError: a target is not there, or is not of the right sort.
    """
    fault, own = timed.fault, seed if timed.seed is None else timed.seed
    try:
        targets = Targets(fault, topology)
        end = None if timed.seconds is None else timed.at + timed.seconds
        if isinstance(fault, Swizzle):
            return _swizzled(timed, targets, own)
        return [
            Step(
                timed.at,
                timed.at if fault.instant else end,
                str(fault),
                _PLANNERS[type(fault)](fault, targets, own),
                own,
                fault,
            )
        ]
    except FaultError as error:
        raise FaultError(f"{timed.source}: {error}" if timed.source else str(error)) from None


class Targets:
    """The places that a fault names, in a topology."""

    def __init__(self, fault: Fault, topology: Topology) -> None:
        self.fault = fault
        self.topology = topology
        if fault.where == "cables" and not fault.targets:
            raise FaultError(f"{fault.kind}: no place; name a cable's end, a node, a site or the lab")
        if fault.where == "nodes" and not fault.targets:
            raise FaultError(f"{fault.kind}: no place; name a node or a site")

    def each(self) -> Iterable[str]:
        """The targets one by one; the lab is every cable by its first end."""
        for target in self.fault.targets:
            if target == LAB:
                yield from (str(link.a) for link in self.topology.links)
            else:
                yield target

    def nodes(self) -> list[str]:
        """The nodes that are meant, each once."""
        found = [name for target in self.fault.targets for name in self._nodes(target)]
        return list(dict.fromkeys(found))

    def ends(self) -> dict[int, str]:
        """The cables that are meant, and of each the side that is the target's own.

        Cables between targets that are nodes or sites are not among them: they are inside.
        """
        found = {
            index: SIDES[side] for target in self.fault.targets if ":" in target for index, side in [self._end(target)]
        }
        whole = [target for target in self.fault.targets if ":" not in target]
        if LAB in whole:
            if getattr(self.fault, "direction", "both") != "both" or isinstance(self.fault, Partition):
                raise FaultError(f"{self.fault.kind}: the lab has no outside; name an end, a node or a site")
            return dict.fromkeys(range(len(self.topology.links)), "a")
        inside = {name for target in whole for name in self._nodes(target)}
        for index, link in enumerate(self.topology.links):
            here = [end.node in inside for end in link.endpoints]
            if any(here) and not all(here):
                found[index] = SIDES[here.index(True)]
        if not found:
            raise FaultError(f"{self.fault.kind}: no cable leads into {', '.join(self.fault.targets)}")
        return found

    def _end(self, target: str) -> tuple[int, int]:
        for index, link in enumerate(self.topology.links):
            ends = [str(end) for end in link.endpoints]
            if target in ends:
                return index, ends.index(target)
        known = ", ".join(sorted(str(end) for link in self.topology.links for end in link.endpoints))
        raise FaultError(f"{self.fault.kind}: there is no cable at {target!r}; there is {known}")

    def _nodes(self, target: str) -> list[str]:
        known = self.topology.nodes
        if target == LAB:
            return list(known)
        if target in known:
            return [target]
        if ":" in target:
            raise FaultError(
                f"{self.fault.kind}: {target!r} is a cable's end, and this is a fault of nodes; name a node"
            )
        if target.startswith(_SITE):
            there = [node.name for node in known.values() if node.site == target.removeprefix(_SITE)]
            if there:
                return there
        sites = sorted({f"{_SITE}{node.site}" for node in known.values() if node.site})
        raise FaultError(f"{self.fault.kind}: there is no {target!r}; there is {', '.join([*known, *sites])}")


def _swizzled(timed: Timed, targets: Targets, seed: int) -> list[Step]:
    """Cut off in one order within the first half of the time, back in another within the second."""
    if not timed.seconds:
        raise FaultError("swizzle: say for how many seconds (for:, or --for)")
    drawn = random.Random(seed)  # noqa: S311 (repeatable, not secret)
    each = list(targets.each())
    half = timed.seconds / 2
    begins, ends = ([drawn.uniform(low, low + half) for _ in each] for low in (0.0, half))
    found = []
    for target, begin, end in zip(each, begins, ends, strict=True):
        single = retargeted(timed.fault, target)
        effects = _drop(single, Targets(single, targets.topology), seed)
        text = f"swizzle on {target}"
        found.append(Step(timed.at + begin, timed.at + end, text, effects, seed, single))
    return sorted(found, key=lambda step: step.begin)


def _toward(fault: Fault, side: str) -> list[str]:
    """The ends that a fault's frames travel toward, seen from its target's side of a cable."""
    direction = getattr(fault, "direction", "both")
    return {"both": list(SIDES), "in": [side], "out": [_OTHER[side]]}[direction]


def _strained(targets: Targets, strain: Callable[[int, str], dict[str, Any]]) -> tuple[Effect, ...]:
    return tuple(
        {"kind": "line", "link": index, "strain": strain(index, side)} for index, side in targets.ends().items()
    )


def _cut(_: Fault, targets: Targets, __: int) -> tuple[Effect, ...]:
    return _strained(targets, lambda *_: {"cut": True})


def _drop(fault: Fault, targets: Targets, _: int) -> tuple[Effect, ...]:
    return _strained(targets, lambda _, side: {"drop": {toward: [{}] for toward in _toward(fault, side)}})


def _partition(fault: Partition, targets: Targets, seed: int) -> tuple[Effect, ...]:
    if not fault.peer:
        return _drop(fault, targets, seed)
    peer = Targets(retargeted(fault, fault.peer), targets.topology)
    if set(targets.nodes()) & set(peer.nodes()):
        raise FaultError(f"partition: {fault.peer} cannot be apart from itself; name another peer")
    drops: dict[int, dict[str, list[dict[str, Any]]]] = {}
    # Behind a translation one of the two knows the other by another address, so it is looked for at both.
    for near, far, turned in ((targets, peer, False), (peer, targets, True)):
        of = _own_ends(far)
        for index, side in near.ends().items():
            inward = {"of": of, "end": "src"}
            outward = {"of": of, "end": "dst"}
            heard, said = ("out", "in") if turned else ("in", "out")
            if fault.direction in ("both", heard):
                drops.setdefault(index, {}).setdefault(side, []).append(inward)
            if fault.direction in ("both", said):
                drops.setdefault(index, {}).setdefault(_OTHER[side], []).append(outward)
    return tuple({"kind": "line", "link": index, "strain": {"drop": drop}} for index, drop in drops.items())


def _own_ends(targets: Targets) -> list[str]:
    """The interfaces, on cables, of the nodes that are meant."""
    nodes = set(targets.nodes())
    return [str(end) for link in targets.topology.links for end in link.endpoints if end.node in nodes]


def _outage(fault: Outage, targets: Targets, _: int) -> tuple[Effect, ...]:
    match = {"port": fault.port, "end": "dst"}
    return _strained(targets, lambda _, side: {"drop": {side: [match]}})


def _disk(fault: Disk, targets: Targets, _: int) -> tuple[Effect, ...]:
    values = {"kind": "disk", "left": fault.left}
    if fault.targets in _WHOLE:
        return (values,)
    known, nodes = targets.topology.nodes, targets.nodes()
    if sharing := [node for node in nodes if known[node].disk is None]:
        raise FaultError(
            f"disk: what {', '.join(sharing)} writes is on the disk that nodes share; give it one of its own in the "
            "topology (elasticlab.disk, elasticlab.tier), or fill the shared one for all (on: lab)"
        )
    return tuple({**values, "node": node} for node in nodes)


def _clock(fault: Clock, targets: Targets, _: int) -> tuple[Effect, ...]:
    values = {"kind": "clock", "offset": fault.offset, "drift": fault.drift}
    if fault.targets in _WHOLE:
        return (values,)
    return tuple({**values, "node": node} for node in targets.nodes())


def _netem(values: Callable[[Any], dict[str, float]]) -> Planner:
    def plan(fault: Fault, targets: Targets, seed: int) -> tuple[Effect, ...]:
        def strain(index: int, side: str) -> dict[str, Any]:
            # The two directions of a line, and two lines, must not lose the same frames.
            return {
                "netem": {
                    toward: {**values(fault), "seed": random.Random(f"{seed}/{index}/{toward}").getrandbits(62)}  # noqa: S311
                    for toward in _toward(fault, side)
                }
            }

        return _strained(targets, strain)

    return plan


def _of_nodes(fault: Fault, targets: Targets, _: int) -> tuple[Effect, ...]:
    return tuple({"kind": fault.kind, "node": node, **fault.values} for node in targets.nodes())


_PLANNERS: dict[type[Fault], Planner] = {
    Cut: _cut,
    Drop: _drop,
    Partition: _partition,
    Outage: _outage,
    Disk: _disk,
    Clock: _clock,
    Loss: _netem(lambda fault: {"loss": fault.percent}),
    Delay: _netem(lambda fault: {"delay": fault.ms}),
    Jitter: _netem(lambda fault: {"delay": fault.ms, "jitter": fault.ms}),
    Reorder: _netem(lambda fault: {"reorder": fault.percent, "late": fault.ms}),
    Duplicate: _netem(lambda fault: {"duplicate": fault.percent}),
    Corrupt: _netem(lambda fault: {"corrupt": fault.percent}),
    Rate: _netem(lambda fault: {"rate": fault.mbit * 1e6, "queue": fault.queue_ms}),
    **dict.fromkeys((Pause, Kill, Stop, Power, MemoryPressure, Cpu, RekeyStorm), _of_nodes),
}
