"""Cloud accesses: who may use them, and what must hold between them and the rest of an intent."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from yangkit import ApplyError

from controller.service.cloud import Cloud, Prefix
from controller.service.cursor import INVALID
from controller.service.intent import Intent


def clouds(intent: Intent) -> Iterator[Cloud]:
    """All that are ordered, in the order of names."""
    for vpn in intent.vpns.values():
        yield from vpn.clouds


def check(intent: Intent) -> None:
    """Raise ApplyError for a cloud that is in a site's way, or in another's."""
    by_tenant: dict[str, list[Cloud]] = {}
    for cloud in clouds(intent):
        members = {site.id for site in intent.members[cloud.vpn]}
        for site in sorted(cloud.admission.named - members):
            raise ApplyError(f"site {site!r} is not in VPN {cloud.vpn!r}: leave it out", cloud.path, INVALID)
        by_tenant.setdefault(intent.vpns[cloud.vpn].tenant, []).append(cloud)
    for tenant, own in by_tenant.items():
        _sites(intent, tenant, own)
        for first, second in combinations(own, 2):
            both = _overlap(first.remote, second.remote)
            if both is not None:
                other = f"cloud {first.identifier!r} of VPN {first.vpn!r}"
                _refuse(second, f"{both[1]} overlaps {both[0]} of {other}: give prefixes that only one of them has")


def _sites(intent: Intent, tenant: str, own: list[Cloud]) -> None:
    for site in intent.sites:
        if intent.tenant(site) != tenant:
            continue
        for cloud in own:
            both = _overlap(site.networks, cloud.remote)
            if both is not None:
                _refuse(cloud, f"{both[1]} overlaps {both[0]} of site {site.id!r}: the cloud needs other prefixes")


def _overlap(first: tuple[Prefix, ...], second: tuple[Prefix, ...]) -> tuple[Prefix, Prefix] | None:
    for one in first:
        for two in second:
            if one.version == two.version and one.overlaps(two):
                return one, two
    return None


def _refuse(cloud: Cloud, message: str) -> None:
    raise ApplyError(message, f"{cloud.gateway_path}/remote-prefix", INVALID)


def changed(before: Intent, after: Intent) -> frozenset[str]:
    """Keys of clouds of ``after`` that are new or other than before, be it by the sites that may use them."""
    old = {cloud.key: (cloud, before.users(cloud)) for cloud in clouds(before)}
    return frozenset(cloud.key for cloud in clouds(after) if old.get(cloud.key) != (cloud, after.users(cloud)))


def check_identities(intent: Intent, devices: frozenset[str], domain: str) -> None:
    """A gateway is none of the operator's sites and POPs: who says so would have their calls come to himself."""
    own = {f"{name}.{domain}" for name in devices | {site.device for site in intent.sites}}
    for cloud in clouds(intent):
        if cloud.identity in own:
            message = f"{cloud.identity} is a device of the operator's, and no gateway: give the cloud's identity"
            raise ApplyError(message, f"{cloud.gateway_path}/identity", INVALID)
