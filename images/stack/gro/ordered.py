"""What tenants have ordered: sites, services, and the change from one set of them to another."""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Self

Json = Any
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ENCAPSULATION = {"routed": "gre", "bridged": "vxlan"}
IPSEC = "ipsec"


@dataclass(frozen=True)
class Site:
    """A place of a tenant as it was ordered (models/offers/schema/site.json); names are unique within the tenant."""

    tenant: str
    name: str
    device: str
    access: str
    gateway: str
    port: str = "lan"
    vlan: int | None = None
    gateway6: str | None = None
    encapsulation: str | None = None
    """None: what the access has by itself."""
    transport: str | None = None
    """None: IPsec."""
    dhcp: Json = None
    dns: Json = None
    local_internet: Json = None
    device_name: str | None = None
    """The name that the registry gives to the device `device` (a serial number); the network knows it by this."""

    @classmethod
    def of(cls, tenant: str, value: Mapping[str, Json], device_name: str | None = None) -> Self:
        """The site of a characteristic's value; what is said and would be so anyway is as if it was not said."""
        given = {_FIELDS.get(key, key): one for key, one in value.items()}
        if given.get("encapsulation") == ENCAPSULATION.get(given.get("access", "")):
            given.pop("encapsulation", None)
        if given.get("transport") == IPSEC:
            del given["transport"]
        return cls(tenant=tenant, device_name=device_name, **given)

    @property
    def id(self) -> str:
        """Site ids share one name space in the model: the tenant's name (a label without dots) keeps them apart."""
        return f"{self.tenant}.{self.name}"

    @cached_property
    def network(self) -> ipaddress.IPv4Network:
        return ipaddress.IPv4Interface(self.gateway).network

    @cached_property
    def networks(self) -> tuple[Network, ...]:
        """All prefixes of the site."""
        more = (ipaddress.IPv6Interface(self.gateway6).network,) if self.gateway6 is not None else ()
        return (self.network, *more)

    @property
    def needs_pop_internet(self) -> bool:
        """Does it send some packets for the Internet to the POP by a rule of its own?"""
        access = self.local_internet
        if access is None:
            return False
        return "pop" in (access.get("default"), *(rule["action"] for rule in access.get("rules", ())))

    def document(self) -> dict[str, Json]:
        """The characteristic's value that would order this site."""
        members = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            _MEMBERS.get(name, name): value
            for name, value in members.items()
            if name not in ("tenant", "device_name") and value is not None
        }


_FIELDS = {"localInternet": "local_internet"}
_MEMBERS = {name: member for member, name in _FIELDS.items()}


@dataclass(frozen=True)
class Service:
    """An ordered service: a VPN among sites, with or without the Internet or a cloud."""

    id: str
    tenant: str
    internet: bool
    sites: tuple[str, ...]
    direct_paths: bool = False
    cloud: Json = None
    """models/offers/schema/cloud.json, without what is secret of it."""
    shared_key: str | None = field(default=None, repr=False)
    """Of the cloud's tunnel; it goes to the controller and to nobody else."""

    @cached_property
    def local(self) -> tuple[Network, ...]:
        """The sites' ends of the cloud's flow; none: the prefixes of all."""
        return self._networks("localPrefixes")

    @cached_property
    def remote(self) -> tuple[Network, ...]:
        """The cloud's prefixes."""
        return self._networks("remotePrefixes")

    def _networks(self, member: str) -> tuple[Network, ...]:
        return tuple(map(ipaddress.ip_network, (self.cloud or {}).get(member, ())))

    @property
    def secrets(self) -> tuple[str, ...]:
        return () if self.shared_key is None else (self.shared_key,)


@dataclass(frozen=True)
class Change:
    """What an order asks of the network: every site that it touches, as it is to be afterwards."""

    vpns: tuple[Service, ...]
    sites: tuple[tuple[Site, tuple[str, ...]], ...]
    """Each with the ids of all VPNs that it is in."""
    gone_sites: tuple[str, ...] = ()
    gone_vpns: tuple[str, ...] = ()

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(secret for one in self.vpns for secret in one.secrets)


def change(
    services: Iterable[Service],
    sites: Mapping[str, Site],
    add: Sequence[Service],
    remove: Sequence[str],
    before: Sequence[Service] = (),
) -> Change:
    """The change from a tenant's `services` to those with `add` and without `remove`.

    Args:
        services: the tenant's services as they are; may hold what is added and removed already (a step is done again).
        sites: the tenant's sites by name, new ones included.
        before: what services of `add` that are there already were.
    """
    known = {service.id: service for service in (*services, *add)}
    after = {id_: service for id_, service in known.items() if id_ not in remove}
    touched = [*add, *before, *(known[id_] for id_ in remove if id_ in known)]
    names = sorted({name for service in touched for name in service.sites})
    members = {name: tuple(sorted(s.id for s in after.values() if name in s.sites)) for name in names}
    return Change(
        vpns=tuple(service for service in add if service.id in after),
        sites=tuple((sites[name], vpns) for name, vpns in members.items() if vpns),
        gone_sites=tuple(sites[name].id for name, vpns in members.items() if not vpns),
        gone_vpns=tuple(remove),
    )
