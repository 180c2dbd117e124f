"""Tiers of hardware: named limits of the nodes that a site is built of. They are data, in `topologies/tiers.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .units import bits, octets

FILE = Path(__file__).resolve().parents[2] / "topologies" / "tiers.toml"


@dataclass(frozen=True, slots=True)
class Tier:
    """`cpu` in processors, `memory` and `disk` in octets, all of one node; `rate` of each of its ports in bit/s;
    `nodes`: how many a site has room for; `what` it is, and what it is `like` at full size, in words.
    """

    name: str
    what: str
    like: str
    cpu: float
    memory: int
    disk: int
    rate: float
    nodes: int


def _tier(name: str, entry: dict[str, Any]) -> Tier:
    sizes = {key: octets(entry[key]) for key in ("memory", "disk")}
    made = {**entry, **sizes, "rate": bits(entry["rate"])}
    if wrong := [key for key, value in made.items() if not value]:
        raise ValueError(f"{FILE}: tier {name}: {', '.join(wrong)} cannot be read")
    return Tier(name, **made)


TIERS: Mapping[str, Tier] = MappingProxyType(
    {name: _tier(name, entry) for name, entry in tomllib.loads(FILE.read_text(encoding="utf-8")).items()}
)
"""By name, the smallest first."""
