"""Tenants' ways to the Internet as typed values: what ``elasticlab-nat`` says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Tree = Mapping[str, Any]

Ports = tuple[int, int]
"""The first and the last."""


@dataclass(frozen=True, slots=True)
class Matches:
    """What a packet must be like, in all that is said (elasticlab-nat, matches)."""

    dscp: int | None = None
    protocol: int | None = None
    source: str | None = None
    destination: str | None = None
    source_ports: Ports | None = None
    destination_ports: Ports | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """One entry of a breakout's policy."""

    matches: Matches
    break_out: bool
    """Or it follows the tenant's routes."""


@dataclass(frozen=True, slots=True)
class Breakout:
    """A tenant's way to the Internet."""

    tenant: str
    interface: str
    address: str | None
    inside: frozenset[str] = frozenset()
    """The interfaces that may use it; none means all of the tenant's."""
    policy: tuple[Policy, ...] = ()
    """In its order; without any the tenant's routes decide."""


def read(tree: Tree) -> Iterator[Breakout]:
    """The breakouts below ``/nat``."""
    for breakout in tree.get("breakout", ()):
        yield Breakout(
            breakout["tenant"],
            breakout["external-interface"],
            breakout.get("external-address"),
            frozenset(breakout.get("internal-interface", ())),
            tuple(_policy(entry) for entry in breakout.get("policy", ())),
        )


def _policy(tree: Tree) -> Policy:
    matches = tree.get("matches", {})
    return Policy(
        Matches(
            dscp=matches.get("dscp"),
            protocol=matches.get("protocol"),
            source=matches.get("source-prefix"),
            destination=matches.get("destination-prefix"),
            source_ports=_ports(matches.get("source-port", {})),
            destination_ports=_ports(matches.get("destination-port", {})),
        ),
        break_out=tree["action"] == "break-out",
    )


def _ports(tree: Tree) -> Ports | None:
    if "lower-port" not in tree:
        return None
    return tree["lower-port"], tree.get("upper-port", tree["lower-port"])
