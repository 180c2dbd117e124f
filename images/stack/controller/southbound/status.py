"""How devices are, and what a pass over them has left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from yangkit import Tree

from controller.service.network import Network
from controller.service.rereading import Rereader
from controller.southbound.blame import Refusal
from controller.southbound.ordered import Ordered
from controller.southbound.sessions import Held

Sync = Literal["in-sync", "pending", "drifted", "unreachable", "failed", "unmanaged"]


Seen = tuple[bytes, Tree, frozenset[str], Tree | None]
"""Digest of a device's configuration, what is intended, the entries that are ours, and what was written last."""


@dataclass
class Status:
    """How a device is."""

    connected: bool = False
    since: datetime | None = None
    sync: Sync = "unreachable"
    problem: str | None = None
    #: The session that has been settled and has told its facts.
    met: Held | None = None
    #: What was intended when it was last as intended.
    has: Tree | None = None
    #: What was written into it last; None while a commit is under way, or when one has ended in nobody knows what.
    written: Tree | None = None
    #: The sites that it had then, as it had them; None when somebody else may have changed that, or nobody can ask.
    carries: Mapping[str, Ordered] | None = None
    #: What it told when it was found to be as intended, and all else that this follows from.
    seen: Seen | None = None
    #: Knows what was read of it.
    reader: Rereader | None = None
    failures: int = 0
    not_before: float = 0.0
    #: When it was found to be as intended last, in the loop's time.
    compared: float = 0.0


@dataclass(frozen=True)
class View:
    """What the last pass left: sites by their ids."""

    network: Network = field(default_factory=Network)
    withheld: Mapping[str, str] = field(default_factory=dict)
    """Sites that are written to no device, by the device that they wait for."""
    stale: frozenset[str] = frozenset()
    """Sites that are not, or no longer, on their devices as they are wanted."""
    refused: Mapping[str, Refusal] = field(default_factory=dict)
    """Sites that a POP refuses for what is theirs alone."""
    leaving: Mapping[str, str] = field(default_factory=dict)
    """Sites that nobody wants and that a device may still have, by that device."""

    def lacking(self, site: str) -> bool:
        """Does a device lack a site, as far as it could have it?"""
        return site in self.withheld or site in self.stale
