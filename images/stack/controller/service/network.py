"""Sites joined with their devices and numbers: what drivers compile from, and what states are told about."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from ipaddress import ip_network

from controller import drivers
from controller.drivers.peering import CloudEnd, Link
from controller.drivers.work import Attachment, End, Flow
from controller.service import joins
from controller.service.allocation import Allocations, branch_line, branch_loopback, pop_line, pop_loopback
from controller.service.facts import DeviceFacts
from controller.service.intent import DOMAIN, Intent
from controller.service.names import fitted
from controller.service.site import Network as Prefix
from controller.service.site import Site


@dataclass(frozen=True)
class Network:
    """Sites that can be built, and why others wait."""

    attachments: Mapping[str, Attachment] = field(default_factory=dict)
    """By site."""
    waiting: Mapping[str, str] = field(default_factory=dict)
    """By site: what it waits for."""
    barred: Mapping[str, str] = field(default_factory=dict)
    """By key of a cloud: why it cannot be built any more."""
    clouds: Mapping[str, CloudEnd] = field(default_factory=dict)
    """Ends of cloud accesses, by their keys."""
    links: Mapping[str, tuple[Link, ...]] = field(default_factory=dict)
    """Direct paths, by device."""

    def of_device(self, name: str) -> tuple[Attachment, ...]:
        """The attachments that a device has an end of."""
        return self._by_device.get(name, ())

    @cached_property
    def _by_device(self) -> dict[str, tuple[Attachment, ...]]:
        found: dict[str, list[Attachment]] = {}
        for attachment in self.attachments.values():
            for name in dict.fromkeys((attachment.branch.name, attachment.pop.name)):
                found.setdefault(name, []).append(attachment)
        return {name: tuple(some) for name, some in found.items()}


def without(network: Network, sites: Collection[str]) -> Network:
    """The network as if these sites and ends of clouds waited."""
    attachments = {id_: a for id_, a in network.attachments.items() if id_ not in sites}
    return replace(
        network,
        attachments=attachments,
        clouds=joins.remaining_ends({key: e for key, e in network.clouds.items() if key not in sites}, attachments),
        links=joins.remaining_links(network.links, attachments),
    )


def join(
    intent: Intent, inventory: Mapping[str, DeviceFacts], allocations: Allocations, domain: str = DOMAIN
) -> Network:
    """Which sites can be built with the devices that are known."""
    homes = allocations.homes()
    ends = {name: _pop(inventory[name], allocations) for name in set(homes.values()) if name in inventory}
    attachments: dict[str, Attachment] = {}
    waiting: dict[str, str] = {}
    for site in intent.sites:
        home = homes.get(site.device)
        reason = _lacking(site, home, inventory)
        if reason is None and home is not None:
            attachments[site.id] = _attachment(intent, site, inventory[site.device], ends[home], allocations)
        else:
            waiting[site.id] = reason or "waits"
    barred = joins.barred(intent, drivers.Driven(inventory), domain)
    clouds = joins.cloud_ends(intent, attachments, allocations, barred)
    return Network(attachments, waiting, barred, clouds, joins.links(intent, attachments, allocations))


def pops(inventory: Mapping[str, DeviceFacts]) -> list[str]:
    """The POP routers that may take new sites."""
    return sorted(name for name, facts in inventory.items() if _is_pop(facts))


def _is_pop(facts: DeviceFacts) -> bool:
    driver = drivers.find(facts.model, facts.personality)
    return driver is not None and driver.is_pop


def _lacking(site: Site, home: str | None, inventory: Mapping[str, DeviceFacts]) -> str | None:
    """What a site waits for, in words; None when nothing lacks."""
    box = inventory.get(site.device)
    if box is None:
        return f"device {site.device} is not known yet"
    driver = drivers.find(box.model, box.personality)
    if driver is None or not driver.serves_sites or not driver.has_port(site.port):
        return f"device {site.device} ({box.model}, {box.personality}) cannot serve the site at port {site.port}"
    if site.on_line and driver.line_port is None:
        return f"device {site.device} ({box.model}) has no port for a private line"
    return _lacking_pop(site, home, box, inventory)


def _lacking_pop(site: Site, home: str | None, box: DeviceFacts, inventory: Mapping[str, DeviceFacts]) -> str | None:
    if home is None:
        return "there is no POP router (vMSR) yet"
    router = inventory.get(home)
    if router is None:
        return f"POP router {home} is not known yet"
    if not _is_pop(router):
        return f"device {home} ({router.model}, {router.personality}) is no POP router any more"
    return _lacking_line(router) if site.on_line else _lacking_uplink(router, box)


def _lacking_line(router: DeviceFacts) -> str | None:
    if drivers.line_port(router) is None:
        return f"POP router {router.name} ({router.model}) has no port for private lines"
    return None


def _lacking_uplink(router: DeviceFacts, box: DeviceFacts) -> str | None:
    ways = {router.wan_address: router.wan_gateway, router.wan6_address: router.wan6_gateway}
    if not any(address and gateway for address, gateway in ways.items()):
        return f"POP router {router.name} has not told its WAN address and gateway yet"
    if router.address_for(box) is None:
        family = "IPv6" if box.wan_address is None and box.wan6_address is not None else "IPv4"
        return f"POP router {router.name} has no {family} address that device {box.name} could call"
    return None


def _pop(facts: DeviceFacts, allocations: Allocations) -> End:
    number = allocations.pop(facts.name)
    return End(facts, number, pop_loopback(number), pop_line(number))


def _attachment(intent: Intent, site: Site, box: DeviceFacts, pop: End, allocations: Allocations) -> Attachment:
    number = allocations.branch(site.device)
    tenant = intent.tenant(site)
    tenant_id = allocations.tenant(tenant)
    branch = End(box, number, branch_loopback(number), branch_line(number))
    peers = intent.peers(site) if site.knows_peers else ()
    internet = intent.reaches_internet(site)
    return Attachment(
        site=site,
        tenant=fitted("", tenant, tenant_id),
        tenant_id=tenant_id,
        internet=internet,
        branch=branch,
        pop=pop,
        branch_if_id=None if site.on_line else allocations.if_id(box.name, pop.name),
        pop_if_id=None if site.on_line else allocations.if_id(pop.name, box.name),
        vni=allocations.vni(site.id),
        clouds=joins.segments(intent, site, allocations),
        flow=_flow(site, box.name, pop.name, everything(site) if internet else peers, allocations),
        peers=peers if site.local_internet is not None else (),
    )


def everything(site: Site) -> tuple[Prefix, ...]:
    """All addresses of the families that a site has."""
    return tuple(ip_network("0.0.0.0/0" if network.version == 4 else "::/0") for network in site.networks)


def _flow(site: Site, box: str, pop: str, there: tuple[Prefix, ...], allocations: Allocations) -> Flow | None:
    """A plain site's; none when there is nobody to reach."""
    versions = {network.version for network in site.networks}
    reached = tuple(network for network in there if network.version in versions)
    if not site.plain or not reached:
        return None
    here = tuple(n for n in site.networks if n.version in {network.version for network in reached})
    branch_if_id, pop_if_id = allocations.flow_if_id(box, pop, site.id), allocations.flow_if_id(pop, box, site.id)
    return Flow(site.id, branch_if_id, pop_if_id, here, reached)
