"""Formats of values (JSON Schema 2020-12, section 7) that the offers' schemas use: a pattern cannot say it.

What a LAN's gateway may be is what the controller builds: an order is refused before anything of it is written.
"""

import ipaddress
from collections.abc import Callable, Container

import jsonschema  # type: ignore[import-untyped]

from gro.ordered import Network

CHECKER = jsonschema.FormatChecker(formats=())
LENGTHS4, LENGTHS6 = range(8, 31), range(32, 127)
"""Of prefixes that are LANs."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _format(name: str) -> Callable[[Callable[[str], bool]], Callable[[str], bool]]:
    """A text that the function takes and does not say no to; the type is another rule's business. A ValueError's text
    is told."""

    def register(function: Callable[[str], bool]) -> Callable[[str], bool]:
        def fits(value: object) -> bool:
            return not isinstance(value, str) or function(value)

        CHECKER.checks(name, raises=ValueError)(fits)
        return function

    return register


def _is_host(address: Address) -> bool:
    odd = address.is_multicast or address.is_unspecified or address.is_loopback
    mapped = address.version == 6 and address.ipv4_mapped is not None
    return not (odd or mapped or (address.version == 6 and address.is_link_local))


@_format("ipv4-interface")
def _ipv4_gateway(value: str) -> bool:
    """A host's address within its prefix: neither the network's nor the broadcast address."""
    interface = ipaddress.IPv4Interface(value)
    network = interface.network
    return _is_gateway(interface.ip, network, LENGTHS4, (network.network_address, network.broadcast_address))


@_format("ipv6-interface")
def _ipv6_gateway(value: str) -> bool:
    """A host's address within its prefix: not the anycast address of all routers (RFC 4291, section 2.6.1)."""
    interface = ipaddress.IPv6Interface(value)
    network = interface.network
    if "%" in value or network.is_site_local or interface.ip.ipv4_mapped is not None:
        raise ValueError(_no_lan(network))
    return _is_gateway(interface.ip, network, LENGTHS6, (network.network_address,))


def _is_gateway(address: Address, network: Network, lengths: range, others: Container[Address]) -> bool:
    if network.prefixlen not in lengths:
        raise ValueError(f"{network} is no LAN: give a prefix of /{lengths[0]} to /{lengths[-1]}")
    if not is_unicast(network):
        raise ValueError(_no_lan(network))
    if address in others:
        raise ValueError(f"{address} is no host of {network}: give {network.network_address + 1}, for example")
    return True


def _no_lan(network: Network) -> str:
    return f"{network} cannot be used in a LAN: give unicast addresses"


def is_unicast(network: Network) -> bool:
    """May packets go there from another link?"""
    odd = network.is_multicast or network.is_loopback or network.is_link_local or network.is_reserved
    return not odd and network.network_address.packed[0] != 0


@_format("ipv4")
def _ipv4(value: str) -> bool:
    return _is_host(ipaddress.IPv4Address(value))


@_format("ip-address")
def _address(value: str) -> bool:
    return "%" not in value and _is_host(ipaddress.ip_address(value))


@_format("ip-prefix")
def _prefix(value: str) -> bool:
    """A network: no bit is set beyond its length."""
    return "%" not in value and not ipaddress.ip_network(value).is_multicast


@_format("ports")
def _ports(value: str) -> bool:
    first, _, last = value.partition("-")
    return 1 <= int(first) <= int(last or first) <= 65535
