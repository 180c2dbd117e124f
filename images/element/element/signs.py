"""A sign of life through each tunnel that this end has started: behind a NAT only it can say where it is.

A NAT that reboots gives it another port. Whoever decrypts its next packet of ESP knows (RFC 7296, section 2.23), and
charon sends there from then on. With MOBIKE nothing else tells it, unless this end has asked, before and after, whether
the peer is there (RFC 4555, section 3.8); and it does not ask while it hears something. So a branch that was busy when
its NAT rebooted, and then says nothing, would hear nothing either.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from itertools import product

from element.model import Config

log = logging.getLogger(__name__)

EVERY = 4.0
"""Seconds: below the 5 after which charon asks whether the peer is there."""
_ECHO = {4: b"\x08\x00\xf7\xff\x00\x00\x00\x00", 6: b"\x80\x00\x00\x00\x00\x00\x00\x00"}
"""An echo request without data, by the version of IP (RFC 792; of RFC 4443 Linux computes the checksum)."""
_PROTOCOL = {4: (socket.AF_INET, socket.IPPROTO_ICMP), 6: (socket.AF_INET6, socket.IPPROTO_ICMPV6)}


def ends(config: Config) -> Iterator[tuple[str, str]]:
    """The own and the peer's address of each tunnel that this end starts. For a tenant nothing is said."""
    for flow in (flow for connection in config.connections if connection.start for flow in connection.flows):
        if config.interface(flow.interface).tenant is None:
            for local, remote in product(map(ip_network, flow.local), map(ip_network, flow.remote)):
                if local.version == remote.version and local.num_addresses == remote.num_addresses == 1:
                    yield str(local.network_address), str(remote.network_address)


def give(local: str, remote: str) -> None:
    """Send one. Nobody waits for the answer."""
    version = ip_network(remote).version
    try:
        with socket.socket(_PROTOCOL[version][0], socket.SOCK_RAW, _PROTOCOL[version][1]) as wire:
            wire.setblocking(False)
            wire.bind((local, 0))
            wire.sendto(_ECHO[version], (remote, 0))
    except OSError as error:
        log.debug("no sign of life from %s to %s: %s", local, remote, error)


class Signs:
    """Gives them."""

    def __init__(self, known: Callable[[], Config | None], give: Callable[[str, str], None] = give) -> None:
        self._known, self._give = known, give

    async def run(self) -> None:
        """Never ends by itself."""
        while True:
            if (config := self._known()) is not None:
                for local, remote in ends(config):
                    self._give(local, remote)
            await asyncio.sleep(EVERY)
