"""Ours beside OpenDaylight's controller, and when that says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from perf.statistics import Comparison, Series

Rounds = Sequence[Mapping[str, float]]
#: As many times as fast as OpenDaylight's controller, or more.
CONNECT_RATIO, READ_RATIO = 5.0, 2.0
#: Figures of agents (`perf.devices.asking`).
HELLOS, GETS, COMMITS = "hellos a second", "get-configs a second", "commits a second"
STARTED, MEMORY = "start s", "MB an agent with a session"
_PEER = "OpenDaylight"
_ECHO = "an SSH echo"


def compared(size: int, rounds: Mapping[str, Rounds]) -> list[Comparison]:
    """What the rounds of so many devices say, by who they are of; of controllers nothing without both."""
    return [*_agents(size, rounds), *_controllers(size, rounds)]


def _agents(size: int, rounds: Mapping[str, Rounds]) -> list[Comparison]:
    """Boxes as agents that are asked over SSH, beside as many that send back what they hear."""
    if not {"box", "echo"} <= rounds.keys():
        return []
    told = [
        (STARTED, "agents' start", "s"), (MEMORY, "an agent's memory, with its session", "MB"),
        (HELLOS, "hellos", "/s"), (GETS, "get-config", "/s"),
        (COMMITS, "edit and commit", "/s"),
    ]  # fmt: skip
    found = [
        Comparison(
            f"{name} {size}", _series(rounds["box"], figure), _series(rounds["echo"], figure), against=_ECHO, unit=unit
        )
        for figure, name, unit in told
    ]
    if "ours" not in rounds:
        return found
    # The controller tells what it knows of a device to whoever would else ask the device.
    asked = Comparison(
        f"reads of what it knows {size}, of asking the box by asyncssh",
        _series(rounds["ours"], "reads a second"),
        _series(rounds["box"], GETS),
        against="raw asyncssh",
        unit="/s",
    )
    return [*found, asked]


def _controllers(size: int, rounds: Mapping[str, Rounds]) -> list[Comparison]:
    if not {"ours", "lighty"} <= rounds.keys():
        return []
    return [
        _connect(f"connect {size}", rounds, "connect s", "not connected", CONNECT_RATIO),
        # Of two processes that have just started; but one of them is a JVM, which compiles meanwhile.
        _connect(f"connect {size}, cold", rounds, "first connect s", "not connected at first", None),
        # What either has heard of a device; ours does not ask devices for those who ask it.
        _reads(f"reads of what it knows {size}", rounds, "own reads a second", READ_RATIO),
        _reads(f"reads of what it knows {size}, beside asking the device", rounds, "mounted reads a second", None),
        Comparison(
            f"controller's memory {size}",
            _series(rounds["ours"], "controller MB"),
            _series(rounds["lighty"], "controller MB"),
            against=_PEER,
            unit="MB",
            both_steady=True,
        ),
        *_of_floor(size, rounds),
    ]


def _connect(name: str, rounds: Mapping[str, Rounds], theirs: str, failed: str, bound: float | None) -> Comparison:
    """Both are told of all devices by one request, and have them connected in the end. One that never connects has
    failed; what is said of the others counts no more."""
    return Comparison(
        name,
        _series(rounds["lighty"], theirs),
        Series.of(one["register s"] + one["connect s"] for one in rounds["ours"]),
        least_ratio=bound,
        measured=_PEER,
        against="ours",
        failed=_sum(rounds["lighty"], failed),
        both_steady=True,
    )


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
        failed=_sum(rounds["lighty"], "not connected"),
        headroom=clients.median / max(ours.median, peer.median),
        both_steady=True,
    )


def _of_floor(size: int, rounds: Mapping[str, Rounds]) -> list[Comparison]:
    """A socket to each device and its greeting: nobody connects with less."""
    if "testtool" not in rounds:
        return []
    floor = _series(rounds["testtool"], "hello s")
    return [Comparison(f"connect {size}, of greetings alone", _series(rounds["ours"], "connect s"), floor)]


def _series(rounds: Rounds, name: str) -> Series:
    return Series.of(one[name] for one in rounds)


def _sum(rounds: Rounds, name: str) -> int:
    return int(sum(one[name] for one in rounds))
