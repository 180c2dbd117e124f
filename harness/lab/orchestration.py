"""Bringing up a lab that has an orchestrator: it first, then the boxes, while it is told of them and of the orders."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from harness.build.progress import Tell
from harness.lab.lab import Lab
from harness.lab.powering import powering, starting
from harness.lab.timings import Timings
from harness.topology import Topology
from harness.wait import Deadline

SECONDS = 120
SECONDS_A_BOX = 6
"""Boxes start at once, on one processor: the more there are, the longer each takes."""


def is_orchestrated(topology: Topology) -> bool:
    """Whether what its boxes carry is ordered."""
    return any(node.role == "stack" for node in topology.nodes.values())


def bring_up(lab: Lab, topology: Topology, timings: Timings, orders: bool, tell: Tell) -> None:
    """Nodes and links are there, the boxes managed and, with `orders`, every ordered site is healthy.

    The boxes get power when the orchestrator is there: whoever comes earlier asks for nothing, again and again, and
    who comes before it is registered raises an alarm. Order files are read before anything happens.

    Raises:
        OrderFileError, OrchestratorError, DeadlineError, EngineError: see each.
    """
    from harness.orchestrator import plug  # noqa: PLC0415 (labs without one need not import it)
    from harness.orchestrator.client import PORTS, Orchestrator  # noqa: PLC0415

    wanted = plug.wiring(topology, lab.factory)
    far, deadline = Orchestrator.of(lab), Deadline(SECONDS + SECONDS_A_BOX * len(wanted.devices))
    with timings.phase("nodes"), powering(lab, tell):
        lab.engine.build(later=[device.name for device in wanted.devices])
    deadline.restart()
    with timings.phase("orchestrator"), starting(lab, far.node, PORTS, tell):
        plug.wait_until_there(far, deadline)

    def announce() -> list[str]:
        plug.register(far, lab.factory, wanted, deadline)
        return plug.place(far, wanted, lab.place.folder / "orders.lock", deadline) if orders else []

    with ThreadPoolExecutor(1, thread_name_prefix="announce") as pool:
        announced = pool.submit(announce)
        try:
            with timings.phase("boxes"), powering(lab, tell):
                lab.engine.build()
            deadline.restart()
            with timings.phase("managed"):
                with starting(lab, far.node, PORTS, tell):
                    placed = announced.result()
                plug.wait_until_managed(far, wanted, deadline, tell)
            if orders:
                with timings.phase("healthy"):
                    plug.wait_until_healthy(far, wanted, placed, deadline, tell)
        except BaseException:
            deadline.end()  # nobody waits any more for what is announced
            raise
