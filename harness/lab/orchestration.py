"""The orchestrator's part of bringing up a lab, at the same time as the nodes boot."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from harness.lab.lab import Lab
from harness.topology import Topology
from harness.wait import Deadline

SECONDS = 120
Phases = list[tuple[str, Callable[[], None]]]


def is_orchestrated(topology: Topology) -> bool:
    """Whether what its boxes carry is ordered."""
    return any(node.role == "stack" for node in topology.nodes.values())


@contextlib.contextmanager
def orchestration(lab: Lab, topology: Topology, orders: bool) -> Iterator[Phases]:
    """Devices, tenants and orders are announced as soon as the orchestrator hears it; yields what is then to be waited
    for, with names: that the devices are managed and, with `orders`, that every site is healthy.

    Order files are read before anything happens. A topology without an orchestrator has nothing to wait for.

    Raises:
        OrderFileError: an order file is wrong.
    """
    if not is_orchestrated(topology):
        yield []
        return
    from harness.orchestrator import plug  # noqa: PLC0415 (labs without one need not import it)
    from harness.orchestrator.client import Orchestrator  # noqa: PLC0415

    wanted = plug.wiring(topology, lab.factory)
    far, deadline = Orchestrator.of(lab), Deadline(SECONDS)

    def announce() -> list[str]:
        plug.register(far, lab.factory, wanted, deadline)
        return plug.place(far, wanted, lab.place.folder / "orders.lock", deadline) if orders else []

    with ThreadPoolExecutor(1, thread_name_prefix="announce") as pool:
        announced = pool.submit(announce)

        def managed() -> None:
            announced.result()
            plug.wait_until_managed(far, wanted, deadline)

        def healthy() -> None:
            plug.wait_until_healthy(far, wanted, announced.result(), deadline)

        phases: Phases = [("managed", managed), *([("healthy", healthy)] if orders else [])]
        try:
            yield phases
        except BaseException:
            deadline.end()  # the nodes do not boot: what is said to them is said to nobody
            raise
