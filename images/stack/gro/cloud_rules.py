"""What of a cloud must fit together and into the tenant's network, beyond what its schema can say."""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping

from gro.formats import Network
from gro.ordered import Service, Site
from gro.site_rules import Fault


def faults(service: Service) -> Iterator[Fault]:
    """Of the cloud by itself."""
    cloud = service.cloud
    insecure = cloud.get("ikeMode") == "ikev1-aggressive" and service.shared_key is not None
    if insecure and not cloud.get("allowInsecureAggressive", False):
        text = "aggressive mode shows a hash of the shared key to anybody who asks: give ikev1-main or ikev2"
        yield "/ikeMode", f"{text}, leave sharedKey out (certificates), or set allowInsecureAggressive to true"
    for member in ("localPrefixes", "remotePrefixes"):
        found = list(_networks(cloud.get(member, [])))
        for index, one in enumerate(found):
            if any(_overlap(one, other) for other in found[:index]):
                yield f"/{member}/{index}", f"{one} overlaps another prefix of the list: leave one out"
    local = {one.version for one in _networks(cloud.get("localPrefixes", []))}
    for index, one in enumerate(_networks(cloud["remotePrefixes"])):
        if local and one.version not in local:
            yield f"/remotePrefixes/{index}", f"no local prefix is of the family of {one}: add one, or leave it out"


def place(
    service: Service, members: Iterable[Site], sites: Iterable[Site], others: Iterable[Service]
) -> Iterator[Fault]:
    """Among the service's own sites, the tenant's sites, and its other services' clouds."""
    own = [network for site in members for network in site.networks]
    for index, one in enumerate(_networks(service.cloud.get("localPrefixes", []))):
        if not any(_overlap(one, network) for network in own):
            yield f"/localPrefixes/{index}", f"no site of the service has addresses of {one}"
    for index, one in enumerate(_networks(service.cloud["remotePrefixes"])):
        where = f"/remotePrefixes/{index}"
        for site in sites:
            for network in site.networks:
                if _overlap(one, network):
                    yield where, f"{one} overlaps {network} of site {site.name}"
        for other in others:
            for network in _networks(other.cloud["remotePrefixes"]):
                if _overlap(one, network):
                    yield where, f"{one} overlaps {network} of the cloud of service {other.id}"
        if not service.cloud.get("localPrefixes") and not any(one.version == network.version for network in own):
            yield where, f"no site of the service has addresses of the family of {one}"


def overlaps(service: Service, fresh: Mapping[str, Site]) -> Iterator[tuple[str, Fault]]:
    """Of new sites (by name) with the cloud of a service; with the name of the site to blame."""
    for one in _networks(service.cloud["remotePrefixes"]):
        for name, site in fresh.items():
            for network in site.networks:
                if _overlap(one, network):
                    member = "gateway" if network.version == 4 else "gateway6"
                    yield name, (f"/{member}", f"{network} overlaps {one} of the cloud of service {service.id}")


def _networks(texts: Iterable[str]) -> Iterator[Network]:
    return map(ipaddress.ip_network, texts)


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)
