"""Clouds and direct paths joined with the POPs and boxes that carry them, like sites in ``network``."""

from __future__ import annotations

from collections.abc import Container, Mapping

from controller.drivers.peering import CloudEnd, Link
from controller.drivers.work import Attachment, End, narrower
from controller.service import direct, peerings
from controller.service.allocation import POOLS, POP, Allocations, branch_line, branch_loopback
from controller.service.intent import Intent
from controller.service.site import Site


def segments(intent: Intent, site: Site, allocations: Allocations) -> tuple[str, ...]:
    """The segments that a site is in at the POP beside its VPNs: clouds that not all sites may use."""
    own = {cloud.segment(allocations.cloud(cloud.key)) for cloud in intent.clouds(site)}
    return tuple(sorted(own.difference(site.vpns)))


def barred(intent: Intent, devices: Container[str], domain: str) -> dict[str, str]:
    """Clouds whose gateway has the name of what has become a device since, and why they must not be built."""
    reasons = {cloud.key: peerings.impostor(cloud, devices, domain) for cloud in peerings.clouds(intent)}
    return {key: reason for key, reason in reasons.items() if reason is not None}


def cloud_ends(
    intent: Intent, attachments: Mapping[str, Attachment], allocations: Allocations, barred: Container[str]
) -> dict[str, CloudEnd]:
    """The ends of clouds at POPs where a site that may use them can be built."""
    homes = allocations.homes()
    ends: dict[str, CloudEnd] = {}
    for cloud in peerings.clouds(intent):
        if cloud.key in barred:
            continue
        sites = intent.users(cloud)
        pops = {attachments[site.id].pop.name: attachments[site.id] for site in sites if site.id in attachments}
        for name, attachment in sorted(pops.items()):
            # Of the intent, not of what can be built now: a device that goes away must not move the selectors.
            prefixes = [prefix for site in sites if homes.get(site.device) == name for prefix in site.networks]
            local, remote = cloud.flow(prefixes)
            if not local or not remote:
                continue
            end = CloudEnd(
                cloud=cloud,
                tenant=attachment.tenant,
                tenant_id=attachment.tenant_id,
                pop=attachment.pop,
                number=allocations.cloud(cloud.key),
                if_id=allocations.if_id(name, cloud.key),
                local=local,
                remote=remote,
            )
            ends[end.key] = end
    return ends


def remaining_ends(ends: Mapping[str, CloudEnd], attachments: Mapping[str, Attachment]) -> dict[str, CloudEnd]:
    """The ends at POPs where such a site is built."""
    return {key: end for key, end in ends.items() if user_at(end, attachments)}


def user_at(end: CloudEnd, attachments: Mapping[str, Attachment]) -> Attachment | None:
    """A site at the end's POP that may use it."""
    for attachment in attachments.values():
        site, cloud = attachment.site, end.cloud
        if attachment.pop.name == end.pop.name and cloud.vpn in site.vpns and cloud.admission.admits(site.id):
            return attachment
    return None


def links(
    intent: Intent, attachments: Mapping[str, Attachment], allocations: Allocations
) -> dict[str, tuple[Link, ...]]:
    """The direct paths of each device."""
    found: dict[str, list[Link]] = {}
    for pair in direct.eligible(intent):
        first, second = attachments.get(pair.first.id), attachments.get(pair.second.id)
        if first is None or second is None:
            continue
        call = direct.call(first.branch.facts, second.branch.facts)
        if call is None:
            continue
        for here, peer, calls in ((first, second, call.by_first), (second, first, not call.by_first)):
            link = _link(pair, here, peer, calls, call.address, allocations)
            found.setdefault(here.branch.name, []).append(link)
    return {name: tuple(some) for name, some in sorted(found.items())}


def _link(
    pair: direct.Pair, here: Attachment, peer: Attachment, calls: bool, called: str, allocations: Allocations
) -> Link:
    """One end of a path whose tunnel is that to the address ``called``."""
    device = peer.branch.name
    number = allocations.branch(device)
    # A box's peers are its POP and other boxes: their numbers must not be mistaken where names are cut.
    end = End(peer.branch.facts, POOLS[POP][1] + number, branch_loopback(number), branch_line(number))
    return Link(
        site=here.site.id,
        peer_site=peer.site.id,
        tenant=here.tenant,
        segments=pair.vpns,
        here=here.branch,
        peer=end,
        if_id=allocations.if_id(here.branch.name, device),
        address=called if calls else None,
        prefixes=peer.site.networks,
        narrower=narrower(called),
    )


def remaining_links(
    links: Mapping[str, tuple[Link, ...]], attachments: Mapping[str, Attachment]
) -> dict[str, tuple[Link, ...]]:
    """The paths whose sites are both there."""
    kept = {
        name: tuple(link for link in some if link.site in attachments and link.peer_site in attachments)
        for name, some in links.items()
    }
    return {name: some for name, some in kept.items() if some}
