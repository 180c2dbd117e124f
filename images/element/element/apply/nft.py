"""The packet filter, replaced in one transaction. Counters keep their values when the rules around them change."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from element.apply import libnftables
from element.plan.firewall import TABLE
from element.plan.resources import Ruleset

_FAMILIES = ("inet", "bridge")
_MARK = "revision-"


def read() -> Iterator[Ruleset]:
    """The ruleset in force, by the revision that an empty chain carries as its name."""
    for item in _listing("chains"):
        if item.get("table") == TABLE and item["name"].startswith(_MARK):
            yield Ruleset(item["name"].removeprefix(_MARK))


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
    lines += [ruleset.text, f"add chain inet {TABLE} {_MARK}{ruleset.revision}"]
    libnftables.run("\n".join(lines) + "\n")


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
