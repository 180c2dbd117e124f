"""The box of a branch."""

from __future__ import annotations

from collections.abc import Iterable

from yangkit import Tree

from controller import drivers
from controller.drivers import direct, parts
from controller.drivers.ucpe.breakout import breakout
from controller.drivers.ucpe.bridges import bridges
from controller.drivers.work import Attachment, Work
from controller.service.site import Mode


def build(work: Work) -> Tree:
    """The tree of a box: all its bridged sites, and its routed one."""
    here, pop = work.attachments[0].branch, work.attachments[0].pop
    port = drivers.line_port(work.device)
    tunnelled = [a for a in work.attachments if not a.site.on_line]
    interfaces: list[Tree] = []
    ipsec: Tree | None = None
    if tunnelled:
        interfaces += [
            parts.overlay(here.loopback, "Our end of the tunnel"),
            parts.ipsec_interface(pop, tunnelled[0].branch_if_id, tunnelled[0].narrower),
        ]
        own = [parts.branch_flow(a.flow) for a in tunnelled if a.flow is not None]
        address = pop.facts.address_for(here.facts)
        ipsec = {
            "pad": parts.pad(here.name, [pop, *direct.peers(work.links)], work.domain),
            "conn-entry": [parts.connection(here, pop, address, own), *direct.connections(work.links)],
        }
    if port is not None and len(tunnelled) < len(work.attachments):
        interfaces.append(parts.line(port, here))
    protocols: list[Tree] = []
    breakouts: list[Tree] = []
    for attachment in work.attachments:
        if attachment.site.mode is Mode.ROUTED:
            interfaces += _routed(attachment)
            interfaces += direct.interfaces(work.links)
            routes = [*_routes(attachment), *direct.routes(work.links)]
            protocols += [parts.static_routes(attachment.tenant, routes)] if routes else []
            breakouts += breakout(attachment)
    interfaces += bridges([a for a in work.attachments if a.site.mode is Mode.BRIDGED], port)
    return parts.whole(parts.tenants(work.attachments), interfaces, protocols, breakouts, ipsec)


def _routed(attachment: Attachment) -> list[Tree]:
    """The LAN's gateway is here, and everything else is beyond the tunnel."""
    here, flow = attachment.branch, attachment.flow
    lan = parts.ethernet(attachment.site.port) | parts.gateway(attachment, here)
    if not attachment.site.plain:
        return [parts.gre_interface(attachment, here, attachment.pop), lan]
    return [lan] if flow is None else [parts.flow_interface(attachment, flow, flow.branch_if_id, here), lan]


def _routes(attachment: Attachment) -> Iterable[tuple[str, Tree]]:
    """All the rest is beyond GRE; where a flow of its own leads, the device knows by its prefixes."""
    if not attachment.site.plain:
        hop: Tree = {"outgoing-interface": attachment.pop.interface("gre")}
        yield "0.0.0.0/0", hop
        if attachment.site.gateway6 is not None:
            yield "::/0", dict(hop)
