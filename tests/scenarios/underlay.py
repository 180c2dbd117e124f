"""What tests on topology `underlay` share: its addresses, and how its boxes and the controller see it."""

from __future__ import annotations

import re
from typing import Any

from harness.lab import Lab
from harness.orchestrator.client import Orchestrator
from harness.wait import wait_for

HOSTS = {"host-1": "10.1.0.10", "host-2": "10.2.0.10", "host-3": "10.3.0.10"}
SERVER = "198.51.100.80"
POP, CARRIER = "203.0.113.2", "192.0.2.2"
IN_CLEAR = "ip proto gre or udp port 4789 or net 10.0.0.0/8 or net 100.127.0.0/16"
"""What must be in a tunnel wherever it is on the underlay."""

_SA = re.compile(r"^(\S+): #\d+, ESTABLISHED.*?, (\w+)_i", re.MULTILINE)
_PEER = re.compile(r"remote +'([^']+)\.elasticlab\.example' @ ([\d.]+)\[(\d+)\]")


def everything_passes(lab: Lab, seconds: float = 10) -> None:
    """Branches reach each other and the Internet."""
    for host, own in HOSTS.items():
        for target in {*HOSTS.values(), SERVER} - {own}:
            lab[host].must_reach(target, seconds)


def associations(lab: Lab, box: str) -> dict[str, str]:
    """The initiator's SPI of each IKE SA (RFC 7296, section 2.6) by connection: it stays while the SA lives."""
    return dict(_SA.findall(lab[box].exec("swanctl", "--list-sas")))


def peers(lab: Lab, box: str = "vmsr-1") -> dict[str, tuple[str, int]]:
    """Address and port of each peer, as a box sees them now."""
    said = lab[box].exec("swanctl", "--list-sas")
    return {name: (address, int(port)) for name, address, port in _PEER.findall(said)}


def devices(lab: Lab) -> dict[str, dict[str, Any]]:
    """What the controller knows of each device."""
    return {one["name"]: one for one in _network(lab)["device"]}


def sites(lab: Lab) -> dict[str, dict[str, Any]]:
    """How each site is, as the controller sees it."""
    return {one["site-id"]: one for one in _network(lab)["site"]}


def _network(lab: Lab) -> dict[str, Any]:
    answer = Orchestrator.of(lab).call("controller", "GET", "/restconf/data/elasticlab-network:network")
    network: dict[str, Any] = answer.json()["elasticlab-network:network"]
    return network


def until_the_controller_has(lab: Lab, box: str, wan_address: str, seconds: float) -> None:
    """It has a session with the box, and the address that the box has now."""

    def has() -> bool:
        device = devices(lab)[box]
        return bool(device["connected"]) and device.get("wan-address") == wan_address

    wait_for(f"the controller to have {box} at {wan_address}", has, seconds)


def until_all_is_well(lab: Lab, seconds: float) -> None:
    """The controller has a session with every box, and says that every site is up."""

    def well() -> bool:
        return all(one["connected"] for one in devices(lab).values()) and all(
            one["state"] == "up" for one in sites(lab).values()
        )

    wait_for("the controller to have all boxes and all sites up", well, seconds)
