"""A narrow, lossy and slow way: 1400 octets with and without path MTU discovery, 1 % loss, 50 ms (EV-12, EV-13).

Tunnels are made for 1500 octets. What is too large for the way is ESP in UDP without DF, and is fragmented where it is;
nobody has to hear an ICMP for it, which many a firewall drops. What carries DF inside is answered by the gateway with
what a tunnel takes, as on any way. So there is no size that gets nowhere without a word.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from harness.lab import Lab, Node
from harness.orchestrator.client import Orchestrator
from harness.wait import wait_for
from tests.scenarios.flows import echoes
from tests.scenarios.underlay import HOSTS, SERVER, associations, devices, everything_passes, sites
from tests.system.lifecycle import Life

pytestmark = pytest.mark.topology("underlay")

NARROW = 1400
SIZES = (100, 1272, 1320, 1372, 1386, 1472, 8000)
"""Octets in an echo request: among them those that just fit GRE (1386) and the bridge (1360), and where ESP in UDP of
1400 and 1500 octets ends."""
TUNNEL = {"host-1": 1414, "host-2": 1388, "host-3": 1414}
"""What a packet with DF may have by way of a host's gateway: GRE, and Ethernet in VXLAN."""
ASKED_WITHIN = 15
"""Seconds in which the controller asks each box for its tunnels (10), and gives up one that does not answer (4)."""
WAYS = [("host-1", "host-2"), ("host-2", "host-1"), ("host-1", "host-3"), ("host-3", "host-1")]


@pytest.fixture(params=["ICMP passes", "ICMP is dropped"])
def narrow(request: pytest.FixtureRequest, lab: Lab) -> Iterator[None]:
    """The way between the carrier and the Internet takes 1400 octets, and that to branch 3 too."""
    internet, carrier = lab["internet"], lab["carrier"]
    branch_3 = "ip route replace 192.0.2.8/29 dev access-3 proto kernel scope link src 192.0.2.9"
    try:
        internet.sh(f"ip link set access-1 mtu {NARROW}; {branch_3} mtu {NARROW}")
        carrier.sh(f"ip link set dev wan mtu {NARROW}")
        if "dropped" in request.param:
            for node in (internet, carrier):
                node.sh(
                    "nft add table ip deaf; nft 'add chain ip deaf out { type filter hook output priority 0; }';"
                    "nft add rule ip deaf out icmp type destination-unreachable icmp code 4 drop"
                )
        yield
    finally:
        internet.sh(f"ip link set access-1 mtu 1500; {branch_3}; nft delete table ip deaf 2>/dev/null || true")
        carrier.sh("ip link set dev wan mtu 1500; nft delete table ip deaf 2>/dev/null || true")
        for host in HOSTS:
            lab[host].exec("ip", "route", "flush", "cache")


ECHOING = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 7007))
while True:
    s.sendto(*s.recvfrom(65535))
"""
ASKING = """
import os, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 7007))
s.settimeout(1)
for size in map(int, sys.argv[2:]):
    for attempt in range(3):
        sent = os.urandom(size)
        try:
            s.send(sent)
            if s.recv(65535) == sent:
                break
        except OSError:
            pass
    else:
        print(size, end=" ")
"""
"""Each size is tried three times: by default Linux sets DF, and the first may be what tells the way (RFC 1191)."""


@contextlib.contextmanager
def datagram_echo(node: Node) -> Iterator[None]:
    """A node sends datagrams back that come to its port 7007."""
    node.sh(f"setsid python3 -c '{ECHOING}' >/dev/null 2>&1 & echo $! >/tmp/echo.pid")
    try:
        wait_for("the echo", lambda: ":7007 " in node.exec("ss", "-Huln"), 10)
        yield
    finally:
        node.sh("kill $(cat /tmp/echo.pid)")


@pytest.mark.usefixtures("narrow")
class TestNarrow:
    def test_packets_of_every_size_pass_every_way(self, lab: Lab) -> None:
        targets = [(source, HOSTS[target]) for source, target in WAYS] + [("host-1", SERVER), ("host-2", SERVER)]
        with lab.capture("carrier:wan") as outside:
            silent = [
                (source, target, size)
                for source, target in targets
                for size in SIZES
                if not _answered(lab, source, target, size, "dont")
            ]
        assert silent == []
        assert outside.count("udp and ip[6:2] & 0x3fff != 0") > 0, "nothing was too large for the way"
        assert outside.count(f"udp and greater {14 + NARROW + 1}") == 0

    def test_a_packet_with_df_passes_or_its_sender_is_told(self, lab: Lab) -> None:
        for source, target in WAYS:
            for size in SIZES[:-1]:
                said = lab[source].run("ping", "-n", "-c1", "-W1", "-Mdo", f"-s{size}", HOSTS[target])
                fits = size + 28 <= min(TUNNEL[source], TUNNEL[target])
                told = re.search("Frag needed|message too long", said.stdout + said.stderr, re.IGNORECASE)
                assert said.ok if fits else told, f"{source} to {target}, {size} octets: {said.stdout}"

    def test_tcp_passes_every_way_and_the_controller_keeps_its_boxes(self, lab: Lab) -> None:
        """What they say to it is more than a packet, too; their sessions are older than the way is narrow."""
        before = _since(lab)
        for source, target in WAYS:
            assert _iperf3(lab, source, target, "--bytes", "2M")
        told = _told(lab)
        wait_for("every box to have answered again", lambda: _answered_again(lab, told), ASKED_WITHIN)
        assert _since(lab) == before

    @pytest.mark.parametrize(("source", "target"), [("host-1", "host-2"), ("host-3", "host-1"), ("host-3", "host-2")])
    def test_udp_of_every_size_passes_there_and_back(self, lab: Lab, source: str, target: str) -> None:
        with datagram_echo(lab[target]):
            said = lab[source].run("python3", "-c", ASKING, HOSTS[target], *map(str, SIZES), timeout=60)
        assert said.stdout == "", f"no echo of datagrams with {said.stdout}octets"


def _since(lab: Lab) -> dict[str, str]:
    """Which session the controller has with each box."""
    return {box: one["since"] for box, one in devices(lab).items() if one["connected"]}


def _told(lab: Lab) -> dict[str, Any]:
    """What each box has said of its tunnels when it was asked last: how many packets they have carried."""
    return {box: one["tunnel"] for box, one in devices(lab).items()}


def _answered_again(lab: Lab, told: dict[str, Any]) -> bool:
    now = _told(lab)
    return all(now[box] != told[box] for box in told)


def _answered(lab: Lab, source: str, target: str, size: int, fragmentation: str) -> bool:
    """One of two, for the first may be what tells the way."""
    return lab[source].run("ping", "-n", "-c2", "-i0.1", "-W1", f"-M{fragmentation}", f"-s{size}", target).ok


def _iperf3(lab: Lab, source: str, target: str, *arguments: str) -> str:
    """What the receiver says of traffic from one host to another."""
    lab[target].exec("iperf3", "--server", "--one-off", "--daemon")
    try:
        lab.wait_until(target, "tcp:5201", 20)
        said = lab[source].exec("iperf3", "--client", HOSTS[target], *arguments, timeout=20)
    finally:
        lab[target].run("pkill", "-x", "iperf3")
    return next(line for line in said.splitlines() if line.endswith("receiver"))


class TestLossyAndSlow:
    """Every packet to and from the POP and the orchestrator takes 50 ms more each way, and one of a hundred is lost."""

    ORDER_SECONDS = 30.0
    CALM_SECONDS = 15.0

    @pytest.fixture
    def life(self, lab: Lab) -> Iterator[Life]:
        """Where it is ordered; in the end the topology's order stands, whatever has become of the test."""
        life = Life(lab, Orchestrator.of(lab))
        yield life
        life.completed(life.place())

    @pytest.fixture
    def lossy(self, lab: Lab, life: Life) -> Iterator[None]:
        with lab.link("vmsr-1:wan").impair(delay=50, loss=1), lab.link("stack:wan").impair(delay=50, loss=1):
            yield

    @pytest.mark.usefixtures("lossy")
    def test_orders_are_completed_and_tunnels_come_up_and_stay(self, lab: Lab, life: Life) -> None:
        life.clear()
        life.completed(life.place(), self.ORDER_SECONDS)
        everything_passes(lab)
        before, up = associations(lab, "vmsr-1"), {name: one["since"] for name, one in sites(lab).items()}
        alarms = _alarms(lab)
        with echoes(lab["host-1"], HOSTS["host-2"]) as seen:
            time.sleep(self.CALM_SECONDS)
        assert seen.outage < 2, seen  # a tunnel that is given up is away for longer
        # Each echo crosses the POP's link four times.
        assert 0 < seen.lost < 0.12 * seen.sent, seen
        assert associations(lab, "vmsr-1") == before, "a tunnel did not stay"
        assert {name: one["since"] for name, one in sites(lab).items()} == up, "a site was not up all the time"
        assert _alarms(lab) == alarms


def _alarms(lab: Lab) -> list[str]:
    """What was ever raised, and how often it has changed."""
    answer = Orchestrator.of(lab).call("controller", "GET", "/restconf/data/ietf-alarms:alarms/alarm-list")
    listed = answer.json().get("ietf-alarms:alarm-list", {}).get("alarm", []) if answer.status == 200 else []
    return sorted(f"{one['resource']} {one['alarm-type-id']} {one['last-raised']}" for one in listed)
