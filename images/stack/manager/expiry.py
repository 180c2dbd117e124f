"""Devices renew their certificates by themselves (RFC 7030). One that does not is an alarm before it falls silent."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta

from cryptography import x509
from stackkit.database import Database

from manager import alarms
from manager.alarms import Alarms
from manager.authority import now
from manager.legality import Status
from manager.registry import Registry
from manager.store import Devices

log = logging.getLogger(__name__)

LAST_PART = 6
"""A certificate whose last sixth has begun ought to have been renewed long ago."""
LONGEST = 600.0
Judgement = tuple[str, str]
KINDS = ("certificate-expiring", "certificate-expired")


async def follow(database: Database, registry: Registry, alarm_list: Alarms, life: timedelta) -> None:
    """Look for ever, twenty times in a certificate's life or more often."""
    said: dict[str, Judgement | None] = {}
    while True:
        try:
            await asyncio.to_thread(look, database, registry, alarm_list, said)
        except Exception:
            log.exception("the ends of certificates could not be looked at; trying again")
        await asyncio.sleep(min(LONGEST, life.total_seconds() / 20))


def look(database: Database, registry: Registry, alarm_list: Alarms, said: dict[str, Judgement | None]) -> None:
    """Raise and clear the alarms of all devices that are managed; ``said`` is what was found last."""
    with database.begin() as connection:
        devices = Devices(connection)
        managed = {row.serial for row in devices.rows() if row.status == Status.MANAGED}
        for serial in managed & registry.current.keys():
            found = judge(devices.newest(serial))
            if said.get(serial, ()) == found:
                continue
            resource = alarms.device(serial)
            over = tuple(kind for kind in KINDS if found is None or kind != found[0])
            alarm_list.clear(resource, over, connection)
            if found is not None:
                alarm_list.raise_(found[0], resource, found[1], connection)
            said[serial] = found


def judge(newest: list[x509.Certificate], at: datetime | None = None) -> Judgement | None:
    """Kind and text of the alarm about a device with these certificates, the newest for each use."""
    moment = at or now()
    for one in sorted(newest, key=lambda c: c.not_valid_after_utc):
        end = one.not_valid_after_utc
        said = f"The certificate {one.serial_number:x}"
        if end <= moment:
            return KINDS[1], (
                f"{said} ended at {end:%Y-%m-%d %H:%M:%S}Z and was not renewed: the device cannot be managed. "
                "If its clock is right, release it here: it is then taken in again by itself."
            )
        if end - moment < (end - one.not_valid_before_utc) / LAST_PART:
            return KINDS[0], (
                f"{said} ends at {end:%Y-%m-%d %H:%M:%S}Z and has not been renewed: "
                "see that the device reaches this manager, and that its clock is right."
            )
    return None
