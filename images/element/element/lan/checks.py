"""What of a LAN's servers cannot be, although the schema allows it: told with its place and what to do."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

from element.lan.model import DhcpServer
from element.model import Config, Interface, Kind
from element.unsupported import InvalidError


def check(config: Config) -> None:
    """Refuse what makes no sense.

    Raises:
        InvalidError: with the place.
    """
    for interface in config.interfaces:
        where = f"/ietf-interfaces:interfaces/interface[name='{interface.name}']"
        if (interface.dhcp_server or interface.dns) and interface.kind not in {Kind.ETHERNET, Kind.BRIDGE}:
            raise InvalidError(f"{interface.name}: stations are on an Ethernet interface or a bridge", where)
        if interface.dhcp_server:
            _dhcp(interface, interface.dhcp_server, f"{where}/elasticlab-lan:dhcp-server")
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
