"""What the orchestrator of a lab says: sites, devices, alarms, and orders with their steps, each at its time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from harness.evidence.clocks import Clocks
from harness.lab import Lab
from harness.lab.orchestration import is_orchestrated
from harness.orchestrator import OrchestratorError, ordering
from harness.orchestrator.client import Orchestrator

Json = Any
_NETWORK = "/restconf/data/elasticlab-network:network"
_DEVICES = "/restconf/data/elasticlab-devices:devices"
_ALARMS = "/restconf/data/ietf-alarms:alarms/alarm-list"
_MOST = 100
"""Orders, the newest."""


@dataclass(frozen=True)
class News:
    """Of an order: when (seconds since the epoch), which, and what."""

    at: float
    order: str
    text: str


def standing(lab: Lab) -> str | None:
    """Sites, devices and alarms as they are now; None where nothing is orchestrated."""
    if not is_orchestrated(lab.topology):
        return None
    far = Orchestrator.of(lab)
    looks: dict[str, Callable[[], list[str]]] = {
        "sites (gro)": lambda: [_site(one) for one in ordering.sites(far)],
        "sessions (controller)": lambda: [_plain(one) for one in _listed(far, "controller", _NETWORK, "device")],
        "devices (manager)": lambda: [_plain(one) for one in _listed(far, "manager", _DEVICES, "device")],
        "alarms (controller)": lambda: _alarms(_listed(far, "controller", _ALARMS, "alarm")),
        "alarms (manager)": lambda: _alarms(_listed(far, "manager", _ALARMS, "alarm")),
    }
    with ThreadPoolExecutor(len(looks)) as pool:
        told = pool.map(_answered, looks.values())
    return "\n".join(line for name, lines in zip(looks, told, strict=True) for line in (f"=== {name}:", *lines)) + "\n"


def _answered(look: Callable[[], list[str]]) -> list[str]:
    try:
        return look()
    except OrchestratorError as error:
        return [f"no answer: {error}"]


def _listed(far: Orchestrator, service: str, path: str, name: str) -> list[dict[str, Json]]:
    """The list inside a container (RFC 8040, section 4.3); one that is not there is empty."""
    answer = far.call(service, "GET", path)
    if answer.status == 404:
        return []
    [container] = answer.json().values()
    found: list[dict[str, Json]] = container.get(name, [])
    return found


def _site(one: dict[str, Json]) -> str:
    reason = f": {one['reason']}" if one.get("reason") else ""
    return f"{one['tenant']} {one['name']} {one['gateway']} {one['state']} since {one.get('since', '-')}{reason}"


def _plain(one: dict[str, Json]) -> str:
    """Its leaves, the name first."""
    names = sorted(one, key=lambda key: key != "name")
    return " ".join(f"{name} {one[name]}" for name in names if isinstance(one[name], str | int | float))


def _alarms(found: list[dict[str, Json]]) -> list[str]:
    """Those that stand first (RFC 8632, section 3.5.1), then the newest."""
    newest = sorted(found, key=lambda one: str(one.get("last-changed")), reverse=True)
    return [_alarm(one) for one in sorted(newest, key=lambda one: bool(one.get("is-cleared")))]


def _alarm(one: dict[str, Json]) -> str:
    state = "cleared" if one.get("is-cleared") else str(one.get("perceived-severity"))
    kind = str(one.get("alarm-type-id")).rpartition(":")[2]
    return f"{one.get('last-changed')} {state} {kind} {one.get('resource')}: {one.get('alarm-text')}"


def orders(lab: Lab, since: float) -> list[News]:
    """What orders have done since, whatever GRO's clock showed; a moment that it has not answered is news too. Empty
    where none can be ordered.
    """
    if not is_orchestrated(lab.topology):
        return []
    far = Orchestrator.of(lab)
    path = f"{ordering.ORDERING}/serviceOrder"
    try:
        total = int(far.call("gro", "GET", f"{path}?limit=1").headers.get("x-total-count", 0))
        found = far.call("gro", "GET", f"{path}?limit={_MOST}&offset={max(0, total - _MOST)}").json()
    except OrchestratorError as error:
        return [News(time.time(), "-", f"no answer: {error}")]
    clocks = Clocks.of(lab)
    return [news for order in found for news in timed(of_order(order), clocks, far.node) if news.at >= since]


def timed(news: Iterable[News], clocks: Clocks, node: str) -> list[News]:
    """An order's life, at the times that were right."""
    known = list(news)
    times = clocks.meant(node, [one.at for one in known])
    return [replace(one, at=at) for at, one in zip(times, known, strict=True)]


def of_order(order: dict[str, Json]) -> Iterator[News]:
    """An order's life (TMF641): placed, each step's begin and end, and how it ended."""
    name = order["id"][:8]
    what = ", ".join(map(_item, order.get("serviceOrderItem", [])))
    yield News(_seconds(order["orderDate"]), name, f"placed for {_customer(order)}: {what}")
    for step in order.get("milestone", []):
        if step.get("startDate"):
            yield News(_seconds(step["startDate"]), name, f"step {step['name']} begins")
        if step.get("endDate"):
            message = f": {step['message']}" if step.get("message") else ""
            again = f", attempt {step['attempts']}" if step.get("attempts", 1) > 1 else ""
            yield News(_seconds(step["endDate"]), name, f"step {step['name']} {step['status']}{again}{message}")
    if order.get("completionDate"):
        why = "".join(f": {error['reason']}" for error in order.get("errorMessage", []))
        yield News(_seconds(order["completionDate"]), name, f"{order['state']}{why}")


def _item(item: dict[str, Json]) -> str:
    service = item.get("service", {})
    kind = service.get("serviceSpecification", {}).get("id") or str(service.get("id", ""))[:8]
    return f"{item.get('action', 'add')} {kind}"


def _customer(order: dict[str, Json]) -> str:
    return next((str(one["id"]) for one in order.get("relatedParty", []) if one.get("role") == "customer"), "nobody")


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()
