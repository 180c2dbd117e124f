"""B16: what a line was asked to do wrong and what it does, beside netem that is set by hand on the same path.

    labctl bench impairments [--rounds 5] [--seed N]

One lab (topology `breakable`): frames go from `west` through the router to `east`, and what is impaired is the cable to
`east`, toward it. Each round has every kind twice, in an order that the seed decides: as a fault of the lab, and as
netem on the router's own port to that cable, as anybody would set it. Datagrams carry numbers and are counted where
they arrive (`perf.datagrams`); delays are those of echoes, less what echoes take when nothing is wrong:

- *loss, duplicate, reorder* (percent): what is missing, comes twice, comes after one that was sent behind it;
- *corrupt* (percent): what is missing, for whoever gets a frame with a wrong bit throws it away, but for bits in the
  sender's Ethernet address, which nobody checks;
- *delay* (ms): the median; *jitter* (ms): half of what lies between the first and the last, told by the tenths;
- *rate* (Mbit/s): frames from the first that came to the last, while half as many again are sent.

Each round begins with the line as it is when nothing is wrong: if it loses a datagram, the run says nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import secrets
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from harness import topology
from harness.build.progress import Lines
from harness.faults import Corrupt, Delay, Duplicate, Fault, Jitter, Loss, Rate, Reorder
from harness.lab import Lab, down, up
from harness.lab.timings import Timings
from perf import conditions, record
from perf.datagrams import HEADERS, round_trips, sent
from perf.statistics import LEAST_ROUNDS, Comparison, Series, promise

SOURCE, TARGET, ADDRESS = "west", "east", "10.2.0.10"
PLACE = f"{TARGET}:lan"
BEFORE, PORT = "router", "east"
"""Who sends to that cable, and by what."""
COUNT = 20_000
ECHOES = 200
_SIZE = 1000
_FRAME = _SIZE + HEADERS
_UNCHECKED = 6
"""Octets of the sender's Ethernet address."""
_LATE = 10.0
_QUEUE = 165
"""Frames that wait for at most 200 ms at 10 Mbit/s, as `Rate` has it."""


def lost(lab: Lab, _: float) -> float:
    return sent(lab, SOURCE, TARGET, COUNT).lost


def twice(lab: Lab, _: float) -> float:
    return sent(lab, SOURCE, TARGET, COUNT).twice


def late(lab: Lab, _: float) -> float:
    """Of datagrams that follow so close that all in ten milliseconds overtake one that is held back."""
    return sent(lab, SOURCE, TARGET, COUNT // 4, gap=0.0002).late


def spoiled(lab: Lab, _: float) -> float:
    return sent(lab, SOURCE, TARGET, COUNT // 2, size=_SIZE).lost * _FRAME / (_FRAME - _UNCHECKED)


def later(lab: Lab, usual: float) -> float:
    return statistics.median(round_trips(lab[SOURCE], ADDRESS, ECHOES // 4)) - usual


def spread_of_echoes(lab: Lab, _: float) -> float:
    """What is spread evenly has eight tenths of its width between the first tenth and the last."""
    tenths = statistics.quantiles(round_trips(lab[SOURCE], ADDRESS, ECHOES, 0.005), n=10)
    return (tenths[-1] - tenths[0]) / 0.8 / 2


def carried(lab: Lab, _: float) -> float:
    """Mbit/s, of which half as much again is offered for 1.5 s."""
    asked = 10e6
    found = sent(
        lab, SOURCE, TARGET, round(1.5 * 1.5 * asked / (8 * _FRAME)), size=_SIZE, gap=8 * _FRAME / (1.5 * asked)
    )
    return (len(found.numbers) - 1) * 8 * _FRAME / found.seconds / 1e6


@dataclass(frozen=True)
class Kind:
    """What is asked for, of the lab and by hand (netem's words), how it is measured, and how far off it may be.

    `measured` is told what an echo takes (ms) when nothing is wrong.
    """

    asked: float
    unit: str
    fault: Fault
    by_hand: str
    measured: Callable[[Lab, float], float]
    bound: float


KINDS = {
    "loss": Kind(5, "%", Loss(PLACE, percent=5, direction="in"), "loss 5%", lost, 0.5),
    "delay": Kind(20, "ms", Delay(PLACE, ms=20, direction="in"), "delay 20ms", later, 1),
    "jitter": Kind(10, "ms", Jitter(PLACE, ms=10, direction="in"), "delay 10ms 10ms", spread_of_echoes, 1),
    "duplicate": Kind(5, "%", Duplicate(PLACE, percent=5, direction="in"), "duplicate 5%", twice, 0.5),
    "corrupt": Kind(5, "%", Corrupt(PLACE, percent=5, direction="in"), "corrupt 5%", spoiled, 0.5),
    # netem's word for it is the share of those that are not held back.
    "reorder": Kind(
        5, "%", Reorder(PLACE, percent=5, ms=_LATE, direction="in"), f"delay {_LATE}ms reorder 95%", late, 0.5
    ),
    "rate": Kind(10, "Mbit/s", Rate(PLACE, mbit=10, direction="in"), f"rate 10mbit limit {_QUEUE}", carried, 0.5),
}
"""Bounds are those of docs/how-to/faults.md; shares other than loss, and jitter, are held to the same."""


@contextlib.contextmanager
def by_hand(lab: Lab, words: str) -> Iterator[None]:
    """netem on the router's port."""
    limit = "" if "limit" in words else " limit 10000"
    lab[BEFORE].sh(f"tc qdisc add dev {PORT} root netem {words}{limit}")
    try:
        yield
    finally:
        lab[BEFORE].sh(f"tc qdisc del dev {PORT} root")


Rounds = Mapping[str, list[float]]
"""Of each kind, what was measured round by round."""


def measure(lab: Lab, order: random.Random, ours: Rounds, hand: Rounds) -> float:
    """One round; the percent that a line lost which had nothing."""
    lost_of_whole = sent(lab, SOURCE, TARGET, COUNT // 10).lost
    usual = statistics.median(round_trips(lab[SOURCE], ADDRESS, ECHOES // 4))
    turns = [(name, way) for name in KINDS for way in ("ours", "hand")]
    for name, way in order.sample(turns, len(turns)):
        kind = KINDS[name]
        impaired = lab.fault(kind.fault, seed=order.getrandbits(31)) if way == "ours" else by_hand(lab, kind.by_hand)
        with impaired:
            (ours if way == "ours" else hand)[name].append(kind.measured(lab, usual))
    return lost_of_whole


def off(name: str, measured: Sequence[float]) -> list[float]:
    """How far from what was asked for, round by round, in its unit."""
    return [abs(value - KINDS[name].asked) for value in measured]


def told(ours: Rounds, hand: Rounds, losses: Sequence[float]) -> dict[str, Any]:
    """What all rounds come to, as it is stored."""
    lossy = f"a line lost {max(losses):g} % that had nothing" if any(losses) else ""
    promises = {}
    for name, kind in KINDS.items():
        hands = statistics.median(off(name, hand[name]))
        moved = f"netem by hand is {hands:.2g} {kind.unit} off (> {kind.bound:g})" if hands > kind.bound else ""
        found = promise(off(name, ours[name]), kind.bound, void=lossy or moved)
        promises[f"{name}, {kind.unit} off"] = found | {
            "asked": kind.asked,
            "percent": round(100 * float(str(found["median"])) / kind.asked, 2),
            "by_hand": round(hands, 3),
        }
    compared = [
        Comparison(
            f"{name} {kind.asked:g} {kind.unit}", Series.of(ours[name]), Series.of(hand[name]),
            against="netem by hand", unit=kind.unit,
        ).as_json()
        for name, kind in KINDS.items()
    ]  # fmt: skip
    return {"comparisons": compared, **promises}


def run(times: int, seed: int) -> dict[str, Any]:
    """All rounds; the result as it is stored."""
    order = random.Random(seed)  # noqa: S311 - the order of a benchmark is no secret
    started = datetime.now(UTC)
    ours, hand = ({name: list[float]() for name in KINDS} for _ in range(2))
    losses: list[float] = []
    skies: list[dict[str, object]] = []
    name = f"perf-impairments-{os.getpid()}"
    try:
        with contextlib.closing(up(topology.load("breakable"), name=name, progress=Lines(), timings=Timings())) as lab:
            for number in range(times):
                skies.append({"round": number, **conditions.weather()})
                losses.append(measure(lab, order, ours, hand))
                print(f"round {number + 1} of {times} done", file=sys.stderr, flush=True)
    finally:
        down(name)
    skies.append({"round": "end", **conditions.weather()})
    return {
        "benchmark": "B16 impairments",
        "started": started.isoformat(timespec="seconds"),
        "seed": seed,
        "topology": "breakable",
        "subject": conditions.subject(),
        "weather": skies,
        **told(ours, hand, losses),
    }


def table(result: dict[str, Any]) -> str:
    """What a person reads."""
    lines = [f"{'':<18}{'measured':>10}{'off':>8}{'by hand':>10}{'off':>8}  bound"]
    for one, (name, kind) in zip(result["comparisons"], KINDS.items(), strict=True):
        found = result[f"{name}, {kind.unit} off"]
        verdict = f"  VOID: {found['void']}" if found["void"] else "" if found["kept"] else "  BOUND MISSED"
        lines.append(
            f"{one['name']:<18}{one['ours']['median']:>10.3f}{found['median']:>8.3f}{one['floor']['median']:>10.3f}"
            f"{found['by_hand']:>8.3f}  ≤ {kind.bound:g} {kind.unit}{verdict}"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="labctl bench impairments", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    asked = parser.parse_args()
    result = record.kept("impairments", asked, partial(run, asked.rounds, asked.seed))
    print(table(result.content))
    return int(not all(one["kept"] for one in result.promises.values()))


if __name__ == "__main__":
    sys.exit(main())
