"""NETCONF sessions with a lab's boxes, as any manager has them: over SSH on the management network."""

from __future__ import annotations

from yangkit.client import NetconfClient, connect_ssh

from harness.lab.lab import Lab

NETCONF_SSH = 830
SESSION_SECONDS = 20


async def session(lab: Lab, node: str, *, seconds: float = SESSION_SECONDS) -> NetconfClient:
    """A session as `admin` with a box that must prove to be the one from the factory.

    Raises ConnectionError, TimeoutError or OSError while the box does not answer.
    """
    return await connect_ssh(
        lab[node].management_address,
        NETCONF_SSH,
        username="admin",
        client_key=lab.factory.admin.ssh_key,
        host_key=lab.factory.host_key_file(node),
        deadline=seconds,
    )
