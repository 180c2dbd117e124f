"""A lab on the machine's own kernel where that can carry it: nodes, power, links, captures, and what must not be."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from harness.faults import Clock, Drop, FaultError, Loss, Pause
from harness.host.channel import Agent, AgentError
from harness.lab import CommandError, Lab, Node
from harness.wait import wait_for

pytestmark = pytest.mark.topology("plain")

HOST_1, HOST_2 = "10.1.0.10", "10.2.0.10"


# What a node is given of the kernel; ends of cables are numbered anew.
_GIVEN = """
ip -d -o link | sed 's/^[0-9]*: //; s/@if[0-9]*//; s/ link-netnsid [0-9]*//'
cd /proc/sys/net && { grep -rs . ipv4/conf ipv6/conf ipv4/ip_forward || true; }
"""


def test_a_node_that_was_given_its_power_back_is_given_what_it_had_at_first(lab: Lab) -> None:
    """The first of all: each engine makes a node in one way, and its power comes back in another."""
    before = lab["host-2"].sh(_GIVEN).splitlines()
    lab["host-2"].power.cycle()
    after = lab["host-2"].sh(_GIVEN).splitlines()
    assert any(line.startswith("lan:") for line in before)
    assert (set(before) - set(after), set(after) - set(before)) == (set(), set())


def test_hosts_reach_each_other_through_the_router(lab: Lab) -> None:
    lab["host-1"].must_reach(HOST_2)
    lab["host-2"].must_reach(HOST_1)
    lab["host-1"].must_not_reach("10.2.0.99")


def test_lab_needs_nothing_of_the_kernel_and_runs_on_it(lab: Lab) -> None:
    """The path without a lab kernel stays alive: this topology asks for nothing that a kernel may lack."""
    if lab.record.engine != "native":
        pytest.skip("Docker and containerlab ask for more")
    assert lab.record.host == "local", lab.record.reason


def test_a_node_sees_its_own_image_and_never_the_machine(node: Callable[[str], Node]) -> None:
    root = [line.split() for line in node("host-1").exec("cat", "/proc/self/mountinfo").splitlines()]
    kinds = [fields[fields.index("-") + 1] for fields in root if fields[4] == "/"]
    assert kinds == ["overlay"]
    assert not node("host-1").run("test", "-e", "/lab").ok


def test_a_command_passes_input_output_and_status_through(node: Callable[[str], Node]) -> None:
    assert node("host-1").exec("cat", stdin="ünïcode\n") == "ünïcode\n"
    failed = node("host-1").run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert (failed.status, failed.stdout, failed.stderr) == (7, "out\n", "err\n")
    with pytest.raises(CommandError, match="exit status 7"):
        failed.check()
    with pytest.raises(AgentError, match="no end within"):
        node("host-1").run("sleep", "60", timeout=0.3)


def test_the_management_network_leads_nowhere(lab: Lab) -> None:
    node = lab["host-1"]
    routes = node.exec("ip", "-4", "route", "show", "dev", "eth0").splitlines()
    assert len(routes) == 1
    assert "default" not in routes[0]
    assert node.reaches(lab["host-2"].management_address)


def test_power_cycle_keeps_the_disk_and_loses_everything_else(lab: Lab) -> None:
    node, other = lab["host-1"], lab["router"]
    node.sh("echo kept > /root/kept; sync; echo lost > /run/lost; ip address add 192.0.2.1/32 dev lo")
    node.power.off()
    assert not node.running
    wait_for("no carrier", lambda: "NO-CARRIER" in other.exec("ip", "link", "show", "lan-1"), 5)
    assert "NO-CARRIER" not in other.exec("ip", "link", "show", "lan-2")
    node.power.on()
    assert node.exec("cat", "/root/kept") == "kept\n"
    assert not node.run("test", "-e", "/run/lost").ok
    assert "192.0.2.1" not in node.exec("ip", "address")
    node.must_reach(HOST_2)  # the topology's commands were run again, the link was plugged in again


def test_a_cable_outlives_the_power_of_both_its_nodes(lab: Lab) -> None:
    for name in ("host-1", "router"):
        lab[name].power.off()
    assert not any(lab.engine.states()[name].running for name in ("host-1", "router"))
    lab["host-1"].power.on()
    assert "NO-CARRIER" in lab["host-1"].exec("ip", "link", "show", "lan"), "there is nobody at the other end"
    lab["router"].power.on()
    lab["host-1"].must_reach(HOST_2)
    with lab.link("host-1:lan").cut():
        lab["host-1"].must_not_reach(HOST_2)
    lab["host-1"].must_reach(HOST_2)


def test_a_cut_link_takes_carrier_from_both_ends_and_comes_back(lab: Lab) -> None:
    link = lab.link("host-1:lan")
    with link.cut():
        for name, end in (("host-1", "lan"), ("router", "lan-1")):
            wait_for("no carrier", lambda n=name, e=end: "NO-CARRIER" in lab[n].exec("ip", "link", "show", e), 5)
        lab["host-1"].must_not_reach(HOST_2)
    wait_for("host-1 to reach host-2 again", lambda: lab["host-1"].reaches(HOST_2), 5)


def test_cables_say_nothing_of_their_own_and_nodes_may(lab: Lab) -> None:
    """No router solicitation or multicast report of the lab's own is in anybody's capture."""
    off = "/proc/sys/net/ipv6/conf/{}/disable_ipv6"
    ports = [f"p{link.index}{side}" for link in (lab.link("host-1:lan"), lab.link("host-2:lan")) for side in "ab"]
    said = subprocess.run(lab.host.command("cat", *map(off.format, ports)), check=True, capture_output=True, text=True)
    assert said.stdout.split() == ["1"] * 4
    assert lab["host-1"].exec("cat", off.format("lan")) == "0\n"


def begin_cut(agent: Agent, link: int) -> None:
    """As somebody who will not be there to end it."""
    effect = {"kind": "line", "link": link, "strain": {"cut": True}}
    agent.call("fault.begin", fault="mine", what={"text": "a cut"}, effects=[effect])


def test_what_was_borrowed_is_given_back_when_its_borrower_is_gone(lab: Lab) -> None:
    other = lab.host.agent()
    begin_cut(other, lab.link("host-1:lan").index)
    lab["host-1"].must_not_reach(HOST_2)
    other.close()
    wait_for("the cut to be undone", lambda: lab["host-1"].reaches(HOST_2, within=0.3), 10)


def test_what_a_killed_agent_had_borrowed_is_given_back_by_the_next(lab: Lab) -> None:
    other = lab.host.agent()
    pid = other.call("pid")
    begin_cut(other, lab.link("host-1:lan").index)
    subprocess.run(lab.host.command("kill", "-KILL", str(pid)), check=True)
    other.close()
    lab["host-1"].must_not_reach(HOST_2)
    successor = lab.host.agent()
    successor.call("ping")
    successor.close()
    lab["host-1"].must_reach(HOST_2, 5)  # a kernel may take a second to see that a carrier is back


def test_a_capture_holds_what_passed_both_ways_and_nothing_else(lab: Lab) -> None:
    with lab.capture("router:lan-2", "icmp") as capture:
        assert lab["host-1"].reaches(HOST_2)
        assert lab["host-1"].reaches("10.1.0.1")
    assert capture.count("icmp[icmptype] == icmp-echo and dst host 10.2.0.10") == 1
    assert capture.count("icmp[icmptype] == icmp-echoreply and src host 10.2.0.10") == 1
    assert capture.count("host 10.1.0.1") == 0
    assert capture.contains(bytes(range(0x20, 0x30)))
    assert not capture.contains(b"never sent")


def test_a_capture_that_rotates_keeps_the_newest_within_its_bounds(lab: Lab) -> None:
    def ping(pattern: bytes, *how: str) -> None:
        lab["host-1"].exec("ping", "-n", "-q", "-s1400", "-p", pattern.hex(), *how, "10.2.0.10")

    with lab.capture("router:lan-2", "icmp", rotate=(1, 2)) as capture:
        ping(b"the first", "-c1")
        ping(b"many", "-f", "-c2000")
        ping(b"the last", "-c1")
    sizes = [file.stat().st_size for file in capture.files]
    assert len(sizes) == 2, "5.8 MB passed, at most 1 MB each is kept"
    assert sum(sizes) > 1_000_000
    assert max(sizes) < 1_002_000
    assert capture.contains(b"the last")
    assert not capture.contains(b"the first")
    times = [float(frame.split()[0]) for frame in capture.frames()]
    assert times == sorted(times)
    assert 600 < len(times) == capture.count("icmp") < 1400
    assert len(capture.frames("icmp[icmptype] == icmp-echoreply")) == pytest.approx(len(times) / 2, abs=2)


def test_a_capture_ends_with_all_that_passed_however_late_its_reader_is(lab: Lab) -> None:
    """A busy machine lets the reader of packets wait; here it stands still until its end has begun."""
    echoes = 1000
    with lab.capture("router:lan-2", "icmp") as capture:
        reader = subprocess.run(
            lab.host.command("pgrep", "-f", capture.file.name), check=True, capture_output=True, text=True
        ).stdout.split()
        assert len(reader) == 1, "the capture's tcpdump is not known by its file"
        subprocess.run(lab.host.command("kill", "-STOP", *reader), check=True)
        lab["host-1"].exec("ping", "-q", "-i", "0.001", "-c", str(echoes), HOST_2)
        goes_on = subprocess.Popen(lab.host.command("sh", "-c", f"sleep 0.2; kill -CONT {reader[0]}"))
    assert goes_on.wait() == 0
    assert capture.count() == 2 * echoes


def test_an_unknown_name_is_refused_with_what_there_is(lab: Lab) -> None:
    with pytest.raises(LookupError, match="it has host-1, router, host-2"):
        lab["host-9"]
    with pytest.raises(LookupError, match="no link at 'host-1:wan'"):
        lab.link("host-1:wan")


def test_a_fault_that_this_kernel_cannot_do_is_refused_with_the_remedy_and_leaves_nothing(lab: Lab) -> None:
    """A silent drop needs nothing of the kernel; loss needs netem, which this topology does not ask for."""
    with lab.fault(Drop("host-1:lan")):
        lab["host-2"].must_not_reach(HOST_1)
    lab["host-2"].must_reach(HOST_1)
    can = lab.agent.call("probe")
    for fault, lacking in ((Loss("host-1:lan", percent=50), "netem"), (Pause("host-1"), "cgroup2")):
        if can[lacking]:
            with pytest.raises(FaultError, match="--host lab-kernel"), lab.fault(fault):
                pass
    if lab.record.host == "local":  # whose clock is the machine's
        with pytest.raises(FaultError, match="or name a node"), lab.fault(Clock(offset=5)):
            pass
    lab["host-2"].must_reach(HOST_1)
    assert lab.faults_in_effect() == []
    assert lab.agent.call("lines") == {}
