"""The packet filter, replaced in one transaction. Counters keep their values when the rules around them change."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from element.apply import libnftables
from element.apply.libnftables import NftError
from element.plan import fastpath
from element.plan.firewall import TABLE
from element.plan.resources import FlowTable, Ruleset

log = logging.getLogger(__name__)

_FAMILIES = ("inet", "bridge")
_MARK = "revision-"
_DEVICES_IN_A_MESSAGE = 200
"""Linux takes 256 (NFT_NETDEVICE_MAX)."""


def read() -> Iterator[Ruleset | FlowTable]:
    """The ruleset in force, by the revision that an empty chain carries as its name, and its fast path."""
    for item in _listing("chains"):
        if item.get("table") == TABLE and item["name"].startswith(_MARK):
            revision = item["name"].removeprefix(_MARK)
            yield Ruleset(revision)
            if devices := _devices():
                yield FlowTable(tuple(sorted(devices)), revision)


@cache
def has_flow_tables() -> bool:
    """Does the kernel have them? Told by a table that nothing uses, made and removed in one transaction."""
    probe = f"{TABLE}-probe"
    lines = (
        f"add table inet {probe}",
        f"add flowtable inet {probe} {fastpath.NAME} {{ {fastpath.HOOK}; }}",
        f"add chain inet {probe} {fastpath.PASSED}",
        f"add rule inet {probe} {fastpath.PASSED} flow add @{fastpath.NAME}",
        f"delete table inet {probe}",
    )
    try:
        libnftables.run("\n".join(lines) + "\n")
    except NftError as error:
        log.warning("no fast path: this kernel has no flow tables (CONFIG_NFT_FLOW_OFFLOAD): %s", error)
        return False
    return True


def load(ruleset: Ruleset) -> None:
    """Replace all rules at once; counters that stay keep their values."""
    wanted = {
        kind: set(re.findall(rf"^  {kind} (\S+) {{", ruleset.text, re.MULTILINE)) for kind in ("chain", "counter")
    }
    lines = [f"add table {family} {TABLE}\nflush table {family} {TABLE}" for family in _FAMILIES]
    for kind in ("chain", "counter"):
        for item in _listing(f"{kind}s"):
            if item.get("table") == TABLE and item["name"] not in wanted[kind]:
                lines.append(f"delete {kind} {item['family']} {TABLE} {item['name']}")
    # With it go the connections that took the fast path by the old rules.
    if list(_flow_tables()):
        lines.append(f"delete flowtable inet {TABLE} {fastpath.NAME}")
    text = ruleset.text if has_flow_tables() else fastpath.without(ruleset.text)
    lines += [text, f"add chain inet {TABLE} {_MARK}{ruleset.revision}"]
    libnftables.run("\n".join(lines) + "\n")


def set_devices(wanted: Iterable[str]) -> None:
    """The fast path begins at these devices and no others."""
    have, want = _devices(), set(wanted)
    table = f"flowtable inet {TABLE} {fastpath.NAME}"
    lines = [f"delete {table} {{ devices = {_set(gone)}; }}" for gone in _messages(have - want)]
    lines += [f"add {table} {{ {fastpath.HOOK}; devices = {_set(new)}; }}" for new in _messages(want - have)]
    if lines:
        libnftables.run("\n".join(lines) + "\n")


def renew() -> None:
    """Empty the fast path. What is let pass gets in again by its next packet, if its neighbour is there."""
    if devices := _devices():
        table = f"inet {TABLE} {fastpath.NAME}"
        lines = [f"flush chain inet {TABLE} {fastpath.PASSED}", f"delete flowtable {table}"]
        lines += [f"add flowtable {table} {{ {fastpath.HOOK}; devices = {_set(new)}; }}" for new in _messages(devices)]
        lines += [f"add rule inet {TABLE} {fastpath.PASSED} {rule}" for rule in fastpath.passed()]
        libnftables.run("\n".join(lines) + "\n")


def _messages(devices: set[str]) -> Iterable[list[str]]:
    known = sorted(devices)
    return (known[n : n + _DEVICES_IN_A_MESSAGE] for n in range(0, len(known), _DEVICES_IN_A_MESSAGE))


def _set(names: Iterable[str]) -> str:
    return "{ " + ", ".join(f'"{name}"' for name in names) + " }"


def _devices() -> set[str]:
    """The fast path's devices."""
    found = [item.get("dev", ()) for item in _flow_tables()]
    return {device for devices in found for device in ([devices] if isinstance(devices, str) else devices)}


def _flow_tables() -> Iterator[dict[str, Any]]:
    return (item for item in _listing("flowtables") if item.get("table") == TABLE)


def counters() -> dict[str, tuple[int, int]]:
    """Packets and octets of every named counter."""
    return {
        item["name"]: (item["packets"], item["bytes"]) for item in _listing("counters") if item.get("table") == TABLE
    }


def _listing(what: str) -> Iterator[dict[str, Any]]:
    for entry in json.loads(libnftables.run(f"list {what}", json=True)).get("nftables", ()):
        for kind, item in entry.items():
            if kind == what.removesuffix("s"):
                yield item
