"""Cloud accesses: who may use them, and what must hold between them and the rest of an intent."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

from stackkit.prefixes import overlapping
from yangkit import ApplyError

from controller.service.cloud import Cloud
from controller.service.cursor import INVALID
from controller.service.intent import Intent
from controller.service.site import Site

_OURS, _SITES = 0, 1


def clouds(intent: Intent) -> Iterator[Cloud]:
    """All that are ordered, in the order of names."""
    for vpn in intent.vpns.values():
        yield from vpn.clouds


def check(intent: Intent, before: Intent) -> None:
    """Raise ApplyError for a cloud that is in a site's way, or in another's, or that nobody can use as it is."""
    fresh = changed(before, intent)
    by_tenant: dict[str, list[Cloud]] = {}
    for cloud in clouds(intent):
        members = {site.id for site in intent.members[cloud.vpn]}
        for site in sorted(cloud.admission.named - members):
            raise ApplyError(f"site {site!r} is not in VPN {cloud.vpn!r}: leave it out", cloud.path, INVALID)
        if cloud.key in fresh:
            _local(cloud, intent.users(cloud))
        by_tenant.setdefault(intent.vpns[cloud.vpn].tenant, []).append(cloud)
    sites: dict[str, list[Site]] = {tenant: [] for tenant in by_tenant}
    for one in intent.sites:
        if (beside := sites.get(intent.tenant(one))) is not None:
            beside.append(one)
    for tenant, own in by_tenant.items():
        _remote(own, sites[tenant])


def _local(cloud: Cloud, users: Sequence[Site]) -> None:
    """Our ends of the flow are addresses of sites that may use it; without any site it waits for them."""
    if not users or not cloud.local:
        return
    having = [(_OURS, prefix) for prefix in cloud.local]
    having += [(_SITES, network) for site in users for network in site.networks]
    used = {ours for (_, ours), _ in overlapping(having)}
    for prefix in cloud.local:
        if prefix not in used:
            message = f"no site that may use the cloud has addresses of {prefix}: leave it out, or change the sites"
            raise ApplyError(message, f"{cloud.gateway_path}/local-prefix", INVALID)


def _remote(own: Sequence[Cloud], sites: Sequence[Site]) -> None:
    """What is behind a tenant's clouds is at none of its sites, and behind one of them only."""
    having = [(number, network) for number, site in enumerate(sites) for network in site.networks]
    having += [(number, prefix) for number, cloud in enumerate(own, len(sites)) for prefix in cloud.remote]
    for (one, first), (two, second) in overlapping(having):
        cloud = own[two - len(sites)]
        if one < len(sites):
            other = f"site {sites[one].id!r}: the cloud needs other prefixes"
        else:
            holder = own[one - len(sites)]
            other = f"cloud {holder.identifier!r} of VPN {holder.vpn!r}: give prefixes that only one of them has"
        raise ApplyError(f"{second} overlaps {first} of {other}", f"{cloud.gateway_path}/remote-prefix", INVALID)


def changed(before: Intent, after: Intent) -> frozenset[str]:
    """Keys of clouds of ``after`` that are new or other than before, be it by the sites that may use them."""
    old = {cloud.key: (cloud, before.users(cloud)) for cloud in clouds(before)}
    return frozenset(cloud.key for cloud in clouds(after) if old.get(cloud.key) != (cloud, after.users(cloud)))


def check_identities(before: Intent, after: Intent, devices: Container[str], domain: str) -> None:
    """Raise ApplyError where a gateway is now said to be what it cannot be (``impostor``)."""
    old = {cloud.key: cloud.identity for cloud in clouds(before)}
    for cloud in clouds(after):
        reason = impostor(cloud, devices, domain) if old.get(cloud.key) != cloud.identity else None
        if reason is not None:
            raise ApplyError(reason, f"{cloud.gateway_path}/identity", INVALID)


def impostor(cloud: Cloud, devices: Container[str], domain: str) -> str | None:
    """Why a gateway cannot have its identity; None when it can.

    It is none of the operator's sites and POPs: who says so would have their calls come to himself. Names below theirs
    are what POPs call themselves (``CloudEnd.identity``), which no two peers of a POP may have.
    """
    label, dot, parent = cloud.identity.partition(".")
    own = domain.lower()
    if cloud.identity == own or parent.endswith(f".{own}"):
        return f"{cloud.identity} is a name of the operator's own: give the cloud's identity"
    if dot and parent == own and label in devices:
        return f"{cloud.identity} is a device of the operator's, and no gateway: give the cloud's identity"
    return None
