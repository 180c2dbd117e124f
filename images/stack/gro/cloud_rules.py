"""What of a cloud must fit together and into the tenant's network, beyond what its schema can say."""

import ipaddress
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from stackkit.prefixes import overlapping

from gro import formats
from gro.ordered import Network, Service, Site
from gro.site_rules import Fault, gateway_of

MOST = 16
"""Clouds of a tenant: each is a tunnel of every POP that the tenant's sites are at."""
SITE, CLOUD = "site", "cloud"
Claim = tuple[tuple[str, str], Network]
"""Kind and name of who has a prefix, and the prefix."""

_Version = tuple[str, int]
"""Name of a site, and which of its versions."""
_OWN = ""
LOCAL, REMOTE = "localPrefixes", "remotePrefixes"
_FQDN = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]([a-z0-9-]*[a-z0-9])?")


def faults(service: Service, domain: str) -> Iterator[Fault]:
    """Of the cloud by itself; `domain` is the operator's."""
    cloud = service.cloud
    if (text := _identity(cloud["identity"], domain, has_key=service.shared_key is not None)) is not None:
        yield "/identity", text
    insecure = cloud.get("ikeMode") == "ikev1-aggressive" and service.shared_key is not None
    if insecure and not cloud.get("allowInsecureAggressive", False):
        text = "aggressive mode shows a hash of the shared key to anybody who asks: give ikev1-main or ikev2"
        yield "/ikeMode", f"{text}, leave sharedKey out (certificates), or set allowInsecureAggressive to true"
    yield from _flow({LOCAL: service.local, REMOTE: service.remote})


def _identity(identity: str, domain: str, *, has_key: bool) -> str | None:
    """A gateway of the operator's is a device, NAME.DOMAIN; what has more labels is what a POP says of itself."""
    parent = identity.partition(".")[2]
    if identity == domain.lower() or parent.endswith(f".{domain.lower()}"):
        return f"{identity} is of the operator's own names: give the identity of the cloud's gateway"
    if _FQDN.fullmatch(identity):
        return None
    with suppress(ValueError):
        ipaddress.ip_address(identity)
        text = f"certificates carry names, not {identity}: give the name in the gateway's certificate, or a sharedKey"
        return None if has_key else text
    return f"{identity} is no IKE identity: give a domain name in lower case, or with a sharedKey an address"


def _flow(sides: Mapping[str, Sequence[Network]]) -> Iterator[Fault]:
    """The interesting flow: each pair of a local and a remote prefix of one family."""
    for member, found in sides.items():
        for index, one in enumerate(found):
            if not formats.is_unicast(one):
                yield f"/{member}/{index}", f"{one} cannot be carried: give prefixes of unicast addresses"
    places = [((member, index), one) for member, found in sides.items() for index, one in enumerate(found)]
    for ((first, _), other), ((member, index), one) in sorted(overlapping(places)):
        if first == member:
            yield f"/{member}/{index}", f"{one} overlaps another prefix of the list: leave one out"
        else:
            yield f"/{member}/{index}", f"{one} is on both sides of the tunnel ({other}): give one"
    families = {member: {one.version for one in found} for member, found in sides.items()}
    if families[LOCAL]:
        for (member, index), one in places:
            far = REMOTE if member == LOCAL else LOCAL
            if one.version not in families[far]:
                text = f"no prefix of {far} is of the family of {one}: add one, or leave it out"
                yield f"/{member}/{index}", text


def claims(sites: Iterable[Site], clouds: Iterable[Service]) -> Iterator[Claim]:
    """Who says that prefixes are at his place."""
    yield from (((SITE, site.name), network) for site in sites for network in site.networks)
    yield from (((CLOUD, service.id), network) for service in clouds for network in service.remote)


def clashes(taken: Iterable[Claim]) -> Iterator[tuple[Claim, Claim]]:
    """Clouds in the way of sites or of each other; what sites are to each other is site_rules' affair."""
    return (pair for pair in overlapping(taken) if CLOUD in (pair[0][0][0], pair[1][0][0]))


def fault(own: Claim, other: Claim, services: Mapping[str, Service]) -> Fault:
    """That `own` is in the way of `other`."""
    (kind, name), network = own
    member = f"/{REMOTE}/{services[name].remote.index(network)}" if kind == CLOUD else gateway_of(network)
    (kind, name), theirs = other
    whose = f"site {name}" if kind == SITE else f"the cloud of service {name}"
    return member, f"{network} overlaps {theirs} of {whose}"


def unserved(service: Service, members: Mapping[str, Sequence[Site]]) -> Iterator[tuple[Network, Fault]]:
    """Prefixes of the cloud that no site of the service has any part in, whichever of a site's versions comes."""
    sites = [((name, number), one) for name, found in members.items()
             for number, site in enumerate(found) for one in site.networks]  # fmt: skip
    if not service.local:
        served = {
            version for version in (4, 6) if _surely({key for key, one in sites if one.version == version}, members)
        }
        for index, one in enumerate(service.remote):
            if one.version not in served:
                yield one, (f"/{REMOTE}/{index}", f"no site of the service has addresses of the family of {one}")
        return
    met: defaultdict[int, set[_Version]] = defaultdict(set)
    for (first, _), (second, _) in overlapping(
        [*sites, *(((_OWN, index), one) for index, one in enumerate(service.local))]
    ):
        for (kind, index), site in ((first, second), (second, first)):
            if kind == _OWN != site[0]:
                met[index].add(site)
    for index, one in enumerate(service.local):
        if not _surely(met[index], members):
            yield one, (f"/{LOCAL}/{index}", f"no site of the service has addresses of {one}")


def _surely(found: Iterable[_Version], members: Mapping[str, Sequence[Site]]) -> bool:
    """Is there a site all of whose versions were found?"""
    return any(number == len(members[name]) for name, number in Counter(name for name, _ in found).items())
