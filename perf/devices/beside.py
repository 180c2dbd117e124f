"""Ours beside OpenDaylight's controller, and when that says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from perf.statistics import Comparison, Series

Rounds = Sequence[Mapping[str, float]]
#: As many times as fast as OpenDaylight's controller, or more.
CONNECT_RATIO, READ_RATIO = 5.0, 2.0
_PEER = "OpenDaylight"


def compared(size: int, rounds: Mapping[str, Rounds]) -> list[Comparison]:
    """What the rounds of so many devices say, by who they are of; nothing without both controllers."""
    if not {"ours", "lighty"} <= rounds.keys():
        return []
    # One that never connects has failed; what is said of the others counts no more.
    failed = int(sum(one["not connected"] for one in rounds["lighty"]))
    connect = Comparison(
        f"connect {size}",
        _series(rounds["lighty"], "connect s"),
        _series(rounds["ours"], "connect s"),
        least_ratio=CONNECT_RATIO,
        measured=_PEER,
        against="ours",
        failed=failed,
    )
    return [
        connect,
        _reads(f"reads {size}", rounds, "reads a second", READ_RATIO),
        # Its own word for ours' own word.
        _reads(f"reads of what it knows {size}", rounds, "own reads a second", None),
        Comparison(
            f"controller's memory {size}",
            _series(rounds["ours"], "controller MB"),
            _series(rounds["lighty"], "controller MB"),
            against=_PEER,
            unit="MB",
        ),
        *_of_floor(size, rounds),
    ]


def _reads(name: str, rounds: Mapping[str, Rounds], theirs: str, bound: float | None) -> Comparison:
    ours = _series(rounds["ours"], "reads a second")
    peer = _series(rounds["lighty"], theirs)
    clients = _series(rounds["clients"], "requests a second")
    return Comparison(
        name,
        ours,
        peer,
        least_ratio=bound,
        against=_PEER,
        unit="/s",
        failed=int(sum(one["not connected"] for one in rounds["lighty"])),
        headroom=clients.median / max(ours.median, peer.median),
    )


def _of_floor(size: int, rounds: Mapping[str, Rounds]) -> list[Comparison]:
    """A socket to each device and its greeting: nobody connects with less."""
    if "testtool" not in rounds:
        return []
    floor = _series(rounds["testtool"], "hello s")
    return [Comparison(f"connect {size}, of greetings alone", _series(rounds["ours"], "connect s"), floor)]


def _series(rounds: Rounds, name: str) -> Series:
    return Series.of(one[name] for one in rounds)
