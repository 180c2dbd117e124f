"""Whoever is measured is a customer: boxes, orders, changes and ends by GRO's public API, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from harness.lab import Lab
from harness.orchestrator import accounts, ordering, plug, registry
from harness.orchestrator.client import Orchestrator
from harness.wait import Deadline

Json = Any
TENANT = "acme"
_INVENTORY = "/tmf-api/serviceInventory/v4/service?limit=100"


class OrderError(RuntimeError):
    """An order ended otherwise than completed; how it stands."""


@dataclass
class Customer:
    """The tenant of one lab."""

    lab: Lab
    seconds: float = 180

    @cached_property
    def far(self) -> Orchestrator:
        return Orchestrator.of(self.lab)

    @cached_property
    def devices(self) -> dict[str, registry.Device]:
        """The lab's boxes by name."""
        return {one.name: one for one in plug.wiring(self.lab.topology, self.lab.factory).devices}

    def own(self, *boxes: str) -> None:
        """These boxes are the tenant's from now on."""
        accounts.ensure_tenant(self.far, TENANT)
        for box in boxes:
            registry.register(self.far, replace(self.devices[box], owner=TENANT))

    def internet(self, *sites: dict[str, Json]) -> list[str]:
        """Buy Internet access for these sites; the services' ids, when all of it is completed."""
        return self._carried_out([
            {"id": str(number), "action": "add", "service": {
                "serviceSpecification": {"id": "site-to-internet"},
                "serviceCharacteristic": [{"name": "site", "value": site}],
            }}
            for number, site in enumerate(sites, 1)
        ])  # fmt: skip

    def change(self, service: str, site: dict[str, Json]) -> None:
        """A service's site is this one from now on."""
        told = {"id": service, "serviceCharacteristic": [{"name": "site", "value": site}]}
        self._carried_out([{"id": "1", "action": "modify", "service": told}])

    def end(self, *services: str) -> None:
        """Give services back."""
        self._carried_out([{"id": one, "action": "delete", "service": {"id": one}} for one in services])

    def end_all(self) -> None:
        """Give back all that the tenant has."""
        services = self.far.call("gro", "GET", _INVENTORY).json()
        for one in services:
            if one["state"] == "active":
                self.end(one["id"])

    def _carried_out(self, items: list[dict[str, Json]]) -> list[str]:
        body = {"relatedParty": [{"role": "customer", "id": TENANT}], "serviceOrderItem": items}
        answer = self.far.call("gro", "POST", f"{ordering.ORDERING}/serviceOrder", body)
        made = answer.json()
        if "id" not in made:
            raise OrderError(f"GRO takes no such order: {made}")
        done = ordering.follow(self.far, made["id"], Deadline(self.seconds))
        if done["state"] != "completed":
            raise OrderError(f"an order ended otherwise: {ordering.standing(done)}")
        return [item["service"]["id"] for item in done["serviceOrderItem"]]
