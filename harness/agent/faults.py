"""Faults in effect on this lab host: begun, written down, put back.

A fault is an identifier, a description for people, and *effects* (`harness.agent.effects`). It stands in a file as long
as it is in effect, so that every agent of the lab host knows of it, and every one can end it: the one that began it
(its user is done, or gone), the next after one that was killed (`borrowed`), or whoever clears them all.

Each begin and end is a line of `/lab/faults.jsonl`, with the lab's clocks: `time` as logs and captures have it (which a
fault may set wrong), and `monotonic`, which none does.
"""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

from harness.agent import effects, netlink
from harness.agent.effects import exclusive, file_of
from harness.agent.places import FAULTS, LAB
from harness.agent.runtimes import runtime

RECORD = LAB / "faults.jsonl"

Fault = dict[str, Any]
"""{"id", "what", "effects": [{"kind", …}], "memory": [what has to be known to take each effect back], "since"}"""


class FaultError(RuntimeError):
    """A fault cannot be brought about; says which, where and why."""


def begin(fault: str, what: dict[str, Any], wanted: list[dict[str, Any]]) -> None:
    """Bring a fault about, whole or not at all.

    Raises:
        FaultError: something else is in effect at a place that bears only one, or an effect cannot be had.
    """
    netlink.prepare()
    with exclusive():
        _refuse_conflicts(what, wanted)
        entry: Fault = {"id": fault, "what": what, "effects": wanted, "memory": [], "since": _now()}
        _note("begin", entry, entry["since"])
        try:
            for effect in wanted:
                # What is known of the way back is on file before anything is done.
                entry["memory"].append(effects.KINDS[effect["kind"]].look(effect))
                _write(entry)
                effects.KINDS[effect["kind"]].begin(fault, effect, entry["memory"][-1])
                _suffer_again(effect)
        except Exception as error:
            problems = _end(entry, f"could not begin: {error}")
            raise FaultError(f"{what['text']}: {'; '.join([str(error), *problems])}") from error


def lift(fault: str, why: str) -> None:
    """End a fault; nothing if it has ended already (another may have cleared it)."""
    with exclusive():
        if (entry := _read(fault)) is not None and (problems := _end(entry, why)):
            raise FaultError(f"{entry['what']['text']}: {'; '.join(problems)}")


def clear() -> list[str]:
    """End every fault, the latest first; what they were.

    Raises:
        FaultError: some could not be undone, after all were tried.
    """
    with exclusive():
        entries = active()
        problems = []
        for entry in reversed(entries):
            try:
                lift(entry["id"], "cleared")
            except FaultError as error:
                problems.append(str(error))
        if problems:
            raise FaultError("\n".join(problems))
        return [entry["what"]["text"] for entry in entries]


def forget() -> None:
    """End every fault of a lab that is taken away: what cannot be undone goes with the nodes that it is in."""
    with exclusive():
        with contextlib.suppress(FaultError):
            clear()
        for entry in active():
            file_of(entry["id"]).unlink()


def active() -> list[Fault]:
    """What is in effect, the oldest first; `age` is in seconds."""
    now = _now()["monotonic"]
    found = [entry for file in FAULTS.glob("*.json") if (entry := _read(file.stem)) is not None]
    for entry in found:
        entry["age"] = now - entry["since"]["monotonic"]
    return sorted(found, key=lambda entry: entry["since"]["monotonic"])


def without_power() -> set[str]:
    """The nodes that a fault keeps without power."""
    return {effect["node"] for entry in active() for effect in entry["effects"] if effect["kind"] == "power"}


def reassert(node: str) -> None:
    """A node has power again, and with it new processes and a new cgroup: it suffers again from what it suffered."""
    with exclusive():
        for entry in active():
            for effect, memory in zip(entry["effects"], entry["memory"], strict=False):
                if effect.get("node") == node and effects.KINDS[effect["kind"]].outlives_power:
                    effects.KINDS[effect["kind"]].begin(entry["id"], effect, memory)


def _refuse_conflicts(what: dict[str, Any], wanted: list[dict[str, Any]]) -> None:
    taken = {
        place: entry["what"]["text"]
        for entry in active()
        for effect in entry["effects"]
        if (place := effects.place(effect)) is not None
    }
    for effect in wanted:
        place = effects.place(effect)
        if place is not None and place in taken:
            raise FaultError(
                f"{what['text']}: {place} bears one fault at a time, and there is {taken[place]}; "
                "wait for its end, or `labctl fault clear`"
            )


def _end(entry: Fault, why: str) -> list[str]:
    """Take back every effect that was begun, the last first; what went wrong.

    What could not be taken back stays in effect and on file: whoever sees it can try again.
    """
    begun = list(zip(entry["effects"], entry["memory"], strict=False))
    stays: list[tuple[effects.Effect, effects.Memory]] = []
    problems = []
    for effect, memory in reversed(begun):
        try:
            effects.KINDS[effect["kind"]].end(entry["id"], effect, memory)
        except Exception as error:  # whatever it is, the others are still undone
            stays.insert(0, (effect, memory))
            problems.append(f"{effect['kind']} could not be undone, `labctl fault clear` tries again: {error}")
    # Only now: whoever is killed in the middle leaves the rest to the next.
    if stays:
        _write({**entry, "effects": [effect for effect, _ in stays], "memory": [memory for _, memory in stays]})
    else:
        file_of(entry["id"]).unlink(missing_ok=True)
        _note("end", entry, _now(), why)
    for effect, _ in begun:
        try:
            _suffer_again(effect)
        except Exception as error:  # likewise
            problems.append(f"node {effect['node']} does not suffer again from its other faults: {error}")
    return problems


def _suffer_again(restarted: effects.Effect) -> None:
    """A node that an effect has started anew still has its other faults."""
    node = restarted.get("node")
    if node and effects.KINDS[restarted["kind"]].restarts_node and runtime().pid(node):
        reassert(node)


def _now() -> dict[str, float]:
    return {"time": round(time.time(), 6), "monotonic": round(time.clock_gettime(time.CLOCK_MONOTONIC_RAW), 6)}


def _note(event: str, entry: Fault, when: dict[str, float], why: str = "") -> None:
    line = {"event": event, "id": entry["id"], **when, **entry["what"], **({"why": why} if why else {})}
    with RECORD.open("a") as file:
        file.write(json.dumps(line) + "\n")


def _read(fault: str) -> Fault | None:
    try:
        found: Fault = json.loads(file_of(fault).read_text())
    except FileNotFoundError:
        return None
    return found


def _write(entry: Fault) -> None:
    fresh = file_of(entry["id"]).with_suffix(".new")
    fresh.write_text(json.dumps(entry))
    fresh.rename(file_of(entry["id"]))
