"""Clouds behind a gateway of their own (RFC 8299, section 6.2.2, and ``gateway`` of elasticlab-access): the POP
initiates an IPsec tunnel that carries the interesting flow and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from stackkit.prefixes import order
from yangkit.paths import quoted

from controller.service.admission import Admission
from controller.service.cursor import Cursor

Address = IPv4Address | IPv6Address
Prefix = IPv4Network | IPv6Network
#: What no identifier of the service model can hold (XML 1.0, section 2.2): keys of clouds never clash with sites' ids.
SEPARATOR = "\x1f"
_FQDN = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]([a-z0-9-]*[a-z0-9])?")
_NAMED_AFTER_CLOUD = re.compile(r"cloud:[0-9]+")


class IkeMode(StrEnum):
    """How the gateway negotiates."""

    IKEV2 = "ikev2"
    MAIN = "ikev1-main"
    AGGRESSIVE = "ikev1-aggressive"


@dataclass(frozen=True, slots=True)
class Cloud:
    """A cloud access of a VPN."""

    vpn: str
    identifier: str
    vpn_path: str
    admission: Admission
    address: Address
    identity: str
    ike_mode: IkeMode
    shared_key: str | None = field(repr=False)
    insecure: bool
    local: tuple[Prefix, ...]
    """Our ends of the interesting flow; none: the prefixes of the sites that may use it."""
    remote: tuple[Prefix, ...]

    @property
    def key(self) -> str:
        """What names it among sites and clouds."""
        return f"{self.vpn}{SEPARATOR}{self.identifier}"

    @property
    def path(self) -> str:
        """Where it is in the tree."""
        return f"{self.vpn_path}/cloud-accesses/cloud-access[cloud-identifier={quoted(self.identifier)}]"

    @property
    def gateway_path(self) -> str:
        """Where its gateway is."""
        return f"{self.path}/elasticlab-access:gateway"

    def segment(self, number: int) -> str:
        """The tenant's segment that it is in: the VPN's, or one of its own when not all sites may use it."""
        return self.vpn if self.admission.everybody else f"cloud:{number}"

    def flow(self, prefixes: Iterable[Prefix]) -> tuple[tuple[Prefix, ...], tuple[Prefix, ...]]:
        """Both ends of the interesting flow for sites with these prefixes; empty when they have no family in common."""
        local = self.local or tuple(sorted(set(prefixes), key=order))
        families = {p.version for p in local} & {p.version for p in self.remote}
        return (
            tuple(p for p in local if p.version in families),
            tuple(p for p in self.remote if p.version in families),
        )


def reserved(vpn: str) -> bool:
    """Has a VPN the name that a cloud's segment may have?"""
    return _NAMED_AFTER_CLOUD.fullmatch(vpn) is not None


def read(entry: Cursor, vpn: str, vpn_path: str) -> Cloud:
    """A cloud-access that is not the Internet; ApplyError for what is missing or dangerous."""
    identifier = str(entry.value("cloud-identifier"))
    gateway = entry.child("elasticlab-access:gateway")
    address, identity = gateway.value("address"), gateway.value("identity")
    if not address:
        raise gateway.refusal(f"cloud {identifier!r} is reached through a gateway: give its address", "address")
    if not identity:
        raise gateway.refusal("give the gateway's IKE identity: nobody else is believed to be it", "identity")
    key = gateway.value("shared-key")
    _identity(gateway, identity, key is not None)
    mode = IkeMode(gateway.value("ike-mode", "ikev2"))
    insecure = bool(gateway.value("allow-insecure-aggressive", False))
    if mode is IkeMode.AGGRESSIVE and key is not None and not insecure:
        raise gateway.refusal(
            "aggressive mode gives a hash of the shared key to anybody who asks, who can then guess the key at leisure:"
            " give ikev2 or ikev1-main, leave shared-key out (certificates), or set allow-insecure-aggressive",
            "ike-mode",
        )
    local, remote = (tuple(_prefixes(gateway, name)) for name in ("local-prefix", "remote-prefix"))
    if not remote:
        raise gateway.refusal("give the cloud's prefixes: only packets to and from them are carried", "remote-prefix")
    cloud = Cloud(
        vpn=vpn,
        identifier=identifier,
        vpn_path=vpn_path,
        admission=Admission.read(entry),
        address=ip_address(address),
        identity=identity,
        ike_mode=mode,
        shared_key=key,
        insecure=insecure,
        local=local,
        remote=remote,
    )
    _flow(gateway, cloud)
    return cloud


def _identity(gateway: Cursor, identity: str, has_key: bool) -> None:
    if _FQDN.fullmatch(identity):
        return
    try:
        ip_address(identity)
    except ValueError:
        raise gateway.refusal(
            f"{identity!r} is no IKE identity: give a domain name in lower case, or with a shared key an address",
            "identity",
        ) from None
    if not has_key:
        raise gateway.refusal(
            f"certificates carry names, not {identity}: give the name in the gateway's certificate", "identity"
        )


def _prefixes(gateway: Cursor, name: str) -> Iterator[Prefix]:
    found = {ip_network(text, strict=False) for text in gateway.value(name, ())}
    for prefix in sorted(found, key=order):
        if prefix.is_multicast or prefix.is_loopback or prefix.is_link_local or prefix.network_address.packed[0] == 0:
            raise gateway.refusal(f"{prefix} cannot be carried: give prefixes of unicast addresses", name)
        yield prefix


def _flow(gateway: Cursor, cloud: Cloud) -> None:
    """What can be said of the interesting flow without knowing the sites."""
    for mine in cloud.local:
        for theirs in cloud.remote:
            if mine.version == theirs.version and mine.overlaps(theirs):
                raise gateway.refusal(f"{theirs} is on both sides of the tunnel ({mine}): give one", "remote-prefix")
    if not cloud.local:
        return
    for name, prefixes, others in (
        ("local-prefix", cloud.local, cloud.remote),
        ("remote-prefix", cloud.remote, cloud.local),
    ):
        lonely = [p for p in prefixes if p.version not in {other.version for other in others}]
        if lonely:
            raise gateway.refusal(f"{lonely[0]} has no IPv{lonely[0].version} prefix at the other end: add one", name)
