"""The containerlab engine: the real binary and Docker make the lab, and the same tests pass on it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.agent.bundle import CAPABILITIES, DEFAULT_CMD
from harness.engine.start import DISK_SEEN
from harness.evidence import failure, replay
from harness.faults import Clock
from harness.lab import Lab
from harness.paths import REPOSITORY, TOPOLOGIES
from harness.topology import load
from harness.topology.clabernetes import manifests
from harness.wait import wait_for
from tests.lab.test_plain_lab import *  # noqa: F403 (what holds for a lab holds on either engine)

pytestmark = pytest.mark.topology("plain", engine="containerlab")

HOST_2 = "10.2.0.10"


def on_host(lab: Lab, *argv: str) -> str:
    """Standard output of a command on the lab host."""
    done = subprocess.run(lab.host.command(*argv), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def inspected(lab: Lab, *what: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(on_host(lab, "docker", "inspect", *what))
    return found


def test_the_nodes_are_containers_that_containerlab_deployed(lab: Lab) -> None:
    for node, container in zip(lab.nodes, inspected(lab, *lab.nodes), strict=True):
        labels = container["Config"]["Labels"]  # type: ignore[index]
        assert labels["containerlab"] == lab.name
        assert labels["clab-node-kind"] == "linux"
        state = lab.engine.states()[node]
        assert state.running
        assert state.pid == container["State"]["Pid"]  # type: ignore[index]


def test_a_node_that_died_by_itself_has_no_power_and_can_be_given_it(lab: Lab) -> None:
    node = lab["host-2"]
    on_host(lab, "docker", "kill", "host-2")
    wait_for("host-2 to have no power", lambda: not node.running, 5)
    lab["host-1"].must_not_reach(HOST_2)
    node.power.on()
    lab["host-1"].must_reach(HOST_2)


def test_a_command_from_outside_has_input_output_and_status(lab: Lab) -> None:
    argv = lab.command("host-1", ["sh", "-c", "cat; echo err >&2; exit 7"])
    done = subprocess.run(argv, input="in\n", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "in\n", "err\n")


def test_a_nodes_own_clock_is_seen_by_a_command_from_outside_too(lab: Lab) -> None:
    def told(node: str) -> float:
        done = subprocess.run(lab.command(node, ["date", "+%s.%N"]), capture_output=True, text=True, check=True)
        return float(done.stdout) - time.time()

    with lab.fault(Clock("host-2", offset=-86_400)):
        assert told("host-2") == pytest.approx(-86_400, abs=2)
        assert told("host-1") == pytest.approx(0, abs=2)
    assert told("host-2") == pytest.approx(0, abs=2)
    lab["host-1"].must_reach(HOST_2)


def test_a_failed_tests_report_is_as_full_and_says_how_to_have_such_a_lab_again(lab: Lab) -> None:
    shown = {exhibit.name: exhibit.text for exhibit in failure.look(lab)}
    assert "</svg>" in shown["topology when it failed"]
    for node in lab.nodes:
        assert "=== routes:" in shown[node]
        assert lab[node].management_address in shown[node]
        assert f" {DEFAULT_CMD[0]} " in shown[node], "its processes"
    assert "API listen on" in shown["Docker"]
    assert " --lab-engine=containerlab a_test" in replay.told(lab, "a_test")


def test_an_exported_image_is_the_one_that_the_nodes_have(lab: Lab, tmp_path: Path) -> None:
    """Docker takes the archive, and names what is in it by its content: exported twice it is the same image."""
    before = inspected(lab, "host-1")[0]["Image"]
    file = lab.place.folder / "endpoint.tar"
    command = [sys.executable, "-m", "harness.cli", "image", "export", "endpoint", "--json", "--output", str(file)]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout)
    assert (said["file"], said["images"][0]["image"]) == (str(file), "elasticlab/endpoint:latest")
    assert said["images"][0]["digest"].startswith("sha256:")
    try:
        lab.agent.call("docker.load", 120, file=f"/lab/{file.name}")
    finally:
        file.unlink()
    image = inspected(lab, "elasticlab/endpoint:latest")[0]
    assert image["Id"] == before
    assert on_host(lab, "docker", "run", "--rm", "--network", "none", str(image["Id"]), "echo", "starts") == "starts\n"


@pytest.fixture
def disk(lab: Lab) -> Iterator[str]:
    """A file system of 16 MiB, mounted on the lab host."""
    image, place = "/disk/.own.img", "/run/own"
    make = f"truncate -s 16M {image} && mkfs.ext4 -q -F -m 0 {image} && mkdir {place} && mount -o loop {image} {place}"
    on_host(lab, "sh", "-c", make)
    yield place
    on_host(lab, "sh", "-c", f"umount {place} && rmdir {place} && rm {image}")


def test_what_a_container_writes_goes_to_its_own_disk_if_it_has_one_and_is_bounded_by_it(lab: Lab, disk: str) -> None:
    """The start of our images; `test_limits` has all of it, on a lab whose nodes are limited."""
    write = "echo kept >>/root/kept; head -c 20M /dev/zero >/root/more; cat /root/kept; stat -c %s /root/more"
    write += "; stat -f -c %T /run /sys /dev | xargs"
    docker = ["docker", "run", "--rm", "--privileged", "--network", "none", "--volume", f"{disk}:{DISK_SEEN}"]
    for starts in (1, 2):
        *kept, size, kinds = on_host(lab, *docker, "elasticlab/endpoint:latest", "sh", "-c", write).splitlines()
        assert kept == ["kept"] * starts, "it outlives the container"
        assert 8 * 2**20 < int(size) < 16 * 2**20
        assert kinds == "tmpfs sysfs tmpfs", "what was mounted is there too"


def test_what_runs_in_a_node_has_the_rights_of_a_network_box_and_no_others(lab: Lab) -> None:
    """containerlab starts nodes privileged; with that a box could set the clock of the whole lab host."""
    held = int(lab["host-1"].exec("awk", "/^CapEff/ {print $2}", "/proc/1/status"), 16)
    assert held == sum(1 << number for number in CAPABILITIES.values())


def test_what_an_up_that_was_killed_left_undone_is_done_by_the_next_and_only_that(lab: Lab) -> None:
    """Containers are there before their nodes are set up; an agent that is killed in between leaves no mark."""
    lab["host-1"].exec("ip", "route", "del", "10.0.0.0/8")
    lab.engine.build()
    lab["host-1"].must_not_reach(HOST_2)
    on_host(lab, "sh", "-c", "rm /run/elasticlab/set-up/host-1.*")
    lab.engine.build()
    lab["host-1"].must_reach(HOST_2)


def taken_by_containerlab(lab: Lab, file: str) -> bool:
    """Whether plain containerlab reads a topology file, strictly, and finds both ends of each link."""
    environment = ["env", "CLAB_VERSION_CHECK=disable", "CLAB_LABDIR_BASE=/tmp"]
    command = [*environment, "/opt/containerlab/bin/containerlab", "graph", "--offline", "--mermaid", "--topo", file]
    return subprocess.run(lab.host.command(*command), capture_output=True, check=False).returncode == 0


def test_every_topology_of_ours_is_containerlabs(lab: Lab) -> None:
    files = [file.relative_to(REPOSITORY) for file in TOPOLOGIES.glob("*/*.clab.yml")]
    assert len(files) >= 10
    assert [file for file in files if not taken_by_containerlab(lab, f"/opt/elasticlab/{file}")] == []


def test_what_is_exported_for_clabernetes_is_containerlabs_too(lab: Lab) -> None:
    (manifest,) = manifests(load("tiers"))
    (lab.place.folder / "exported.clab.yml").write_text(manifest["spec"]["definition"]["containerlab"])
    assert taken_by_containerlab(lab, "/lab/exported.clab.yml")


@pytest.mark.parametrize(("old", "new"), [("exec:", "execute:"), ('"router:lan-1"', '"rooter:lan-1"')])
def test_a_mistake_in_a_topology_is_seen_by_containerlab_too(lab: Lab, old: str, new: str) -> None:
    text = (TOPOLOGIES / "plain" / "plain.clab.yml").read_text()
    assert old in text
    (lab.place.folder / "bad.clab.yml").write_text(text.replace(old, new))
    assert not taken_by_containerlab(lab, "/lab/bad.clab.yml")
