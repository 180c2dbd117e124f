"""Being exactly between two steps of an order, without sleeping: whoever the next step needs is made to stand still,
the order's own events say when it has come there, and it cannot go on until we let it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from harness.lab import Lab
from harness.wait import wait_for
from tests.system.lifecycle import Life
from tests.system.traces import NETWORK, Json, content

SECONDS = 30
# Held like a backup holds it: readers go on, whoever writes waits (sqlite.org/lang_transaction.html, IMMEDIATE).
_LOCK = """
import signal, sqlite3
database = sqlite3.connect("/var/lib/controller/controller.sqlite", isolation_level=None, timeout=20)
database.execute("BEGIN IMMEDIATE")
open("/run/controller-locked", "w").close()
signal.pause()
"""
Going = Callable[[], str]
"""Places an order; its id."""


def kill(lab: Lab, node: str, service: str) -> Callable[[], bool]:
    """kill -9 of a supervised process, standing still or not; whether another one runs since."""
    place = f"/etc/service/{service}/supervise/pid"
    before = lab[node].exec("cat", place).strip()
    lab[node].exec("kill", "-KILL", before)
    return lambda: lab[node].run("cat", place).stdout.strip() not in ("", before)


@contextlib.contextmanager
def standing_still(lab: Lab, node: str, service: str) -> Iterator[None]:
    """A supervised process is stopped (SIGSTOP) for the length of a `with` block; it may be killed meanwhile."""
    lab[node].exec("sv", "pause", service)
    try:
        yield
    finally:
        lab[node].exec("sv", "cont", service)


@contextlib.contextmanager
def locked_controller(lab: Lab) -> Iterator[None]:
    """Nothing is written to the controller's database for the length of a `with` block."""
    script = 'rm -f /run/controller-locked; python3 -c "$1" >/dev/null 2>&1 & echo $!'
    holder = lab["stack"].exec("/bin/sh", "-c", script, "sh", _LOCK).strip()
    try:
        lab.wait_until("stack", "file:/run/controller-locked", 20)
        yield
    finally:
        lab["stack"].exec("kill", "-KILL", holder)


@contextlib.contextmanager
def at_devices(life: Life, going: Going) -> Iterator[str]:
    """reserve is over; devices has begun and waits for the manager's answer."""
    with standing_still(life.lab, "stack", "manager"):
        order = going()
        life.until_step(order, "devices")
        yield order


@contextlib.contextmanager
def at_network(life: Life, going: Going) -> Iterator[str]:
    """devices is over; network has begun, and the controller cannot make its intent durable."""
    with locked_controller(life.lab):
        order = going()
        life.until_step(order, "network")
        yield order


@contextlib.contextmanager
def at_verify(life: Life, going: Going) -> Iterator[str]:
    """network is over; verify has begun, and the POP's configurator does nothing."""
    with standing_still(life.lab, "vmsr-1", "element"):
        order = going()
        life.until_step(order, "verify")
        yield order


@contextlib.contextmanager
def at_finish(life: Life, going: Going) -> Iterator[str]:
    """All is done in the network, and GRO, which stands still, has not seen it."""
    with contextlib.ExitStack() as stack:
        with at_verify(life, going) as order:
            stack.enter_context(standing_still(life.lab, "stack", "gro"))
        wait_for("the controller to be done", lambda: done(life), SECONDS)
        yield order


def done(life: Life) -> bool:
    """The controller's word that every site is up, or that there is none."""
    return all(site["state"] == "up" for site in sites(life))


def sites(life: Life) -> list[dict[str, Json]]:
    network = content(life.far, NETWORK).get("elasticlab-network:network", {})
    found: list[dict[str, Json]] = network.get("site", [])
    return found


BOUNDARIES = {"devices": at_devices, "network": at_network, "verify": at_verify, "finish": at_finish}
