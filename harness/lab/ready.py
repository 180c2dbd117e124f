"""Ready: the conditions that the topology names (`elasticlab.ready`) hold for every node."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from harness.build.progress import Tell
from harness.host.channel import Agent
from harness.topology import Topology
from harness.wait import Deadline, wait_for


def wait_until_ready(
    agent: Agent, topology: Topology, seconds: float, *, ordered: bool = True, tell: Tell = lambda _: None
) -> None:
    """Wait for all conditions at once. `ordered` is false where orders make hosts reach each other and none is placed:
    then nothing is expected of `ping:`.

    Raises DeadlineError that names the first condition that does not come true.
    """
    deadline = Deadline(seconds)
    wanted = [(node.name, condition) for node in topology.nodes.values() for condition in node.ready]
    wanted = [wish for wish in wanted if ordered or not wish[1].startswith("ping:")]

    def hold(wish: tuple[str, str]) -> None:
        node, condition = wish
        wait_for(
            f"{node} to be ready ({condition})",
            lambda: agent.call("node.ready", node=node, condition=condition),
            deadline,
            interval=0.05,
        )

    with ThreadPoolExecutor(max(1, len(wanted))) as pool:
        for number, outcome in enumerate([pool.submit(hold, wish) for wish in wanted]):
            tell(f"waiting for hosts and services, {number} of {len(wanted)} conditions hold")
            outcome.result()
