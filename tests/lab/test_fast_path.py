"""The fast path of a box: connections that last are forwarded by a flow table, as long as the rules let them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.lab import Lab
from harness.wait import wait_for
from tests.lab.edge import GATEWAY, HOST, SERVERS, WAN, Edge

pytestmark = pytest.mark.topology("edge")

FIRST, SECOND = SERVERS
PORT, SILENT, OWN_PORT = 7100, 7102, 7101
SERVER = f"""
import pathlib, socket
own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
own.bind(("{FIRST}", {PORT}))
silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
silent.bind(("{FIRST}", {SILENT}))
pathlib.Path("/run/fast/listening").touch()
while True:
    own.sendto(*own.recvfrom(2048))
"""
CLIENT = f"""
import socket, time
own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
own.bind(("", {OWN_PORT}))
own.setblocking(False)
with open("/run/fast/answered", "w", buffering=1) as answered:
    while True:
        own.sendto(b"x", ("{FIRST}", {PORT}))
        own.sendto(b"x", ("{FIRST}", {SILENT}))
        time.sleep(0.02)
        try:
            answered.write(own.recv(1).decode() + "\\n")
        except BlockingIOError:
            pass
"""


@pytest.fixture
def edge(lab: Lab) -> Edge:
    found = Edge(lab)
    found.static_hosts()
    return found


@pytest.fixture
def talking(edge: Edge) -> Iterator[Edge]:
    """Host a has a connection through the box's own way out, and says something every 20 ms."""
    edge.configure([{}])
    programs = {"internet": SERVER, "host-a": CLIENT}
    try:
        for name, program in programs.items():
            node = edge.lab[name]
            node.sh("rm -rf /run/fast; mkdir /run/fast")
            node.exec("tee", "/run/fast/program.py", stdin=program)
            begin = "setsid python3 /run/fast/program.py </dev/null >/dev/null 2>&1 & echo $! > /run/fast/pid"
            node.sh(begin)
            if name == "internet":
                edge.lab.wait_until(name, "file:/run/fast/listening", 10)
        for port in PORT, SILENT:
            wait_for("the fast path to be taken", lambda port=port: is_fast(edge, port), 10)
        yield edge
    finally:
        for name in programs:
            edge.lab[name].run("sh", "-c", "kill -- -$(cat /run/fast/pid)")


def answers(edge: Edge) -> int:
    return edge.lab["host-a"].sh("cat /run/fast/answered 2>/dev/null || true").count("x")


def is_fast(edge: Edge, port: int) -> bool:
    """Does the connection to that port take the fast path, as conntrack says?"""
    return "[OFFLOAD]" in edge.box.sh(f"conntrack -L -p udp --dport {port} 2>/dev/null || true")


def test_what_lasts_takes_it_and_keeps_its_way_under_new_rules(talking: Edge) -> None:
    """Also what nobody answers: new connections would go where the routes lead now."""
    talking.configure([{"destination-prefix": f"{SECOND}/32"}])
    for port in PORT, SILENT:
        wait_for("the fast path to be taken again", lambda port=port: is_fast(talking, port), 10)
    with talking.lab.capture("internet:lan") as outside, talking.lab.capture("far-a:lan") as routed:
        before = answers(talking)
        wait_for("more answers", lambda: answers(talking) > before + 10, 10)
    for port in PORT, SILENT:
        assert outside.count(f"udp src port {OWN_PORT} and udp dst port {port} and src host {WAN}") > 0
    assert outside.count(f"udp src port {OWN_PORT} and not src host {WAN}") == 0
    assert routed.count(f"udp src port {OWN_PORT}") == 0


@pytest.mark.parametrize("happened", [("delete",), ("change", "nud", "failed")], ids=" ".join)
def test_a_station_is_asked_for(talking: Edge, happened: tuple[str, ...]) -> None:
    """The table asks for nobody: first Linux is in doubt about this one, then it has forgotten it, or given it up.

    The station never asks for its gateway, by which it would be known again.
    """
    box, host = talking.box, talking.lab["host-a"]
    mac = box.sh("cat /sys/class/net/lan-a/address").strip()
    host.exec("ip", "neigh", "replace", GATEWAY, "lladdr", mac, "dev", "lan", "nud", "permanent")
    try:
        for verb, *state in ("change", "nud", "stale"), happened:
            box.exec("ip", "neigh", verb, HOST, "dev", "lan-a", *state)
            wait_for("the station to be asked for", lambda: is_asked_for(talking), 25)
        before = answers(talking)
        wait_for("more answers", lambda: answers(talking) > before + 10, 10)
    finally:
        host.exec("ip", "neigh", "delete", GATEWAY, "dev", "lan")


def is_asked_for(edge: Edge) -> bool:
    """Was it just now, or has it answered?"""
    known = edge.box.sh(f"ip neigh show {HOST} dev lan-a").split()
    return known[-1:] in (["REACHABLE"], ["DELAY"], ["PROBE"])


REFUSING = """
from element.apply import nft
from element.plan.resources import Ruleset
refused = "table inet elastic { chain forwarding { type filter hook forward priority filter; policy drop; }; }\\n"
nft.load(Ruleset("refusing", refused))
"""
"""Rules alone: with what else changes in a configuration (routes, devices), the kernel would forget by itself."""


def test_new_rules_end_what_they_do_not_let_pass(talking: Edge) -> None:
    talking.box.exec("sv", "pause", "element")
    try:
        talking.box.exec("/opt/element/bin/python", "-", stdin=REFUSING)
        before = answers(talking)
        with talking.lab.capture("internet:lan") as outside, talking.lab.capture("host-a:lan") as inside:
            sent = f"udp src port {OWN_PORT}"
            wait_for("the host to say it again", lambda: inside.count(sent) > 10, 10)
        assert outside.count(sent) == 0
        assert answers(talking) == before
    finally:
        talking.box.exec("sv", "cont", "element")
