"""The engine that drives the real containerlab: its binary makes and removes nodes, Docker's SDK switches them.

Both are on the lab host, beside a Docker daemon of the lab's own. What a topology says reaches containerlab in a file
of its own format, with two differences from the user's: each link becomes two, from a node to the lab host, where the
agent connects them (so that a cable can be cut, and outlives the power of its nodes); and `exec` is left to the agent,
which runs it at every start and not at the first only. The user's own file deploys with plain containerlab as it is.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection
from typing import Any

from harness.agent.places import CLOCKS, own_disk
from harness.agent.ports import SIDES, port
from harness.engine.base import EngineError, World
from harness.engine.start import CLOCKS_SEEN, DISK_SEEN, WAIT
from harness.engine.worlds import WorldEngine

_BUILD_SECONDS = 300
_MANAGEMENT = "eth0"
_SHORTEST = 2


class ContainerlabEngine(WorldEngine):
    name = "containerlab"

    def build(self, later: Collection[str] = ()) -> dict[str, float]:
        self._agent.call("deployed.settle", _BUILD_SECONDS)
        known = self._agent.call("node.states")
        names = [node["name"] for node in self._world["nodes"] if node["name"] not in later]
        missing = [name for name in names if name not in known]
        stopped = [name for name in names if name in known and known[name]["status"] not in ("running", "paused")]
        deploy = {}
        if missing:
            # A lab that is deployed takes no more links to the lab host, so what comes later is one more.
            name = self._world["lab"] + (f"-{len(known)}" if known else "")
            deploy[name] = _text(deployment(self._world, missing, name))
        self._agent.call("deployed.build", _BUILD_SECONDS, world=self._world, deploy=deploy, start=stopped)
        return {}

    def demolish(self) -> list[str]:
        return self.demolish_within(_BUILD_SECONDS)


def deployment(world: World, nodes: Collection[str], name: str) -> dict[str, Any]:
    """Nodes of a world as a topology of containerlab's. Raises EngineError for what it would refuse."""
    chosen = [node for node in world["nodes"] if node["name"] in nodes]
    for node in chosen:
        if len(node["name"]) < _SHORTEST:
            raise EngineError(
                f"node {node['name']}: containerlab takes no container name of one letter; rename it, "
                "or let the native engine make the lab"
            )
    return {
        "name": name,
        "prefix": "",  # the lab host is this lab's alone: a container is called as its node is
        "mgmt": {"skip-when-unused": True},
        "topology": {
            "defaults": {"kind": "linux", "network-mode": "none", "restart-policy": "no"},
            "nodes": {node["name"]: _node(node) for node in chosen},
            "links": [
                *(half for link in world["links"] for half in _halves(link) if half["endpoint"]["node"] in nodes),
                *(_half(node["name"], _MANAGEMENT, node["mac"], f"m{node['number']}", 1500) for node in chosen),
            ],
        },
    }


def _node(node: dict[str, Any]) -> dict[str, Any]:
    binds = [
        *node["binds"],
        {"source": "/lab/hosts", "target": "/etc/hosts", "read_only": True},
        {"source": str(CLOCKS), "target": CLOCKS_SEEN, "read_only": True},
    ]
    if node["disk"]:
        binds.append({"source": str(own_disk(node["name"])), "target": DISK_SEEN, "read_only": False})
    asked: dict[str, Any] = {
        "image": node["image"],
        "env": {**node["env"], WAIT: _MANAGEMENT},
        "binds": [f"{bind['source']}:{bind['target']}{':ro' if bind['read_only'] else ''}" for bind in binds],
        "sysctls": node["sysctls"],
        "cmd": shlex.join(node["cmd"]),
        "cpu": node["cpu"],
        "memory": str(node["memory"]) if node["memory"] else None,
    }
    return {key: value for key, value in asked.items() if value}


def _halves(link: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        _half(end["node"], end["interface"], end["mac"], port(link["index"], side), link["mtu"])
        for side, end in zip(SIDES, link["ends"], strict=True)
    ]


def _half(node: str, interface: str, mac: str, there: str, mtu: int) -> dict[str, Any]:
    end = {"node": node, "interface": interface, "mac": mac}
    return {"type": "host", "endpoint": end, "host-interface": there, "mtu": mtu}


def _text(topology: dict[str, Any]) -> str:
    """As YAML, of which JSON is a part. containerlab reads files as Go templates: no mark of theirs may be in it."""
    return json.dumps(topology, indent=1).replace("{{", "{\\u007b")
