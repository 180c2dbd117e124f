"""Pieces of configuration that devices with our modules (models/yang) have in common, as RFC 7951 trees."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Interface, IPv6Interface

from yangkit import Tree

from controller.drivers.work import SHARED, Attachment, End, Flow
from controller.service.allocation import LINE_PREFIX

# On a path of 1500 octets: IPsec (AES-GCM, ESP in UDP), in it GRE, in it Ethernet in VXLAN (elasticlab-interface, mtu).
IPSEC_MTU = 1438
GRE_MTU = 1414
BRIDGED_MTU = 1388
# Frames of full size enter VXLAN and are fragmented below, so that stations need not be told.
VXLAN_MTU = 1500
BRIDGED_MSS = BRIDGED_MTU - 40
PATIENT = 20
"""Seconds of silence after which the end that waits to be called asks whether the other is there.

The one that calls is to be the first (after 5 s, and again for 7.7 s: the module's default, and charon's). Behind a NAT
that has forgotten it, a question from here goes where it was, is answered by nobody, and charon takes the tunnel down
though it has heard the other end in between.
"""

VXLAN = "elasticlab-vxlan:vxlan"
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


def routed(address: IPv4Interface | None = None, address6: IPv6Interface | None = None, *, ipv6: bool = False) -> Tree:
    """RFC 8344: an interface that forwards, with addresses or without."""
    tree: Tree = {"ietf-ip:ipv4": _family(address)}
    if ipv6 or address6 is not None:
        tree["ietf-ip:ipv6"] = _family(address6)
    return tree


def _family(address: IPv4Interface | IPv6Interface | None) -> Tree:
    family: Tree = {"forwarding": True}
    if address is not None:
        family["address"] = [{"ip": str(address.ip), "prefix-length": address.network.prefixlen}]
    return family


def membership(attachment: Attachment, here: End) -> Tree:
    """The tenant of an interface, and who it may forward to: the VPNs are its segments, and clouds at the POP."""
    clouds = attachment.clouds if here is attachment.pop else ()
    return {
        "elasticlab-tenant:tenant": attachment.tenant,
        "elasticlab-tenant:segment": [*attachment.site.vpns, *clouds],
    }


def overlay(loopback: str, description: str) -> Tree:
    """The address that tunnels end at."""
    return interface(OVERLAY, "iana-if-type:softwareLoopback", description=description) | {
        "ietf-ip:ipv4": {"address": [{"ip": loopback, "prefix-length": 32}]}
    }


def ipsec_interface(peer: End, if_id: int | None, narrower: int = 0) -> Tree:
    """The tunnel interface towards a peer; ``narrower`` is by how many octets the way is (``Attachment.narrower``)."""
    return _ipsec(peer.interface("ipsec"), if_id, narrower)


def _ipsec(name: str, if_id: int | None, narrower: int) -> Tree:
    if if_id is None:
        raise ValueError(f"{name} has no number")
    return interface(name, "elasticlab-ipsec:ipsec-tunnel", mtu=IPSEC_MTU - narrower) | {
        "elasticlab-ipsec:ipsec-tunnel": {"if-id": if_id}
    }


def flow_interface(attachment: Attachment, flow: Flow, if_id: int, here: End) -> Tree:
    """The tunnel interface of a site's own flow, in the tenant's VRF; the device routes by the flow's prefixes."""
    ipv6 = attachment.site.gateway6 is not None
    return _ipsec(flow.interface(if_id), if_id, attachment.narrower) | routed(ipv6=ipv6) | membership(attachment, here)


def line(port: str, end: End) -> Tree:
    """The port of the operator's private line."""
    address = {"ip": end.line, "prefix-length": LINE_PREFIX}
    return ethernet(port) | {
        "elasticlab-interface:private-line": True,
        "ietf-ip:ipv4": {"address": [address]},
    }


def inside(here: End, peer: End) -> Tree:
    """The ends of a tunnel inside of IPsec."""
    return {
        "local-address": here.loopback,
        "remote-address": peer.loopback,
        "underlay": peer.interface("ipsec"),
    }


def gre_interface(attachment: Attachment, here: End, peer: End) -> Tree:
    """GRE towards a peer, in the tenant's VRF."""
    return (
        interface(peer.interface("gre"), "elasticlab-gre:gre", mtu=GRE_MTU - attachment.narrower)
        | routed(ipv6=attachment.site.gateway6 is not None)
        | membership(attachment, here)
        | {"elasticlab-gre:gre": inside(here, peer)}
    )


def vxlan_port(attachment: Attachment, here: End, peer: End, port: Tree, line_port: str | None) -> Tree:
    """VXLAN towards a peer, a port of a bridge that learns nothing from there."""
    return (
        interface(attachment.vxlan, VXLAN, mtu=VXLAN_MTU)
        | {"elasticlab-bridge:bridge-port": {"learning": False, **port}}
        | _vxlan(attachment, here, peer, line_port)
    )


def vxlan_gateway(attachment: Attachment, here: End, peer: End, line_port: str | None) -> Tree:
    """VXLAN towards a peer, with the gateway of the LAN that is behind it: no bridge, for there is nobody else."""
    mtu, description = BRIDGED_MTU - attachment.narrower, f"Gateway of {attachment.site.id}"
    return (
        interface(attachment.vxlan, VXLAN, mtu=mtu, description=description)
        | gateway(attachment, here)
        | _vxlan(attachment, here, peer, line_port, {"mac-address": gateway_mac(attachment.site.vlan)})
    )


def _vxlan(attachment: Attachment, here: End, peer: End, line_port: str | None, more: Tree | None = None) -> Tree:
    """In the tunnel, or on the line."""
    ends = inside(here, peer)
    if attachment.site.on_line:
        ends = {"local-address": here.line, "remote-address": peer.line, "underlay": line_port}
    return {VXLAN: {"vni": attachment.number, **ends, **(more or {})}}


def gateway_mac(vlan: int | None) -> str:
    """MAC address of the gateway of bridged sites in a port's VLAN: the VLAN in decimal digits, readable in a capture.

    It is the same behind all ports and in all tenants, as that of an anycast gateway (RFC 9135, section 4.1): stations
    need not learn another one when their site is ordered again or gets another POP. A port's VLANs have one each, for
    its box knows by it behind which VXLAN a gateway is.
    """
    digits = f"{vlan or 0:04d}"
    return f"02:e1:00:00:{digits[:2]}:{digits[2:]}"


def gateway(attachment: Attachment, here: End) -> Tree:
    """What makes an interface the gateway of a site's LAN: addresses, tenant, and what it does for stations."""
    site = attachment.site
    tree = routed(site.gateway, site.gateway6) | membership(attachment, here)
    if site.slaac:
        # RFC 4861: stations make addresses in the prefix of the interface's own.
        tree["ietf-ip:ipv6"]["ietf-ipv6-unicast-routing:ipv6-router-advertisements"] = {"send-advertisements": True}
    if site.dhcp is not None:
        tree["elasticlab-lan:dhcp-server"] = {
            "start-address": str(site.dhcp.start),
            "end-address": str(site.dhcp.end),
        }
    if site.dns is not None:
        dns: Tree = {} if site.dns.domain is None else {"domain": site.dns.domain}
        if site.dns.forwarders:
            dns["forwarder"] = list(site.dns.forwarders)
        tree["elasticlab-lan:dns"] = dns
    return tree


def static_routes(tenant: str, routes: Iterable[tuple[str, Tree]]) -> Tree:
    """Static routes of a tenant (RFC 8349, appendix A)."""
    tree: Tree = {
        "type": "ietf-routing:static",
        "name": tenant,
        "elasticlab-tenant:tenant": tenant,
        "static-routes": {},
    }
    for prefix, hop in routes:
        family = "ietf-ipv6-unicast-routing:ipv6" if ":" in prefix else "ietf-ipv4-unicast-routing:ipv4"
        of_family = tree["static-routes"].setdefault(family, {"route": []})
        of_family["route"].append({"destination-prefix": prefix, "next-hop": hop})
    return tree


def pad(device: str, peers: Iterable[End], domain: str) -> Tree:
    """Who we are and whom we know (RFC 4301, section 4.4.3): identities are names in certificates, never addresses."""
    known = [{"name": peer.label, "identity": f"{peer.name}.{domain}"} for peer in peers]
    return {"pad-entry": [{"name": "self", "identity": f"{device}.{domain}", "certificate": "ike"}, *known]}


def connection(here: End, peer: End, address: str | None, own: Iterable[Tree] = ()) -> Tree:
    """A connection: GRE and VXLAN of all sites, and flows of their own; whoever knows the peer's address starts it."""
    remote: Tree = {"remote-pad-entry-name": peer.label}
    if address is not None:
        remote["address"] = address
    overlay_flow = {
        "name": SHARED,
        "interface": peer.interface("ipsec"),
        "local-prefix": [f"{here.loopback}/32"],
        "remote-prefix": [f"{peer.loopback}/32"],
    }
    waits: Tree = {"autostartup": "add", "dpd-interval": PATIENT} if address is None else {"autostartup": "start"}
    return {
        "name": peer.label,
        **waits,
        "local": {"local-pad-entry-name": "self"},
        "remote": remote,
        "spd": {"spd-entry": [overlay_flow, *own]},
    }


def branch_flow(flow: Flow) -> Tree:
    """A site's own flow at the site's end."""
    return _flow(flow, flow.branch_if_id, [str(n) for n in flow.here], [str(n) for n in flow.there])


def pop_flow(flow: Flow) -> Tree:
    """The same at the POP's end."""
    return _flow(flow, flow.pop_if_id, [str(n) for n in flow.there], [str(n) for n in flow.here])


def _flow(flow: Flow, if_id: int, here: list[str], there: list[str]) -> Tree:
    return {
        "name": flow.name(if_id),
        "interface": flow.interface(if_id),
        "local-prefix": here,
        "remote-prefix": there,
    }


def tenants(attachments: Iterable[Attachment]) -> list[Tree]:
    """The tenants of some sites."""
    return [{"name": name, "id": number} for name, number in sorted({(a.tenant, a.tenant_id) for a in attachments})]


def whole(
    tenant_list: list[Tree], interfaces: list[Tree], protocols: list[Tree], breakouts: list[Tree], ipsec: Tree | None
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
    if ipsec is not None:
        tree["elasticlab-ipsec:ipsec"] = ipsec
    return tree
