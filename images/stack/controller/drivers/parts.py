"""Pieces of configuration that devices with our modules (models/yang) have in common, as RFC 7951 trees."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Interface

from yangkit import Tree

from controller.drivers.work import Attachment, End

# On a path of 1500 octets: IPsec (AES-GCM, ESP in UDP), in it GRE, in it Ethernet in VXLAN (elasticlab-interface, mtu).
IPSEC_MTU = 1438
GRE_MTU = 1414
BRIDGED_MTU = 1388
# Frames of full size enter VXLAN and are fragmented below, so that stations need not be told.
VXLAN_MTU = 1500
BRIDGED_MSS = BRIDGED_MTU - 40

OVERLAY = "overlay"
WAN = "wan"


def interface(name: str, kind: str, *, mtu: int | None = None, description: str | None = None) -> Tree:
    """An interface (RFC 8343)."""
    tree: Tree = {"name": name, "type": kind}
    if description is not None:
        tree["description"] = description
    if mtu is not None:
        tree["elasticlab-interface:mtu"] = mtu
    return tree


def ethernet(name: str) -> Tree:
    """A port of the device."""
    return interface(name, "iana-if-type:ethernetCsmacd")


def routed(address: IPv4Interface | None = None) -> Tree:
    """RFC 8344: an interface that forwards, with an address or without."""
    ipv4: Tree = {"forwarding": True}
    if address is not None:
        ipv4["address"] = [{"ip": str(address.ip), "prefix-length": address.network.prefixlen}]
    return {"ietf-ip:ipv4": ipv4}


def membership(attachment: Attachment) -> Tree:
    """The tenant of an interface, and who it may forward to: the VPNs are its segments."""
    return {
        "elasticlab-tenant:tenant": attachment.tenant,
        "elasticlab-tenant:segment": list(attachment.site.vpns),
    }


def overlay(loopback: str, description: str) -> Tree:
    """The address that tunnels end at."""
    return interface(OVERLAY, "iana-if-type:softwareLoopback", description=description) | {
        "ietf-ip:ipv4": {"address": [{"ip": loopback, "prefix-length": 32}]}
    }


def ipsec_interface(peer: End, if_id: int) -> Tree:
    """The tunnel interface towards a peer."""
    return interface(peer.interface("ipsec"), "elasticlab-ipsec:ipsec-tunnel", mtu=IPSEC_MTU) | {
        "elasticlab-ipsec:ipsec-tunnel": {"if-id": if_id}
    }


def _ends(here: End, peer: End) -> Tree:
    return {
        "local-address": here.loopback,
        "remote-address": peer.loopback,
        "underlay": peer.interface("ipsec"),
    }


def gre_interface(attachment: Attachment, here: End, peer: End) -> Tree:
    """GRE towards a peer, in the tenant's VRF."""
    return (
        interface(peer.interface("gre"), "elasticlab-gre:gre", mtu=GRE_MTU)
        | routed()
        | membership(attachment)
        | {"elasticlab-gre:gre": _ends(here, peer)}
    )


def vxlan_interface(attachment: Attachment, here: End, peer: End, port: Tree) -> Tree:
    """VXLAN towards a peer, a port of a bridge that learns nothing from there."""
    return interface(attachment.vxlan, "elasticlab-vxlan:vxlan", mtu=VXLAN_MTU) | {
        "elasticlab-bridge:bridge-port": {"learning": False, **port},
        "elasticlab-vxlan:vxlan": {"vni": attachment.number, **_ends(here, peer)},
    }


def static_routes(tenant: str, routes: Iterable[tuple[str, Tree]]) -> Tree:
    """Static routes of a tenant (RFC 8349, appendix A)."""
    return {
        "type": "ietf-routing:static",
        "name": tenant,
        "elasticlab-tenant:tenant": tenant,
        "static-routes": {
            "ietf-ipv4-unicast-routing:ipv4": {
                "route": [{"destination-prefix": prefix, "next-hop": hop} for prefix, hop in routes]
            }
        },
    }


def pad(device: str, peers: Iterable[End], domain: str) -> Tree:
    """Who we are and whom we know (RFC 4301, section 4.4.3): identities are names in certificates, never addresses."""
    known = [{"name": peer.label, "identity": f"{peer.name}.{domain}"} for peer in peers]
    return {"pad-entry": [{"name": "self", "identity": f"{device}.{domain}", "certificate": "ike"}, *known]}


def connection(here: End, peer: End, address: str | None) -> Tree:
    """A connection; whoever knows the peer's address starts it."""
    remote: Tree = {"remote-pad-entry-name": peer.label}
    if address is not None:
        remote["address"] = address
    flow = {
        "name": "overlay",
        "interface": peer.interface("ipsec"),
        "local-prefix": [f"{here.loopback}/32"],
        "remote-prefix": [f"{peer.loopback}/32"],
    }
    return {
        "name": peer.label,
        "autostartup": "add" if address is None else "start",
        "local": {"local-pad-entry-name": "self"},
        "remote": remote,
        "spd": {"spd-entry": [flow]},
    }


def tenants(attachments: Iterable[Attachment]) -> list[Tree]:
    """The tenants of some sites."""
    return [{"name": name, "id": number} for name, number in sorted({(a.tenant, a.tenant_id) for a in attachments})]


def whole(
    tenant_list: list[Tree], interfaces: list[Tree], protocols: list[Tree], breakouts: list[Tree], ipsec: Tree
) -> Tree:
    """A device's tree of its parts; what is empty is left out."""
    tree: Tree = {
        "elasticlab-tenant:tenants": {"tenant": tenant_list},
        "ietf-interfaces:interfaces": {"interface": interfaces},
    }
    if protocols:
        tree["ietf-routing:routing"] = {"control-plane-protocols": {"control-plane-protocol": protocols}}
    if breakouts:
        tree["elasticlab-nat:nat"] = {"breakout": breakouts}
    tree["elasticlab-ipsec:ipsec"] = ipsec
    return tree
