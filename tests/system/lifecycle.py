"""The life of an order on topology `demo`, through the public API: placed, followed, cancelled, ended."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.lab import Lab
from harness.orchestrator import UnavailableError, ordering
from harness.orchestrator.client import Orchestrator
from harness.orchestrator.orderfile import OrderFile, load_order
from harness.wait import Deadline, wait_for
from tests.system.traces import Json, differences, traces

INVENTORY = "/tmf-api/serviceInventory/v4/service"
HOSTS = {"host-1": "10.1.0.10", "host-2": "10.2.0.10"}
SERVER = "198.51.100.80"
SECONDS = 60
SILENCE = 5.0
Told = Callable[[str, Any], bool]


@dataclass
class Life:
    """One lab whose orders come and go."""

    lab: Lab
    far: Orchestrator

    @cached_property
    def file(self) -> OrderFile:
        """The order of the topology."""
        return load_order(self.lab.topology.directory / "orders" / "branches.json")

    def place(self) -> str:
        """Order, as labctl does; the order's id."""
        return ordering.place(self.far, self.file, self.lab.place.folder / "orders.lock").id

    def end(self, tenant: str = "acme") -> str:
        """Order the end of all services of a tenant; the order's id."""
        services = [one for one in self.services("active") if customer(one) == tenant]
        items = [
            {"id": str(number), "action": "delete", "service": {"id": one["id"]}}
            for number, one in enumerate(services, 1)
        ]
        return self.post(items, tenant)

    def post(self, items: list[Json], tenant: str = "acme") -> str:
        """Order for a tenant; the order's id."""
        body = {"relatedParty": [{"role": "customer", "id": tenant}], "serviceOrderItem": items}
        order: str = self.far.call("gro", "POST", f"{ordering.ORDERING}/serviceOrder", body).json()["id"]
        return order

    def cancel(self, order: str) -> None:
        """cancelServiceOrder."""
        answer = self.far.call(
            "gro", "POST", f"{ordering.ORDERING}/cancelServiceOrder", {"serviceOrder": {"id": order}}
        )
        assert answer.status == 201, answer.content

    def state(self, order: str) -> str:
        return str(ordering.read(self.far, order)["state"])

    def ended(self, order: str, seconds: float = SECONDS) -> dict[str, Json]:
        """The order as it ended."""
        return ordering.follow(self.far, order, Deadline(seconds))

    def completed(self, order: str, seconds: float = SECONDS) -> dict[str, Json]:
        document = self.ended(order, seconds)
        assert document["state"] == "completed", ordering.standing(document)
        return document

    def until(self, order: str, told: Told, seconds: float = SECONDS) -> None:
        """Until an event of the order (`step` or `state`, see `/serviceOrder/{id}/events`) is what is waited for."""
        seen: list[Json] = []
        deadline = Deadline(seconds)
        path = f"{ordering.ORDERING}/serviceOrder/{order}/events"
        while not deadline.expired:
            # Silence ends a connection, as in ordering.follow; the next one tells all from the beginning.
            with contextlib.suppress(UnavailableError), self.far.events("gro", path, SILENCE) as events:
                for kind, content in events:
                    seen.append(content)
                    if told(kind, content):
                        return
                break  # it has ended
        raise AssertionError(f"order {order} never was where it was waited for: {seen}")

    def until_step(self, order: str, name: str) -> None:
        """Until a step has begun, and not ended."""
        self.until(
            order,
            lambda kind, step: kind == "step" and step["name"] == name and step["status"] not in ("done", "failed"),
        )

    def orders(self, *, open_only: bool = False) -> list[dict[str, Json]]:
        return [
            one
            for one in self._listed(f"{ordering.ORDERING}/serviceOrder")
            if not open_only or one["state"] not in ordering.ENDED
        ]

    def services(self, *states: str) -> list[dict[str, Json]]:
        """The inventory (TMF638); only services in these states, if any are named."""
        return [one for one in self._listed(INVENTORY) if not states or one["state"] in states]

    def _listed(self, path: str) -> list[dict[str, Json]]:
        found: list[dict[str, Json]] = []
        while True:
            page = self.far.call("gro", "GET", f"{path}?limit=100&offset={len(found)}").json()
            found += page
            if len(page) < 100:
                return found

    def clear(self) -> None:
        """Nothing is ordered, whatever was."""
        for order in self.orders(open_only=True):
            if order["state"] != "pendingCancellation":
                self.cancel(order["id"])
            self.ended(order["id"])
        for tenant in {customer(one) for one in self.services("active")}:
            self.completed(self.end(tenant))

    # -- what passes -------------------------------------------------------------------------------------------------

    def passes(self, seconds: float = 10) -> None:
        """Branches reach each other and the Internet."""
        (first, one), (second, other) = HOSTS.items()
        for host, target in ((first, other), (second, one), (first, SERVER), (second, SERVER)):
            self.lab[host].must_reach(target, seconds)

    def nothing_passes(self) -> None:
        for host, own in HOSTS.items():
            for target in {*HOSTS.values(), SERVER} - {own}:
                self.lab[host].must_not_reach(target, 0.2)

    def traces(self) -> dict[str, Json]:
        return traces(self.lab, self.far)

    def left_nothing(self, before: dict[str, Json], seconds: float = 0) -> None:
        """Nothing passes, and nothing is left (after so many seconds, if it need not be at once) that was not there."""
        deadline = Deadline(seconds)
        while (left := differences(before, self.traces())) and not deadline.expired:
            pass
        assert not left, "\n".join(f"{place}: {what}" for place, what in sorted(left.items()))
        assert self.services("reserved", "active") == []
        self.nothing_passes()

    def until_connected(self, *devices: str, seconds: float = SECONDS) -> None:
        """The controller has a session with each device and finds it as it is intended."""

        def connected() -> bool:
            answer = self.far.call("controller", "GET", "/restconf/data/elasticlab-network:network")
            known = answer.json()["elasticlab-network:network"].get("device", [])
            well = {one["name"] for one in known if one.get("connected") and one.get("sync") == "in-sync"}
            return well >= set(devices)

        wait_for(f"the controller to have {', '.join(devices)}", connected, seconds, retry_on=(Exception,))


def customer(document: dict[str, Json]) -> str:
    """Whose it is (TMF: relatedParty)."""
    return next(str(party["id"]) for party in document["relatedParty"] if party["role"] == "customer")


def edits_by_device(plan: dict[str, Json]) -> Iterator[tuple[str, list[dict[str, Json]]]]:
    """A plan's edits, device by device."""
    for device in sorted({edit["device"] for edit in plan["edit"]}):
        yield device, [edit for edit in plan["edit"] if edit["device"] == device]
