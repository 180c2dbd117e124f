"""An order that was found good: what it adds, changes and removes; and how one that is not is refused."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from stackkit.problems import Problem

from gro.catalogue import Specification
from gro.ordered import Service, Site
from gro.site_rules import Fault

Json = Any

TITLE = "Invalid order"


def refuse(detail: str, where: str) -> Problem:
    return Problem(400, TITLE, detail, where)


def blame(faults: Iterable[Fault], where: str) -> None:
    """Refuse with the first fault, if there is one."""
    for place, text in faults:
        raise refuse(text, where + place)


@dataclass
class Added:
    item: str
    specification: Specification
    service: Service
    document: dict[str, Json]


@dataclass
class Modified:
    """A service as it is and as it is to be, with its row's documents."""

    item: str
    before: Service
    after: Service
    old_document: dict[str, Json]
    document: dict[str, Json]


@dataclass
class Checked:
    """A valid order. Nothing secret is in the documents."""

    tenant: str
    document: dict[str, Json]
    add: list[Added] = field(default_factory=list)
    modify: list[Modified] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    sites: dict[str, Site] = field(default_factory=dict)
    """Those that it brings."""
    changed: dict[str, tuple[Site, Site]] = field(default_factory=dict)
    """Those that are there: as they are, and as they are to be."""
    places: dict[str, str] = field(default_factory=dict)
    """Where in the body each of its sites (by name) and clouds (by service) is, in the body's order."""
    listed: dict[str, str] = field(default_factory=dict)
    """Where the sites of a service (by id) are, that are not as they were."""
    items: dict[str, str] = field(default_factory=dict)
    """Where the services are (by id) that it changes or removes."""

    @property
    def fresh(self) -> list[Service]:
        """Services that are to be built or rebuilt."""
        return [*(one.service for one in self.add), *(one.after for one in self.modify)]

    @property
    def fresh_sites(self) -> dict[str, Site]:
        """Sites that are new or other than before."""
        return {**self.sites, **{name: after for name, (_, after) in self.changed.items()}}

    @property
    def secrets(self) -> tuple[str, ...]:
        services = [*self.fresh, *(one.before for one in self.modify)]
        return tuple(secret for service in services for secret in service.secrets)
