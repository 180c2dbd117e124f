"""Orders as RFC 8299 trees, and the demo's devices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from controller.intent import DeviceFacts, allocate, compile, find_driver, pops, read
from yangkit import Schema, Tree

MODELS = Path(__file__).parents[4] / "models" / "yang"
INVENTORY = {
    "vmsr-1": DeviceFacts("vmsr-1", "V1", "vmsr-x86", "vmsr", "203.0.113.2", "203.0.113.1"),
    "ucpe-1": DeviceFacts("ucpe-1", "U1", "ucpe-100", "ucpe", "192.168.1.10", "192.168.1.1"),
    "ucpe-2": DeviceFacts("ucpe-2", "U2", "ucpe-100", "ucpe", "192.0.2.6", "192.0.2.5"),
}


def vpn(name: str, tenant: str = "acme", internet: bool = False, **cloud: Any) -> Tree:
    """A vpn-service; Site to Internet or Site to Site."""
    tree: Tree = {"vpn-id": name, "customer-name": tenant}
    if internet:
        access = {"cloud-identifier": "internet", "address-translation": {"nat44": {"enabled": True}}, **cloud}
        tree["cloud-accesses"] = {"cloud-access": [access]}
    return tree


def site(
    name: str, device: str, gateway: str, *vpns: str, mode: str = "routed", ip: Tree | None = None, **box: Any
) -> Tree:
    """A site as GRO orders it; ``ip`` is what its ip-connection has else."""
    address, length = gateway.split("/")
    return {
        "site-id": name,
        "locations": {"location": [{"location-id": "main"}]},
        "devices": {"device": [{"device-id": device, "location": "main"}]},
        "management": {"type": "ietf-l3vpn-svc:provider-managed"},
        "vpn-policies": {
            "vpn-policy": [
                {
                    "vpn-policy-id": "all",
                    "entries": [
                        {"id": "1", "vpn": [{"vpn-id": v, "site-role": "ietf-l3vpn-svc:any-to-any-role"} for v in vpns]}
                    ],
                }
            ]
        },
        "site-network-accesses": {
            "site-network-access": [
                {
                    "site-network-access-id": "lan",
                    "device-reference": device,
                    "ip-connection": {
                        "ipv4": {
                            "address-allocation-type": "ietf-l3vpn-svc:static-address",
                            "addresses": {"provider-address": address, "prefix-length": int(length)},
                        },
                        **(ip or {}),
                    },
                    "service": {"svc-input-bandwidth": "0", "svc-output-bandwidth": "0", "svc-mtu": 1388},
                    "vpn-attachment": {"vpn-policy-id": "all"},
                    "elasticlab-access:access": {"device": device, "mode": mode, **box},
                }
            ]
        },
    }


def order(vpns: list[Tree], sites: list[Tree]) -> Tree:
    """A whole intent."""
    tree: Tree = {"vpn-services": {"vpn-service": vpns}, "sites": {"site": sites}}
    if any("cloud-accesses" in v for v in vpns):
        tree["vpn-profiles"] = {"valid-provider-identifiers": {"cloud-identifier": [{"id": "internet"}]}}
    return {"ietf-l3vpn-svc:l3vpn-svc": tree}


def demo_order() -> Tree:
    """The demo: both branches to the Internet, and to each other."""
    return order(
        [vpn("internet-1", internet=True), vpn("internet-2", internet=True), vpn("between")],
        [
            site("branch-1", "ucpe-1", "10.1.0.1/24", "between", "internet-1"),
            site("branch-2", "ucpe-2", "10.2.0.1/24", "between", "internet-2", mode="bridged", vlan=20),
        ],
    )


@pytest.fixture
def demo() -> Tree:
    """The demo's orders; the test's own."""
    return demo_order()


@pytest.fixture
def inventory() -> dict[str, DeviceFacts]:
    """The demo's devices."""
    return dict(INVENTORY)


@pytest.fixture(scope="session")
def schema_of() -> Callable[[str], Schema]:
    """The schema of a device of the demo."""

    def of(device: str) -> Schema:
        facts = INVENTORY[device]
        driver = find_driver(facts.model, facts.personality)
        assert driver is not None
        return driver.schema(MODELS)

    return of


def compiled(tree: Tree, devices: dict[str, DeviceFacts] | None = None) -> dict[str, Tree]:
    """From order to trees, with fresh numbers."""
    devices = INVENTORY if devices is None else devices
    intent = read(tree)
    return compile(intent, devices, allocate(intent, pops(devices), {}))


@pytest.fixture(scope="session")
def build() -> Callable[..., dict[str, Tree]]:
    """``compiled``."""
    return compiled
