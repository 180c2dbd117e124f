"""What is ordered: a routed site with the Internet at each uCPE, as RFC 8299 has it."""

from __future__ import annotations

from typing import Any

INTENT = "/restconf/data/ietf-l3vpn-svc:l3vpn-svc"
A_TENANT = 10
"""Sites of one tenant: numbers of tenants grow with the network, as with customers."""


def order(sites: int) -> dict[str, Any]:
    """The whole intent."""
    tenants = range((sites + A_TENANT - 1) // A_TENANT)
    clouds = {"cloud-identifier": [{"id": "internet"}]}
    tree = {
        "vpn-profiles": {"valid-provider-identifiers": clouds},
        "vpn-services": {"vpn-service": [_vpn(number) for number in tenants]},
        "sites": {"site": [_site(number) for number in range(sites)]},
    }
    return {"ietf-l3vpn-svc:l3vpn-svc": tree}


def _vpn(number: int) -> dict[str, Any]:
    access = {"cloud-identifier": "internet", "address-translation": {"nat44": {"enabled": True}}}
    return {
        "vpn-id": f"net-{number}",
        "customer-name": f"tenant-{number}",
        "cloud-accesses": {"cloud-access": [access]},
    }


def _site(number: int) -> dict[str, Any]:
    device = f"ucpe-{number + 1:04d}"
    tenant, place = divmod(number, A_TENANT)
    vpn = {"vpn-id": f"net-{tenant}", "site-role": "ietf-l3vpn-svc:any-to-any-role"}
    gateway = {"provider-address": f"10.{place}.0.1", "prefix-length": 24}
    ipv4 = {"address-allocation-type": "ietf-l3vpn-svc:static-address", "addresses": gateway}
    return {
        "site-id": f"site-{number}",
        "locations": {"location": [{"location-id": "main"}]},
        "devices": {"device": [{"device-id": device, "location": "main"}]},
        "management": {"type": "ietf-l3vpn-svc:provider-managed"},
        "vpn-policies": {"vpn-policy": [{"vpn-policy-id": "all", "entries": [{"id": "1", "vpn": [vpn]}]}]},
        "site-network-accesses": {
            "site-network-access": [
                {
                    "site-network-access-id": "lan",
                    "device-reference": device,
                    "ip-connection": {"ipv4": ipv4},
                    "service": {"svc-input-bandwidth": "0", "svc-output-bandwidth": "0", "svc-mtu": 1388},
                    "vpn-attachment": {"vpn-policy-id": "all"},
                    "elasticlab-access:access": {"device": device, "mode": "routed"},
                }
            ]
        },
    }
