"""Limits of nodes (PC-01), felt from inside: processor, memory, disk, links; and nobody else feels them."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.faults import Cpu, Disk, MemoryPressure
from harness.lab import Lab
from harness.paths import REPOSITORY
from harness.topology import TIERS
from harness.wait import wait_for

pytestmark = pytest.mark.topology("limits")

MIB = 2**20
PLACES = {"board": "embedded", "shelf": "access-board", "frame": "aio", "server": "rack"}
"""The node of each tier."""
NODES = (*PLACES, "own")
_SPIN = """
import time
begun, used = time.monotonic(), time.process_time()
while time.monotonic() < begun + 1.5: pass
print((time.process_time() - used) / (time.monotonic() - begun))
"""
_WRITE = "head -c {octets} /dev/zero >>/root/more; status=$?; sync -f /root; exit $status"


def limits(lab: Lab, node: str) -> tuple[float | None, int | None, int | None]:
    found = lab.topology.nodes[node]
    return found.cpu, found.memory, found.disk


def rate_of(lab: Lab, node: str) -> float:
    """The rate of its link, which is the same both ways."""
    (rate,) = {side.rate for side in lab.topology.link_at(node, "lan").impaired}
    return rate


def spins(lab: Lab, node: str) -> float:
    """What it gets of a processor."""
    return float(lab[node].exec("python3", "-c", _SPIN))


def test_each_node_sees_its_limits_and_its_own_count_before_its_tiers(lab: Lab) -> None:
    for node in NODES:
        cpu, memory, disk = limits(lab, node)
        assert disk is not None
        look = "cd /sys/fs/cgroup; cat cpu.max memory.max; df -B1 --output=size / | tail -n 1"
        quota, period, most, size = map(int, lab[node].sh(look).split())
        assert (quota / period, most) == (cpu, memory), node
        assert 0.6 * disk < size <= disk, "what its file system needs for itself is a part of it"
    assert limits(lab, "own") == (0.8, 32 * MIB, 16 * MIB)
    assert lab["hub"].sh("cd /sys/fs/cgroup; cat cpu.max memory.max") == "max 100000\nmax\n"


def test_who_computes_gets_the_share_of_its_node_also_beside_others(lab: Lab) -> None:
    with ThreadPoolExecutor() as pool:
        board, shelf = pool.map(lambda node: spins(lab, node), ("board", "shelf"))
    assert board == pytest.approx(TIERS["embedded"].cpu, rel=0.1)
    assert shelf == pytest.approx(TIERS["access-board"].cpu, rel=0.1)
    assert spins(lab, "frame") == pytest.approx(TIERS["aio"].cpu, rel=0.1)


def test_who_wants_more_memory_than_its_node_has_is_killed_and_the_node_says_so(lab: Lab) -> None:
    def takes(mib: int) -> int:
        """What looks for the end of a line that has none keeps all of it."""
        return lab["own"].run("sh", "-c", f"head -c {mib}M /dev/zero | tail -n 1 >/dev/null").status

    def killed() -> int:
        events = dict(line.split() for line in lab["own"].exec("cat", "/sys/fs/cgroup/memory.events").splitlines())
        return int(events["oom_kill"])

    before = killed()
    assert takes(8) == 0
    assert killed() == before
    assert takes(40) == 137
    assert killed() == before + 1
    assert lab["hub"].run("sh", "-c", "head -c 40M /dev/zero | tail -n 1 >/dev/null").ok


def test_who_writes_more_than_its_node_has_room_for_is_told_so_and_others_go_on(lab: Lab) -> None:
    disk = limits(lab, "own")[2] or 0
    try:
        done = lab["own"].run("sh", "-c", _WRITE.format(octets=disk))
        assert not done.ok
        assert "No space left on device" in done.stderr
        assert int(lab["own"].exec("stat", "-c", "%s", "/root/more")) > disk / 2
        assert lab["hub"].run("sh", "-c", _WRITE.format(octets=2 * disk)).ok
        lab["own"].power.cycle()
        assert not lab["own"].run("sh", "-c", _WRITE.format(octets=disk)).ok, "it stays as full over a power cut"
    finally:
        for name in ("own", "hub"):
            lab[name].exec("rm", "-f", "/root/more")
    assert lab["own"].run("sh", "-c", _WRITE.format(octets=disk // 4)).ok
    lab["own"].exec("rm", "-f", "/root/more")


def test_a_disk_of_its_own_has_its_room_when_the_labs_is_full(lab: Lab) -> None:
    lab["hub"].sh(_WRITE.format(octets=32 * MIB))
    lab["hub"].exec("rm", "-f", "/root/more")  # whose blocks the file system gives back some seconds later
    with lab.fault(Disk()):
        assert not lab["hub"].run("sh", "-c", _WRITE.format(octets=MIB)).ok
        assert lab["board"].run("sh", "-c", _WRITE.format(octets=32 * MIB)).ok
    for node in ("board", "hub"):
        lab[node].exec("rm", "-f", "/root/more")


def writes(lab: Lab, node: str) -> bool:
    """Whether it can write some octets more; if not, it is because there is no room."""
    done = lab[node].run("sh", "-c", _WRITE.format(octets=MIB))
    lab[node].exec("rm", "-f", "/root/more")
    assert done.ok or "No space left on device" in done.stderr
    return done.ok


def test_a_full_disk_of_one_node_is_nobody_elses_also_over_its_power(lab: Lab) -> None:
    with lab.fault(Disk("own")):
        assert not writes(lab, "own")
        assert all(writes(lab, other) for other in ("board", "hub")), "one with a disk of its own, one without"
        lab["own"].power.cycle()
        assert not writes(lab, "own")
        lab["own"].power.off()
    lab["own"].power.on()
    assert writes(lab, "own")


def test_a_disk_has_room_again_when_whoever_made_it_full_is_killed(lab: Lab) -> None:
    filling = subprocess.Popen(
        [sys.executable, "-m", "harness.cli", "fault", "run", "disk-full", "--on", "own", "--lab", lab.name, "--json"],
        cwd=REPOSITORY, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert filling.stdout is not None
        assert any('"event": "begin"' in line for line in filling.stdout)
        assert not writes(lab, "own")
        assert writes(lab, "hub")
    finally:
        filling.kill()
        filling.wait()
    wait_for("the disk to have room again", lambda: writes(lab, "own"), 20)
    assert lab.faults_in_effect() == []


def test_a_fault_never_gives_a_node_more_than_it_has(lab: Lab) -> None:
    look = "cd /sys/fs/cgroup; cat cpu.max memory.max"
    before = lab["own"].sh(look)
    with lab.fault(Cpu("own", percent=100), MemoryPressure("own", left=300)):
        assert lab["own"].sh(look) == before
    assert lab["own"].sh(look) == before


def carried(lab: Lab) -> tuple[float, dict[str, int]]:
    """The lab host's time, and octets of frames that have left it by each port, toward the node behind."""
    script = "cat /proc/uptime; grep . /sys/class/net/p*/statistics/tx_bytes"
    done = subprocess.run(lab.host.command("sh", "-c", script), capture_output=True, text=True, check=True, timeout=10)
    now, *lines = done.stdout.splitlines()
    found = (line.removeprefix("/sys/class/net/").partition("/statistics/tx_bytes:") for line in lines)
    return float(now.split()[0]), {port: int(octets) for port, _, octets in found}


@pytest.mark.parametrize("way", ["toward it", "from it"])
def test_a_link_carries_its_rate_also_beside_others(lab: Lab, way: str) -> None:
    rates = {node: rate_of(lab, node) for node in NODES}
    assert rates == {**{node: TIERS[tier].rate for node, tier in PLACES.items()}, "own": 5e6}
    full = ("board", "own")  # faster ones are the same, and too much for a lab kernel whose processor others want
    link = {node: lab.link(f"{node}:lan") for node in full}
    port = {node: link[node].port(f"{node}:lan" if way == "toward it" else f"hub:{node}") for node in full}
    _, idle = carried(lab)

    def load(node: str) -> None:
        address = lab.topology.nodes[node].exec[0].split()[3].split("/")[0]
        lab[node].exec("iperf3", "--server", "--one-off", "--daemon")
        lab.wait_until(node, "tcp:5201", 10)
        lab["hub"].exec("iperf3", "--client", address, "--time", "3", *(["--reverse"] if way == "from it" else []))

    def has_begun() -> bool:
        _, now = carried(lab)
        return all(now[port[node]] - idle[port[node]] > rates[node] / 8 * 0.3 for node in full)

    with ThreadPoolExecutor() as pool:
        loads = [pool.submit(load, node) for node in full]
        wait_for("the links to be full", has_begun, 20)
        first, before = carried(lab)
        wait_for("another second", lambda: carried(lab)[0] >= first + 1, 10)
        last, after = carried(lab)
        for one in loads:
            one.result()
    found = {node: (after[port[node]] - before[port[node]]) * 8 / (last - first) for node in full}
    assert found == pytest.approx({node: rates[node] for node in full}, rel=0.05)
