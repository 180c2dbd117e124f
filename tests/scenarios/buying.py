"""How scenarios begin and end: a tenant buys services through GRO's public API, and gives them back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from harness.lab import Lab
from harness.orchestrator import accounts, ordering, plug, registry
from harness.orchestrator.client import Orchestrator
from harness.orchestrator.registry import Device
from tests.system.lifecycle import SECONDS, Life

Json = Any


def service(specification: str, name: str | None = None, **characteristics: Json) -> dict[str, Json]:
    """A service to be ordered (TMF641), with its characteristics by name."""
    named = {} if name is None else {"name": name}
    values = [{"name": key, "value": value} for key, value in characteristics.items()]
    return {**named, "serviceSpecification": {"id": specification}, "serviceCharacteristic": values}


@dataclass
class Shop:
    """A lab where tenants order what a test wants to see."""

    lab: Lab

    @cached_property
    def far(self) -> Orchestrator:
        return Orchestrator.of(self.lab)

    @cached_property
    def life(self) -> Life:
        return Life(self.lab, self.far)

    @cached_property
    def devices(self) -> dict[str, Device]:
        """The topology's boxes by name."""
        return {one.name: one for one in plug.wiring(self.lab.topology, self.lab.factory).devices}

    def give(self, tenant: str, *boxes: str) -> None:
        """The boxes are this tenant's from now on."""
        accounts.ensure_tenant(self.far, tenant)
        for box in boxes:
            registry.register(self.far, replace(self.devices[box], owner=tenant))

    def serial(self, box: str) -> str:
        """What orders call a box."""
        return self.devices[box].serial

    def routed(self, box: str, gateway: str, **more: Json) -> dict[str, Json]:
        """A routed site of a box, to be ordered; `ucpe-N` is at branch N."""
        name = box.replace("ucpe", "branch")
        return {"name": name, "device": self.serial(box), "access": "routed", "gateway": gateway, **more}

    def plan(self, tenant: str, *services: Json) -> dict[str, Json]:
        """What the order would do."""
        answer = self.far.call("gro", "POST", f"{ordering.ORDERING}/orderPlan", _body(tenant, services))
        document: dict[str, Json] = answer.json()
        return document

    def order(self, tenant: str, *services: Json, seconds: float = SECONDS) -> list[str]:
        """Order and wait until it is completed; the services' ids."""
        order = self.life.post(items(*services), tenant)
        document = self.life.completed(order, seconds)
        return [item["service"]["id"] for item in document["serviceOrderItem"]]

    def change(self, tenant: str, id_: str, **characteristics: Json) -> None:
        """Order that a service has these characteristics from now on, and wait until it has."""
        values = [{"name": key, "value": value} for key, value in characteristics.items()]
        item = {"id": "1", "action": "modify", "service": {"id": id_, "serviceCharacteristic": values}}
        self.life.completed(self.life.post([item], tenant))

    def end(self, tenant: str, ids: Sequence[str], seconds: float = SECONDS) -> None:
        """Order the end of services and wait until it is completed."""
        ends = [{"id": str(n), "action": "delete", "service": {"id": id_}} for n, id_ in enumerate(ids, 1)]
        self.life.completed(self.life.post(ends, tenant), seconds)

    @contextmanager
    def bought(self, tenant: str, *services: Json) -> Iterator[list[str]]:
        """The tenant has these services while the context lasts."""
        ids = self.order(tenant, *services)
        try:
            with self.lab.watched():
                yield ids
        finally:
            self.end(tenant, ids)


class Kept:
    """What tests of a module have in common: the first that needs it buys it, and it ends with the module, or when
    another needs something else.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._there: str | None = None

    def have(self, buy: Callable[[], AbstractContextManager[None]], what: str = "all") -> None:
        if self._there != what:
            self.end()
            self._stack.enter_context(buy())
            self._there = what

    def end(self) -> None:
        self._there = None
        self._stack.close()


def items(*services: Json) -> list[Json]:
    """What an order of these services holds (TMF641)."""
    return [{"id": str(n), "action": "add", "service": one} for n, one in enumerate(services, 1)]


def _body(tenant: str, services: Sequence[Json]) -> dict[str, Json]:
    return {"relatedParty": [{"role": "customer", "id": tenant}], "serviceOrderItem": items(*services)}
