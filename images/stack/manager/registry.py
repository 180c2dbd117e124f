"""The registry as a YANG datastore: what the operator configures, and what has become of each device."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

from stackkit.database import Database
from stackkit.restconf import ADMIN
from yangkit import ApplyError, RpcCall, Tree

from manager.alarms import Alarms
from manager.enrolment import Enrolment, Entry
from manager.store import Devices

RELEASE = "/elasticlab-devices:devices/device/release"
QUARANTINE = "/elasticlab-devices:devices/device/quarantine"
#: Who may tell that a key is used twice: whom devices call, beside administrators.
_WITNESSES = (ADMIN, "service:controller")


def entries(tree: Tree) -> dict[str, Entry]:
    """The devices of a configuration by serial number."""
    devices = tree.get("elasticlab-devices:devices", {}).get("device", [])
    return {
        one["serial"]: Entry(
            one["serial"], one["name"], one.get("administrative-state") == "revoked", one.get("idevid-key")
        )
        for one in devices
    }


class Registry:
    """Backend of the datastore. ``current`` is what bootstraps are decided by."""

    def __init__(self, database: Database, alarm_list: Alarms) -> None:
        self.current: dict[str, Entry] = {}
        self._database = database
        self._alarms = alarm_list
        self.office: Enrolment | None = None

    async def apply(self, old: Tree, new: Tree) -> None:
        """What stands there now is registered; revoked and removed devices lose their certificates at once."""
        self.current = entries(new)
        assert self.office is not None
        await asyncio.to_thread(self.office.reconcile)

    async def state(self) -> Tree:
        """Operational data of devices and the alarm list."""
        return await asyncio.to_thread(self._state)

    def _state(self) -> Tree:
        with self._database.read() as connection:
            devices = Devices(connection)
            rows = {row.serial: row for row in devices.rows()}
            progress, certificates = devices.progress(), devices.certificates()
        reports: dict[str, list[Tree]] = defaultdict(list)
        for report in progress:
            entry = {"time": report.time, "type": report.type}
            reports[report.serial].append(entry | ({"message": report.message} if report.message else {}))
        issued: dict[str, list[Tree]] = defaultdict(list)
        for one in certificates:
            issued[one.serial].append(
                {
                    "serial-number": one.serial_number,
                    "purpose": one.purpose,
                    "not-after": one.not_after,
                    "revoked": one.revoked is not None,
                }
            )
        found = [_device(serial, rows.get(serial), reports[serial], issued[serial]) for serial in sorted(self.current)]
        tree: Tree = self._alarms.tree()
        if found:
            tree["elasticlab-devices:devices"] = {"device": found}
        return tree

    async def quarantine(self, call: RpcCall) -> Tree:
        """The action ``quarantine``. Who may is checked here: no access rule (RFC 8341) that is edited changes it."""
        assert self.office is not None
        serial = call.path["device"]["serial"]
        if call.user not in _WITNESSES:
            message = f"{call.user} may not call quarantine: it is for administrators and the controller"
            raise ApplyError(message, f"/elasticlab-devices:devices/device[serial='{serial}']", "access-denied")
        certificates = [int(number, 16) for number in call.input.get("certificate", [])]
        await asyncio.to_thread(self.office.quarantine, serial, call.input["reason"], certificates)
        return {}

    async def release(self, call: RpcCall) -> Tree:
        """The action ``release``."""
        assert self.office is not None
        serial = call.path["device"]["serial"]
        if not await asyncio.to_thread(self.office.release, serial):
            message = f"{serial} is in no quarantine, and its certificates hold: there is nothing to release"
            raise ApplyError(message, f"/elasticlab-devices:devices/device[serial='{serial}']")
        return {}


def _device(serial: str, row: Any, progress: list[Tree], certificates: list[Tree]) -> Tree:
    device: Tree = {"serial": serial, "status": row.status if row is not None else "expected"}
    if row is not None:
        times = {"bootstrapped-at": row.bootstrapped_at, "last-seen": row.last_seen, "pinned-key": row.pinned_key}
        device |= {name: value for name, value in times.items() if value is not None}
    if progress:
        device["progress"] = progress
    if certificates:
        device["certificate"] = certificates
    return device
