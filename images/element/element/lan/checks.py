"""What of a LAN's servers cannot be, although the schema allows it: told with its place and what to do."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

from element.lan.model import Advertisements, DhcpServer
from element.model import Config, Interface, Kind
from element.unsupported import InvalidError

_ADVERTISEMENTS = "ietf-ip:ipv6/ietf-ipv6-unicast-routing:ipv6-router-advertisements"
LONGEST, LIFETIME = 1800, 9000
"""Seconds between advertisements, and for which one counts: at most (RFC 4861, section 6.2.1)."""
MINIMUM_MTU, USUAL_MTU = 1280, 1500
"""What every link carries (RFC 8200, section 5), and what one does of which nothing is said."""


def check(config: Config) -> None:
    """Refuse what makes no sense.

    Raises:
        InvalidError: with the place.
    """
    for interface in config.interfaces:
        where = f"/ietf-interfaces:interfaces/interface[name='{interface.name}']"
        serves = interface.dhcp_server or interface.dns or interface.advertisements
        if serves and interface.kind not in {Kind.ETHERNET, Kind.BRIDGE, Kind.VXLAN}:
            raise InvalidError(f"{interface.name}: stations are on an Ethernet interface, a bridge or VXLAN", where)
        if interface.dhcp_server:
            _dhcp(interface, interface.dhcp_server, f"{where}/elasticlab-lan:dhcp-server")
        if interface.advertisements:
            _router(interface, interface.advertisements, f"{where}/{_ADVERTISEMENTS}")
        if interface.dns:
            own = {a.partition("/")[0] for a in interface.addresses}
            for forwarder in own.intersection(interface.dns.forwarders):
                path = f"{where}/elasticlab-lan:dns/forwarder[.='{forwarder}']"
                raise InvalidError(f"forwarder {forwarder}: it would ask itself; give another server", path)


def network(interface: Interface, server: DhcpServer) -> IPv4Interface | None:
    """The interface's own address in the network of which addresses are given."""
    found = (IPv4Interface(a) for a in interface.addresses if ":" not in a)
    return next((own for own in found if IPv4Address(server.start) in own.network), None)


def _dhcp(interface: Interface, server: DhcpServer, path: str) -> None:
    start, end = IPv4Address(server.start), IPv4Address(server.end)
    own = network(interface, server)
    if own is None:
        raise InvalidError(f"start-address {start}: give one of a network of {interface.name}", f"{path}/start-address")
    if end not in own.network:
        raise InvalidError(f"end-address {end}: give one of {own.network}, as start-address", f"{path}/end-address")
    if end < start:
        raise InvalidError(f"the range {start} to {end} goes down: exchange its ends", f"{path}/end-address")
    ends = {own.network.network_address, own.network.broadcast_address}
    for address in (own.ip, *sorted(ends)):
        if start <= address <= end:
            what = "the gateway's own" if address == own.ip else f"no station's in {own.network}"
            raise InvalidError(f"the range {start} to {end} has {address}, {what}: leave it out", f"{path}/end-address")
    for reservation in server.reservations:
        given = IPv4Address(reservation.address)
        if given not in own.network or given in ends or given == own.ip:
            place = f"{path}/reservation[mac-address='{reservation.mac}']/address"
            raise InvalidError(f"{given}: reserve an address of a station in {own.network}", place)


def _router(interface: Interface, ra: Advertisements, path: str) -> None:
    """What RFC 4861 rules out, radvd does not send; it advertises nothing then, and says so to nobody."""
    if ra.longest > LONGEST:
        why = f"RFC 4861 knows no more than {LONGEST} seconds between advertisements: give less"
        raise InvalidError(f"max-rtr-adv-interval {ra.longest}: {why}", f"{path}/max-rtr-adv-interval")
    if ra.lifetime and not ra.longest <= ra.lifetime <= LIFETIME:
        why = f"a router would be forgotten between two advertisements: give 0, or {ra.longest} to {LIFETIME}"
        if ra.lifetime > LIFETIME:
            why = f"RFC 4861 knows no more than {LIFETIME} seconds: give 0, or {ra.longest} to {LIFETIME}"
        raise InvalidError(f"default-lifetime {ra.lifetime}: {why}", f"{path}/default-lifetime")
    carried = interface.mtu or USUAL_MTU
    if ra.mtu and not MINIMUM_MTU <= ra.mtu <= carried:
        why = f"give 0, or {MINIMUM_MTU} to what {interface.name} carries, {carried}"
        raise InvalidError(f"link-mtu {ra.mtu}: {why}", f"{path}/link-mtu")
