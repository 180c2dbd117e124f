"""The demo by the containerlab engine: ordered, encrypted, and itself again after a power cut; and the topology file as
it is, deployed by containerlab alone."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from harness.faults import Power
from harness.lab import Lab, assert_encrypted
from harness.topology import load
from harness.wait import wait_for
from tests.live import events, page, until

pytestmark = pytest.mark.topology("demo", engine="containerlab")

HOSTS = ("host-1", "host-2")
HOST_1, HOST_2 = "10.1.0.10", "10.2.0.10"
SERVER = "198.51.100.80"
PLAIN = ["env", "CLAB_VERSION_CHECK=disable", "CLAB_LABDIR_BASE=/tmp", "/opt/containerlab/bin/containerlab"]


def on_host(lab: Lab, *argv: str, seconds: float = 120) -> str:
    """Standard output of a command on the lab host."""
    done = subprocess.run(lab.host.command(*argv), capture_output=True, text=True, check=False, timeout=seconds)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_what_was_ordered_is_there_and_nobody_on_the_way_can_read_it(lab: Lab) -> None:
    assert lab.engine.name == "containerlab"  # type: ignore[attr-defined]
    assert lab["host-2"].reaches(SERVER)
    with assert_encrypted(lab, "ucpe-1:wan"), assert_encrypted(lab, "ucpe-2:wan"), assert_encrypted(lab, "vmsr-1:wan"):
        assert lab["host-1"].reaches(HOST_2)
        assert lab["host-2"].reaches(HOST_1)


def test_the_live_page_is_told_of_tunnels_rates_and_power(lab: Lab) -> None:
    def states(told: dict[str, Any]) -> dict[str, str]:
        return {f"{tunnel['a']} {tunnel['b']}": tunnel["state"] for tunnel in told["tunnels"]}

    with page(lab) as far:
        news = events(far)
        tunnels = {"ucpe-1 vmsr-1": "up", "ucpe-2 vmsr-1": "up"}
        until(news, "both tunnels", lambda told: states(told) == tunnels and set(told["running"]) == set(lab.nodes))
        assert lab["host-1"].run("ping", "-c50", "-i0.01", "-s1000", HOST_2).ok
        until(news, "what both ends send", lambda told: min(told["sent"][f"{end}:lan"] for end in HOSTS) > 1e5)
        with lab.fault(Power("host-2")):
            until(news, "a node without power", lambda told: set(lab.nodes) - set(told["running"]) == {"host-2"})
        until(news, "its power", lambda told: "host-2" in told["running"])


@pytest.mark.parametrize("box", ["ucpe-2", "vmsr-1"])
def test_a_box_is_itself_again_after_a_power_cut(lab: Lab, box: str) -> None:
    lab[box].power.off()
    lab["host-1"].must_not_reach(HOST_2)
    lab[box].power.on()
    lab["host-1"].must_reach(HOST_2, 60)
    assert lab["host-2"].reaches(SERVER)


def test_plain_containerlab_deploys_the_file_as_it_is(lab: Lab) -> None:
    """Beside our lab, with links and a management network of its own; boxes have no identity there and wait for one."""
    file = f"/opt/elasticlab/topologies/{load('demo').path.relative_to(load('demo').path.parents[1])}"
    try:
        on_host(lab, *PLAIN, "deploy", "--topo", file)
        running = on_host(lab, "docker", "ps", "--filter", "label=containerlab=demo", "--format", "{{.Names}}").split()
        assert sorted(running) == sorted(f"clab-demo-{name}" for name in lab.nodes)
        # Its own `exec` has run: the NAT router has its address, and the provider's router answers over the link.
        ping = ["docker", "exec", "clab-demo-nat-1", "ping", "-n", "-c1", "-W1", "192.0.2.1"]
        wait_for("nat-1 to reach its provider", lambda: "1 received" in on_host(lab, *ping), 10)
        tables = on_host(lab, "docker", "exec", "clab-demo-nat-1", "nft", "list", "ruleset")
        assert 'oifname "wan" masquerade' in tables
    finally:
        on_host(lab, *PLAIN, "destroy", "--topo", file, "--cleanup")
    assert on_host(lab, "docker", "ps", "--all", "--quiet", "--filter", "label=containerlab=demo") == ""
    lab["host-1"].must_reach(HOST_2)
