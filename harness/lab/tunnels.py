"""The tunnels of a lab, as its boxes tell them over NETCONF (module elasticlab-ipsec)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from lxml import etree
from yangkit.errors import RpcError

from harness.host.channel import AgentError
from harness.lab.lab import Lab
from harness.lab.netconf import session

_IPSEC = "urn:elasticlab:yang:elasticlab-ipsec"
_FILTER = f'<ipsec xmlns="{_IPSEC}"><conn-entry/></ipsec>'
_SECONDS = 5


@dataclass(frozen=True)
class Tunnel:
    """One IPsec connection of a box; packets since its youngest association was installed."""

    box: str
    name: str
    established: bool
    remote_address: str
    encapsulated: bool
    packets_in: int
    packets_out: int


@dataclass(frozen=True)
class Silent:
    """A box that does not tell, and why."""

    box: str
    reason: str


def tunnels(lab: Lab, boxes: Sequence[str]) -> list[Tunnel | Silent]:
    """Ask all boxes at once."""

    async def everyone() -> list[list[Tunnel | Silent]]:
        return await asyncio.gather(*(_ask(lab, box) for box in boxes))

    return [tunnel for told in asyncio.run(everyone()) for tunnel in told]


async def _ask(lab: Lab, box: str) -> list[Tunnel | Silent]:
    try:
        async with await session(lab, box, seconds=_SECONDS) as client:
            data = await client.get(_FILTER)
    except (AgentError, OSError, TimeoutError, RpcError) as error:  # AgentError: it stands still
        return [Silent(box, str(error) or type(error).__name__)]
    return [_read(box, entry) for entry in data.iter(f"{{{_IPSEC}}}conn-entry")]


def _read(box: str, entry: etree._Element) -> Tunnel:
    def text(path: str) -> str:
        return entry.findtext(path, "", {"i": _IPSEC})

    return Tunnel(
        box=box,
        name=text("i:name"),
        established=text("i:state/i:established") == "true",
        remote_address=text("i:state/i:ike-sa/i:remote-address"),
        encapsulated=text("i:state/i:child-sa/i:encapsulated-in-udp") == "true",
        packets_in=int(text("i:state/i:child-sa/i:in-packets") or 0),
        packets_out=int(text("i:state/i:child-sa/i:out-packets") or 0),
    )
