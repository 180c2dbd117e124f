"""The part of RFC 8299 that we carry out, as typed values; the rest is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from yangkit import Module
from yangkit.paths import quoted

from controller.service import access, cloud
from controller.service.admission import Admission
from controller.service.cloud import Cloud
from controller.service.cursor import INVALID, UNSUPPORTED, Cursor
from controller.service.site import ROOT, Network, Site

T = TypeVar("T")
INTERNET, VPC = "internet", "vpc"
DOMAIN = "elasticlab.example"

#: What the controller's datastore must implement of the service model; other features stay off (RFC 8299, section 6).
MODULES = (
    Module("ietf-l3vpn-svc", ("cloud-access", "ipv4", "ipv6")),
    Module("elasticlab-access"),
    Module("elasticlab-network"),
    Module("ietf-alarms"),
)


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


@dataclass(frozen=True)
class Intent:
    """Everything that is ordered; in the order of names, whatever the order in the tree."""

    vpns: Mapping[str, Vpn]
    sites: tuple[Site, ...]

    def tenant(self, site: Site) -> str:
        """Whose site it is."""
        return self.vpns[site.vpns[0]].tenant

    def may_reach_internet(self, site: Site) -> bool:
        """Does one of its VPNs offer it the Internet, at the POP?"""
        ways = (self.vpns[vpn].internet for vpn in site.vpns)
        return any(way is not None and way.admits(site.id) for way in ways)

    def reaches_internet(self, site: Site) -> bool:
        """Do packets of it leave for the Internet at the POP?"""
        local = site.local_internet
        return self.may_reach_internet(site) and (local is None or local.uses_pop)

    @cached_property
    def members(self) -> Mapping[str, tuple[Site, ...]]:
        """The sites of each VPN."""
        found: dict[str, list[Site]] = {id_: [] for id_ in self.vpns}
        for site in self.sites:
            for vpn in site.vpns:
                found.setdefault(vpn, []).append(site)
        return {id_: tuple(sites) for id_, sites in found.items()}

    def clouds(self, site: Site) -> tuple[Cloud, ...]:
        """The clouds that a site may use."""
        return tuple(one for vpn in site.vpns for one in self.vpns[vpn].clouds if one.admission.admits(site.id))

    def users(self, access_: Cloud) -> tuple[Site, ...]:
        """The sites that may use a cloud."""
        return tuple(site for site in self.members[access_.vpn] if access_.admission.admits(site.id))

    def peers(self, site: Site) -> tuple[Network, ...]:
        """The prefixes that a site reaches in its VPNs and their clouds; IPv4 first, in their order."""
        others = {other.id: other for vpn in site.vpns for other in self.members[vpn] if other.id != site.id}
        networks = {network for other in others.values() for network in other.networks}
        networks |= {network for one in self.clouds(site) for network in one.remote}
        return tuple(sorted(networks, key=lambda n: (n.version, n.network_address.packed, n.prefixlen)))


def changed_sites(before: Intent, after: Intent) -> frozenset[str]:
    """Sites of ``after`` that are new or other than before, be it by one of their VPNs or by whom they reach."""
    old = {site.id: site for site in before.sites}
    vpns = {id_ for id_ in after.vpns if before.vpns.get(id_) != after.vpns[id_]}
    return frozenset(
        site.id
        for site in after.sites
        if old.get(site.id) != site
        or not vpns.isdisjoint(site.vpns)
        or (site.knows_peers and before.peers(site) != after.peers(site))
    )


def parse(tree: Mapping[str, Any]) -> Intent:
    """The tree as values; ApplyError says what is not offered. What must hold between them: ``checks.check``."""
    return Parser()(tree)


class Parser:
    """Parses trees that share their parts (``yangkit.treejson.shared``): what is the same object is so once only."""

    def __init__(self) -> None:
        # By the object's id; it is kept, or another one could get that.
        self._vpns: dict[int, tuple[object, Vpn]] = {}
        self._sites: dict[int, tuple[object, Site]] = {}
        self._last: list[tuple[object, Intent]] = []

    def __call__(self, tree: Mapping[str, Any]) -> Intent:
        """As ``parse``."""
        services = tree.get(ROOT, {})
        for known, intent in self._last:
            if known is services:
                return intent
        intent = self._parse(services)
        self._last = [*self._last[-1:], (services, intent)]
        return intent

    def _parse(self, services: Mapping[str, Any]) -> Intent:
        root = Cursor(services, f"/{ROOT}")
        # Which clouds there are is the operator's to say (RFC 8299, section 6.2.2); where they are, their gateways'.
        identifiers = root.child("vpn-profiles").child("valid-provider-identifiers")
        identifiers.information("cloud-identifier")
        vpns = _each(root.child("vpn-services"), "vpn-service", "vpn-id", _vpn, self._vpns)
        sites = _each(root.child("sites"), "site", "site-id", access.site, self._sites)
        root.close()
        self._vpns, self._sites = vpns, sites
        return Intent(
            {vpn.id: vpn for _, vpn in sorted(vpns.values(), key=lambda one: one[1].id)},
            tuple(sorted((site for _, site in sites.values()), key=lambda site: site.id)),
        )


def _each(
    holder: Cursor, name: str, key: str, read: Callable[[Cursor], T], known: Mapping[int, tuple[object, T]]
) -> dict[int, tuple[object, T]]:
    """The entries of a list as values, and what each was made of."""
    found = {id(entry): known[id(entry)] for entry in holder.tree.get(name, ()) if id(entry) in known}
    for cursor in holder.entries(name, key, found):
        found[id(cursor.tree)] = cursor.tree, read(cursor)
    return found


def _vpn(entry: Cursor) -> Vpn:
    tenant = entry.value("customer-name")
    if not tenant:
        raise entry.refusal("a VPN belongs to somebody: give the tenant's name", "customer-name", INVALID)
    entry.only("vpn-service-topology", "any-to-any", "any-to-any", "all sites of a VPN reach each other")
    id_ = str(entry.value("vpn-id"))
    internet, clouds = None, []
    for one in entry.child("cloud-accesses").entries("cloud-access", "cloud-identifier"):
        if one.value("cloud-identifier") == INTERNET:
            internet = _internet(one)
        else:
            clouds.append(cloud.read(one, id_, _vpn_path(id_)))
    clouds.sort(key=lambda c: c.identifier)
    direct = bool(entry.value("elasticlab-access:direct-paths", False))
    return Vpn(id_, str(tenant), internet, tuple(clouds), direct)


def _internet(entry: Cursor) -> Internet:
    """RFC 8299, section 6.2.2."""
    translation = entry.child("address-translation").child("nat44")
    if not translation.value("enabled", False):
        raise translation.refusal(
            "private addresses need translation on their way to the Internet: set it to true", "enabled", UNSUPPORTED
        )
    return Internet.read(entry)
