"""Formats of values (JSON Schema 2020-12, section 7) that the offers' schemas use: a pattern cannot say it."""

import ipaddress
from collections.abc import Callable

import jsonschema  # type: ignore[import-untyped]

CHECKER = jsonschema.FormatChecker(formats=())
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _format(name: str) -> Callable[[Callable[[str], bool]], Callable[[str], bool]]:
    """A text that the function takes and does not say no to; the type is another rule's business."""

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
    usable = network.prefixlen >= 31 or interface.ip not in (network.network_address, network.broadcast_address)
    return usable and _is_host(interface.ip)


@_format("ipv6-interface")
def _ipv6_gateway(value: str) -> bool:
    """A host's address within its prefix: not the anycast address of all routers (RFC 4291, section 2.6.1)."""
    interface = ipaddress.IPv6Interface(value)
    usable = interface.network.prefixlen >= 127 or interface.ip != interface.network.network_address
    return usable and "%" not in value and _is_host(interface.ip)


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
