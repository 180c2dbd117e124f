"""What must hold between the parts of an intent, and between it and the devices there are."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stackkit.prefixes import overlapping
from yangkit import ApplyError
from yangkit.paths import quoted

from controller import drivers
from controller.service import addresses, peerings
from controller.service.cloud import reserved
from controller.service.cursor import INVALID, UNSUPPORTED
from controller.service.facts import DeviceFacts
from controller.service.intent import DOMAIN, Intent, Vpn
from controller.service.site import Exit, Mode, Site

_TENANT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# Names that interfaces of boxes have or may get beside their ports, from us or from Linux (which makes some of its own
# where a kind of tunnel or device is built in): a tenant's VRF carries the tenant's name.
_RESERVED = re.compile(
    r"all|default|lo|none|self|overlay|underlay|(eth|wan|lan)[0-9-]*|(ipsec|gre|vxlan|br|tunl|gretap|erspan)[0-9-].*"
    r"|(ip6tnl|ip6gre|sit|dummy|bond|ifb|teql)[0-9]+"
)
_DEVICE = _TENANT
_MAX_SEGMENT = 64


@dataclass(slots=True)
class _Box:
    """The sites of one box: of one tenant, each at a port, or port and VLAN, of its own, and one of them routed."""

    tenant: str | None = None
    routed: Site | None = None
    ports: dict[str, Site] = field(default_factory=dict)
    """The first site at each."""
    lans: dict[tuple[str, int | None], Site] = field(default_factory=dict)
    """By port and VLAN."""

    def add(self, site: Site, tenant: str) -> None:
        """One more; ApplyError where one that is there is in its way."""
        if tenant != (self.tenant or tenant):
            # Whose, and for what, is not for others to know.
            message = f"device {site.device} serves another tenant: give another device"
            raise ApplyError(message, f"{site.box_path}/device", INVALID)
        if site.mode is Mode.ROUTED and self.routed is not None:
            remedy = "give mode bridged, or another box"
            message = f"device {site.device} has the routed site {self.routed.id!r} already: {remedy}"
            raise ApplyError(message, f"{site.box_path}/mode", INVALID)
        beside = self.ports.get(site.port)
        if beside is not None and {site.mode, beside.mode} != {Mode.BRIDGED}:
            message = f"port {site.port!r} is used by the {beside.mode} site {beside.id!r}: give another port"
            raise ApplyError(message, f"{site.box_path}/port", INVALID)
        if (other := self.lans.get((site.port, site.vlan))) is not None:
            what = "untagged frames" if site.vlan is None else f"VLAN {site.vlan}"
            message = f"{what} of port {site.port!r} belong to site {other.id!r}: give another VLAN or port"
            raise ApplyError(message, f"{site.box_path}/{'port' if site.vlan is None else 'vlan'}", INVALID)
        self.tenant = tenant
        if site.mode is Mode.ROUTED:
            self.routed = site
        self.ports.setdefault(site.port, site)
        self.lans[site.port, site.vlan] = site


def check(intent: Intent, before: Intent | None = None) -> None:
    """Raise ApplyError for the first thing, in the order of names, that cannot be.

    Of two sites that are in each other's way, the one that is new or changed since ``before`` is told so. What is by
    itself as it was then has been accepted, be it under rules that were others.
    """
    before = before or Intent({}, ())
    for vpn in intent.vpns.values():
        if before.vpns.get(vpn.id) != vpn:
            _vpn(vpn)
    boxes: defaultdict[str, _Box] = defaultdict(_Box)
    sites = _by_age(intent, before)
    for site in sites:
        _vpns_of(site, intent)
        addresses.check(site)
        _local_internet(site, intent)
        if not _DEVICE.fullmatch(site.device):
            raise ApplyError(f"{site.device!r} is no name of a device", f"{site.box_path}/device", INVALID)
        boxes[site.device].add(site, intent.tenant(site))
    _overlaps(intent, sites)
    _members(intent)
    peerings.check(intent, before)


def _by_age(intent: Intent, before: Intent) -> Sequence[Site]:
    """Those that were there before, as they are, and then the others; each in the order of names."""
    old = {site.id: site for site in before.sites}
    return sorted(intent.sites, key=lambda site: old.get(site.id) != site)


def check_devices(before: Intent, after: Intent, inventory: Mapping[str, DeviceFacts], domain: str = DOMAIN) -> None:
    """Raise ApplyError where a device that is known cannot do what is asked; unknown ones are waited for.

    Only of what is asked now: what was in order when it was asked is nobody else's affair when devices have become
    others since. It waits, and says so (``network.join``).
    """
    named = frozenset(site.device for site in after.sites if site.device not in inventory)
    peerings.check_identities(before, after, drivers.Driven(inventory, named), domain)
    old = {site.id: _asked(site) for site in before.sites}
    for site in after.sites:
        facts = inventory.get(site.device)
        if facts is not None and old.get(site.id) != _asked(site):
            _device(site, facts)


def _asked(site: Site) -> tuple[str, str, bool]:
    """What ``_device`` looks at."""
    return site.device, site.port, site.on_line


def _device(site: Site, facts: DeviceFacts) -> None:
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
    if site.on_line and driver.line_port is None:
        message = f"{facts.model} has no port for a private line: give transport ipsec, or another box"
        raise ApplyError(message, f"{site.box_path}/transport", INVALID)


def _vpn(vpn: Vpn) -> None:
    where = f"{vpn.path}/customer-name"
    if not _TENANT.fullmatch(vpn.tenant):
        message = f"{vpn.tenant!r} is no tenant's name: lower case letters, digits and '-', at most 63"
        raise ApplyError(message, where, INVALID)
    if _RESERVED.fullmatch(vpn.tenant) or any(driver.names_port(vpn.tenant) for driver in drivers.every()):
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


def _local_internet(site: Site, intent: Intent) -> None:
    """What is to leave at the POP needs a way there."""
    local = site.local_internet
    if local is None or not local.uses_pop or intent.may_reach_internet(site):
        return
    remedy = "none of the site's VPNs has cloud-access internet for it: give local, or add that"
    if local.default is Exit.POP:
        raise ApplyError(remedy, f"{site.box_path}/local-internet/default", INVALID)
    name = next(rule.name for rule in local.rules if rule.action is Exit.POP)
    raise ApplyError(remedy, f"{site.box_path}/local-internet/rule[name={quoted(name)}]/action", INVALID)


def _overlaps(intent: Intent, sites: Sequence[Site]) -> None:
    """Within a tenant."""
    by_tenant: dict[str, list[Site]] = {}
    for site in sites:
        by_tenant.setdefault(intent.tenant(site), []).append(site)
    for own in by_tenant.values():
        having = [(number, network) for number, site in enumerate(own) for network in site.networks]
        for (number, one), (later, two) in overlapping(having):
            first, second = own[number], own[later]
            kind = "ipv4" if two.version == 4 else "ipv6"
            holder = addresses.holder4(second) if two.version == 4 else addresses.holder6(second)
            message = f"{two} overlaps {one} of site {first.id!r}: give another prefix"
            path = f"{second.access_path}/ip-connection/{kind}/{holder}/provider-address"
            raise ApplyError(message, path, INVALID)


def _members(intent: Intent) -> None:
    members = {(vpn, site.id) for site in intent.sites for vpn in site.vpns}
    for vpn in intent.vpns.values():
        # Without any site it is a VPN that waits for its sites (RFC 8299, section 6.2).
        sites = intent.members[vpn.id]
        if vpn.internet is None and not vpn.clouds and len(sites) == 1 and sites[0].local_internet is None:
            message = f"VPN {vpn.id!r} connects sites and has one: add another, or give it a cloud-access"
            raise ApplyError(f"{message}, or its site local-internet", vpn.path, INVALID)
        named = vpn.internet.named if vpn.internet else frozenset()
        for site in sorted(named):
            if (vpn.id, site) not in members:
                path = f"{vpn.path}/cloud-accesses/cloud-access[cloud-identifier='internet']"
                raise ApplyError(f"site {site!r} is not in VPN {vpn.id!r}: leave it out", path, INVALID)
