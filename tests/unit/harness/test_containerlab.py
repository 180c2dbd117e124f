"""What the engine tells containerlab, in its own format."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.build import Image
from harness.build.store import Store
from harness.engine import EngineError
from harness.engine.containerlab import ContainerlabEngine, deployment
from harness.engine.describe import world
from harness.engine.disk import Disk, prune
from harness.host import HostError, LabPlace
from harness.host.lab_kernel import LabKernel
from harness.host.rootfs import Rootfs
from harness.host.slot import Slot
from harness.paths import labs_dir
from harness.topology import load

IMAGES = {name: Image(name, "0", (Path("/cache/x"),)) for name in ("element", "endpoint", "stack")}


@pytest.fixture
def demo() -> dict[str, Any]:
    binds = {"ucpe-1": [{"source": "/lab/factory/ucpe-1", "target": "/factory", "read_only": True}]}
    return world(load("demo"), "demo", Slot(3), IMAGES, str, binds)


class RecordingAgent:
    """Answers with the states it is given and keeps what it is told: the agent's end is on a lab host."""

    def __init__(self, states: dict[str, str]) -> None:
        self.states = {name: {"status": status, "pid": 1} for name, status in states.items()}
        self.told: dict[str, Any] = {}

    def call(self, operation: str, within: float = 60, /, **arguments: Any) -> Any:
        if operation == "node.states":
            return self.states
        self.told[operation] = arguments
        return None


def test_every_end_of_every_link_is_a_cable_to_the_lab_host(demo: dict[str, Any]) -> None:
    names = [node["name"] for node in demo["nodes"]]
    links = deployment(demo, names, "demo")["topology"]["links"]
    ends = {(link["endpoint"]["node"], link["endpoint"]["interface"]): link for link in links}
    assert len(ends) == len(links) == 2 * len(demo["links"]) + len(names)
    assert len({link["host-interface"] for link in links}) == len(links)
    assert {link["type"] for link in links} == {"host"}
    first = demo["links"][0]
    for side, end in zip("ab", first["ends"], strict=True):
        made = ends[end["node"], end["interface"]]
        assert made["host-interface"] == f"p{first['index']}{side}"
        assert (made["mtu"], made["endpoint"]["mac"]) == (first["mtu"], end["mac"])
    assert ends["stack", "eth0"]["host-interface"] == "m0"


def test_a_node_is_what_the_topology_says_and_exec_is_not_containerlabs(demo: dict[str, Any]) -> None:
    nodes = deployment(demo, ["nat-1", "ucpe-1"], "demo")["topology"]["nodes"]
    assert list(nodes) == ["ucpe-1", "nat-1"]
    nat = nodes["nat-1"]
    assert nat["image"] == "elasticlab/endpoint:latest"
    assert nat["sysctls"] == {"net.ipv4.ip_forward": "1"}
    assert nat["env"]["DHCP_RANGE"].startswith("192.168.1.10")
    assert shlex.split(nat["cmd"])[:2] == ["/bin/sh", "-c"]
    assert "exec" not in nat
    assert "/lab/factory/ucpe-1:/factory:ro" in nodes["ucpe-1"]["binds"]
    assert "cmd" not in nodes["ucpe-1"], "the image knows how it starts"


def test_a_name_that_containerlab_refuses_is_refused_with_the_remedy(demo: dict[str, Any]) -> None:
    demo["nodes"][0]["name"] = "a"
    with pytest.raises(EngineError, match=r"node a: .* rename it"):
        deployment(demo, ["a"], "demo")


def test_limits_are_passed_on(demo: dict[str, Any]) -> None:
    demo["nodes"][0] |= {"cpu": 0.5, "memory": 256 * 2**20}
    demo["nodes"][1] |= {"disk": 64 * 2**20}
    nodes = deployment(demo, ["stack", "vmsr-1"], "demo")["topology"]["nodes"]
    assert (nodes["stack"]["cpu"], nodes["stack"]["memory"]) == (0.5, str(256 * 2**20))
    own = "/run/elasticlab/nodes/vmsr-1/disk:/.elasticlab-disk"
    assert (own in nodes["vmsr-1"]["binds"], own in nodes["stack"]["binds"]) == (True, False)


def test_boxes_that_come_later_are_a_deployment_of_their_own(demo: dict[str, Any]) -> None:
    boxes = ["vmsr-1", "ucpe-1", "ucpe-2"]
    first = RecordingAgent({})
    ContainerlabEngine(first, demo).build(later=boxes)  # type: ignore[arg-type]
    told = first.told["deployed.build"]
    assert told["start"] == []
    (name,) = told["deploy"]
    assert name == "demo"
    assert not set(boxes) & json.loads(told["deploy"][name])["topology"]["nodes"].keys()
    others = {node["name"]: "running" for node in demo["nodes"] if node["name"] not in boxes}
    second = RecordingAgent(others | {"host-1": "exited"})
    ContainerlabEngine(second, demo).build()  # type: ignore[arg-type]
    told = second.told["deployed.build"]
    assert told["start"] == ["host-1"]
    (name,) = told["deploy"]
    assert name != "demo"
    assert json.loads(told["deploy"][name])["topology"]["nodes"].keys() == set(boxes)


def test_nothing_is_deployed_where_everything_is_there(demo: dict[str, Any]) -> None:
    agent = RecordingAgent({node["name"]: "running" for node in demo["nodes"]})
    ContainerlabEngine(agent, demo).build()  # type: ignore[arg-type]
    assert agent.told["deployed.build"]["deploy"] == {}


def test_marks_of_templates_do_not_reach_containerlab(demo: dict[str, Any]) -> None:
    demo["nodes"][0]["env"] = {"FORMAT": "{{.Name}}"}
    agent = RecordingAgent({})
    ContainerlabEngine(agent, demo).build()  # type: ignore[arg-type]
    text = agent.told["deployed.build"]["deploy"]["demo"]
    assert "{{" not in text
    assert json.loads(text)["topology"]["nodes"]["stack"]["env"]["FORMAT"] == "{{.Name}}"


def test_a_disk_serves_who_wants_what_it_holds_or_less() -> None:
    disk = Disk(Path("x"), {"endpoint": "1", "element": "2"}, "")
    assert disk.holds({"endpoint": "1"})
    assert not disk.holds({"endpoint": "2"})
    assert not disk.holds({"endpoint": "1", "stack": "3"})


@pytest.fixture
def disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Store, list[Path]]:
    """A cache with six disks, the newest first."""
    monkeypatch.setenv("ELASTICLAB_STATE", str(tmp_path / "state"))
    store = Store(tmp_path / "cache")
    made = [store.folder("layers", str(number)) / "disk.img" for number in range(6)]
    for number, file in enumerate(made):
        file.write_bytes(b"x")
        os.utime(file, (1_000_000 - number, 1_000_000 - number))
    return store, made


def test_disks_go_when_they_were_replaced_unless_a_lab_needs_them(disks: tuple[Store, list[Path]]) -> None:
    store, made = disks
    lab = labs_dir() / "mine"
    lab.mkdir(parents=True)
    (lab / "host.json").write_text(json.dumps({"disk": str(made[4])}))
    opened = f"import fcntl; f = open({str(made[5])!r}); fcntl.lockf(f, fcntl.LOCK_SH); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", opened], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as kernel:
        assert kernel.stdout is not None
        kernel.stdout.readline()
        prune(store)
        kernel.kill()
    assert [file.exists() for file in made] == [True, True, True, False, True, True]
    prune(store)
    assert [file.exists() for file in made] == [True, True, True, False, True, False]


def test_a_lab_stays_with_the_disk_that_it_started_from(disks: tuple[Store, list[Path]]) -> None:
    store, made = disks
    place = LabPlace("mine", labs_dir() / "mine")
    place.folder.mkdir(parents=True)
    host = LabKernel(place, Rootfs((), store.folder("layers"), "containerlab", made[0]), Path("/linux"), nodes=0)
    assert host.first_disk() == made[0]
    (place.folder / "host.json").write_text(json.dumps({"disk": str(made[1])}))
    assert host.first_disk() == made[0], "nothing was written yet"
    (place.folder / "disk.cow").touch()
    assert host.first_disk() == made[1]
    made[1].unlink()
    with pytest.raises(HostError, match="labctl down mine"):
        host.first_disk()
