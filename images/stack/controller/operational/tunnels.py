"""Tunnels as devices tell them, and what comes back through them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf

from lxml import etree
from yangkit.client import NetconfClient

from controller import drivers
from controller.drivers.work import Attachment
from controller.southbound import patience

_IPSEC = "urn:elasticlab:yang:elasticlab-ipsec"
_ELEMENT = "urn:elasticlab:yang:elasticlab-element"
_FILTER = f'<ipsec xmlns="{_IPSEC}"><conn-entry/></ipsec>'
_NS = {"i": _IPSEC}
#: As charon names the states of a child SA that packets travel in.
_CARRYING = frozenset({"INSTALLED", "REKEYING"})
DEADLINE = 5.0
PROBE_SECONDS = 1


@dataclass(frozen=True)
class Tunnel:
    """A connection of a device; packets are those of its present SAs."""

    name: str
    established: bool
    since: datetime | None = None
    sent: int = 0
    received: int = 0
    flows: frozenset[str] = frozenset()
    """Those that have SAs now."""

    def carries(self, flow: str) -> bool:
        """Is there a way for the packets of a flow, whatever becomes of others?"""
        return self.established or flow in self.flows


async def read(client: NetconfClient) -> dict[str, Tunnel]:
    """The tunnels of a device by the connection's name; RpcError, OSError, TimeoutError."""
    data = await patience.answer(client, client.get(_FILTER, deadline=inf), DEADLINE)
    tunnels = (_tunnel(entry) for entry in data.iterfind(".//i:conn-entry", _NS))
    return {tunnel.name: tunnel for tunnel in tunnels}


def _tunnel(entry: etree._Element) -> Tunnel:
    state = entry.find("i:state", _NS)
    name = entry.findtext("i:name", "", _NS)
    if state is None:
        return Tunnel(name, False)
    flows = frozenset(
        child.findtext("i:spd-entry", "", _NS)
        for child in state.iterfind("i:child-sa", _NS)
        if child.findtext("i:child-state", "", _NS) in _CARRYING
    )
    if state.findtext("i:established", "false", _NS) != "true":
        return Tunnel(name, False, flows=flows)
    ages = [int(text) for text in _texts(state, "i:ike-sa/i:established-for")]
    return Tunnel(
        name,
        True,
        datetime.now(UTC) - timedelta(seconds=max(ages)) if ages else None,
        sum(int(text) for text in _texts(state, "i:child-sa/i:out-packets")),
        sum(int(text) for text in _texts(state, "i:child-sa/i:in-packets")),
        flows,
    )


def _texts(element: etree._Element, path: str) -> list[str]:
    return [found.text for found in element.iterfind(path, _NS) if found.text]


@dataclass(frozen=True, slots=True)
class Way:
    """How the packets of sites travel from the POP to the branch: sites of one box have it in common."""

    source: str
    target: str
    interface: str


def way(attachment: Attachment) -> Way:
    """The way of a site's packets."""
    pop, branch = attachment.pop, attachment.branch
    if attachment.site.on_line:
        return Way(pop.line, branch.line, drivers.line_port(pop.facts) or "")
    return Way(pop.loopback, branch.loopback, branch.interface("ipsec"))


async def probe(client: NetconfClient, by: Way) -> float | None:
    """Ask the branch from the POP; milliseconds, or None when nothing comes back."""
    body = (
        f'<ping xmlns="{_ELEMENT}"><address>{by.target}</address>'
        f"<source-interface>{by.interface}</source-interface>"
        f"<source-address>{by.source}</source-address>"
        f"<count>1</count><timeout>{PROBE_SECONDS}</timeout></ping>"
    )
    reply = await patience.answer(client, client.rpc(body, inf), PROBE_SECONDS + DEADLINE)
    text = reply.findtext(f".//{{{_ELEMENT}}}rtt-avg")
    return float(text) if text is not None else None
