"""Whom load may go to: a lab of this machine's user, looked up by its name, or loopback. No address is ever taken."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness import topology
from harness.build.progress import Lines
from harness.lab import Lab, attach, down, up
from harness.lab.netconf import host_key_file
from harness.lab.timings import Timings
from harness.orchestrator import accounts, plug, registry
from harness.orchestrator.client import PORTS, Orchestrator

TENANT = "acme"
PROGRAM = "load"
TOPOLOGY = "demo"
HOST, BOX = "host-2", "ucpe-2"
"""Who sends packets, behind which box; each order is for a VLAN of the cable between them."""
OTHER = "ucpe-1"
SERVER = "198.51.100.80"


class TargetError(RuntimeError):
    """There is nothing that load may go to; what to do."""


@dataclass(frozen=True)
class Target:
    """Everything a client needs to be an ordinary one."""

    lab: str
    address: str
    authority: Path
    secret: str
    """Of the program that orders for the tenant."""
    password: str
    """Of the tenant's user at the portal."""
    operator_secret: str
    device: str
    """Serial number of the box that serves the sites."""
    box: str
    """Address of another, which no order is for."""
    box_key: Path
    ssh_key: Path

    def url(self, service: str) -> str:
        return f"https://{self.address}:{PORTS[service]}"


def refuse_host(host: str | None) -> None:
    """Locust's --host. Raises TargetError for all but loopback."""
    if not host:
        return
    name = host.split("//")[-1].split("/")[0].rsplit(":", 1)[0].strip("[]")
    try:
        loopback = name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise TargetError(
            f"load goes to labs and to loopback, not to {host}; leave --host out, and name a lab with --lab"
        )


def target(lab: Lab) -> Target:
    """A lab as its clients see it: the tenant's program is there, and the box is the tenant's."""
    far = Orchestrator.of(lab)
    wanted = plug.wiring(lab.topology, lab.factory)
    device = next((one for one in wanted.devices if one.name == BOX), None)
    if device is None or device.owner != TENANT:
        raise TargetError(f"lab {lab.name} has no box {BOX} of {TENANT}: load needs topology {TOPOLOGY}")
    file = lab.place.folder / "load-secret"
    accounts.ensure_tenant(far, TENANT)
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(24))
    accounts.ensure_program(far, PROGRAM, file.read_text(), TENANT)
    registry.register(far, device)
    own = lab.factory
    return Target(
        lab.name, far.address, own.service_ca, file.read_text(), own.password(TENANT).read_text().strip(),
        (own.directory / "stacks" / far.node / "labctl-secret").read_text().strip(),
        device.serial, lab[OTHER].management_address, host_key_file(lab, OTHER), own.admin.ssh_key,
    )  # fmt: skip


@contextmanager
def running(name: str | None) -> Iterator[Lab]:
    """The lab of this name, which goes on afterwards; without a name one of our own, which does not."""
    if name is not None:
        with attach(name) as lab:
            yield lab
        return
    own = f"load-{secrets.token_hex(3)}"
    try:
        with up(topology.load(TOPOLOGY), name=own, orders=False, progress=Lines(), timings=Timings()) as lab:
            yield lab
    finally:
        down(own)
