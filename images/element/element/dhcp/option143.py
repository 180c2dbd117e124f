"""The list of bootstrap servers in a lease: option 143, OPTION_V4_SZTP_REDIRECT (RFC 8572, section 8.3)."""

from __future__ import annotations

import re
from ipaddress import IPv4Address

LARGEST = 1024
"""Octets; what is longer does not come from a server of ours."""
_URI = re.compile(r"https://(\d{1,3}(?:\.\d{1,3}){3}):([1-9]\d{0,4})/?")


def parse(option: bytes) -> tuple[str, ...]:
    """The URIs, in the server's order, each once.

    Raises:
        ValueError: a length is wrong, or a URI is not ``https://ADDRESS:PORT``: a box has no names before it has an
            operator, so that a host name, which the RFC allows, would be of no use.
    """
    if len(option) > LARGEST:
        raise ValueError(f"option 143 has {len(option)} octets, more than {LARGEST}")
    found: dict[str, None] = {}
    rest = option
    while rest:
        length = int.from_bytes(rest[:2], "big")
        if len(rest) < 2 or length == 0 or len(rest) < 2 + length:
            raise ValueError("option 143: a URI is cut short or empty")
        found[_uri(rest[2 : 2 + length])] = None
        rest = rest[2 + length :]
    return tuple(found)


def _uri(octets: bytes) -> str:
    try:
        match = _URI.fullmatch(octets.decode("ascii"))
        if match and usable(IPv4Address(match[1])) and int(match[2]) < 65536:
            return f"https://{match[1]}:{match[2]}"
    except ValueError:  # no ASCII, no address
        pass
    raise ValueError(f"option 143: {octets!r} is not https://ADDRESS:PORT")


def usable(address: IPv4Address) -> bool:
    """An address that one host can have (RFC 6890): no network, loopback, link-local, multicast or reserved one."""
    special = address.is_loopback or address.is_link_local or address.is_multicast or address.is_reserved
    return not special and int(address) >> 24 != 0
