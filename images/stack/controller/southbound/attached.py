"""Sites that devices carry, or may carry: durable, so that who orders one away learns when it is gone everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import sqlalchemy as sa
from stackkit.database import Database

MIGRATION = """
CREATE TABLE attached_site (
    site VARCHAR(255) NOT NULL, branch VARCHAR(255) NOT NULL, pop VARCHAR(255) NOT NULL, built BOOLEAN NOT NULL,
    PRIMARY KEY (site, branch, pop));
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A site on the two devices that carry it."""

    site: str
    branch: str
    pop: str

    @property
    def devices(self) -> tuple[str, str]:
        """Both."""
        return self.branch, self.pop


@dataclass(frozen=True)
class Record:
    """``built``: both devices have had it, so that neither waits for the other any more."""

    place: Place
    built: bool = False


class Attached:
    """The table. Reading does not touch the disk; ``change`` waits for it: call it from a thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.read() as db:
            rows = db.execute(sa.text("SELECT * FROM attached_site")).all()
        places = (Record(Place(row.site, row.branch, row.pop), bool(row.built)) for row in rows)
        self._records = {record.place: record for record in places}

    @property
    def records(self) -> dict[Place, Record]:
        """All of them; the caller's own dictionary."""
        return dict(self._records)

    def knows(self, places: Iterable[Place]) -> bool:
        """Are these noted, all of them?"""
        return all(place in self._records for place in places)

    def built(self, place: Place) -> bool:
        """Have both devices had it?"""
        record = self._records.get(place)
        return record is not None and record.built

    def change(self, begun: Iterable[Place] = (), built: Iterable[Place] = (), gone: Iterable[Place] = ()) -> None:
        """Note what is about to be written, what is there for good, and what is gone, in one transaction."""
        records = dict(self._records)
        for place in begun:
            records.setdefault(place, Record(place))
        for place in built:
            records[place] = replace(records.get(place, Record(place)), built=True)
        for place in gone:
            records.pop(place, None)
        if records == self._records:
            return
        forget = sa.text("DELETE FROM attached_site WHERE site = :site AND branch = :branch AND pop = :pop")
        note = sa.text("INSERT INTO attached_site VALUES (:site, :branch, :pop, :built)")
        with self._database.begin() as db:
            for place in self._records.keys() | records.keys():
                if self._records.get(place) == records.get(place):
                    continue
                row = {"site": place.site, "branch": place.branch, "pop": place.pop}
                db.execute(forget, row)
                if place in records:
                    db.execute(note, row | {"built": records[place].built})
        self._records = records
