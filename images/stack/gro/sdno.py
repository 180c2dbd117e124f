"""SDNO: ordered services as instances of the L3VPN service model (RFC 8299). Pure: it translates and decides nothing.

A TMF service is a `vpn-service` (RFC 8299 section 6.2) with its id. A tenant's site is a `site` (section 6.3) with one
`site-network-access`, attached to one VPN by `vpn-attachment/vpn-id` or to several by a `vpn-policy` (section 6.5.2).
*Site to Internet* is a VPN with cloud access to `internet` behind NAT44 (section 6.2.3), *Site to DC* one with cloud
access to `vpc`. How the LAN is connected, left to the provider by RFC 8299, is in our augmentation `elasticlab-access`.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from gro.ordered import Change, Service, Site

Json = Any

ROOT = "/ietf-l3vpn-svc:l3vpn-svc"
INTERNET = "internet"
VPC = "vpc"
ACCESS = "lan"
POLICY = "all"
# Rates and MTU are mandatory in RFC 8299 (section 6.12.1) and not offered yet: no guaranteed rate, and the largest IP
# packets that the access carries (elasticlab-access).
BANDWIDTH = 0
MTU = {"routed": 1414, "bridged": 1388}


def vpn_service(service: Service) -> dict[str, Json]:
    """An instance of `vpn-service`."""
    instance: dict[str, Json] = {
        "vpn-id": service.id,
        "customer-name": service.tenant,
        "vpn-service-topology": "ietf-l3vpn-svc:any-to-any",
    }
    clouds: list[dict[str, Json]] = []
    if service.internet:
        clouds.append({"cloud-identifier": INTERNET, "address-translation": {"nat44": {"enabled": True}}})
    if service.cloud is not None:
        gateway = _gateway(service.cloud, service.shared_key)
        clouds.append({"cloud-identifier": VPC, "elasticlab-access:gateway": gateway})
    if clouds:
        instance["cloud-accesses"] = {"cloud-access": clouds}
    if service.direct_paths:
        instance["elasticlab-access:direct-paths"] = True
    return instance


_GATEWAY = {
    "gateway": "address",
    "identity": "identity",
    "ikeMode": "ike-mode",
    "allowInsecureAggressive": "allow-insecure-aggressive",
    "localPrefixes": "local-prefix",
    "remotePrefixes": "remote-prefix",
}


def _gateway(cloud: Mapping[str, Json], shared_key: str | None) -> dict[str, Json]:
    """The characteristic `cloud` as elasticlab-access has it."""
    key = {} if shared_key is None else {"shared-key": shared_key}
    return {leaf: cloud[member] for member, leaf in _GATEWAY.items() if member in cloud} | key


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
    attachment: dict[str, Json] = {"vpn-policy-id": POLICY}
    if len(vpns) == 1:
        attachment = {"vpn-id": vpns[0], "site-role": "ietf-l3vpn-svc:any-to-any-role"}
    return {
        "site-network-access-id": ACCESS,
        "site-network-access-type": "ietf-l3vpn-svc:multipoint",
        "device-reference": wanted.device_name,
        "ip-connection": _ip_connection(wanted),
        "service": {
            "svc-input-bandwidth": str(BANDWIDTH),
            "svc-output-bandwidth": str(BANDWIDTH),
            "svc-mtu": MTU[wanted.access],
        },
        "vpn-attachment": attachment,
        "elasticlab-access:access": _augmentation(wanted),
    }


def _ip_connection(wanted: Site) -> dict[str, Json]:
    """RFC 8299 section 6.6.1; the gateway is the provider's address."""
    addresses = _addresses(ipaddress.IPv4Interface(wanted.gateway))
    allocation, content = "static-address", {"addresses": addresses}
    if wanted.dhcp is not None:
        group = {"group-id": ACCESS, "start-address": wanted.dhcp["start"], "end-address": wanted.dhcp["end"]}
        allocation = "provider-dhcp"
        content = {"provider-dhcp": {**addresses, "customer-addresses": {"address-group": [group]}}}
    connection = {"ipv4": {"address-allocation-type": f"ietf-l3vpn-svc:{allocation}", **content}}
    if wanted.gateway6 is not None:
        # Stations make their addresses themselves where they can (RFC 4862): with 64 bits.
        gateway6 = ipaddress.IPv6Interface(wanted.gateway6)
        allocation, container = "static-address", "addresses"
        if gateway6.network.prefixlen == 64:
            allocation, container = "slaac", "elasticlab-access:slaac"
        connection["ipv6"] = {
            "address-allocation-type": f"ietf-l3vpn-svc:{allocation}",
            container: _addresses(gateway6),
        }
    return connection


def _addresses(gateway: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> dict[str, Json]:
    return {"provider-address": str(gateway.ip), "prefix-length": gateway.network.prefixlen}


def _augmentation(wanted: Site) -> dict[str, Json]:
    if wanted.device_name is None:
        raise ValueError(f"site {wanted.id}: the name of device {wanted.device} is not known yet")
    content: dict[str, Json] = {"device": wanted.device_name, "port": wanted.port, "mode": wanted.access}
    for leaf in ("vlan", "encapsulation", "transport"):
        if (value := getattr(wanted, leaf)) is not None:
            content[leaf] = value
    if wanted.local_internet is not None:
        content["local-internet"] = _local_internet(wanted.local_internet)
    if wanted.dns is not None:
        names = {"domain": "domain", "forwarders": "forwarder"}
        content["dns"] = {leaf: wanted.dns[member] for member, leaf in names.items() if wanted.dns.get(member)}
    return content


def _local_internet(given: Mapping[str, Json]) -> dict[str, Json]:
    content: dict[str, Json] = {"default": given.get("default", "local")}
    if given.get("rules"):
        content["rule"] = [
            {"name": rule["name"], **_matches(rule), "action": rule["action"]} for rule in given["rules"]
        ]
    return content


def _matches(rule: Mapping[str, Json]) -> dict[str, Json]:
    """elasticlab-nat, grouping packet-matches."""
    content: dict[str, Json] = {}
    for member, leaf in (("source", "source-prefix"), ("destination", "destination-prefix"), ("dscp", "dscp")):
        if member in rule:
            content[leaf] = rule[member]
    if "protocol" in rule:
        six = any(":" in rule.get(member, "") for member in ("source", "destination"))
        numbers = {"icmp": 58 if six else 1, "tcp": 6, "udp": 17}
        content["protocol"] = numbers.get(rule["protocol"], rule["protocol"])
    for member, container in (("sourcePort", "source-port"), ("destinationPort", "destination-port")):
        if member in rule:
            lower, _, upper = rule[member].partition("-")
            content[container] = {"lower-port": int(lower)} | ({"upper-port": int(upper)} if upper else {})
    return {"matches": content} if content else {}


def _clouds(wanted: Change) -> list[str]:
    """Identifiers of the clouds that the new VPNs reach."""
    needed = {INTERNET: any(one.internet for one in wanted.vpns), VPC: any(one.cloud for one in wanted.vpns)}
    return [cloud for cloud, is_needed in needed.items() if is_needed]


def tree(wanted: Change) -> dict[str, Json]:
    """The change's new instances as one `l3vpn-svc` tree (RFC 7951), for `plan` and for validation."""
    content: dict[str, Json] = {
        "vpn-services": {"vpn-service": [vpn_service(one) for one in wanted.vpns]},
        "sites": {"site": [site(one, vpns) for one, vpns in wanted.sites]},
    }
    if identifiers := [{"id": cloud} for cloud in _clouds(wanted)]:
        content["vpn-profiles"] = {"valid-provider-identifiers": {"cloud-identifier": identifiers}}
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

    for cloud in _clouds(wanted):
        at = f"{ROOT}/vpn-profiles/valid-provider-identifiers/cloud-identifier={cloud}"
        edit("merge", at, {"ietf-l3vpn-svc:cloud-identifier": [{"id": cloud}]})
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
