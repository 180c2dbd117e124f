"""The part of RFC 8299 that we carry out, as typed values; the rest is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import AddressValueError, IPv4Interface, NetmaskValueError
from typing import Any

from yangkit import Module
from yangkit.paths import quoted

from controller.service import cloud
from controller.service.admission import Admission
from controller.service.cloud import Cloud, Prefix
from controller.service.cursor import INVALID, UNSUPPORTED, Cursor

ROOT = "ietf-l3vpn-svc:l3vpn-svc"
INTERNET, VPC = "internet", "vpc"
DOMAIN = "elasticlab.example"

#: What the controller's datastore must implement of the service model; other features stay off (RFC 8299, section 6).
MODULES = (
    Module("ietf-l3vpn-svc", ("cloud-access", "ipv4")),
    Module("elasticlab-access"),
    Module("elasticlab-network"),
    Module("ietf-alarms"),
)


class Mode(StrEnum):
    """How a site's packets come to the POP (elasticlab-access, mode)."""

    ROUTED = "routed"
    BRIDGED = "bridged"

    @property
    def mtu(self) -> int:
        """Largest IP packet that the site may send: GRE and VXLAN inside of IPsec on a path of 1500 octets."""
        return 1414 if self is Mode.ROUTED else 1388


@dataclass(frozen=True, slots=True)
class Internet(Admission):
    """A VPN's way to the Internet."""


@dataclass(frozen=True, slots=True)
class Vpn:
    """A vpn-service: an ordered service of a tenant."""

    id: str
    tenant: str
    internet: Internet | None = None
    clouds: tuple[Cloud, ...] = ()
    direct: bool = False
    """Shall its routed sites exchange packets directly, where that is possible?"""

    @property
    def path(self) -> str:
        """Where it is in the tree."""
        return _vpn_path(self.id)


def _vpn_path(id_: str) -> str:
    return f"/{ROOT}/vpn-services/vpn-service[vpn-id={quoted(id_)}]"


@dataclass(frozen=True, slots=True)
class Site:
    """A site and its access."""

    id: str
    access: str
    device: str
    port: str
    mode: Mode
    vlan: int | None
    gateway: IPv4Interface
    vpns: tuple[str, ...]

    @property
    def networks(self) -> tuple[Prefix, ...]:
        """The prefixes of its LAN."""
        return (self.gateway.network,)

    @property
    def path(self) -> str:
        """Where it is in the tree."""
        return f"/{ROOT}/sites/site[site-id={quoted(self.id)}]"

    @property
    def access_path(self) -> str:
        """Where its site-network-access is."""
        key = quoted(self.access)
        return f"{self.path}/site-network-accesses/site-network-access[site-network-access-id={key}]"

    @property
    def box_path(self) -> str:
        """Where our augmentation is."""
        return f"{self.access_path}/elasticlab-access:access"


@dataclass(frozen=True)
class Intent:
    """Everything that is ordered; in the order of names, whatever the order in the tree."""

    vpns: Mapping[str, Vpn]
    sites: tuple[Site, ...]

    def tenant(self, site: Site) -> str:
        """Whose site it is."""
        return self.vpns[site.vpns[0]].tenant

    def reaches_internet(self, site: Site) -> bool:
        """Does one of its VPNs take it to the Internet?"""
        ways = (self.vpns[vpn].internet for vpn in site.vpns)
        return any(way is not None and way.admits(site.id) for way in ways)


def changed_sites(before: Intent, after: Intent) -> frozenset[str]:
    """Sites of ``after`` that are new or other than before, be it by one of their VPNs."""
    old = {site.id: site for site in before.sites}
    vpns = {id_ for id_ in after.vpns if before.vpns.get(id_) != after.vpns[id_]}
    return frozenset(site.id for site in after.sites if old.get(site.id) != site or not vpns.isdisjoint(site.vpns))


def parse(tree: Mapping[str, Any]) -> Intent:
    """The tree as values; ApplyError says what is not offered. What must hold between them: ``checks.check``."""
    root = Cursor(tree.get(ROOT, {}), f"/{ROOT}")
    # Which clouds there are is the operator's to say (RFC 8299, section 6.2.2); where they are, their gateways'.
    identifiers = root.child("vpn-profiles").child("valid-provider-identifiers")
    identifiers.information("cloud-identifier")
    vpns = (_vpn(entry) for entry in root.child("vpn-services").entries("vpn-service", "vpn-id"))
    sites = (_site(entry) for entry in root.child("sites").entries("site", "site-id"))
    intent = Intent({vpn.id: vpn for vpn in sorted(vpns, key=lambda v: v.id)}, tuple(sorted(sites, key=lambda s: s.id)))
    root.close()
    return intent


def _vpn(entry: Cursor) -> Vpn:
    tenant = entry.value("customer-name")
    if not tenant:
        raise entry.refusal("a VPN belongs to somebody: give the tenant's name", "customer-name", INVALID)
    entry.only("vpn-service-topology", "any-to-any", "any-to-any", "all sites of a VPN reach each other")
    id_ = str(entry.value("vpn-id"))
    internet, clouds = None, []
    for access in entry.child("cloud-accesses").entries("cloud-access", "cloud-identifier"):
        if access.value("cloud-identifier") == INTERNET:
            internet = _internet(access)
        else:
            clouds.append(cloud.read(access, id_, _vpn_path(id_)))
    clouds.sort(key=lambda c: c.identifier)
    direct = bool(entry.value("elasticlab-access:direct-paths", False))
    return Vpn(id_, str(tenant), internet, tuple(clouds), direct)


def _internet(access: Cursor) -> Internet:
    """RFC 8299, section 6.2.2."""
    translation = access.child("address-translation").child("nat44")
    if not translation.value("enabled", False):
        raise translation.refusal(
            "private addresses need translation on their way to the Internet: set it to true", "enabled", UNSUPPORTED
        )
    return Internet.read(access)


def _site(entry: Cursor) -> Site:
    # Locations are for people; what is said of access and box decides.
    entry.information("locations")
    management = entry.child("management")
    management.only("type", "provider-managed", "provider-managed", "the operator manages every box")
    policies = {policy.value("vpn-policy-id"): _policy(policy) for policy in _policies(entry)}
    _routing(entry)
    accesses = list(entry.child("site-network-accesses").entries("site-network-access", "site-network-access-id"))
    if len(accesses) != 1:
        problem = "a site needs a site-network-access" if not accesses else "a site has one access here"
        tag = UNSUPPORTED if accesses else INVALID
        raise entry.refusal(f"{problem}: give exactly one", "site-network-accesses", tag)
    access = accesses[0]
    box = _box(access)
    _devices(entry, access, box["device"])
    vpns = _attachment(access.child("vpn-attachment"), policies)
    _flavor(entry, vpns)
    mode: Mode = box["mode"]
    _service(access.child("service"), mode)
    _routing(access)
    # One access a site: it has nothing to be preferred to (section 6.9), and every LAN may hold many stations.
    access.child("availability").information("access-priority")
    access.information("site-network-access-type")
    return Site(
        id=str(entry.value("site-id")),
        access=str(access.value("site-network-access-id")),
        gateway=_gateway(access),
        vpns=vpns,
        **box,
    )


def _box(access: Cursor) -> dict[str, Any]:
    box = access.child("elasticlab-access:access")
    device, mode = box.value("device"), box.value("mode")
    if not device:
        raise box.refusal("name the device of the site", "device")
    if mode not in set(Mode):
        raise box.refusal("give routed or bridged", "mode")
    vlan = box.value("vlan")
    if vlan is not None and mode == Mode.ROUTED:
        raise box.refusal("a routed access has no VLAN: give mode bridged, or leave vlan out", "vlan", UNSUPPORTED)
    return {"device": device, "port": box.value("port", "lan"), "mode": Mode(mode), "vlan": vlan}


def _devices(entry: Cursor, access: Cursor, name: str) -> None:
    """RFC 8299, section 6.3.2: the customer's list of devices; here it repeats the one that serves the site."""
    for device in entry.child("devices").entries("device", "device-id"):
        device.information("location")
        if device.value("device-id") != name:
            raise device.refusal(f"the site is served by {name} alone: list that device only", None, UNSUPPORTED)
    if access.value("device-reference", name) != name:
        message = f"elasticlab-access names device {name}: give the same here"
        raise access.refusal(message, "device-reference")


def _policies(entry: Cursor) -> list[Cursor]:
    return list(entry.child("vpn-policies").entries("vpn-policy", "vpn-policy-id"))


def _policy(policy: Cursor) -> tuple[str, ...]:
    """The VPNs of a policy (RFC 8299, section 6.5.2.2); without filters all prefixes are meant."""
    vpns = []
    for entry in policy.entries("entries", "id"):
        for vpn in entry.entries("vpn", "vpn-id"):
            vpn.only("site-role", "any-to-any-role", "any-to-any-role", "all sites of a VPN are equal")
            vpns.append(str(vpn.value("vpn-id")))
    return tuple(dict.fromkeys(sorted(vpns)))


def _attachment(attachment: Cursor, policies: Mapping[Any, tuple[str, ...]]) -> tuple[str, ...]:
    policy, vpn = attachment.value("vpn-policy-id"), attachment.value("vpn-id")
    if vpn is not None:
        attachment.only("site-role", "any-to-any-role", "any-to-any-role", "all sites of a VPN are equal")
        return (str(vpn),)
    if policy is None:
        raise attachment.refusal("attach the site to a VPN: give vpn-id, or vpn-policy-id")
    if policy not in policies:
        raise attachment.refusal(f"the site has no vpn-policy {policy!r}", "vpn-policy-id")
    if not policies[policy]:
        raise attachment.refusal(f"vpn-policy {policy!r} names no VPN: add one", "vpn-policy-id")
    return policies[policy]


def _flavor(entry: Cursor, vpns: tuple[str, ...]) -> None:
    """RFC 8299, section 6.5.2: the default is single; only who says it and means another thing is wrong."""
    flavor = entry.identity("site-vpn-flavor", "site-vpn-flavor-multi")
    if flavor not in {"site-vpn-flavor-single", "site-vpn-flavor-multi"}:
        remedy = "give site-vpn-flavor-single or site-vpn-flavor-multi"
        raise entry.refusal(f"{flavor} is not offered: {remedy}", "site-vpn-flavor", UNSUPPORTED)
    if flavor == "site-vpn-flavor-single" and len(vpns) > 1:
        raise entry.refusal(f"the site is in {len(vpns)} VPNs: give site-vpn-flavor-multi", "site-vpn-flavor")


def _service(service: Cursor, mode: Mode) -> None:
    """RFC 8299, section 6.12: what is promised must be kept."""
    for name in ("svc-input-bandwidth", "svc-output-bandwidth"):
        if int(service.value(name, 0)):
            raise service.refusal("rates are not reserved yet: give 0 (best effort)", name, UNSUPPORTED)
    mtu = int(service.value("svc-mtu", mode.mtu))
    if mtu > mode.mtu:
        raise service.refusal(
            f"{mode} access carries IP packets of {mode.mtu} octets at most: give that or less", "svc-mtu", UNSUPPORTED
        )


def _routing(cursor: Cursor) -> None:
    """RFC 8299, section 6.11: LANs are connected directly."""
    for protocol in cursor.child("routing-protocols").entries("routing-protocol", "type"):
        protocol.only("type", "direct", "direct", "the LAN is connected directly")


def _gateway(access: Cursor) -> IPv4Interface:
    """RFC 8299, section 6.10.1: the provider's address on the link is the LAN's gateway."""
    connection = access.child("ip-connection")
    ipv4 = connection.child("ipv4")
    ipv4.only("address-allocation-type", "static-address", "static-address", "give static-address and addresses")
    addresses = ipv4.child("addresses")
    address, length = addresses.value("provider-address"), addresses.value("prefix-length")
    if address is None or length is None:
        missing = "provider-address" if address is None else "prefix-length"
        raise addresses.refusal("the site's gateway needs provider-address and prefix-length", missing)
    try:
        return IPv4Interface(f"{address}/{length}")
    except (AddressValueError, NetmaskValueError):
        raise addresses.refusal(f"{address}/{length} is no IPv4 address", "provider-address") from None
