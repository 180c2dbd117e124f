"""The router of a POP."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from yangkit import Tree

from controller import drivers
from controller.drivers import clouds, parts
from controller.drivers.work import Attachment, Work
from controller.service.facts import DeviceFacts
from controller.service.site import Mode


def build(work: Work) -> Tree:
    """The tree of a router with all its sites."""
    here = work.attachments[0].pop
    port = drivers.line_port(work.device)
    boxes = _boxes(a for a in work.attachments if not a.site.on_line)
    interfaces = [parts.overlay(here.loopback, "Our end of every tunnel")] if boxes else []
    if port is not None and any(a.site.on_line for a in work.attachments):
        interfaces.append(parts.line(port, here))
    tunnelled: set[str] = set()
    for attachment in work.attachments:
        branch = attachment.branch
        if not attachment.site.on_line and branch.name not in tunnelled:
            tunnelled.add(branch.name)
            interfaces.append(parts.ipsec_interface(branch, attachment.pop_if_id, attachment.narrower))
        interfaces += _site(attachment, port)
    interfaces += clouds.interfaces(work.clouds)
    protocols: list[Tree] = []
    breakouts: list[Tree] = []
    for tenant, group in groupby(sorted(work.attachments, key=lambda a: (a.tenant, a.site.id)), lambda a: a.tenant):
        sites = list(group)
        inside = [a for a in sites if a.internet and a.pop_interface is not None]
        if inside:
            breakouts.append(_breakout(tenant, here.facts.wan_address, inside))
        routes = [*_default_routes(here.facts, inside), *_routes(sites)]
        if routes:
            protocols.append(parts.static_routes(tenant, routes))
    return parts.whole(parts.tenants(work.attachments), interfaces, protocols, breakouts, _ipsec(work, boxes))


def _boxes(attachments: Iterable[Attachment]) -> list[list[Attachment]]:
    """The sites with tunnels, by their boxes, which are in the order of their first sites."""
    found: dict[str, list[Attachment]] = {}
    for attachment in attachments:
        found.setdefault(attachment.branch.name, []).append(attachment)
    return list(found.values())


def _ipsec(work: Work, boxes: list[list[Attachment]]) -> Tree | None:
    if not boxes and not work.clouds:
        return None
    here = work.attachments[0].pop
    pad = parts.pad(here.name, [sites[0].branch for sites in boxes], work.domain)
    pad["pad-entry"] += clouds.pad(work.clouds, work.domain)
    return {
        "pad": pad,
        # Sites call, wherever they are (wire.md): no address is asked of them.
        "conn-entry": [
            parts.connection(here, sites[0].branch, None, [parts.pop_flow(a.flow) for a in sites if a.flow is not None])
            for sites in boxes
        ]
        + clouds.connections(work.clouds),
    }


def _site(attachment: Attachment, line_port: str | None) -> list[Tree]:
    here, branch, site = attachment.pop, attachment.branch, attachment.site
    if site.mode is Mode.ROUTED:
        if not site.plain:
            return [parts.gre_interface(attachment, here, branch)]
        flow = attachment.flow
        return [] if flow is None else [parts.flow_interface(attachment, flow, flow.pop_if_id, here)]
    return [parts.vxlan_gateway(attachment, here, branch, line_port)]


def _default_routes(facts: DeviceFacts, inside: list[Attachment]) -> Iterable[tuple[str, Tree]]:
    """To the Internet, if somebody goes there."""
    if inside and facts.wan_gateway is not None:
        yield "0.0.0.0/0", {"outgoing-interface": parts.WAN, "next-hop-address": facts.wan_gateway}
    if facts.wan6_gateway is not None and any(a.site.gateway6 is not None for a in inside):
        yield "::/0", {"outgoing-interface": parts.WAN, "next-hop-address": facts.wan6_gateway}


def _routes(sites: Iterable[Attachment]) -> Iterable[tuple[str, Tree]]:
    """To routed sites behind GRE; bridged ones are connected, and flows of their own have their prefixes."""
    for attachment in sites:
        if attachment.site.mode is Mode.ROUTED and not attachment.site.plain:
            for network in attachment.site.networks:
                yield str(network), {"outgoing-interface": attachment.pop_interface}


def _breakout(tenant: str, address: str | None, inside: list[Attachment]) -> Tree:
    interfaces = [a.pop_interface for a in inside]
    tree: Tree = {"tenant": tenant, "external-interface": parts.WAN, "internal-interface": interfaces}
    if address is not None:
        tree["external-address"] = address
    return tree
