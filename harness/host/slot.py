"""Slots: the addresses and names of a lab on the user's machine, arbitrated by the kernel.

A slot is a number that its keeper process holds by an open socket, bound to an abstract name (unix(7)). Such names
are the network namespace's, as are the interfaces that they stand for: two labs never get the same slot, whoever starts
them and wherever their folders are, and it is free again the moment that the keeper is dead, however it died.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network

from harness.host import cable
from harness.host.base import HostError

SLOTS = 256
# Shared address space (RFC 6598) that neither tenants nor the Internet use; a /21 holds 2,000 nodes.
_MANAGEMENT = IPv4Network("100.72.0.0/13")
_PREFIX = 21
_FIRST_NODE = 11


@dataclass(frozen=True)
class Slot:
    index: int

    @property
    def device(self) -> str:
        """The user's machine's end of the lab's management network."""
        return f"el{self.index}"

    @property
    def management(self) -> IPv4Network:
        base = int(_MANAGEMENT.network_address) + self.index * 2 ** (32 - _PREFIX)
        return IPv4Network((base, _PREFIX))

    def _address(self, number: int) -> IPv4Interface:
        return IPv4Interface((int(self.management.network_address) + number, _PREFIX))

    @property
    def user_address(self) -> IPv4Interface:
        return self._address(1)

    @property
    def host_address(self) -> IPv4Interface:
        return self._address(2)

    def node_address(self, number: int) -> IPv4Interface:
        """Management address of a lab's node by its number, from 0."""
        return self._address(_FIRST_NODE + number)


def _try(slot: Slot) -> socket.socket | None:
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        holder.bind(f"\0elasticlab/slot/{slot.index}")
    except OSError as error:
        holder.close()
        if error.errno != errno.EADDRINUSE:
            raise
        return None
    return holder


def take() -> tuple[Slot, socket.socket]:
    """A free slot and the socket that holds it: hand it to the keeper, then close it here."""
    for slot in map(Slot, range(SLOTS)):
        if (holder := _try(slot)) is not None:
            if not cable.exists(slot.device):
                return slot, holder
            holder.close()  # the name of its interface is taken by something that is no lab of ours
    raise HostError(f"all {SLOTS} lab slots of this machine are taken; end a lab with `labctl down`")


def abandoned(slot: Slot) -> bool:
    """Whether its interface is there while no keeper holds it; nobody takes it while we look."""
    if (holder := _try(slot)) is None:
        return False
    with holder:
        return cable.exists(slot.device)
