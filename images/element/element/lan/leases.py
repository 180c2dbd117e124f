"""The leases that a DHCP server has given, as dnsmasq writes them down."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@dataclass(frozen=True, slots=True)
class Given:
    """A lease."""

    address: IPv4Address
    mac: str
    host_name: str | None
    expires: int | None
    """Seconds since 1970; None: never."""


def read(file: Path, network: IPv4Network) -> tuple[Given, ...]:
    """The leases in force of a network; a file that is not there has none."""
    try:
        lines = file.read_text(encoding="ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return ()
    now = time.time()
    found = (lease for line in lines for lease in _line(line))
    live = (lease for lease in found if lease.address in network and (lease.expires is None or lease.expires > now))
    return tuple(sorted(live, key=lambda lease: lease.address))


def _line(line: str) -> Iterator[Given]:
    """Expiry, MAC, address, name or ``*``, client identifier; anything else is another program's."""
    words = line.split()
    if len(words) != 5 or not words[0].isdigit() or not _MAC.fullmatch(words[1]):
        return
    try:
        address = IPv4Address(words[2])
    except ValueError:
        return
    name = words[3] if _LABEL.fullmatch(words[3]) else None
    yield Given(address, words[1], name, int(words[0]) or None)
