"""The gateway of a LAN, and what it gives to stations: RFC 8299, section 6.10.1."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv6Interface, NetmaskValueError

from yangkit import ApplyError

from controller.service.cursor import INVALID, UNSUPPORTED, Cursor
from controller.service.site import Dhcp, Network, Site

_UNICAST = "give unicast addresses"


def gateway4(ipv4: Cursor) -> tuple[IPv4Interface, Dhcp | None]:
    """The provider's address on the link is the LAN's gateway; with DHCP, the addresses that it gives."""
    kind = ipv4.identity("address-allocation-type", "static-address")
    if kind == "provider-dhcp":
        addresses = ipv4.child("provider-dhcp")
        gateway = _gateway4(addresses)
        return gateway, _range(addresses, gateway)
    if kind != "static-address":
        message = f"address-allocation-type {kind} is not offered: give static-address or provider-dhcp"
        raise ipv4.refusal(message, "address-allocation-type", UNSUPPORTED)
    return _gateway4(ipv4.child("addresses")), None


def _gateway4(addresses: Cursor) -> IPv4Interface:
    try:
        return IPv4Interface(_both(addresses))
    except (AddressValueError, NetmaskValueError):
        raise addresses.refusal("this and prefix-length are no IPv4 address", "provider-address") from None


def _both(addresses: Cursor) -> str:
    address, length = addresses.value("provider-address"), addresses.value("prefix-length")
    if address is None or length is None:
        missing = "provider-address" if address is None else "prefix-length"
        raise addresses.refusal("the site's gateway needs provider-address and prefix-length", missing)
    return f"{address}/{length}"


def _range(addresses: Cursor, gateway: IPv4Interface) -> Dhcp:
    """One range: as it is given, or so many addresses at the end of the LAN."""
    groups = list(addresses.child("customer-addresses").entries("address-group", "group-id"))
    if len(groups) > 1:
        message = "a LAN's gateway gives addresses of one range: give one address-group"
        raise addresses.refusal(message, "customer-addresses", UNSUPPORTED)
    number = int(addresses.value("number-of-dynamic-address", 1))
    if not groups:
        return _numbered(addresses, gateway, number)
    first, last = groups[0].value("start-address"), groups[0].value("end-address")
    if first is None and last is None:
        raise groups[0].refusal("give start-address and end-address")
    # RFC 8299: one of them alone is a single address.
    return Dhcp(IPv4Address(first or last), IPv4Address(last or first))


def _numbered(addresses: Cursor, gateway: IPv4Interface, number: int) -> Dhcp:
    """So many addresses, as high in the LAN as they have room beside the gateway."""
    network = gateway.network
    room = network.num_addresses - 3
    for last in (network.broadcast_address - 1, gateway.ip - 1) if 0 < number <= room else ():
        first = last - (number - 1)
        if network.network_address < first and not first <= gateway.ip <= last:
            return Dhcp(first, last)
    message = f"{network} has no room for {number} addresses beside its gateway: give 1 or more, or a shorter prefix"
    raise addresses.refusal(message, "number-of-dynamic-address")


def gateway6(ipv6: Cursor) -> tuple[IPv6Interface | None, bool]:
    """The gateway, if there is IPv6, and whether it advertises its prefix."""
    if ipv6.value("address-allocation-type") is None:
        return None, False
    kind = ipv6.identity("address-allocation-type", "")
    if kind not in {"static-address", "slaac"}:
        message = f"address-allocation-type {kind} is not offered: give static-address or slaac"
        raise ipv6.refusal(message, "address-allocation-type", UNSUPPORTED)
    slaac = kind == "slaac"
    addresses = ipv6.child("elasticlab-access:slaac" if slaac else "addresses")
    if slaac:
        addresses.information("prefix-length")
        address = addresses.value("provider-address")
        if address is None:
            raise addresses.refusal("the site's gateway needs provider-address", "provider-address")
        return IPv6Interface(f"{address}/64"), True
    try:
        return IPv6Interface(_both(addresses)), False
    except (AddressValueError, NetmaskValueError):
        raise addresses.refusal("this and prefix-length are no IPv6 address", "provider-address") from None


def holder4(site: Site) -> str:
    """The container that the IPv4 gateway stands in."""
    return "provider-dhcp" if site.dhcp else "addresses"


def holder6(site: Site) -> str:
    """The container that the IPv6 gateway stands in."""
    return "elasticlab-access:slaac" if site.slaac else "addresses"


def check(site: Site) -> None:
    """Raise ApplyError for addresses of a site that no LAN can have."""
    _check4(site)
    _check6(site)
    _check_dhcp(site)


def _check4(site: Site) -> None:
    where = f"{site.access_path}/ip-connection/ipv4/{holder4(site)}"
    gateway, network = site.gateway.ip, site.gateway.network
    if network.prefixlen > 30:
        raise ApplyError(f"{network} has no room for stations: give /30 or shorter", f"{where}/prefix-length", INVALID)
    if network.prefixlen < 8:
        raise ApplyError(f"{network} is no LAN: give /8 or longer", f"{where}/prefix-length", INVALID)
    if gateway in (network.network_address, network.broadcast_address):
        message = f"{gateway} is no host of {network}: give {next(network.hosts())}, for example"
        raise ApplyError(message, f"{where}/provider-address", INVALID)
    if _unusable(network) or gateway.packed[0] == 0:
        raise ApplyError(f"{network} cannot be used in a LAN: {_UNICAST}", f"{where}/provider-address", INVALID)


def _check6(site: Site) -> None:
    if site.gateway6 is None:
        return
    where = f"{site.access_path}/ip-connection/ipv6/{holder6(site)}"
    gateway, network = site.gateway6.ip, site.gateway6.network
    if not 32 <= network.prefixlen <= 126:
        raise ApplyError(f"{network} is no LAN: give /32 to /126", f"{where}/prefix-length", INVALID)
    if gateway == network.network_address:
        # RFC 4291, section 2.6.1: that one is all routers'.
        message = f"{gateway} is no host of {network}: give {network.network_address + 1}, for example"
        raise ApplyError(message, f"{where}/provider-address", INVALID)
    if _unusable(network) or network.is_site_local or gateway.ipv4_mapped is not None:
        raise ApplyError(f"{network} cannot be used in a LAN: {_UNICAST}", f"{where}/provider-address", INVALID)


def _unusable(network: Network) -> bool:
    return network.is_multicast or network.is_loopback or network.is_link_local or network.is_reserved


def _check_dhcp(site: Site) -> None:
    if site.dhcp is None:
        return
    where = f"{site.access_path}/ip-connection/ipv4/provider-dhcp/customer-addresses"
    first, last, network = site.dhcp.start, site.dhcp.end, site.gateway.network
    if first > last:
        raise ApplyError(f"the range goes down from {first} to {last}: exchange them", where, INVALID)
    if not network.network_address < first <= last < network.broadcast_address:
        raise ApplyError(f"{first} to {last} are not all hosts of {network}: give others", where, INVALID)
    if first <= site.gateway.ip <= last:
        raise ApplyError(f"{site.gateway.ip} is the gateway's: leave it out of the range", where, INVALID)
