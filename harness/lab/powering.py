"""How far it is, told while an engine gives power to nodes or components of the orchestrator start."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from harness.build.progress import Tell
from harness.host.channel import AgentError, AgentLost
from harness.lab.lab import Lab

_EVERY = 0.5
"""Seconds: often enough for an eye, and seldom enough for a lab kernel that is busy."""


@contextlib.contextmanager
def powering(lab: Lab, tell: Tell) -> Iterator[None]:
    """For the length of a `with` block: how many nodes have power and are set up."""
    with _repeated(lambda: f"booting nodes, {lab.agent.call('nodes.set_up')} of {len(lab.nodes)} are up", tell):
        yield


@contextlib.contextmanager
def starting(lab: Lab, node: str, components: dict[str, int], tell: Tell) -> Iterator[None]:
    """For the length of a `with` block: which of a node's components (name → port) are there."""

    def look() -> str:
        there = set(lab.agent.call("node.listening", node=node))
        found = [name for name, port in components.items() if port in there]
        listed = f" ({', '.join(found)})" if found else ""
        return f"starting the orchestrator, {len(found)} of {len(components)} components are there{listed}"

    with _repeated(look, tell):
        yield


@contextlib.contextmanager
def _repeated(look: Callable[[], str], tell: Tell) -> Iterator[None]:
    over = threading.Event()

    def go_on() -> None:
        with contextlib.suppress(AgentError, AgentLost, TimeoutError):  # whoever is waited for says what is wrong
            while not over.wait(_EVERY):
                tell(look())

    watcher = threading.Thread(target=go_on, name="progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
