"""What is wrong with a link: the sum of what its topology declares and of the faults that are in effect on it.

Each of these is a *strain*, written down under its owner. `settle` makes the link's two ports what all strains ask for
together, so that faults add up and none overwrites another, and so that a port which was made anew (its node had no
power) gets what it had. What adds up, and how, is in `combined`.

Frames toward an end leave the lab host by that end's port. There TBF cuts what a kernel has not cut into frames yet (it
has no rate to speak of), and netem below it sees frames, as a wire would: 5 % loss is that of frames and not of bursts.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.agent import ports
from harness.agent.exclusive import Exclusive
from harness.agent.places import LINES
from harness.agent.ports import SIDES
from harness.agent.shell import ToolError, run

OTHER = {"a": "b", "b": "a"}

Strain = dict[str, Any]
"""`cut`: true; `drop`: side → list of matches (an empty one matches all); `netem`: side → values of `combined`."""

exclusive = Exclusive(LINES / "lock")
_SHARES = ("loss", "duplicate", "reorder", "corrupt")
_TABLE = 8192
_SCALE = 8192
_QUEUE = 10_000
_ETHERNET = 18  # header and a VLAN tag


def combined(several: Iterable[dict[str, float]]) -> dict[str, float]:
    """Times (ms) add up, the smallest rate (bit/s) counts, and each share (percent) hits what the others left.

    `late` (ms) is how much later a reordered frame comes: the most counts. Queues (ms) likewise.
    """
    found: dict[str, float] = {}
    spared = dict.fromkeys(_SHARES, 1.0)
    seeds = []
    for values in several:
        for key in ("delay", "jitter"):
            found[key] = found.get(key, 0) + values.get(key, 0)
        for key in _SHARES:
            spared[key] *= 1 - values.get(key, 0) / 100
        for key in ("late", "queue"):
            found[key] = max(found.get(key, 0), values.get(key, 0))
        if values.get("rate"):
            found["rate"] = min(found.get("rate", math.inf), values["rate"])
        seeds.append(int(values.get("seed", 0)))
    found |= {key: (1 - share) * 100 for key, share in spared.items()}
    found = {key: value for key, value in found.items() if value}
    if found:
        found["seed"] = sum(seeds) % 2**63
    return found


def netem(values: dict[str, float], mtu: int) -> tuple[list[str], list[int]]:
    """tc's words for what `combined` gave, and its table of delays where the words need one (else nothing)."""
    delay, jitter, late = (values.get(key, 0.0) for key in ("delay", "jitter", "late"))
    table: list[int] = []
    words = ["limit", str(_limit(values, mtu))]
    if values.get("reorder"):
        # netem's own reordering lets some pass at once, before all that is delayed; a wire holds some back.
        spread = jitter + late
        drawn = random.Random(int(values["seed"]))  # noqa: S311 (repeatable, not secret)
        table = [
            round(
                (drawn.uniform(-jitter, jitter) + (late if drawn.random() * 100 < values["reorder"] else 0))
                / spread
                * _SCALE
            )
            for _ in range(_TABLE)
        ]
        # tc wants some delay for its table to spread.
        words += ["delay", _milliseconds(max(delay, 0.001)), _milliseconds(spread), "distribution", "{table}"]
    elif delay or jitter:
        words += ["delay", _milliseconds(delay), _milliseconds(jitter)]
    for key in ("loss", "duplicate", "corrupt"):
        if values.get(key):
            words += [key, f"{values[key]:.6f}%"]
    if values.get("rate"):
        words += ["rate", f"{int(values['rate'])}bit"]
    return [*words, "seed", str(int(values.get("seed", 0)))], table


def _milliseconds(value: float) -> str:
    return f"{round(value * 1000)}us"


def _limit(values: dict[str, float], mtu: int) -> int:
    """Frames that may wait: with a rate those of its queue, full-sized, and those that are under way."""
    if not values.get("rate"):
        return _QUEUE
    waiting = values.get("queue", 0) + values.get("delay", 0) + values.get("jitter", 0) + values.get("late", 0)
    return max(8, math.ceil(values["rate"] * waiting / 1000 / 8 / (mtu + _ETHERNET)))


def declare(link: dict[str, Any]) -> None:
    """What the topology says is wrong with a link."""
    if link.get("declared"):
        with exclusive():
            known = _read(link["index"])
            known["declared"] = link["declared"]
            _write(link["index"], known)


def is_plain(link: int) -> bool:
    """Whether nothing is wrong with it: then nothing of it is on file, and its ports only hand over."""
    return not _file(link).exists()


def strain(link: int, owner: str, wanted: Strain) -> None:
    with exclusive():
        settle(link, {owner: wanted})


def relieve(link: int, owner: str) -> None:
    """Take back what an owner asked for; nothing if it had asked for nothing."""
    with exclusive():
        if owner in _read(link)["strains"]:
            settle(link, {owner: None})


def forget(link: int) -> None:
    """The link is gone, and with it all that was said of it."""
    with exclusive():
        _file(link).unlink(missing_ok=True)


def settle(link: int, news: Mapping[str, Strain | None] = MappingProxyType({})) -> None:
    """Make both ports what all strains ask for together, with `news` of their owners (None: it asks no more).

    Idempotent; ports that are not there are passed over.
    """
    with exclusive():
        known, was_plain = _read(link), is_plain(link)
        strains = {**known["strains"], **news}
        known["strains"] = {owner: entry for owner, entry in strains.items() if entry is not None}
        there = {side: ports.interface_index(ports.port(link, side)) for side in SIDES}
        is_cut = any(entry.get("cut") for entry in known["strains"].values())
        for side, index in there.items():
            before = known["settled"].pop(side, None)
            if index is None:
                continue
            peer = there[OTHER[side]]
            if before is None and was_plain:
                before = {"index": index, "peer": peer, "drop": [], "netem": {}}
            wanted = {"index": index, "peer": peer, **_wanted(known, side)}
            if wanted != before:
                # Whoever is killed here leaves a port of which nothing is sure.
                known["settled"][side] = {"index": index, "netem": None}
                _write(link, known)
                _settle(ports.port(link, side), before, wanted)
            known["settled"][side] = wanted
            ports.set_carrier(index, not is_cut and peer is not None)
        if known["declared"] or known["strains"]:
            _write(link, known)
        else:
            forget(link)


def _wanted(known: dict[str, Any], side: str) -> dict[str, Any]:
    """`drop`: what comes in here and goes no further; `netem`: what leaves here."""
    strains = list(known["strains"].values())
    drops = [match for entry in strains for match in entry.get("drop", {}).get(OTHER[side], [])]
    parts = [known["declared"].get(side, {}), *(entry.get("netem", {}).get(side, {}) for entry in strains)]
    return {"drop": drops, "netem": combined(part for part in parts if part)}


def _settle(port: str, before: dict[str, Any] | None, wanted: dict[str, Any]) -> None:
    if before is None or before["index"] != wanted["index"]:
        before = {"netem": {}}  # the port is new, there is nothing on it
    if [before.get("peer"), before.get("drop")] != [wanted["peer"], wanted["drop"]]:
        if wanted["peer"] is None or {} in wanted["drop"]:
            ports.block(wanted["index"])
        else:
            ports.redirect(port, wanted["index"], wanted["peer"], _filters(wanted["drop"]))
    if before["netem"] != wanted["netem"]:
        _settle_netem(port, before["netem"], wanted["netem"], ports.mtu(wanted["index"]))


def _filters(matches: list[dict[str, Any]]) -> list[list[str]]:
    """flower's words for frames to or from (`end`) a `port` or an `address`, plain and in a VLAN."""
    found = []
    for match in matches:
        if "address" in match:
            family = "ipv6" if ":" in match["address"] else "ip"
            end = [f"{match['end']}_ip", match["address"]]
            found.append(["protocol", family, "flower", *end])
            found.append(["protocol", "802.1Q", "flower", "vlan_ethtype", family, *end])
            continue
        for family in ("ip", "ipv6"):
            for protocol in ("tcp", "udp"):
                end = [f"{match['end']}_port", str(match["port"])]
                found.append(["protocol", family, "flower", "ip_proto", protocol, *end])
                inner = ["vlan_ethtype", family, "ip_proto", protocol, *end]
                found.append(["protocol", "802.1Q", "flower", *inner])
    return found


def _settle_netem(port: str, before: dict[str, float] | None, wanted: dict[str, float], mtu: int) -> None:
    if before is None:
        with contextlib.suppress(ToolError):  # there was none
            run("tc", "qdisc", "del", "dev", port, "root")
    elif not wanted:
        run("tc", "qdisc", "del", "dev", port, "root")
    if not wanted:
        return
    commands = []
    if not before:
        # The largest frame is what TBF passes whole; all else of it is out of the way.
        whole = ["rate", "100gbit", "burst", str(mtu + _ETHERNET), "limit", "1gb"]
        commands.append(["qdisc", "add", "dev", port, "root", "handle", "1:", "tbf", *whole])
    words, table = netem(wanted, mtu)
    if table:
        (LINES / f"{port}.dist").write_text("\n".join(map(str, table)) + "\n")
        words = [word.format(table=port) for word in words]
    commands.append(["qdisc", "replace", "dev", port, "parent", "1:1", "handle", "10:", "netem", *words])
    ports.tc(commands, env={"TC_LIB_DIR": str(LINES)})


def known() -> dict[int, dict[str, Any]]:
    """What is declared and what strains each link that is anything but plain."""
    with exclusive():
        numbers = sorted(int(file.stem) for file in LINES.glob("*.json"))
        return {number: _read(number) for number in numbers}


def _file(link: int) -> Path:
    return LINES / f"{link}.json"


def _read(link: int) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(_file(link).read_text())
    except FileNotFoundError:
        return {"declared": {}, "strains": {}, "settled": {}}
    return found


def _write(link: int, known: dict[str, Any]) -> None:
    """Whole or not at all: an agent may be killed here."""
    fresh = _file(link).with_suffix(".new")
    fresh.write_text(json.dumps(known))
    fresh.rename(_file(link))
