"""The router of a POP."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from yangkit import Tree

from controller.drivers import clouds, parts
from controller.drivers.work import Attachment, Work
from controller.service.allocation import gateway_mac
from controller.service.intent import Mode


def build(work: Work) -> Tree:
    """The tree of a router with all its sites."""
    here = work.attachments[0].pop
    interfaces = [parts.overlay(here.loopback, "Our end of every tunnel")]
    for attachment in work.attachments:
        interfaces += _site(attachment)
    interfaces += clouds.interfaces(work.clouds)
    protocols: list[Tree] = []
    breakouts: list[Tree] = []
    for tenant, group in groupby(sorted(work.attachments, key=lambda a: (a.tenant, a.site.id)), lambda a: a.tenant):
        sites = list(group)
        inside = [a.pop_interface for a in sites if a.internet]
        if inside:
            breakouts.append(_breakout(tenant, here.facts.wan_address, inside))
        routes = list(_routes(sites, here.facts.wan_gateway if inside else None))
        if routes:
            protocols.append(parts.static_routes(tenant, routes))
    pad = parts.pad(here.name, [a.branch for a in work.attachments], work.domain)
    pad["pad-entry"] += clouds.pad(work.clouds, work.domain)
    # Sites call, wherever they are (wire.md): no address is asked of them.
    connections = [parts.connection(here, a.branch, None) for a in work.attachments]
    ipsec = {"pad": pad, "conn-entry": connections + clouds.connections(work.clouds)}
    return parts.whole(parts.tenants(work.attachments), interfaces, protocols, breakouts, ipsec)


def _site(attachment: Attachment) -> list[Tree]:
    here, branch, site = attachment.pop, attachment.branch, attachment.site
    tunnel = parts.ipsec_interface(branch, attachment.pop_if_id)
    if site.mode is Mode.ROUTED:
        return [tunnel, parts.gre_interface(attachment, here, branch)]
    bridge = attachment.pop_interface
    gateway = (
        parts.interface(bridge, "iana-if-type:bridge", mtu=parts.BRIDGED_MTU, description=f"Gateway of {site.id}")
        | parts.routed(site.gateway)
        | parts.membership(attachment, here)
        | {"elasticlab-bridge:bridge": {"mac-address": gateway_mac(attachment.number)}}
    )
    return [tunnel, parts.vxlan_interface(attachment, here, branch, {"bridge": bridge}), gateway]


def _routes(sites: Iterable[Attachment], gateway: str | None) -> Iterable[tuple[str, Tree]]:
    """Routes of a tenant: to routed sites, and to the Internet if somebody goes there; bridged ones are connected."""
    if gateway is not None:
        yield "0.0.0.0/0", {"outgoing-interface": parts.WAN, "next-hop-address": gateway}
    for attachment in sites:
        if attachment.site.mode is Mode.ROUTED:
            yield str(attachment.site.gateway.network), {"outgoing-interface": attachment.pop_interface}


def _breakout(tenant: str, address: str | None, inside: list[str]) -> Tree:
    tree: Tree = {"tenant": tenant, "external-interface": parts.WAN, "internal-interface": inside}
    if address is not None:
        tree["external-address"] = address
    return tree
