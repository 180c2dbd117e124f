"""What must hold between the parts of an intent, and between it and the devices there are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

from yangkit import ApplyError

from controller import drivers
from controller.service import peerings
from controller.service.cloud import reserved
from controller.service.cursor import INVALID, UNSUPPORTED
from controller.service.facts import DeviceFacts
from controller.service.intent import DOMAIN, Intent, Site, Vpn

_TENANT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# Names that interfaces of our boxes have or may get: a tenant's VRF carries the tenant's name.
_RESERVED = re.compile(
    r"all|default|lo|none|self|overlay|underlay|(eth|wan|lan)[0-9-]*|(ipsec|gre|vxlan|br|tunl|gretap|erspan)[0-9-].*"
)
_DEVICE = _TENANT
_MAX_SEGMENT = 64


def check(intent: Intent) -> None:
    """Raise ApplyError for the first thing, in the order of names, that cannot be."""
    for vpn in intent.vpns.values():
        _vpn(vpn)
    users: dict[str, Site] = {}
    for site in intent.sites:
        _vpns_of(site, intent)
        _prefix(site)
        if not _DEVICE.fullmatch(site.device):
            raise ApplyError(f"{site.device!r} is no name of a device", f"{site.box_path}/device", INVALID)
        other = users.setdefault(site.device, site)
        if other is not site:
            message = f"device {site.device} serves site {other.id!r} already: give another device"
            raise ApplyError(message, f"{site.box_path}/device", INVALID)
    _overlaps(intent)
    _members(intent)
    peerings.check(intent)


def check_devices(intent: Intent, inventory: Mapping[str, DeviceFacts], domain: str = DOMAIN) -> None:
    """Raise ApplyError where a device that is known cannot do what is asked; unknown ones are waited for."""
    ours = frozenset(name for name, facts in inventory.items() if drivers.find(facts.model, facts.personality))
    peerings.check_identities(intent, ours, domain)
    for site in intent.sites:
        facts = inventory.get(site.device)
        if facts is None:
            continue
        where = f"{site.box_path}/device"
        driver = drivers.find(facts.model, facts.personality)
        if driver is None:
            kind = f"model {facts.model!r}, personality {facts.personality!r}"
            raise ApplyError(f"device {site.device}: no driver for {kind}", where, UNSUPPORTED)
        if not driver.serves_sites:
            message = f"device {site.device} is a {facts.personality}, which serves no site: give a uCPE"
            raise ApplyError(message, where, INVALID)
        if not driver.has_port(site.port):
            message = f"{facts.model} has no port {site.port!r} for sites: give {driver.ports_text}"
            raise ApplyError(message, f"{site.box_path}/port", INVALID)


def _vpn(vpn: Vpn) -> None:
    where = f"{vpn.path}/customer-name"
    if not _TENANT.fullmatch(vpn.tenant):
        message = f"{vpn.tenant!r} is no tenant's name: lower case letters, digits and '-', at most 63"
        raise ApplyError(message, where, INVALID)
    if _RESERVED.fullmatch(vpn.tenant):
        raise ApplyError(f"{vpn.tenant!r} means something else on devices: rename the tenant", where, INVALID)
    if reserved(vpn.id):
        raise ApplyError(f"{vpn.id!r} means something else on devices: rename the VPN", f"{vpn.path}/vpn-id", INVALID)
    if not 1 <= len(vpn.id) <= _MAX_SEGMENT:
        raise ApplyError(f"a vpn-id has 1 to {_MAX_SEGMENT} characters here", f"{vpn.path}/vpn-id", UNSUPPORTED)


def _vpns_of(site: Site, intent: Intent) -> None:
    where = f"{site.access_path}/vpn-attachment"
    for vpn in site.vpns:
        if vpn not in intent.vpns:
            raise ApplyError(f"VPN {vpn!r} does not exist: create it, or name another", where, INVALID)
    tenants = sorted({intent.vpns[vpn].tenant for vpn in site.vpns})
    if len(tenants) > 1:
        raise ApplyError(f"a site belongs to one tenant, these VPNs to {', '.join(tenants)}", where, INVALID)


def _prefix(site: Site) -> None:
    where = f"{site.access_path}/ip-connection/ipv4/addresses"
    gateway, network = site.gateway.ip, site.gateway.network
    if network.prefixlen > 30:
        raise ApplyError(f"{network} has no room for stations: give /30 or shorter", f"{where}/prefix-length", INVALID)
    if network.prefixlen < 8:
        raise ApplyError(f"{network} is no LAN: give /8 or longer", f"{where}/prefix-length", INVALID)
    if gateway in (network.network_address, network.broadcast_address):
        message = f"{gateway} is no host of {network}: give {next(network.hosts())}, for example"
        raise ApplyError(message, f"{where}/provider-address", INVALID)
    if (
        network.is_multicast
        or network.is_loopback
        or network.is_link_local
        or network.is_reserved
        or gateway.packed[0] == 0
    ):
        raise ApplyError(
            f"{network} cannot be used in a LAN: give unicast addresses", f"{where}/provider-address", INVALID
        )


def _overlaps(intent: Intent) -> None:
    """Within a tenant. Prefixes are nested or apart, so that neighbours in order tell (RFC 4632, section 3.1)."""
    order = sorted(intent.sites, key=lambda s: (intent.tenant(s), s.gateway.network, s.id))
    for first, second in pairwise(order):
        if intent.tenant(first) == intent.tenant(second) and first.gateway.network.overlaps(second.gateway.network):
            message = (
                f"{second.gateway.network} overlaps {first.gateway.network} of site {first.id!r}: give another prefix"
            )
            path = f"{second.access_path}/ip-connection/ipv4/addresses/provider-address"
            raise ApplyError(message, path, INVALID)


def _members(intent: Intent) -> None:
    count = Counter(vpn for site in intent.sites for vpn in site.vpns)
    members = {(vpn, site.id) for site in intent.sites for vpn in site.vpns}
    for vpn in intent.vpns.values():
        # Without any site it is a VPN that waits for its sites (RFC 8299, section 6.2).
        if vpn.internet is None and not vpn.clouds and count[vpn.id] == 1:
            raise ApplyError(
                f"VPN {vpn.id!r} connects sites and has one: add another, or give it a cloud-access",
                vpn.path,
                INVALID,
            )
        named = vpn.internet.named if vpn.internet else frozenset()
        for site in sorted(named):
            if (vpn.id, site) not in members:
                path = f"{vpn.path}/cloud-accesses/cloud-access[cloud-identifier='internet']"
                raise ApplyError(f"site {site!r} is not in VPN {vpn.id!r}: leave it out", path, INVALID)
