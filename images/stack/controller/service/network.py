"""Sites joined with their devices and numbers: what drivers compile from, and what states are told about."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from controller import drivers
from controller.drivers.peering import CloudEnd, Link
from controller.drivers.work import Attachment, End
from controller.service import joins
from controller.service.allocation import Allocations, branch_loopback, pop_loopback
from controller.service.facts import DeviceFacts
from controller.service.intent import Intent, Site
from controller.service.names import fitted


@dataclass(frozen=True)
class Network:
    """Sites that can be built, and why others wait."""

    attachments: Mapping[str, Attachment] = field(default_factory=dict)
    """By site."""
    waiting: Mapping[str, str] = field(default_factory=dict)
    """By site: what it waits for."""
    clouds: Mapping[str, CloudEnd] = field(default_factory=dict)
    """Ends of cloud accesses, by their keys."""
    links: Mapping[str, tuple[Link, ...]] = field(default_factory=dict)
    """Direct paths, by device."""

    def of_device(self, name: str) -> tuple[Attachment, ...]:
        """The attachments that a device has an end of."""
        return tuple(a for a in self.attachments.values() if name in (a.branch.name, a.pop.name))


def without(network: Network, sites: Collection[str]) -> Network:
    """The network as if these sites waited."""
    attachments = {id_: a for id_, a in network.attachments.items() if id_ not in sites}
    return replace(
        network,
        attachments=attachments,
        clouds=joins.remaining_ends(network.clouds, attachments),
        links=joins.remaining_links(network.links, attachments),
    )


def join(intent: Intent, inventory: Mapping[str, DeviceFacts], allocations: Allocations) -> Network:
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
    clouds = joins.cloud_ends(intent, attachments, allocations)
    return Network(attachments, waiting, clouds, joins.links(intent, attachments, allocations))


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
    return _lacking_pop(home, inventory)


def _lacking_pop(home: str | None, inventory: Mapping[str, DeviceFacts]) -> str | None:
    if home is None:
        return "there is no POP router (vMSR) yet"
    router = inventory.get(home)
    if router is None:
        return f"POP router {home} is not known yet"
    if not _is_pop(router):
        return f"device {home} ({router.model}, {router.personality}) is no POP router any more"
    if router.wan_address is None or router.wan_gateway is None:
        return f"POP router {home} has not told its WAN address and gateway yet"
    return None


def _pop(facts: DeviceFacts, allocations: Allocations) -> End:
    number = allocations.pop(facts.name)
    return End(facts, number, pop_loopback(number))


def _attachment(intent: Intent, site: Site, box: DeviceFacts, pop: End, allocations: Allocations) -> Attachment:
    number = allocations.branch(site.device)
    tenant = intent.tenant(site)
    tenant_id = allocations.tenant(tenant)
    return Attachment(
        site=site,
        tenant=fitted("", tenant, tenant_id),
        tenant_id=tenant_id,
        internet=intent.reaches_internet(site),
        branch=End(box, number, branch_loopback(number)),
        pop=pop,
        branch_if_id=allocations.if_id(box.name, pop.name),
        pop_if_id=allocations.if_id(pop.name, box.name),
        vni=allocations.vni(site.id),
        clouds=joins.segments(intent, site, allocations),
    )
