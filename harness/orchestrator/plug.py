"""What `labctl up` asks of the orchestrator for a whole lab: devices registered, tenants made, orders placed once, and
then its word that every site is up (LAB-04).

All of it can be asked while the boxes still boot: orders are held until their devices are managed.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from harness.build.progress import Tell
from harness.factory import Factory
from harness.orchestrator import accounts, ordering, registry
from harness.orchestrator.client import Orchestrator
from harness.orchestrator.errors import OrchestratorError, UnavailableError
from harness.orchestrator.orderfile import OrderFile, OrderFileError, load_orders
from harness.orchestrator.registry import OPERATOR, Device
from harness.topology import Topology
from harness.wait import Deadline, wait_for

Json = Any
T = TypeVar("T")
_INTERVAL = 0.2
_STUCK = ("quarantined", "revoked")


@dataclass(frozen=True)
class Wiring:
    """What a topology brings for its orchestrator."""

    devices: tuple[Device, ...]
    orders: tuple[OrderFile, ...]

    @property
    def tenants(self) -> list[str]:
        """Whose orders are there."""
        return sorted({order.tenant for order in self.orders})


@dataclass(frozen=True)
class Login:
    """Somebody who can log in at the portal, and the file with the password."""

    user: str
    tenant: str | None
    password_file: Path


def wiring(topology: Topology, factory: Factory) -> Wiring:
    """The devices with their owners, and the orders.

    Raises:
        OrderFileError: an order file is wrong, or two tenants order for one device.
    """
    orders = load_orders(topology.directory)
    owners: dict[str, OrderFile] = {}
    for order in orders:
        for serial in order.devices():
            other = owners.setdefault(serial, order)
            if other.tenant != order.tenant:
                raise OrderFileError(
                    order.path, "/tenant", f"device {serial} is {other.tenant}'s by {other.path.name}", "choose one"
                )
    devices = []
    for node in topology.nodes.values():
        if node.personality:
            made = factory.identity(node.name)
            owner = owners[made.serial].tenant if made.serial in owners else OPERATOR
            devices.append(Device(made.serial, node.name, made.model, owner))
    return Wiring(tuple(devices), tuple(orders))


def logins(factory: Factory, wanted: Wiring, node: str) -> list[Login]:
    """Who can log in: the operator's administrator, and a user of each tenant, named like it."""
    admin = Login("admin", None, factory.directory / "stacks" / node / "admin-password")
    return [admin, *(Login(name, name, factory.password(name)) for name in wanted.tenants)]


def wait_until_there(orchestrator: Orchestrator, deadline: Deadline) -> None:
    """Identity gives us a token and the manager takes it: from now on boxes are not sent away."""
    _try("the orchestrator to start", lambda: registry.read_all(orchestrator), deadline)


def register(orchestrator: Orchestrator, factory: Factory, wanted: Wiring, deadline: Deadline) -> None:
    """Tenants with a user each, and all devices. Waits for an orchestrator that is starting."""

    def devices() -> None:
        for device in wanted.devices:
            registry.register(orchestrator, device)

    def people() -> None:
        for tenant in wanted.tenants:
            accounts.ensure_tenant(orchestrator, tenant)
            password = factory.password(tenant).read_text().strip()
            accounts.ensure_user(orchestrator, tenant, password, tenant)

    _all([lambda: _try("manager to take the devices", devices, deadline), lambda: _try("identity", people, deadline)])


def place(orchestrator: Orchestrator, wanted: Wiring, lock: Path, deadline: Deadline) -> list[str]:
    """All orders in the order of their files, each once; their ids."""
    placed = []
    for order in wanted.orders:  # one after the other: a later one may name a site that an earlier one brings

        def once(order: OrderFile = order) -> ordering.Placed:
            return ordering.place(orchestrator, order, lock)

        placed.append(_try(f"gro to take {order.path.name}", once, deadline).id)
    return placed


def _nobody(_: str) -> None:
    """Nobody wants to hear how far it is."""


def wait_until_managed(orchestrator: Orchestrator, wanted: Wiring, deadline: Deadline, tell: Tell = _nobody) -> None:
    """Every device has reported to the manager that it is taken in, and the controller has its session."""
    names = {device.serial: device.name for device in wanted.devices}

    def managed() -> bool:
        known = registry.read_all(orchestrator)
        found = {name: known.get(serial, {}).get("status", "not registered") for serial, name in names.items()}
        for name, status in found.items():
            if status in _STUCK:
                raise OrchestratorError(f"{name} is {status}: see the manager's alarms, `labctl logs` of the node")
        waiting = [f"{name} is {status}" for name, status in found.items() if status != "managed"]
        tell(f"boxes bootstrap, {len(found) - len(waiting)} of {len(found)} are managed")
        if waiting:
            raise _NotYetError("; ".join(waiting))
        return True

    def connected() -> bool:
        answer = orchestrator.call("controller", "GET", "/restconf/data/elasticlab-network:network/device")
        listed = answer.json().get("elasticlab-network:device", []) if answer.status == 200 else []
        lacking = set(names.values()) - {one["name"] for one in listed if one.get("connected")}
        tell(f"boxes call home, {len(names) - len(lacking)} of {len(names)} have a session")
        if lacking:
            raise _NotYetError(f"the controller has no session with {', '.join(sorted(lacking))}")
        return True

    if names:
        _wait("the manager to have every device", managed, deadline)
        _wait("the controller to have a session with every device", connected, deadline)


def wait_until_healthy(
    orchestrator: Orchestrator, wanted: Wiring, orders: list[str], deadline: Deadline, tell: Tell = _nobody
) -> None:
    """Every order is completed and every site up: the orchestrator's word.

    Raises:
        OrchestratorError: an order has failed or was cancelled.
    """
    for number, (order, file) in enumerate(zip(orders, wanted.orders, strict=True), 1):
        about = f"order {number} of {len(orders)}"

        def news(kind: str, content: Json, about: str = about) -> None:
            if kind == "step":
                tell(f"{about}, step {content['name']} is {content['status']}")

        ended = ordering.follow(orchestrator, order, deadline, news)
        if ended["state"] != "completed":
            raise OrchestratorError(f"{file.path}: order {order} has ended: {ordering.standing(ended)}")
    if orders:
        wait_until_up(orchestrator, deadline, tell)


def wait_until_up(orchestrator: Orchestrator, deadline: Deadline, tell: Tell = _nobody) -> None:
    """The orchestrator says of every ordered site that it is up."""

    def up() -> bool:
        ordered = ordering.sites(orchestrator)
        down = [site for site in ordered if site["state"] != "up"]
        tell(f"sites come up, {len(ordered) - len(down)} of {len(ordered)} are healthy")
        if down:
            said = (f"{site['tenant']}.{site['name']} is {site['state']} ({site.get('reason', '')})" for site in down)
            raise _NotYetError("; ".join(said))
        return True

    _wait("all sites to be up", up, deadline)


class _NotYetError(Exception):
    """What is still waited for, in words that the deadline's error shows."""


def _wait(name: str, condition: Callable[[], bool], deadline: Deadline) -> None:
    wait_for(name, condition, deadline, interval=_INTERVAL, retry_on=(UnavailableError, _NotYetError))


def _try(name: str, action: Callable[[], T], deadline: Deadline) -> T:
    """Do it as soon as the far end is there; each action can be repeated."""
    done = wait_for(name, lambda: [action()], deadline, interval=_INTERVAL, retry_on=(UnavailableError,))
    return done[0]


def _all(actions: list[Callable[[], None]]) -> None:
    with ThreadPoolExecutor(len(actions)) as pool:
        for outcome in [pool.submit(action) for action in actions]:
            outcome.result()
