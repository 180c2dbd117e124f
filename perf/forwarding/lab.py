"""What is in the lab of topology `forwarding` before anything is measured: orders carried out, and the same by hand."""

from __future__ import annotations

import tempfile
from pathlib import Path as Folder
from typing import Any

from harness.lab import Lab
from perf.buying import Customer
from perf.forwarding import ways
from perf.forwarding.lane import HAND, OURS, PLAIN, Lane
from perf.forwarding.path import Flow
from perf.peers import handmade
from perf.peers import shapes as peers
from perf.peers.shapes import CLEAR_TAG, TAGS, TRUNK

Json = Any
ROUTED, PREFIX, CLEAR_GRE = (
    (Flow(f"10.{site}.0.10", server, f"10.{site}.0.1"),)
    for site, server in ((1, ways.SERVER), (2, peers.ESP_SERVER), (3, peers.GRE_SERVER))
)
BRIDGED = tuple(Flow(f"10.{tag}.0.10", ways.SERVER, f"10.{tag}.0.1", tag) for tag in TAGS)
CLEAR = (Flow(f"10.{CLEAR_TAG}.0.10", ways.SERVER, f"10.{CLEAR_TAG}.0.1", CLEAR_TAG),)
GRE_ESP, VXLAN_ESP, TEN, ESP = "GRE in ESP", "VXLAN in ESP", "10 VXLAN in ESP", "ESP"
SHAPES: dict[str, tuple[tuple[Flow, ...], str, str | None]] = {
    # Flows, the host's interface by hand, and of ours where the product has it.
    GRE_ESP: (ROUTED, "lan", "lan"),
    VXLAN_ESP: (BRIDGED[:1], TRUNK, TRUNK),
    TEN: (BRIDGED, TRUNK, TRUNK),
    ESP: (PREFIX, "lan", "lan3"),
    "VXLAN": (CLEAR, TRUNK, TRUNK),
    "GRE": (CLEAR_GRE, "lan", None),
}


def routed(customer: Customer, **more: Json) -> dict[str, Json]:
    """The site whose packets travel in GRE."""
    serial = customer.devices["ucpe-1"].serial
    return {"name": "routed", "device": serial, "access": "routed", "gateway": "10.1.0.1/24", **more}


def bridged(customer: Customer, tag: int, **more: Json) -> dict[str, Json]:
    """One whose frames do in VXLAN."""
    site = {"access": "bridged", "port": TRUNK, "vlan": tag, "gateway": f"10.{tag}.0.1/24"}
    return {"name": f"bridged-{tag}", "device": customer.devices["ucpe-1"].serial, **site, **more}


def order(lab: Lab, shapes: list[str]) -> tuple[Customer, dict[str, str]]:
    """Order what is ours of these shapes; the services' ids by the sites' names."""
    customer = Customer(lab)
    customer.own("ucpe-1", "ucpe-2")
    sites = {
        GRE_ESP: [routed(customer)],
        VXLAN_ESP: [bridged(customer, TAGS[0])],
        TEN: [bridged(customer, tag) for tag in TAGS],
        ESP: [
            {"name": "prefix", "device": customer.devices["ucpe-2"].serial, "access": "routed",
             "gateway": "10.2.0.1/24", "encapsulation": "none"}
        ],
        "VXLAN": [bridged(customer, CLEAR_TAG, transport="private-line")],
        "GRE": [],
    }  # fmt: skip
    wanted = {site["name"]: site for shape in shapes for site in sites[shape]}
    services = customer.internet(*wanted.values())
    return customer, dict(zip(wanted, services, strict=True))


def build_by_hand(lab: Lab) -> None:
    with tempfile.TemporaryDirectory(prefix="handmade-") as folder:
        handmade.build(lab, Folder(folder), peers.ESP)
    peers.build(lab)
    handmade.initiate(lab, handmade.LOOPBACKS, peers.ESP)


def lanes(lab: Lab, shapes: list[str]) -> list[Lane]:
    """Every path that these shapes have; the sites' hosts are there."""
    for host in ("host-1", "host-2"):
        lab[host].sh("".join(_vlan(tag) for tag in (*TAGS, CLEAR_TAG)))
    lab["host-1"].exec("ip", "address", "replace", "10.2.0.10/24", "dev", "lan3")
    lab["host-2"].sh("ip address replace 10.2.0.10/24 dev lan; ip address replace 10.3.0.10/24 dev lan")
    ways.count_at_the_internet(lab, "pop", "hand-pop", "plain-pop")
    ways.count_at_hosts(lab, {"host-1": ("lan", TRUNK, "lan3"), "host-2": ("lan", TRUNK), "host-3": ("lan",)})
    found = [Lane(PLAIN, PLAIN, ways.plain(lab))]
    for shape in shapes:
        flows, by_hand, ours = SHAPES[shape]
        first = 0 if len(flows) > 1 else list(SHAPES).index(shape)
        found.append(Lane(shape, HAND, ways.by_hand(lab, f"{shape} by hand", flows, by_hand, first)))
        if ours:
            # Where ours goes is not told by the server's address.
            own = tuple(Flow(one.site, ways.SERVER, one.gateway, one.vlan) for one in flows)
            found.append(Lane(shape, OURS, ways.ours(lab, f"{shape}, ours", own, ours, first)))
    return found


def _vlan(tag: int) -> str:
    return f"""
ip link add link {TRUNK} name {TRUNK}.{tag} type vlan id {tag} && ip link set {TRUNK}.{tag} up
ip address replace 10.{tag}.0.10/24 dev {TRUNK}.{tag}
"""
