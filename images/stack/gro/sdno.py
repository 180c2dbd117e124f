"""SDNO: ordered services as instances of the L3VPN service model (RFC 8299). Pure: it translates and decides nothing.

A TMF service is a `vpn-service` (RFC 8299 section 6.2) with its id. A tenant's site is a `site` (section 6.3) with one
`site-network-access`, attached to one VPN by `vpn-attachment/vpn-id` or to several by a `vpn-policy` (section 6.5.2).
*Site to Internet* is a VPN with cloud access to `internet` behind NAT44 (section 6.2.3). How the LAN is connected, left
to the provider by RFC 8299, is in our augmentation `elasticlab-access`.
"""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

Json = Any

ROOT = "/ietf-l3vpn-svc:l3vpn-svc"
INTERNET = "internet"
ACCESS = "lan"
POLICY = "all"
# Rates and MTU are mandatory in RFC 8299 (section 6.12.1) and not offered yet: no guaranteed rate, and the largest IP
# packets that the access carries (elasticlab-access).
BANDWIDTH = 0
MTU = {"routed": 1414, "bridged": 1388}


@dataclass(frozen=True)
class Site:
    """A place of a tenant as it was ordered; names are unique within the tenant only."""

    tenant: str
    name: str
    device: str
    access: str
    gateway: str
    port: str = "lan"
    vlan: int | None = None
    device_name: str | None = None
    """The name that the registry gives to the device `device` (a serial number); the network knows it by this."""

    @property
    def id(self) -> str:
        """Site ids share one name space in the model: the tenant's name (a label without dots) keeps them apart."""
        return f"{self.tenant}.{self.name}"

    @property
    def network(self) -> ipaddress.IPv4Network:
        return ipaddress.IPv4Interface(self.gateway).network

    def document(self) -> dict[str, Json]:
        """The characteristic's value that would order this site."""
        return {k: v for k, v in asdict(self).items() if k not in ("tenant", "device_name") and v is not None}


@dataclass(frozen=True)
class Service:
    """An ordered service: a VPN among sites, or of a site and the Internet."""

    id: str
    tenant: str
    internet: bool
    sites: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """What an order asks of the network: every site that it touches, as it is to be afterwards."""

    vpns: tuple[Service, ...]
    sites: tuple[tuple[Site, tuple[str, ...]], ...]
    """Each with the ids of all VPNs that it is in."""
    gone_sites: tuple[str, ...] = ()
    gone_vpns: tuple[str, ...] = ()


def change(
    services: Iterable[Service], sites: Mapping[str, Site], add: Sequence[Service], remove: Sequence[str]
) -> Change:
    """The change from a tenant's `services` to those with `add` and without `remove`.

    Args:
        services: the tenant's services as they are; may hold what is added and removed already (a step is done again).
        sites: the tenant's sites by name, new ones included.
    """
    before = {service.id: service for service in (*services, *add)}
    after = {id_: service for id_, service in before.items() if id_ not in remove}
    touched = [*add, *(before[id_] for id_ in remove if id_ in before)]
    names = sorted({name for service in touched for name in service.sites})
    members = {name: tuple(sorted(s.id for s in after.values() if name in s.sites)) for name in names}
    return Change(
        vpns=tuple(service for service in add if service.id in after),
        sites=tuple((sites[name], vpns) for name, vpns in members.items() if vpns),
        gone_sites=tuple(sites[name].id for name, vpns in members.items() if not vpns),
        gone_vpns=tuple(remove),
    )


def vpn_service(service: Service) -> dict[str, Json]:
    """An instance of `vpn-service`."""
    instance: dict[str, Json] = {
        "vpn-id": service.id,
        "customer-name": service.tenant,
        "vpn-service-topology": "ietf-l3vpn-svc:any-to-any",
    }
    if service.internet:
        nat = {"nat44": {"enabled": True}}
        instance["cloud-accesses"] = {"cloud-access": [{"cloud-identifier": INTERNET, "address-translation": nat}]}
    return instance


def site(wanted: Site, vpns: Sequence[str]) -> dict[str, Json]:
    """An instance of `site` that is in these VPNs."""
    if not vpns:
        raise ValueError(f"site {wanted.id} is in no VPN: the model has no place for it")
    instance: dict[str, Json] = {
        "site-id": wanted.id,
        "locations": {"location": [{"location-id": wanted.name}]},
        "devices": {"device": [{"device-id": wanted.device_name, "location": wanted.name}]},
        "management": {"type": "ietf-l3vpn-svc:provider-managed"},
        "site-network-accesses": {"site-network-access": [_access(wanted, vpns)]},
    }
    if len(vpns) > 1:
        entry = {"id": POLICY, "vpn": [{"vpn-id": vpn, "site-role": "ietf-l3vpn-svc:any-to-any-role"} for vpn in vpns]}
        instance["vpn-policies"] = {"vpn-policy": [{"vpn-policy-id": POLICY, "entries": [entry]}]}
    return instance


def _access(wanted: Site, vpns: Sequence[str]) -> dict[str, Json]:
    gateway = ipaddress.IPv4Interface(wanted.gateway)
    if wanted.device_name is None:
        raise ValueError(f"site {wanted.id}: the name of device {wanted.device} is not known yet")
    augmentation: dict[str, Json] = {"device": wanted.device_name, "port": wanted.port, "mode": wanted.access}
    if wanted.vlan is not None:
        augmentation["vlan"] = wanted.vlan
    attachment: dict[str, Json] = {"vpn-policy-id": POLICY}
    if len(vpns) == 1:
        attachment = {"vpn-id": vpns[0], "site-role": "ietf-l3vpn-svc:any-to-any-role"}
    addresses = {"provider-address": str(gateway.ip), "prefix-length": gateway.network.prefixlen}
    return {
        "site-network-access-id": ACCESS,
        "site-network-access-type": "ietf-l3vpn-svc:multipoint",
        "device-reference": wanted.device_name,
        "ip-connection": {"ipv4": {"address-allocation-type": "ietf-l3vpn-svc:static-address", "addresses": addresses}},
        "service": {
            "svc-input-bandwidth": str(BANDWIDTH),
            "svc-output-bandwidth": str(BANDWIDTH),
            "svc-mtu": MTU[wanted.access],
        },
        "vpn-attachment": attachment,
        "elasticlab-access:access": augmentation,
    }


def tree(wanted: Change) -> dict[str, Json]:
    """The change's new instances as one `l3vpn-svc` tree (RFC 7951), for `plan` and for validation."""
    content: dict[str, Json] = {
        "vpn-services": {"vpn-service": [vpn_service(one) for one in wanted.vpns]},
        "sites": {"site": [site(one, vpns) for one, vpns in wanted.sites]},
    }
    if any(one.internet for one in wanted.vpns):
        content["vpn-profiles"] = {"valid-provider-identifiers": {"cloud-identifier": [{"id": INTERNET}]}}
    return {"ietf-l3vpn-svc:l3vpn-svc": content}


def plan(wanted: Change) -> dict[str, Json]:
    """The change as the controller's RPC `plan` takes it."""
    asked: dict[str, Json] = {}
    if wanted.vpns or wanted.sites:
        asked["intent"] = tree(wanted)
    if wanted.gone_sites:
        asked["remove-site"] = list(wanted.gone_sites)
    if wanted.gone_vpns:
        asked["remove-vpn"] = list(wanted.gone_vpns)
    return asked


def patch(wanted: Change, name: str) -> dict[str, Json]:
    """The change as one YANG Patch (RFC 8072), as a whole or not at all; twice it changes no more."""
    edits: list[dict[str, Json]] = []

    def edit(operation: str, target: str, value: dict[str, Json] | None = None) -> None:
        entry: dict[str, Json] = {"edit-id": f"e{len(edits) + 1}", "operation": operation, "target": target}
        edits.append(entry if value is None else {**entry, "value": value})

    if any(one.internet for one in wanted.vpns):
        at = f"{ROOT}/vpn-profiles/valid-provider-identifiers/cloud-identifier={INTERNET}"
        edit("merge", at, {"ietf-l3vpn-svc:cloud-identifier": [{"id": INTERNET}]})
    for one in wanted.vpns:
        at = f"{ROOT}/vpn-services/vpn-service={quote(one.id, safe='')}"
        edit("replace", at, {"ietf-l3vpn-svc:vpn-service": [vpn_service(one)]})
    for place, vpns in wanted.sites:
        at = f"{ROOT}/sites/site={quote(place.id, safe='')}"
        edit("replace", at, {"ietf-l3vpn-svc:site": [site(place, vpns)]})
    for place_id in wanted.gone_sites:
        edit("remove", f"{ROOT}/sites/site={quote(place_id, safe='')}")
    for vpn_id in wanted.gone_vpns:
        edit("remove", f"{ROOT}/vpn-services/vpn-service={quote(vpn_id, safe='')}")
    return {"ietf-yang-patch:yang-patch": {"patch-id": name, "edit": edits}}
