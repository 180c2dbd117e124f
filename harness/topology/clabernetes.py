"""A topology as Kubernetes manifests for Clabernetes (kind `Topology`, https://c9s.run).

Clabernetes makes each node a container in a pod and joins their links. Its releases differ in the group of their API;
older ones know no groups of nodes, newer ones refuse labels that Kubernetes would, and files of a host. So a topology
goes along merged and without what elasticlab alone reads, and what nodes bind as a ConfigMap.
"""

from __future__ import annotations

import base64
import shlex
from pathlib import Path
from typing import Any

import yaml

from .links import DEFAULT_MTU
from .model import Endpoint, Link, Node, Topology
from .problems import Problem, TopologyError

GROUPS = ("c9s.run", "clabernetes.containerlab.dev")
"""Of the API: since release 0.7, and before."""

Manifest = dict[str, Any]
_VERSION = "v1alpha1"
_OURS = "elasticlab/"
# By what kubectl may look for pods. Others of ours have values that no label of Kubernetes may have.
_LABELS = ("elasticlab.role", "elasticlab.site")
_CONFIG_MAP_BYTES = 1_000_000  # of the 1 MiB that Kubernetes stores, names and all


def manifests(topology: Topology, registry: str | None = None, group: str = GROUPS[0]) -> list[Manifest]:
    """What `kubectl apply` takes. The cluster pulls our images from `registry` (`HOST[:PORT][/PATH]`), if given.

    Raises:
        TopologyError: it binds what a ConfigMap cannot hold.
    """
    held, files = _files(topology)
    spec: dict[str, Any] = {
        "definition": {"containerlab": _text(_definition(topology, registry))},
        "expose": {"exposeType": "None"},  # nothing of a lab is to be reached from outside
    }
    made: list[Manifest] = []
    if held:
        spec["deployment"] = {"filesFromConfigMap": files}
        metadata = {"name": _config_map(topology)}
        made.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": held})
    metadata = {"name": topology.name}
    made.append({"apiVersion": f"{group}/{_VERSION}", "kind": "Topology", "metadata": metadata, "spec": spec})
    return made


def _definition(topology: Topology, registry: str | None) -> dict[str, Any]:
    mgmt = {"ipv4-subnet": topology.mgmt.ipv4_subnet, "ipv6-subnet": topology.mgmt.ipv6_subnet}
    made = {
        "name": topology.name,
        "mgmt": {key: str(value) for key, value in mgmt.items() if value},
        "topology": {
            "nodes": {node.name: _node(topology, node, registry) for node in topology.nodes.values()},
            "links": [_link(link) for link in topology.links],
        },
    }
    return {key: value for key, value in made.items() if value}


def _node(topology: Topology, node: Node, registry: str | None) -> dict[str, Any]:
    """Limits are those of its tier too; a disk has no word there."""
    said: dict[str, Any] = {
        "kind": node.kind,
        "image": f"{registry.rstrip('/')}/{node.image}" if registry and node.image.startswith(_OURS) else node.image,
        "labels": {key: value for key, value in node.labels.items() if _is_kept(key)},
        "env": dict(node.env),
        "binds": [f"{_seen(topology, b.source)}:{b.target}{':ro' if b.read_only else ''}" for b in node.binds],
        "sysctls": dict(node.sysctls),
        "cap-add": list(node.cap_add),
        "mgmt-ipv4": str(node.mgmt_ipv4 or ""),
        "mgmt-ipv6": str(node.mgmt_ipv6 or ""),
        "cpu": node.cpu,
        "memory": str(node.memory or ""),
        "entrypoint": shlex.join(node.entrypoint),
        "cmd": shlex.join(node.cmd),
        "exec": list(node.exec),
    }
    return {key: value for key, value in said.items() if value}


def _is_kept(label: str) -> bool:
    return label in _LABELS or not label.startswith("elasticlab.")


def _link(link: Link) -> dict[str, Any]:
    """In containerlab's short form, unless an end has an address of its own."""
    mtu = {} if link.mtu == DEFAULT_MTU else {"mtu": link.mtu}
    if not any(end.mac for end in link.endpoints):
        return {"endpoints": [str(end) for end in link.endpoints], **mtu}
    return {"type": "veth", "endpoints": [_end(end) for end in link.endpoints], **mtu}


def _end(end: Endpoint) -> dict[str, str]:
    mac = {"mac": end.mac} if end.mac else {}
    return {"node": end.node, "interface": end.interface, **mac}


def _config_map(topology: Topology) -> str:
    return f"{topology.name}-files"


def _files(topology: Topology) -> tuple[dict[str, str], dict[str, list[dict[str, str]]]]:
    """What nodes bind: content by key, and by node where each key is seen: where its bind looks for it."""
    held: dict[str, str] = {}
    seen: dict[str, list[dict[str, str]]] = {}
    total = 0
    for node in topology.nodes.values():
        for bind in node.binds:
            source = bind.source
            if not source.is_file() or not source.is_relative_to(topology.directory.resolve()):
                _refuse(topology, node.line, f"{source} is no file beside the topology file", "bind single files of it")
            where = _seen(topology, source)
            key = where.replace("/", "__")
            if key not in held:
                total += source.stat().st_size
                held[key] = base64.b64encode(source.read_bytes()).decode()
            if total > _CONFIG_MAP_BYTES:
                _refuse(topology, node.line, "its files exceed a ConfigMap (1 MB)", "put them into an image")
            file = {"configMapName": _config_map(topology), "configMapPath": key, "filePath": where}
            if file not in seen.setdefault(node.name, []):
                seen[node.name].append(file)
    return held, seen


def _seen(topology: Topology, source: Path) -> str:
    return str(source.relative_to(topology.directory.resolve()))


def _refuse(topology: Topology, line: int, problem: str, remedy: str) -> None:
    raise TopologyError([Problem(topology.path, line, 1, f"Clabernetes: {problem}", remedy)])


def text(documents: list[Manifest]) -> str:
    """As YAML, in the order in which people read them."""
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


def _text(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as people write them."""


def _lines(dumper: yaml.SafeDumper, said: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", said, style="|" if "\n" in said else None)


_Dumper.add_representer(str, _lines)
