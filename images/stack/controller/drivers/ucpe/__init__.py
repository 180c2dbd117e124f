"""The box of a branch."""

from __future__ import annotations

from yangkit import Tree

from controller.drivers import direct, parts
from controller.drivers.work import Attachment, Work
from controller.service.allocation import gateway_mac
from controller.service.intent import Mode

BRIDGE = "br-lan"


def build(work: Work) -> Tree:
    """The tree of a box; it has one site."""
    (attachment,) = work.attachments
    here, pop = attachment.branch, attachment.pop
    interfaces = [
        parts.overlay(here.loopback, "Our end of the tunnel"),
        parts.ipsec_interface(pop, attachment.branch_if_id),
    ]
    protocols: list[Tree] = []
    if attachment.site.mode is Mode.ROUTED:
        interfaces += _routed(attachment)
        routes = [("0.0.0.0/0", {"outgoing-interface": pop.interface("gre")}), *direct.routes(work.links)]
        interfaces += direct.interfaces(work.links)
        protocols.append(parts.static_routes(attachment.tenant, routes))
    else:
        interfaces += _bridged(attachment)
    ipsec = {
        "pad": parts.pad(here.name, [pop, *direct.peers(work.links)], work.domain),
        "conn-entry": [parts.connection(here, pop, pop.facts.wan_address), *direct.connections(work.links)],
    }
    return parts.whole(parts.tenants([attachment]), interfaces, protocols, [], ipsec)


def _routed(attachment: Attachment) -> list[Tree]:
    """The LAN's gateway is here, and everything else is beyond the tunnel."""
    lan = parts.ethernet(attachment.site.port)
    return [
        parts.gre_interface(attachment, attachment.branch, attachment.pop),
        lan | parts.routed(attachment.site.gateway) | parts.membership(attachment, attachment.branch),
    ]


def _bridged(attachment: Attachment) -> list[Tree]:
    """Port or port and VLAN lead into the VNI; only the POP may be the gateway."""
    site, vlan = attachment.site, attachment.site.vlan
    station: Tree = {
        "mac-address": gateway_mac(attachment.number),
        "address": [str(site.gateway.ip)],
        "port": attachment.vxlan,
    }
    bridge: Tree = {"tcp-mss": parts.BRIDGED_MSS, "protected-station": [station]}
    port: Tree = {"bridge": BRIDGE}
    inside: Tree = {"bridge": BRIDGE}
    if vlan is not None:
        bridge["vlan-aware"] = True
        station["vlan"] = vlan
        port["tagged-vlan"] = [vlan]
        inside["access-vlan"] = vlan
    return [
        parts.interface(BRIDGE, "iana-if-type:bridge") | {"elasticlab-bridge:bridge": bridge},
        parts.ethernet(site.port) | {"elasticlab-bridge:bridge-port": port},
        parts.vxlan_interface(attachment, attachment.branch, attachment.pop, inside),
    ]
