"""Topologies as Kubernetes manifests for Clabernetes."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from click.testing import CliRunner

from harness.cli.commands import labctl
from harness.topology import TOPOLOGIES, Topology, TopologyError, load
from harness.topology.clabernetes import GROUPS, manifests

SPECS = yaml.safe_load(Path(__file__).with_name("clabernetes.yml").read_text())
SHIPPED = sorted(file.parent.name for file in TOPOLOGIES.glob("*/*.clab.yml"))
# The value of a label of Kubernetes (apimachinery, validation.IsValidLabelValue).
LABEL_VALUE = re.compile(r"|[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


def check(manifest: dict[str, Any]) -> None:
    group, _, version = manifest["apiVersion"].partition("/")
    assert (manifest["kind"], version, manifest.keys()) == (
        "Topology",
        "v1alpha1",
        {"apiVersion", "kind", "metadata", "spec"},
    )
    schema = {**SPECS[group], "definitions": SPECS["definitions"]}
    jsonschema_rs.validator_for(schema).validate(manifest["spec"])


def definition(manifest: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(manifest["spec"]["definition"]["containerlab"])
    return found


def again(manifest: dict[str, Any], directory: Path) -> Topology:
    """The topology that its definition is to us."""
    file = directory / "exported.clab.yml"
    file.write_text(manifest["spec"]["definition"]["containerlab"])
    return load(file)


@pytest.fixture
def bound(tmp_path: Path) -> Path:
    """A topology whose nodes bind files that lie beside it."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/a.bin").write_bytes(bytes(range(256)))
    file = tmp_path / "bound.clab.yml"
    file.write_text(
        "name: bound\ntopology:\n  defaults: {kind: linux, image: 'elasticlab/endpoint:latest'}\n  nodes:\n"
        "    one: {binds: ['./conf/a.bin:/etc/a.bin:ro']}\n"
        "    two: {binds: ['conf/a.bin:/etc/b.bin']}\n"
        "    three: {}\n"
    )
    return file


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("name", SHIPPED)
def test_clabernetes_has_every_field_that_we_write(name: str, group: str) -> None:
    (manifest,) = manifests(load(name), group=group)
    assert manifest["apiVersion"].startswith(f"{group}/")
    check(manifest)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_topology_goes_along_but_for_what_only_we_read(name: str, tmp_path: Path) -> None:
    original = load(name)
    (manifest,) = manifests(original)
    assert manifest["metadata"]["name"] == original.name
    found = again(manifest, tmp_path)

    def without(topology: Topology) -> Any:
        nodes = [
            (n.kind, n.image, n.role, n.site, n.env, n.sysctls, n.exec, n.entrypoint, n.cmd, n.cpu, n.memory)
            for n in topology.nodes.values()
        ]
        return list(topology.nodes), nodes, [(link.endpoints, link.mtu) for link in topology.links]

    assert without(found) == without(original)


def test_labels_are_such_as_kubernetes_takes() -> None:
    shipped = [definition(manifests(load(name))[0])["topology"]["nodes"] for name in SHIPPED]
    values = {value for nodes in shipped for node in nodes.values() for value in node.get("labels", {}).values()}
    assert {"ucpe", "branch-1"} <= values
    assert [value for value in values if not LABEL_VALUE.fullmatch(value)] == []


def test_what_the_file_itself_says_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "own.clab.yml"
    file.write_text(
        "name: own\nmgmt: {ipv4-subnet: 172.30.0.0/24}\ntopology:\n"
        "  groups: {box: {image: other/image, labels: {owner: somebody, elasticlab.ready: 'tcp:830,tcp:22'}}}\n"
        "  nodes:\n"
        "    a: {kind: linux, group: box, mgmt-ipv4: 172.30.0.7, cap-add: [SYS_TIME], memory: 64MiB}\n"
        "    b: {kind: linux, group: box, cpu: 0.5}\n  links:\n"
        "    - {type: veth, endpoints: [{node: a, interface: x, mac: '02:00:00:00:00:01'}, {node: b, interface: y}]}\n"
    )
    (manifest,) = manifests(load(file), "registry.example")
    made = definition(manifest)
    assert made["mgmt"] == {"ipv4-subnet": "172.30.0.0/24"}
    a = {"labels": {"owner": "somebody"}, "image": "other/image", "kind": "linux"}
    assert made["topology"]["nodes"]["a"] == {
        **a, "mgmt-ipv4": "172.30.0.7", "cap-add": ["CAP_SYS_TIME"], "memory": str(64 * 2**20)
    }  # fmt: skip
    assert made["topology"]["nodes"]["b"] == {**a, "cpu": 0.5}
    original, found = load(file), again(manifest, tmp_path)
    assert [replace(link, line=0) for link in found.links] == [replace(link, line=0) for link in original.links]


def test_our_images_come_from_the_registry_that_the_cluster_has(tmp_path: Path) -> None:
    (manifest,) = manifests(load("demo"), "registry.example:5000/lab/")
    images = {name: node["image"] for name, node in definition(manifest)["topology"]["nodes"].items()}
    assert images == {name: f"registry.example:5000/lab/{node.image}" for name, node in load("demo").nodes.items()}


@pytest.mark.parametrize("group", GROUPS)
def test_what_nodes_bind_is_in_a_config_map(bound: Path, group: str) -> None:
    files, topology = manifests(load(bound), group=group)
    check(topology)
    (key,) = files["binaryData"]
    assert base64.b64decode(files["binaryData"][key]) == bytes(range(256))
    mounted = topology["spec"]["deployment"]["filesFromConfigMap"]
    wanted = [{"configMapName": files["metadata"]["name"], "configMapPath": key, "filePath": "conf/a.bin"}]
    assert mounted == {"one": wanted, "two": wanted}
    nodes = definition(topology)["topology"]["nodes"]
    # Word for word the path of the file: that is how Clabernetes finds it.
    assert nodes["one"]["binds"] == ["conf/a.bin:/etc/a.bin:ro"]
    assert nodes["two"]["binds"] == ["conf/a.bin:/etc/b.bin"]


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
    older = CliRunner().invoke(labctl, ["export", str(bound), "--clabernetes", "--api-group", GROUPS[1]])
    assert list(yaml.safe_load_all(older.stdout)) == manifests(load(bound), group=GROUPS[1])
    assert CliRunner().invoke(labctl, ["export", str(bound)]).exit_code == 2
