"""A topology as the agent wants it: plain data with paths as the lab host sees them (see `harness.agent.world`)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.build import Image
from harness.engine.base import EngineError, World
from harness.host.slot import Slot
from harness.topology import Link, Node, Topology

_REGISTRY = "elasticlab/"


def image_of(node: Node) -> str:
    """The recipe behind a node's image name (`elasticlab/NAME:latest` → `NAME`)."""
    name, _, tag = node.image.partition(":")
    if not name.startswith(_REGISTRY) or tag not in ("", "latest"):
        raise EngineError(
            f"node {node.name}: there is no image {node.image!r}; "
            f"it must be {_REGISTRY}NAME:latest for each folder of images/"
        )
    return name.removeprefix(_REGISTRY)


def refuse_unsupported(topology: Topology) -> None:
    """Raise EngineError for what a topology can say and the engines would pass over in silence."""
    asked: dict[str, object] = {
        "mgmt.ipv4-subnet": topology.mgmt.ipv4_subnet,
        "mgmt.ipv6-subnet": topology.mgmt.ipv6_subnet,
        "mgmt.mtu": topology.mgmt.mtu,
    }
    for node in topology.nodes.values():
        asked[f"node {node.name}: mgmt-ipv4"] = node.mgmt_ipv4
        asked[f"node {node.name}: mgmt-ipv6"] = node.mgmt_ipv6
        asked[f"node {node.name}: cap-add"] = node.cap_add or None
    found = [field for field, value in asked.items() if value is not None]
    if found:
        raise EngineError(
            f"{topology.path}: the lab chooses management addresses and capabilities by itself; "
            f"remove {', '.join(found)}"
        )


def mac_of(lab: str, node: str, interface: str) -> str:
    """A locally administered address that is the same at every `up`, so that captures can be compared."""
    digest = hashlib.blake2s(f"{lab}/{node}/{interface}".encode(), digest_size=5).digest()
    return "02:" + ":".join(f"{byte:02x}" for byte in digest)


def _declared(link: Link, lab: str) -> dict[str, dict[str, float]]:
    """What is wrong with it by itself, by side; it loses the same frames at every `up`."""
    seeds = [int(mac_of(lab, end.node, end.interface).replace(":", ""), 16) for end in link.endpoints]
    sides = zip(("a", "b"), link.impaired, seeds, strict=True)
    return {side: {**impaired.values, "seed": seed} for side, impaired, seed in sides if impaired.values}


def world(
    topology: Topology,
    lab: str,
    slot: Slot,
    images: Mapping[str, Image],
    seen: Callable[[Path], str],
    binds: Mapping[str, list[dict[str, Any]]],
) -> World:
    """Describe the lab.

    `seen` translates a path of the user's machine into the lab host's; `binds` are added to the topology's own, by
    node.
    """
    nodes = []
    for number, node in enumerate(topology.nodes.values()):
        own = [{"source": seen(b.source), "target": b.target, "read_only": b.read_only} for b in node.binds]
        nodes.append(
            {
                "name": node.name,
                "number": number,
                "image": node.image,
                "layers": [seen(layer) for layer in images[image_of(node)].layers],
                "management": str(slot.node_address(number)),
                "mac": mac_of(lab, node.name, "eth0"),
                "env": dict(node.env),
                "binds": own + binds.get(node.name, []),
                "exec": list(node.exec),
                "sysctls": dict(node.sysctls),
                "cmd": [*node.entrypoint, *node.cmd],
                "cpu": node.cpu,
                "memory": node.memory,
                "disk": node.disk,
            }
        )
    links = [
        {
            "index": index,
            "mtu": link.mtu,
            "declared": _declared(link, lab),
            "ends": [
                {"node": e.node, "interface": e.interface, "mac": e.mac or mac_of(lab, e.node, e.interface)}
                for e in link.endpoints
            ],
        }
        for index, link in enumerate(topology.links)
    ]
    return {"lab": lab, "management": {"bridge_address": str(slot.host_address)}, "nodes": nodes, "links": links}
