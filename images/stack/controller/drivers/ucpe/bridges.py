"""L2 access: each port has a bridge, whose untagged frames or VLANs lead into the VNIs of its sites."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from yangkit import Tree

from controller.drivers import parts
from controller.drivers.work import Attachment

_LAST_VLAN = 4094


def bridges(attachments: Iterable[Attachment], line_port: str | None) -> list[Tree]:
    """The ports of bridged sites, their bridges and their VXLANs."""
    ordered = sorted(attachments, key=lambda a: (a.site.port, a.site.id))
    interfaces: list[Tree] = []
    for port, group in groupby(ordered, lambda a: a.site.port):
        interfaces += _port(port, list(group), line_port)
    return interfaces


def _port(port: str, sites: list[Attachment], line_port: str | None) -> list[Tree]:
    """One bridge; only the POP may be the gateway of a site."""
    name = f"br-{port}"
    vlans = [a.site.vlan for a in sites if a.site.vlan is not None]
    untagged = _untagged_vlan(vlans)
    stations = [_gateway(a, a.site.vlan or untagged) for a in sites]
    mss = parts.BRIDGED_MSS - max(a.narrower for a in sites)
    # Aware of VLANs also where no site has one: or the port's tagged frames, which are nobody's, would be in the VNI.
    bridge: Tree = {"vlan-aware": True, "tcp-mss": mss, "protected-station": stations}
    member: Tree = {"bridge": name}
    if vlans:
        member["tagged-vlan"] = vlans
    if len(vlans) < len(sites):
        member["access-vlan"] = untagged
    interfaces = [
        parts.interface(name, "iana-if-type:bridge") | {"elasticlab-bridge:bridge": bridge},
        parts.ethernet(port) | {"elasticlab-bridge:bridge-port": member},
    ]
    for attachment in sites:
        inside: Tree = {"bridge": name, "access-vlan": attachment.site.vlan or untagged}
        interfaces.append(parts.vxlan_port(attachment, attachment.branch, attachment.pop, inside, line_port))
    return interfaces


def _untagged_vlan(vlans: list[int]) -> int:
    """The VLAN of untagged frames inside a bridge: from above, one that no site has."""
    return next(vlan for vlan in range(_LAST_VLAN, 0, -1) if vlan not in vlans)


def _gateway(attachment: Attachment, vlan: int) -> Tree:
    return {
        "mac-address": parts.gateway_mac(attachment.site.vlan),
        "address": [str(attachment.site.gateway.ip)],
        "port": attachment.vxlan,
        "vlan": vlan,
    }
