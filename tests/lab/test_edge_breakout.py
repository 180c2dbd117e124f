"""Local Internet access of a box: what an entry of the policy says breaks out leaves by the uplink, translated to the
address of its lease; everything else follows the tenant's routes. Two tenants have the same addresses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from harness.lab import Lab, Node
from harness.wait import wait_for
from tests.lab.edge import GATEWAY, HOST, INTERNET, ROUTED, SERVERS, TENANTS, WAN, WAN6, Edge, Entry, ipv6

pytestmark = pytest.mark.topology("edge")

FIRST, SECOND = SERVERS
ANY: Entry = {}


@pytest.fixture
def edge(lab: Lab) -> Edge:
    found = Edge(lab)
    found.static_hosts()
    return found


SPLITS: dict[str, tuple[Sequence[Entry], tuple[str, ...], tuple[str, ...]]] = {
    "by prefix": ([{"destination-prefix": f"{FIRST}/32"}], (FIRST,), (SECOND,)),
    "by DSCP": ([{"dscp": "46"}], (FIRST, "--ip-tos", "184"), (FIRST,)),
    "by port": (
        [{"protocol": "6", "source-port/lower-port": "5000", "source-port/upper-port": "5099"}],
        (FIRST, "--local-port", "5000-5099"),
        (FIRST, "--local-port", "5100-5199"),
    ),
    "by five": (
        [
            {
                "protocol": "6",
                "source-prefix": f"{HOST}/32",
                "destination-prefix": f"{FIRST}/32",
                "source-port/lower-port": "6000",
                "source-port/upper-port": "6099",
                "destination-port/lower-port": "80",
            }
        ],
        (FIRST, "--local-port", "6000-6099"),
        (SECOND, "--local-port", "6000-6099"),
    ),
    "all but one": (
        [{"destination-prefix": f"{SECOND}/32", "action": "route"}, ANY],
        (FIRST,),
        (SECOND,),
    ),
}


@pytest.mark.parametrize("split", SPLITS)
def test_what_matches_leaves_here_and_the_rest_follows_the_routes(edge: Edge, split: str) -> None:
    policy, local, elsewhere = SPLITS[split]
    edge.configure(policy)
    with edge.lab.capture("internet:lan") as outside, edge.lab.capture("far-a:lan") as routed:
        assert edge.both(*local) == [INTERNET, INTERNET]
        assert edge.both(*elsewhere) == [ROUTED, ROUTED]
    assert outside.count(f"tcp and host {WAN}") > 0
    assert outside.count("ip net 10.0.0.0/8") == 0, "a packet left untranslated"
    assert routed.count(f"ip host {WAN}") == 0


def test_each_tenant_has_a_policy_of_its_own(edge: Edge) -> None:
    """Of equal questions of two tenants each is decided by the policy of whoever asks: by prefix, and by DSCP."""
    by_prefix, by_dscp = [{"destination-prefix": f"{FIRST}/32"}], [{"dscp": "46"}]
    marked = ("--ip-tos", "184")
    same_ports = ("--local-port", "6200-6299")
    edge.configure({"a": by_prefix, "b": by_dscp})
    with (
        edge.lab.capture("internet:lan") as outside,
        edge.lab.capture("far-a:lan") as a,
        edge.lab.capture("far-b:lan") as b,
    ):
        assert edge.both(FIRST, *same_ports) == [INTERNET, ROUTED]
        assert edge.both(SECOND, *same_ports, *marked) == [ROUTED, INTERNET]
        assert edge.both(FIRST, *same_ports, *marked) == [INTERNET, INTERNET]
        assert edge.both(SECOND, *same_ports) == [ROUTED, ROUTED]
    assert outside.count("net 10.0.0.0/8") == 0, "a packet left untranslated"
    assert a.count(f"tcp and host {FIRST}") == b.count("tcp and ip[1] = 0xb8") == 0


def test_without_an_entry_the_routes_decide(edge: Edge) -> None:
    edge.configure([])
    assert edge.both(FIRST) == [ROUTED, ROUTED]
    edge.configure(None)
    assert edge.both(FIRST) == [ROUTED, ROUTED]


ECHO = """
import pathlib, socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("198.51.100.80", 7000))
pathlib.Path("/run/echoing").touch()
while True:
    sock.sendto(*sock.recvfrom(2048))
"""


def test_equal_connections_of_two_tenants_do_not_meet(edge: Edge) -> None:
    """The same five-tuple at the same time: each tenant has the answer to its own question."""
    edge.configure([ANY])
    internet = edge.lab["internet"]
    internet.exec("tee", "/run/echo.py", stdin=ECHO)
    internet.sh("rm -f /run/echoing; setsid python3 /run/echo.py </dev/null >/dev/null 2>&1 & echo $! > /run/echo")
    edge.lab.wait_until("internet", "file:/run/echoing", 10)
    said = "(for i in 1 2 3 4 5; do echo tenant-{0}-$i; sleep 0.2; done)"
    ask = said + " | socat -t 2 - UDP:198.51.100.80:7000,sourceport=7001 > /run/got"
    try:
        for name in "ab":
            edge.lab[f"host-{name}"].sh(f"setsid sh -c '{ask.format(name)}' >/dev/null 2>&1 &")
        for name in "ab":
            expected = [f"tenant-{name}-{i}" for i in range(1, 6)]
            _wait_for_words(edge.lab[f"host-{name}"], "/run/got", expected)
    finally:
        internet.sh("kill -- -$(cat /run/echo)")


def _wait_for_words(node: Node, file: str, words: list[str]) -> None:
    wait_for(f"{node.name} to have {words}", lambda: node.sh(f"cat {file} || true").split() == words, 10)


def test_nothing_from_outside_comes_in(edge: Edge) -> None:
    edge.configure([ANY])
    internet = edge.lab["internet"]
    internet.sh(f"ip route replace {HOST}/32 via {WAN}; ip route replace 10.9.0.0/24 via {WAN}")
    try:
        before = edge.counter("forwarding-denied")
        with edge.lab.capture("host-a:lan") as a, edge.lab.capture("host-b:lan") as b:
            internet.must_not_reach(HOST)
            internet.must_not_reach("10.9.0.2")
            assert not internet.run("curl", "-sS", "--max-time", "1", f"http://{HOST}:22/").ok
        assert a.count("ip src 192.0.2.1") == b.count("ip src 192.0.2.1") == 0
        assert edge.counter("forwarding-denied") > before
    finally:
        internet.sh(f"ip route del {HOST}/32; ip route del 10.9.0.0/24")


TUNNELS = """
import socket, sys
datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for port in 4790, 4789:
    datagram.sendto(bytes.fromhex("0800000000000100") + bytes(60), (sys.argv[1], port))
gre = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_GRE)
gre.sendto(bytes.fromhex("00000800") + bytes(60), (sys.argv[1], 0))
datagram.sendto(b"last", (sys.argv[1], 4790))
"""


def test_no_tunnel_of_a_host_breaks_out(edge: Edge) -> None:
    """Whoever watches the uplink must not see an overlay in clear, also none that a host built itself: the box cannot
    tell it from one of its own that lost its way."""
    edge.configure([ANY])
    before = edge.counter("overlay-leak")
    with edge.lab.capture("internet:lan") as outside:
        edge.lab["host-a"].exec("python3", "-c", TUNNELS, FIRST)
        edge.lab["host-b"].exec("python3", "-c", TUNNELS, FIRST)
        wait_for("what may break out", lambda: outside.count("udp dst port 4790") == 4, 10)
    assert outside.count("udp dst port 4789 or ip proto 47") == 0
    assert edge.counter("overlay-leak") == before + 4


def test_the_gateway_itself_is_no_way_out(edge: Edge) -> None:
    """All breaks out, and the gateway answers nevertheless."""
    edge.configure([ANY])
    with edge.lab.capture("internet:lan") as outside:
        for name in "ab":
            assert edge.lab[f"host-{name}"].reaches(GATEWAY)
            edge.lab[f"host-{name}"].run("ping", "-b", "-c", "1", "-W", "1", "10.1.0.255")
    assert outside.count("icmp[icmptype] == icmp-echo") == 0


def test_without_an_uplink_nothing_takes_the_other_way(edge: Edge) -> None:
    """An uplink that leads nowhere does not send into the tunnel what is to break out, nor the other way round."""
    edge.configure([{"destination-prefix": f"{FIRST}/32"}])
    with edge.lab.capture("far-a:lan") as routed:
        with edge.lab.link("internet:lan").cut():
            edge.box.sh("ip route del default || true")
            assert edge.asked("a", FIRST).startswith("nobody")
        assert routed.count(f"ip host {FIRST}") == 0
    wait_for("the way out to be back", lambda: edge.asked("a", FIRST) == INTERNET, 20)
    with edge.lab.capture("internet:lan") as outside, edge.lab.link("far-a:lan").cut():
        edge.box.exec("ip", "link", "set", "far-a", "down")
        assert edge.asked("a", SECOND).startswith("nobody")
    assert outside.count(f"ip host {SECOND}") == 0
    wait_for("the route to be back", lambda: edge.asked("a", SECOND) == f"{ROUTED}-a", 20)


def test_a_connection_that_was_routed_never_leaves_untranslated(edge: Edge) -> None:
    """A connection that began elsewhere keeps its way when a policy comes; nothing of it leaves as it is."""
    edge.configure(None)
    host = edge.lab["host-a"]
    ask = "(while :; do echo still; sleep 0.1; done) | socat - UDP:198.51.100.80:9,sourceport=7002"
    edge.lab["far-a"].sh("setsid socat -u UDP-RECV:9 /dev/null >/dev/null 2>&1 & echo $! > /run/hearing")
    wait_for("somebody hears", lambda: edge.lab["far-a"].exec("ss", "-Hlnu", "sport = :9"), 20)
    host.sh(f"setsid sh -c '{ask}' > /dev/null 2>&1 & echo $! > /run/asking")
    try:
        seen = "conntrack -L -p udp 2>/dev/null || true"
        wait_for("packets to be routed", lambda: "sport=7002" in edge.box.sh(seen), 20)
        with edge.lab.capture("internet:lan") as outside, edge.lab.capture("far-a:lan") as routed:
            edge.configure([ANY])
            assert edge.asked("a", FIRST) == INTERNET
        assert routed.count("udp port 7002") > 0
        assert outside.count("udp port 7002 or net 10.0.0.0/8") == 0
    finally:
        host.run("sh", "-c", "kill -- -$(cat /run/asking)")
        edge.lab["far-a"].sh("kill $(cat /run/hearing)")


def test_it_goes_on_after_a_new_lease(edge: Edge) -> None:
    """The provider gives another address: from then on that is the one outside."""
    edge.configure([ANY])
    internet, other = edge.lab["internet"], "192.0.2.77"
    service = "/etc/sv/dhcp"
    try:
        internet.sh(f"sv down {service}; ip address replace 192.0.2.1/24 dev lan")
        internet.sh(
            "dnsmasq --conf-file=/dev/null --port=0 --interface=lan --bind-dynamic --no-ping --dhcp-authoritative "
            f"--dhcp-leasefile=/run/other --pid-file=/run/other.pid --dhcp-range={other},{other},255.255.255.0,120"
        )
        edge.box.sh("for p in $(pidof busybox); do kill $p; done")
        wait_for("the new lease", lambda: other in edge.box.exec("ip", "-4", "address", "show", "wan"), 20)
        with edge.lab.capture("internet:lan") as outside:
            wait_for("the new way out", lambda: edge.both(FIRST) == [INTERNET, INTERNET], 10)
        assert outside.count(f"tcp and src host {other}") > 0
        assert outside.count(f"tcp and src host {WAN}") == 0
    finally:
        internet.sh(f"kill $(cat /run/other.pid); sv up {service}")
        edge.box.sh("for p in $(pidof busybox); do kill $p; done")
        wait_for("the first lease", lambda: WAN in edge.box.exec("ip", "-4", "address", "show", "wan"), 20)


def test_large_packets_are_told_of(edge: Edge) -> None:
    """A SYN that leaves here promises no more than the uplink carries."""
    edge.configure([ANY])
    edge.box.exec("ip", "link", "set", "wan", "mtu", "1400")
    try:
        with edge.lab.capture("internet:lan") as outside:
            assert edge.asked("a", FIRST) == INTERNET
        own = outside.frames(f"src host {WAN} and tcp[tcpflags] & tcp-syn != 0")
        assert {int(size) for line in own for size in re.findall(r"mss (\d+)", line)} == {1360}
    finally:
        edge.box.exec("ip", "link", "set", "wan", "mtu", "1500")


SERVER6, HOST6, GATEWAY6 = "2001:db8:80::80", "2001:db8:1::10", "2001:db8:1::1"
SPLITS6: dict[str, tuple[Sequence[Entry], tuple[str, ...], tuple[str, ...]]] = {
    "by prefix": ([{"destination-prefix": f"{SERVER6}/128"}], (f"[{SERVER6}]",), (f"[{SERVER6[:-1]}1]",)),
    "by DSCP": ([{"dscp": "46"}], (f"[{SERVER6}]", "--ip-tos", "184"), (f"[{SERVER6}]",)),
}


@pytest.mark.parametrize("split", SPLITS6)
def test_ipv6_leaves_here_as_well_and_translated(edge: Edge, split: str) -> None:
    """Of both tenants from one address: outside both are the uplink's (NAPT66)."""
    policy, local, elsewhere = SPLITS6[split]
    edge.configure(policy, ipv6(GATEWAY6))
    internet = edge.lab["internet"]
    for address in (f"{WAN6}1/64", f"{SERVER6}/128", f"{SERVER6[:-1]}1/128"):
        internet.exec("ip", "-6", "address", "replace", address, "dev", "lan", "nodad")
    for name in TENANTS:
        edge.lab[f"host-{name}"].sh(
            f"ip -6 address replace {HOST6}/64 dev lan nodad; ip -6 route replace default via {GATEWAY6}"
        )
    with edge.lab.capture("internet:lan") as outside:
        for name in TENANTS:
            wait_for(f"tenant {name}'s way out", lambda n=name: edge.asked(n, *local) == INTERNET, 15)
            assert edge.asked(name, *elsewhere).startswith("nobody"), "the tenant has no IPv6 route"
    assert outside.count(f"ip6 and tcp and src host {WAN6}2") > 0
    assert outside.count("ip6 and src net 2001:db8:1::/64") == 0
