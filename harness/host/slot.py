"""Slots: the addresses and names of a lab on the user's machine, arbitrated by the kernel.

A slot is a number that its lab's keeper process holds by an open `flock`: it is free again the moment that the keeper
is dead, however it died, and two labs that start at once never get the same one.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

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


def _try(folder: Path, index: int) -> int | None:
    handle = os.open(folder / str(index), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def take(folder: Path) -> tuple[Slot, int]:
    """A free slot and the open file that holds it: hand the file to the keeper, then close it here."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(SLOTS):
        if (handle := _try(folder, index)) is not None:
            return Slot(index), handle
    raise HostError(f"all {SLOTS} lab slots of this machine are taken; end a lab with `labctl down`")


def held(folder: Path, slot: Slot) -> bool:
    """Whether some keeper holds the slot."""
    if (handle := _try(folder, slot.index)) is None:
        return True
    os.close(handle)
    return False
