"""A topology as Kubernetes manifests for Clabernetes (kind `Topology`, https://containerlab.dev/manual/clabernetes/).

Clabernetes gives each node a pod in which containerlab deploys that node from the topology file, and joins the pods'
links by VXLAN. So the file goes along as it is; what it binds goes into a ConfigMap.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from harness.topology.model import Topology
from harness.topology.problems import Problem, TopologyError

API = "clabernetes.containerlab.dev/v1alpha1"
Manifest = dict[str, Any]
_OURS = re.compile(r"(?<![\w./-])elasticlab/[a-z0-9][a-z0-9-]*")
_CONFIG_MAP_BYTES = 1_000_000  # of the 1 MiB that Kubernetes stores, names and all


def manifests(topology: Topology, registry: str | None = None) -> list[Manifest]:
    """What `kubectl apply` takes. The cluster pulls our images from `registry` (`HOST[:PORT][/PATH]`), if given.

    Raises:
        TopologyError: it binds what a ConfigMap cannot hold.
    """
    held, files = _files(topology)
    text = topology.path.read_text(encoding="utf-8")
    if registry is not None:
        text = _OURS.sub(lambda ours: f"{registry.rstrip('/')}/{ours[0]}", text)
    # Nodes are network boxes: they make devices, routes and filters. Nothing of a lab is to be reached from outside.
    deployment: dict[str, Any] = {"privilegedLauncher": True}
    if files:
        deployment["filesFromConfigMap"] = files
    spec = {
        "definition": {"containerlab": text},
        "deployment": deployment,
        "expose": {"disableExpose": True},
    }
    made: list[Manifest] = []
    if held:
        metadata = {"name": _config_map(topology)}
        made.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": held})
    made.append({"apiVersion": API, "kind": "Topology", "metadata": {"name": topology.name}, "spec": spec})
    return made


def _config_map(topology: Topology) -> str:
    return f"{topology.name}-files"


def _files(topology: Topology) -> tuple[dict[str, str], dict[str, list[dict[str, str]]]]:
    """What nodes bind: content by key, and by node where each key is seen.

    The file is looked for where the topology file says: that is where containerlab, in the pod, looks for it.
    """
    held: dict[str, str] = {}
    seen: dict[str, list[dict[str, str]]] = {}
    total = 0
    for node in topology.nodes.values():
        for bind in node.binds:
            source = bind.source
            if not source.is_file() or not source.is_relative_to(topology.directory.resolve()):
                _refuse(topology, node.line, f"{source} is no file beside the topology file", "bind single files of it")
            where = source.relative_to(topology.directory.resolve())
            key = str(where).replace("/", "__")
            if key not in held:
                total += source.stat().st_size
                held[key] = base64.b64encode(source.read_bytes()).decode()
            if total > _CONFIG_MAP_BYTES:
                _refuse(topology, node.line, "its files exceed a ConfigMap (1 MB)", "put them into an image")
            file = {"configMapName": _config_map(topology), "configMapPath": key, "filePath": str(where)}
            if file not in seen.setdefault(node.name, []):
                seen[node.name].append(file)
    return held, seen


def _refuse(topology: Topology, line: int, problem: str, remedy: str) -> None:
    raise TopologyError([Problem(topology.path, line, 1, f"Clabernetes: {problem}", remedy)])
