"""The manager's registry of devices (module elasticlab-devices), by RESTCONF (RFC 8040)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

from harness.orchestrator.client import Orchestrator
from harness.orchestrator.errors import Fault, RefusedError

Json = Any
YANG = "application/yang-data+json"
DEVICES = "/restconf/data/elasticlab-devices:devices"
LIST = "elasticlab-devices:device"
OPERATOR = "operator"
"""The owner of what serves every tenant."""


@dataclass(frozen=True)
class Device:
    """What the operator knows of a device before it comes."""

    serial: str
    name: str
    model: str
    owner: str = OPERATOR


def register(orchestrator: Orchestrator, device: Device) -> None:
    """The device is in the registry with these values. What else it holds, a revocation or a key, stays."""
    place = f"{DEVICES}/device={quote(device.serial, safe='')}"
    content = {LIST: [asdict(device)]}
    known = read(orchestrator, device.serial)
    if known is None:
        answer = orchestrator.call("manager", "PUT", place, content, media=YANG)
    elif any(known.get(name) != value for name, value in asdict(device).items()):
        answer = orchestrator.call("manager", "PATCH", place, content, media=YANG)  # RFC 8040, section 4.6.1
    else:
        return
    if answer.status == 404:
        raise RefusedError("manager", 404, (Fault(f"it keeps no registry at {place}"),))


def read(orchestrator: Orchestrator, serial: str) -> dict[str, Json] | None:
    """A device's entry with its state; None if it is not registered."""
    answer = orchestrator.call("manager", "GET", f"{DEVICES}/device={quote(serial, safe='')}")
    if answer.status == 404:
        return None
    entry: dict[str, Json] = answer.json()[LIST][0]
    return entry


def read_all(orchestrator: Orchestrator) -> dict[str, dict[str, Json]]:
    """All entries by serial number."""
    answer = orchestrator.call("manager", "GET", DEVICES)
    content = answer.json() if answer.status == 200 else {}
    return {one["serial"]: one for one in content.get("elasticlab-devices:devices", {}).get("device", [])}
