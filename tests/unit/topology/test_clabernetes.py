"""Topologies as Kubernetes manifests for Clabernetes."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from click.testing import CliRunner

from harness.cli.commands import labctl
from harness.topology import TopologyError, load
from harness.topology.clabernetes import manifests

TEXT = {"type": "string"}
FILE = {
    "type": "object",
    "properties": {"configMapName": TEXT, "configMapPath": TEXT, "filePath": TEXT},
    "required": ["configMapName", "filePath"],
    "additionalProperties": False,
}
# What we use of the fields of Topology, and their types, after Clabernetes' CustomResourceDefinition
# (charts/clabernetes/crds/clabernetes.containerlab.dev_topologies.yaml), which no package index offers.
TOPOLOGY = {
    "type": "object",
    "properties": {
        "apiVersion": {"const": "clabernetes.containerlab.dev/v1alpha1"},
        "kind": {"const": "Topology"},
        "metadata": {"type": "object", "properties": {"name": TEXT}},
        "spec": {
            "type": "object",
            "required": ["definition"],
            "additionalProperties": False,
            "properties": {
                "definition": {"type": "object", "properties": {"containerlab": TEXT}, "additionalProperties": False},
                "deployment": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "privilegedLauncher": {"type": "boolean"},
                        "filesFromConfigMap": {
                            "type": "object",
                            "additionalProperties": {"type": "array", "items": FILE},
                        },
                    },
                },
                "expose": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"disableExpose": {"type": "boolean"}},
                },
            },
        },
    },
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
}


def check(manifest: dict[str, Any]) -> None:
    jsonschema_rs.validator_for(TOPOLOGY).validate(manifest)


@pytest.fixture
def bound(tmp_path: Path) -> Path:
    """A topology whose nodes bind files that lie beside it."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/a.bin").write_bytes(bytes(range(256)))
    file = tmp_path / "bound.clab.yml"
    file.write_text(
        "name: bound\ntopology:\n  defaults: {kind: linux, image: 'elasticlab/endpoint:latest'}\n  nodes:\n"
        "    one: {binds: ['conf/a.bin:/etc/a.bin:ro']}\n"
        "    two: {binds: ['conf/a.bin:/etc/b.bin:ro']}\n"
        "    three: {}\n"
    )
    return file


@pytest.mark.parametrize("name", ["demo", "plain", "tenants"])
def test_a_topology_goes_along_as_it_is(name: str) -> None:
    topology = load(name)
    (manifest,) = manifests(topology)
    check(manifest)
    assert manifest["metadata"]["name"] == topology.name
    assert manifest["spec"]["definition"]["containerlab"] == topology.path.read_text()


def test_our_images_come_from_the_registry_that_the_cluster_has(tmp_path: Path) -> None:
    (manifest,) = manifests(load("demo"), "registry.example:5000/lab")
    text = manifest["spec"]["definition"]["containerlab"]
    assert "image: registry.example:5000/lab/elasticlab/element:latest" in text
    file = tmp_path / "demo.clab.yml"
    file.write_text(text)
    moved, original = load(file), load("demo")
    assert {n.image.removeprefix("registry.example:5000/lab/") for n in moved.nodes.values()} == {
        n.image for n in original.nodes.values()
    }
    assert moved.links == original.links


def test_what_nodes_bind_is_in_a_config_map(bound: Path) -> None:
    files, topology = manifests(load(bound))
    check(topology)
    (key,) = files["binaryData"]
    assert base64.b64decode(files["binaryData"][key]) == bytes(range(256))
    mounted = topology["spec"]["deployment"]["filesFromConfigMap"]
    wanted = [{"configMapName": files["metadata"]["name"], "configMapPath": key, "filePath": "conf/a.bin"}]
    assert mounted == {"one": wanted, "two": wanted}


def test_what_a_config_map_cannot_hold_is_refused_with_its_line(bound: Path) -> None:
    (bound.parent / "conf/a.bin").write_bytes(bytes(1_000_001))
    with pytest.raises(TopologyError, match=r"bound.clab.yml:5:\d+: Clabernetes: .* \(put them into an image\)"):
        manifests(load(bound))
    bound.write_text(bound.read_text().replace("conf/a.bin:/etc/a.bin", "conf:/etc/conf"))
    with pytest.raises(TopologyError, match="is no file beside the topology file"):
        manifests(load(bound))


def test_the_command_writes_what_kubectl_reads(bound: Path) -> None:
    done = CliRunner().invoke(labctl, ["export", str(bound), "--clabernetes"])
    assert done.exit_code == 0, done.output
    assert list(yaml.safe_load_all(done.stdout)) == manifests(load(bound))
    target = bound.with_suffix(".k8s.yml")
    CliRunner().invoke(labctl, ["export", str(bound), "--clabernetes", "-o", str(target)])
    assert target.read_text() == done.stdout
    assert CliRunner().invoke(labctl, ["export", str(bound)]).exit_code == 2
