"""The difference between the wanted and the actual table: ordered operations. Pure, and empty when they agree.

Order: first what must go (users before what they use), then the packet filter, then what must come (what is used
before its users). So nothing new is reachable before it is filtered, and nothing old is unfiltered before it is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from element.plan.resources import (
    LINK_GROUP,
    Address,
    Credential,
    FlowTable,
    Ike,
    Key,
    Link,
    LocalRule,
    Resource,
    Route,
    Rule,
    Ruleset,
    Setting,
    SharedKey,
    StationEntry,
    Vlan,
)

Resources = Mapping[Key, Resource]

_LINK_RANK = {"vrf": 0, "bridge": 1, "port": 2, "dummy": 2, "xfrm": 2, "gre": 3, "vxlan": 3}
_RANK: dict[type[Resource], int] = {
    Ruleset: 0,
    Setting: 1,
    LocalRule: 2,
    Link: 10,
    Vlan: 20,
    StationEntry: 21,
    Address: 22,
    Rule: 23,
    Route: 24,
    FlowTable: 25,
    Credential: 30,
    SharedKey: 30,
    Ike: 31,
}


class Action(StrEnum):
    """What is done to a resource."""

    DELETE = "delete"
    CREATE = "create"
    CHANGE = "change"


class ConflictError(ValueError):
    """Something that is not ours stands where a resource should be."""

    def __init__(self, message: str, resource: Link) -> None:
        super().__init__(message)
        self.resource = resource


@dataclass(frozen=True, slots=True)
class Operation:
    """One step; ``values`` names what a change changes, ``before`` is the actual resource."""

    action: Action
    resource: Resource
    values: frozenset[str] = frozenset()
    before: Resource | None = None

    def __str__(self) -> str:
        what = " ".join(str(part) for part in self.resource.key if part is not None)
        return f"{self.action} {what}" + (f" ({', '.join(sorted(self.values))})" if self.values else "")


@dataclass(frozen=True, slots=True)
class Plan:
    """Operations in order, what has to wait for links that are not there, and for whose sake."""

    operations: tuple[Operation, ...]
    deferred: tuple[Resource, ...] = ()
    conflicts: tuple[ConflictError, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.operations)


def difference(wanted: Resources, actual: Resources, *, around: bool = False) -> Plan:
    """What to do so that the actual resources become the wanted ones. ``ConflictError`` where something is in the way;
    to go ``around`` it is to do without what should be in its place, and without what stands on that."""
    conflicts = tuple(_conflicts(wanted, actual))
    if conflicts and not around:
        raise conflicts[0]
    available, deferred = _available(wanted, actual, {conflict.resource.name for conflict in conflicts})
    replaced = _replaced(available, actual)
    leaving = replaced | {name for name, link in _links(actual).items() if link.key not in available and _made(link)}
    operations = [*_deletions(available, actual, replaced, leaving), *_creations(available, actual, leaving)]
    return Plan(tuple(sorted(operations, key=_order)), deferred, conflicts)


def _links(resources: Resources) -> dict[str, Link]:
    return {r.name: r for r in resources.values() if isinstance(r, Link)}


def _made(link: Link) -> bool:
    """Made by us, so that deleting it removes it; what was plugged in is only made bare."""
    return link.group == LINK_GROUP and link.kind != "port"


def _conflicts(wanted: Resources, actual: Resources) -> Iterable[ConflictError]:
    """What was not made here is nobody's to replace: it may be in use."""
    have = _links(actual)
    for name, link in _links(wanted).items():
        if (old := have.get(name)) is None:
            continue
        if link.kind == "port" and old.kind != "port":
            yield ConflictError(f"link {name} was made here, as {old.kind}, and is no port: choose another name", link)
        elif link.kind != "port" and not _made(old):
            why = f"link {name} is there already, and was not made by this configuration"
            yield ConflictError(f"{why}: remove it, or give it another name", link)


def _available(
    wanted: Resources, actual: Resources, excluded: set[str]
) -> tuple[dict[Key, Resource], tuple[Resource, ...]]:
    """Wanted resources whose links can exist now, and the others."""
    plugged = _links(actual)
    missing = excluded | {name for name, link in _links(wanted).items() if link.kind == "port" and name not in plugged}
    while True:
        waiting = {n for n, link in _links(wanted).items() if n not in missing and missing.intersection(link.needs)}
        if not waiting:
            break
        missing |= waiting
    found: dict[Key, Resource] = {}
    deferred = []
    for key, resource in wanted.items():
        left = None if isinstance(resource, Link) and resource.name in missing else resource.without(missing)
        if left is not None:
            found[key] = left
        if left != resource:
            deferred.append(resource)
    return found, tuple(deferred)


def _replaced(wanted: Resources, actual: Resources) -> set[str]:
    """Names of links that must be made anew, with those that run through them."""
    have = _links(actual)
    replaced = set()
    for name, link in _links(wanted).items():
        if (old := have.get(name)) is None:
            continue
        if link.differs(old) & Link.fixed:
            replaced.add(name)
    while more := {n for n, link in have.items() if n not in replaced and link.underlay in replaced and _made(link)}:
        replaced |= more
    return replaced


def _deletions(wanted: Resources, actual: Resources, replaced: set[str], leaving: set[str]) -> Iterable[Operation]:
    for key, resource in actual.items():
        if isinstance(resource, Link):
            if resource.name in replaced or (key not in wanted and resource.group == LINK_GROUP):
                yield Operation(Action.DELETE, resource)
            elif key not in wanted and resource.ipv6 != "off":
                # Not ours, and all we have to say about it.
                silent = replace(resource, ipv6="off", mtu=None, mac=None, learning=None)
                yield Operation(Action.CHANGE, silent, frozenset({"ipv6"}), resource)
        elif key not in wanted and not leaving.intersection(resource.needs):
            yield Operation(Action.DELETE, resource)


def _creations(wanted: Resources, actual: Resources, leaving: set[str]) -> Iterable[Operation]:
    for key, resource in wanted.items():
        old = actual.get(key)
        own = resource.name if isinstance(resource, Link) else None
        gone = own in leaving if own else bool(leaving.intersection(resource.needs))
        if old is None or gone:
            yield Operation(Action.CREATE, resource)
        elif values := resource.differs(old) | _loses_master(resource, leaving):
            yield Operation(Action.CHANGE, resource, values, old)


def _loses_master(resource: Resource, leaving: set[str]) -> frozenset[str]:
    """A link whose bridge or VRF is made anew has to be put into it again."""
    lost = isinstance(resource, Link) and resource.master in leaving
    return frozenset({"master"}) if lost else frozenset()


def _order(operation: Operation) -> tuple[int, int]:
    resource = operation.resource
    rank = _RANK[type(resource)]
    if isinstance(resource, Link):
        rank += _LINK_RANK.get(resource.kind, 0)
    if operation.action is Action.DELETE:
        return (0, -rank)
    return (1, rank)
