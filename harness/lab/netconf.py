"""NETCONF sessions with a lab's boxes, as any manager has them: over SSH on the management network."""

from __future__ import annotations

import asyncio
from pathlib import Path

from yangkit.client import NetconfClient, connect_ssh

from harness.lab.lab import Lab

NETCONF_SSH = 830
SESSION_SECONDS = 20
_OWN_KEY = "/var/lib/element/identity/current/ssh_host_ed25519_key.pub"


class NotEnrolledError(ConnectionError):
    """A box without an operator: it lets nobody in, and nobody could know it."""


def host_key(lab: Lab, node: str) -> str:
    """The public line of a box's SSH host key, for known_hosts. The box has made it, so it is read off the box itself:
    by the cable of whoever stands before it, and not over a network.

    Raises NotEnrolledError.
    """
    found = lab[node].run("cat", _OWN_KEY)
    if not found.ok:
        raise NotEnrolledError(f"{node} is not enrolled yet: {found.stderr.strip()}")
    return found.stdout.strip()


def host_key_file(lab: Lab, node: str) -> Path:
    """The same as a file in the lab's folder."""
    line = host_key(lab, node)
    known = lab.place.folder / "known_boxes"
    known.mkdir(exist_ok=True)
    path = known / f"{node}.pub"
    if not path.exists() or path.read_text() != f"{line}\n":
        path.write_text(f"{line}\n")
    return path


async def session(lab: Lab, node: str, *, seconds: float = SESSION_SECONDS) -> NetconfClient:
    """A session as `admin` with a box that must prove to be itself.

    Raises ConnectionError, TimeoutError or OSError while the box does not answer.
    """
    return await connect_ssh(
        lab[node].management_address,
        NETCONF_SSH,
        username="admin",
        client_key=lab.factory.admin.ssh_key,
        host_key=await asyncio.to_thread(host_key_file, lab, node),
        deadline=seconds,
    )
