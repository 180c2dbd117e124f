"""Faults of lines: what was asked for is what is on the wire, in the direction that was meant, and nowhere else."""

from __future__ import annotations

import os
import random
import re
import statistics
import struct
import subprocess
import sys
from collections.abc import Iterator

import pytest

from harness.faults import (
    Corrupt,
    Cut,
    Delay,
    Drop,
    Duplicate,
    Fault,
    Jitter,
    Loss,
    Outage,
    Partition,
    Rate,
    Reorder,
)
from harness.lab import Capture, Lab
from harness.paths import REPOSITORY
from harness.wait import wait_for
from perf.datagrams import HEADERS, round_trips, sent, spread

pytestmark = pytest.mark.topology("breakable")

WEST, EAST, FAR = "10.1.0.10", "10.2.0.10", "10.3.0.10"
PAGE = "http://10.1.0.1/"


def usual(lab: Lab) -> float:
    """Milliseconds there and back when nothing is wrong."""
    return statistics.median(round_trips(lab["west"], EAST))


def test_loss_of_5_percent_is_within_half_a_point(lab: Lab) -> None:
    """Of 40 000 a share of 5 % is within 0.44 points in all but 0.006 % of cases, so half a point is no accident."""
    count = 40_000
    assert spread(5, count) < 0.5
    with lab.fault(Loss("east:lan", percent=5)):
        assert sent(lab, "west", "east", count).lost == pytest.approx(5, abs=0.5)
    assert sent(lab, "west", "east", 2000).lost == 0


def test_loss_is_repeated_by_the_seed_of_its_run(lab: Lab) -> None:
    def pattern(of_run: int) -> list[int]:
        lab.chance = random.Random(of_run)  # as the plugin does before each test
        with lab.fault(Loss("east:lan", percent=20, direction="in")):
            return sent(lab, "west", "east", 200).numbers

    # Nothing else travels there meanwhile: neighbours are known, and IPv6 reports no groups, as it does when it is new.
    known = ("ip", "neighbour", "replace", EAST, "lladdr", mac(lab), "dev", "east", "nud", "permanent")
    lab["router"].exec(*known)
    lab["router"].sh("echo 1 > /proc/sys/net/ipv6/conf/east/disable_ipv6")
    try:
        assert pattern(7) == pattern(7) != pattern(8)
    finally:
        lab["router"].sh("echo 0 > /proc/sys/net/ipv6/conf/east/disable_ipv6")
        lab["router"].exec("ip", "address", "replace", "2001:db8:2::1/64", "dev", "east", "nodad")  # it went with IPv6
        lab["router"].exec("ip", "neighbour", "flush", "dev", "east", "nud", "permanent")


def mac(lab: Lab) -> str:
    return lab["east"].exec("cat", "/sys/class/net/lan/address").strip()


def test_loss_is_of_frames_and_not_of_what_a_kernel_hands_over_at_once(lab: Lab) -> None:
    """TCP leaves a node in pieces of up to 64 KiB; no wire carries such, and none is lost whole."""
    with lab.fault(Loss("east:lan", percent=0.5)), lab.capture("east:lan", "tcp and dst host 10.2.0.10") as capture:
        with_sink(lab, "iperf3 -c 10.2.0.10 -n 4M -Z")
    lengths = frame_lengths(capture)
    assert len(lengths) > 2500
    assert max(lengths) <= 1514


def with_sink(lab: Lab, command: str) -> None:
    lab["east"].sh("iperf3 -s -D -1 -I /run/iperf3.pid")
    lab.wait_until("east", "tcp:5201", 10)
    lab["west"].sh(command, timeout=60)


def frame_lengths(capture: Capture) -> list[int]:
    """Of each frame, as it was on the wire (pcap's file format)."""
    return [length for length, _ in frames(capture)]


def frames(capture: Capture) -> Iterator[tuple[int, bytes]]:
    data = capture.file.read_bytes()
    place = 24
    while place < len(data):
        kept, length = struct.unpack_from("<II", data, place + 8)
        yield length, data[place + 16 : place + 16 + kept]
        place += 16 + kept


@pytest.mark.parametrize(("direction", "there", "back"), [("in", 50, 0), ("out", 0, 50)])
def test_asymmetric_loss_is_of_one_direction_only(lab: Lab, direction: str, there: float, back: float) -> None:
    with lab.fault(Loss("east:lan", percent=50, direction=direction)):  # type: ignore[arg-type]
        toward = sent(lab, "west", "east", 2000).lost
        away = sent(lab, "east", "west", 2000).lost
    assert toward == pytest.approx(there, abs=spread(there, 2000))
    assert away == pytest.approx(back, abs=spread(back, 2000))


@pytest.mark.parametrize(
    ("fault", "milliseconds"),
    [
        (Delay("east:lan", ms=20), 40),
        (Delay("site east", ms=3.5, direction="out"), 3.5),
    ],
)
def test_delay_is_within_a_millisecond(lab: Lab, fault: Fault, milliseconds: float) -> None:
    before = usual(lab)
    with lab.fault(fault):
        found = round_trips(lab["west"], EAST)
    assert statistics.median(found) - before == pytest.approx(milliseconds, abs=1)
    assert min(found) >= milliseconds
    assert usual(lab) == pytest.approx(before, abs=1)


def test_jitter_spreads_evenly_and_is_what_was_asked_on_average(lab: Lab) -> None:
    before = usual(lab)
    with lab.fault(Jitter("east:lan", ms=10, direction="in")):
        found = sorted(each - before for each in round_trips(lab["west"], EAST, 200, 0.005))
    # Of 200 that are evenly spread over 20 ms the middle one has a standard deviation of 0.7 ms: four of them.
    tenths = statistics.quantiles(found, n=10)
    assert tenths == pytest.approx([2, 4, 6, 8, 10, 12, 14, 16, 18], abs=2.8)
    assert found[0] > -1
    assert found[-10] < 21, "a busy machine delays a few"


def test_rate_is_within_5_percent(lab: Lab) -> None:
    size, mbit = 1000, 10
    frame = (size + HEADERS) * 8
    seconds = 1.5
    with lab.fault(Rate("east:lan", mbit=mbit, direction="in")):
        # Half as much again as it can carry: what does not fit in its queue is lost.
        count = round(1.5 * seconds * mbit * 1e6 / frame)
        found = sent(lab, "west", "east", count, size=size, gap=frame / (1.5 * mbit * 1e6))
    assert (len(found.numbers) - 1) * frame / found.seconds == pytest.approx(mbit * 1e6, rel=0.05)
    assert found.lost > 5


def test_duplicates_come_twice(lab: Lab) -> None:
    with lab.fault(Duplicate("east:lan", percent=10, direction="in")):
        found = sent(lab, "west", "east", 5000)
    assert found.twice == pytest.approx(10, abs=spread(10, 5000))
    assert found.lost == 0
    assert sent(lab, "west", "east", 1000).twice == 0


def test_reordered_ones_come_late_and_all_come(lab: Lab) -> None:
    with lab.fault(Reorder("east:lan", percent=10, ms=10, direction="in")):
        found = sent(lab, "west", "east", 3000, gap=0.0003)
    # One that is late among late ones is not seen to be, so a little is missing.
    assert found.late == pytest.approx(10, abs=spread(10, 3000))
    assert found.lost == found.twice == 0
    assert sent(lab, "west", "east", 1000).late == 0


def test_in_a_corrupt_frame_one_bit_is_wrong(lab: Lab) -> None:
    size, count = 1000, 4000
    with lab.fault(Corrupt("east:lan", percent=10, direction="in")), lab.capture("east:lan") as capture:
        sent(lab, "west", "east", count, size=size)
    payloads = [frame[HEADERS + 4 :] for length, frame in frames(capture) if length == size + HEADERS]
    wrong = [sum(octet.bit_count() for octet in payload) for payload in payloads]
    assert len(payloads) == count, "all arrive on the wire; who they are for throws them away"
    assert set(wrong) == {0, 1}
    asked = 10 * (size - 4) / (size + HEADERS)  # some bits are in headers
    assert 100 * sum(wrong) / count == pytest.approx(asked, abs=spread(10, count))


def test_a_silent_drop_keeps_carrier_and_tells_nobody(lab: Lab) -> None:
    with lab.fault(Drop("east:lan")):
        lab["west"].must_not_reach(EAST)
        assert "LOWER_UP" in lab["east"].exec("ip", "link", "show", "lan")
    with lab.fault(Cut("east:lan")):
        wait_for("no carrier", lambda: "NO-CARRIER" in lab["east"].exec("ip", "link", "show", "lan"), 5)
    lab["west"].must_reach(EAST)


@pytest.mark.parametrize(("direction", "there", "back"), [("both", 100, 100), ("in", 0, 100), ("out", 100, 0)])
def test_a_partition_is_one_way_or_both_and_only_around_its_site(
    lab: Lab, direction: str, there: float, back: float
) -> None:
    echoes = "icmp[icmptype] == icmp-echo"
    with lab.fault(Partition("site west", direction)):  # type: ignore[arg-type]
        with lab.capture("west:lan", echoes) as capture, lab.capture("east:lan", echoes) as beyond:
            lab["west"].run("ping", "-n", "-c3", "-i0.05", "-W0.1", EAST)
            lab["east"].run("ping", "-n", "-c3", "-i0.05", "-W0.1", WEST)
        lab["east"].must_reach("10.2.0.1")
    # At the port of west both are seen: what it sends, and what gets through to it.
    assert capture.count(f"src host {WEST}") == 3
    assert capture.count(f"dst host {WEST}") == (3 if back == 0 else 0)
    assert beyond.count(f"src host {WEST}") == (3 if there == 0 else 0)
    lab["west"].must_reach(EAST)


@pytest.mark.parametrize(("direction", "heard"), [("both", False), ("in", True), ("out", False)])
def test_two_nodes_are_apart_and_each_still_reaches_all_others(lab: Lab, direction: str, heard: bool) -> None:
    six = "2001:db8:2::10"
    requests = "icmp[icmptype] == icmp-echo or icmp6[icmp6type] == icmp6-echo"
    with lab.fault(Partition("west", direction, peer="east")):  # type: ignore[arg-type]
        with lab.capture("east:lan", requests) as capture:
            for address in (EAST, six):
                assert not lab["west"].reaches(address, within=0.2)
        for name in ("west", "east"):
            lab[name].must_reach("10.2.0.1")
            lab[name].must_reach("10.3.0.10")
    assert capture.count() == (2 if heard else 0)
    lab["west"].must_reach(EAST)


def test_an_outage_is_of_one_port_in_both_families_and_in_vlans(lab: Lab) -> None:
    def serves(url: str) -> bool:
        return lab["west"].run("curl", "-gsf", "-o", "/dev/null", "-m", "1", url).ok

    lab["west"].sh(
        "ip link add link lan name lan.5 type vlan id 5; ip link set lan.5 up; ip addr add 10.5.0.2/24 dev lan.5"
    )
    lab["router"].sh(
        "ip link add link west name west.5 type vlan id 5; ip link set west.5 up; ip addr add 10.5.0.1/24 dev west.5"
    )
    pages = (PAGE, "http://10.5.0.1/")
    try:
        assert all(map(serves, pages))
        with lab.fault(Outage("router", port=80)):
            assert not any(map(serves, pages))
            lab["west"].must_reach("10.5.0.1")
            lab["west"].must_reach(EAST)
        assert all(map(serves, pages))
        with lab.fault(Outage("router", port=443)):
            assert all(map(serves, pages))
    finally:
        lab["west"].exec("ip", "link", "del", "lan.5")
        lab["router"].exec("ip", "link", "del", "west.5")


def test_faults_at_one_place_add_up_and_end_one_by_one(lab: Lab) -> None:
    before = usual(lab)
    with lab.fault(Delay("east:lan", ms=10)):
        with lab.fault(Delay("east:lan", ms=20, direction="in"), Loss("east:lan", percent=30, direction="out")):
            assert statistics.median(round_trips(lab["west"], EAST)) - before == pytest.approx(40, abs=1)
            assert sent(lab, "east", "west", 2000).lost == pytest.approx(30, abs=spread(30, 2000))
        assert statistics.median(round_trips(lab["west"], EAST)) - before == pytest.approx(20, abs=1)
        with lab.fault(Cut("east:lan")), lab.fault(Cut("router:east")):
            lab["west"].must_not_reach(EAST)
        lab["west"].must_reach(EAST)
        assert statistics.median(round_trips(lab["west"], EAST)) - before == pytest.approx(20, abs=1)
    assert usual(lab) == pytest.approx(before, abs=1)


def test_a_fault_outlasts_the_power_of_a_node_at_its_line(lab: Lab) -> None:
    with lab.fault(Delay("east:lan", ms=20), Drop("router:far")):
        for node in ("router", "east"):
            lab[node].power.cycle()
            lab["west"].must_reach(EAST)
            assert min(round_trips(lab["west"], EAST, 10)) >= 40
            lab["west"].must_not_reach(FAR, 0.2)
    with lab.fault(Cut("east:lan")):
        lab["east"].power.cycle()
        assert "NO-CARRIER" in lab["router"].exec("ip", "link", "show", "east")
        lab["east"].power.off()
    assert "NO-CARRIER" in lab["router"].exec("ip", "link", "show", "east"), "a node without power gives no carrier"
    lab["east"].power.on()
    lab["west"].must_reach(EAST)


def test_what_a_topology_declares_is_there_and_comes_back_after_faults(lab: Lab) -> None:
    def measured() -> tuple[float, float]:
        return min(round_trips(lab["router"], FAR)), sent(lab, "far", "west", 2000).lost

    def must_be_as_declared() -> None:
        delay, lost = measured()
        assert delay == pytest.approx(30, abs=1)
        assert lost == pytest.approx(10, abs=spread(10, 2000))

    must_be_as_declared()
    with lab.fault(Delay("far:lan", ms=10), Loss("far:lan", percent=50, direction="out")):
        delay, lost = measured()
        assert delay == pytest.approx(50, abs=1)
        assert lost == pytest.approx(55, abs=spread(55, 2000)), "half of the 90 % that the line itself lets through"
    with lab.fault(Cut("far:lan")):
        lab["far"].power.cycle()
    lab["router"].must_reach(FAR)
    must_be_as_declared()


def test_status_shows_bad_lines_and_faults(lab: Lab) -> None:
    with lab.fault(Loss("east:lan", percent=1)):
        said = subprocess.run(
            [sys.executable, "-m", "harness.cli", "status", lab.name],
            cwd=REPOSITORY, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200"},
        ).stdout  # fmt: skip
    assert re.search(r"far:lan -- router:far +far:lan +delay 15 ms, rate 20 Mbit/s", said)
    assert re.search(r"loss on east:lan +\d+ s +until it is ended", said)
