"""Two tenants of one box that have the same hosts and the same connections: none is changed for the other's sake.

What leaves by a breakout is translated, so that ports may differ outside (test_edge_breakout.py). What stays inside
arrives as it was sent, also what has no ports by which it could be told apart.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.lab import Lab
from harness.wait import wait_for
from tests.lab.edge import HOST, INTERNET, SERVERS, TENANTS, Edge, Entry

pytestmark = pytest.mark.topology("edge")

FAR, _ = SERVERS
ESP, OSPF = 50, 89
COUNT = 20

_SAY = f"""
import socket, sys, time
who = sys.argv[1].encode()
raw = {{protocol: socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol) for protocol in ({ESP}, {OSPF})}}
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("{HOST}", 500))
for _ in range({COUNT}):
    udp.sendto(who, ("{FAR}", 500))
    for sock in raw.values():
        sock.sendto(b"\\0\\0\\x10\\1" + who, ("{FAR}", 0))
    time.sleep(0.05)
"""
_HEAR = f"""
import json, select, socket, time
raw = {{p: socket.socket(socket.AF_INET, socket.SOCK_RAW, p) for p in ({ESP}, {OSPF})}}
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("{FAR}", 500))
names = {{s: p for p, s in raw.items()}} | {{udp: 17}}
print("hearing", flush=True)
heard, end = [], time.monotonic() + 30
while len(heard) < 3 * {COUNT} and time.monotonic() < end:
    for sock in select.select(list(names), [], [], 0.5)[0]:
        data, (_, port) = sock.recvfrom(2048)
        who = data[-1:].decode()
        heard.append([names[sock], port if sock is udp else 0, who])
        if sock is udp:
            udp.sendto(data, ("{HOST}", 500))
print(json.dumps(heard), flush=True)
"""


@pytest.mark.parametrize("policy", [None, []], ids=["inside only", "with a way out"])
def test_equal_packets_of_two_tenants_arrive_as_they_were_sent(lab: Lab, policy: Sequence[Entry] | None) -> None:
    """At the same time: IKE from port 500, ESP and OSPF, each to the tenant's own end and with the ports it had."""
    edge = Edge(lab)
    edge.static_hosts()
    edge.configure(policy)
    edge.box.exec("conntrack", "-F")
    for name in TENANTS:
        lab[f"far-{name}"].exec("tee", "/run/hear.py", stdin=_HEAR)
        lab[f"far-{name}"].sh(
            "rm -f /run/heard; : >/run/heard;"
            " setsid python3 /run/hear.py </dev/null >/run/heard 2>&1 & echo $! >/run/hear.pid"
        )
    try:
        for name in TENANTS:
            wait_for("somebody hears", lambda n=name: "hearing" in lab[f"far-{n}"].exec("cat", "/run/heard"), 10)
        with lab.capture("host-a:lan") as a, lab.capture("host-b:lan") as b, ThreadPoolExecutor(2) as pool:
            said = [pool.submit(lab[f"host-{n}"].exec, "python3", "-c", _SAY, n, timeout=30) for n in TENANTS]
            [one.result() for one in said]
            for name in TENANTS:
                wait_for("all is heard", lambda n=name: lab[f"far-{n}"].exec("cat", "/run/heard").count("\n") == 2, 35)
    finally:
        for name in TENANTS:
            lab[f"far-{name}"].sh("kill $(cat /run/hear.pid) 2>/dev/null || true")
    for name, wire in zip(TENANTS, (a, b), strict=True):
        heard = json.loads(lab[f"far-{name}"].exec("cat", "/run/heard").splitlines()[1])
        assert {who for _, _, who in heard} == {name}
        assert {port for protocol, port, _ in heard if protocol == 17} == {500}
        assert {p: sum(protocol == p for protocol, _, _ in heard) for p in (17, ESP, OSPF)} == {
            17: COUNT,
            ESP: COUNT,
            OSPF: COUNT,
        }
        assert wire.count(f"udp and src host {FAR} and src port 500 and dst port 500") == COUNT, "answers came back"


def test_what_leaves_by_the_routes_is_translated_and_answered(lab: Lab) -> None:
    """A breakout without a policy, with a route that leads out: from one port, both at once."""
    edge = Edge(lab)
    edge.static_hosts()
    edge.configure([], outside=[SERVERS[1]])
    with lab.capture("internet:lan") as outside:
        assert edge.both(SERVERS[1], "--local-port", "7010-7909") == [INTERNET, INTERNET]
    assert outside.count("ip net 10.0.0.0/8") == 0, "a packet left untranslated"
    assert edge.both(FAR, "--local-port", "7010-7909") == ["far", "far"]
