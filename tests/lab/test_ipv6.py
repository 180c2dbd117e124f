"""IPv6 in a box (RFC 8344, RFC 8349): addresses, routes, translation, what neighbours may say, and what is off."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from harness.host.channel import AgentError
from harness.lab import Lab
from harness.wait import wait_for
from tests.lab.directly import Tree, configuration, configure, counted, ethernet, of, port, static

pytestmark = pytest.mark.topology("boxes")

SERVER, SERVER4 = "2001:db8:ffff::80", "198.51.100.80"
UPLINK, ROUTER = "2001:db8:f1::2", "2001:db8:f1::1"
HOST_1, HOST_2, GATEWAY = "2001:db8:1::10", "2001:db8:2::10", "2001:db8:1::1"
MAC, STRANGER = "02:e1:00:00:00:01", "fe80::bad"
UNDERLAY = (("0.0.0.0/0", {"next-hop-address": "192.0.2.1"}), ("::/0", {"next-hop-address": ROUTER}))
OUT = tuple((prefix, hop | {"outgoing-interface": "wan"}) for prefix, hop in UNDERLAY)


def box(*interfaces: Tree, tenants: tuple[str, ...] = ("acme",), out: bool = True, wan: Tree | None = None) -> Tree:
    """A box with tenants' LANs, and a way to the Internet for each."""
    uplink = ethernet("wan", "192.0.2.2/30", f"{UPLINK}/64", **(wan or {}))
    routes = [static("underlay", *UNDERLAY), *(static(name, *OUT, **of(name)) for name in tenants if out)]
    breakouts = [{"tenant": name, "external-interface": "wan"} for name in tenants if out]
    return configuration([uplink, *interfaces], routes, list(tenants), breakouts)


def lan(number: int, tenant: str = "acme", net: int | None = None, **more: Any) -> Tree:
    """A routed port; its network is that of its number, or of another."""
    net = net or number
    return ethernet(f"lan{number}", f"10.{net}.0.1/24", f"2001:db8:{net}::1/64", **of(tenant), **more)


@pytest.fixture
def routed(lab: Lab) -> Iterator[Lab]:
    """Two routed LANs of a tenant."""
    configure(lab["box-1"], box(lan(1), lan(2)))
    yield lab
    configure(lab["box-1"], {})


def page(lab: Lab, host: str, *options: str) -> str:
    return lab[host].exec("curl", "-sS", "--max-time", "5", *options, f"http://[{SERVER}]/")


class TestRouted:
    def test_stations_reach_each_other_and_the_gateway(self, routed: Lab) -> None:
        routed["host-1"].must_reach(GATEWAY)
        routed["host-1"].must_reach(HOST_2)

    def test_the_internet_sees_the_uplinks_address_only(self, routed: Lab) -> None:
        with routed.capture("internet:access-1", f"host {SERVER}") as capture:
            assert "Internet" in page(routed, "host-1")
            assert routed["host-1"].reaches(SERVER)
        assert capture.count(f"tcp and src host {UPLINK}") > 0
        assert capture.count(f"icmp6 and src host {UPLINK}") > 0
        assert capture.count("net 2001:db8:1::/64") == 0

    def test_the_internet_does_not_reach_in(self, routed: Lab) -> None:
        internet, before = routed["internet"], counted(routed["box-1"], "forwarding-denied")
        internet.must_reach(UPLINK)
        internet.exec("ip", "-6", "route", "add", "2001:db8:1::/64", "via", UPLINK)
        try:
            internet.must_not_reach(HOST_1)
            internet.must_not_reach(GATEWAY)
            # Not even where it is known how the tenant's table is found: by the mark of a connection that is there.
            assert routed["host-1"].reaches(SERVER)
            internet.must_not_reach(HOST_1)
        finally:
            internet.exec("ip", "-6", "route", "del", "2001:db8:1::/64")
        assert counted(routed["box-1"], "forwarding-denied") > before

    def test_without_a_way_out_nothing_falls_into_the_underlay(self, lab: Lab) -> None:
        configure(lab["box-1"], box(lan(1), out=False))
        try:
            with lab.capture("internet:access-1", "icmp6[icmp6type] = icmp6-echo") as capture:
                answer = lab["host-1"].run("ping", "-6", "-n", "-c1", "-W1", SERVER).stdout
            assert "unreachable" in answer.lower()
            assert capture.count() == 0
        finally:
            configure(lab["box-1"], {})

    def test_tenants_with_equal_prefixes_use_equal_ports_at_once(self, lab: Lab) -> None:
        configure(lab["box-1"], box(lan(1), lan(2, "beta", 1), tenants=("acme", "beta")))
        other, only_beta = lab["host-2"], "2001:db8:1::99"
        for address in (HOST_1, only_beta):
            other.sh(f"ip -6 address add {address}/64 dev lan nodad")
        other.sh(f"ip -6 route replace default via {GATEWAY} src {HOST_1}")
        try:
            self.both_at_once(lab)
            assert lab["box-1"].reaches(only_beta, source="beta")
            lab["host-1"].must_not_reach(only_beta)
        finally:
            other.sh("ip -6 route replace default via 2001:db8:2::1")
            for address in (HOST_1, only_beta):
                other.sh(f"ip -6 address del {address}/64 dev lan")
            configure(lab["box-1"], {})

    def both_at_once(self, lab: Lab) -> None:
        """Nobody is answered before both are there; then each must have the answer to its own question."""
        internet, hosts = lab["internet"], ("host-1", "host-2")
        serving = "setsid python3 -c '{}' </dev/null >/run/serving 2>&1 & echo $!"
        server = internet.sh(serving.format(ANSWER_BOTH.format(server=SERVER))).strip()
        try:
            wait_for("the server", lambda: ":7008" in internet.exec("ss", "-Hnlt"), 5)
            with ThreadPoolExecutor(2) as pool:
                ask = ASK_AS.format(server=SERVER, own=HOST_1)
                said = list(pool.map(lambda host: lab[host].exec("python3", "-c", ask, host), hosts))
            assert said == [f"{host}\n" for host in hosts]
            wait_for("the server to end", lambda: not internet.run("kill", "-0", server).ok, 5)
            sources = json.loads(internet.exec("cat", "/run/serving"))
            assert {address for address, _ in sources} == {UPLINK}
            assert len({port for _, port in sources}) == 2
        finally:
            internet.run("kill", server)

    def test_forwarding_is_for_those_that_are_told_to(self, lab: Lab) -> None:
        quiet = lan(2)
        quiet["ietf-ip:ipv6"]["forwarding"] = False
        configure(lab["box-1"], box(lan(1), quiet))
        try:
            lab["host-2"].must_reach("2001:db8:2::1")
            lab["host-2"].must_not_reach(SERVER)
            lab["host-1"].must_not_reach(HOST_2)
            lab["host-1"].must_reach(SERVER)
        finally:
            configure(lab["box-1"], {})


class TestTooBig:
    """RFC 8201: routers do not fragment IPv6, so whoever sends must be told."""

    def test_stations_are_told_what_the_uplink_carries(self, lab: Lab) -> None:
        """By the gateway, on their LAN: Linux by itself sends this error into the underlay."""
        configure(lab["box-1"], box(lan(1), wan={"elasticlab-interface:mtu": 1400}))
        host = lab["host-1"]
        try:
            host.must_reach(SERVER)
            host.exec("ip", "-6", "route", "flush", "cache")
            with lab.capture("internet:access-1", "icmp6[icmp6type] = 2") as underlay:
                answer = host.run("ping", "-6", "-n", "-c2", "-W1", "-Mdo", "-s1400", SERVER)
            assert f"From {GATEWAY}" in answer.stdout
            assert "mtu=1400" in answer.stdout
            assert underlay.count() == 0, "the error, with a part of the tenant's packet, is in the underlay"
            assert "Internet" in page(lab, "host-1")
        finally:
            host.exec("ip", "-6", "route", "flush", "cache")
            configure(lab["box-1"], {})

    @pytest.mark.parametrize("server", [SERVER, SERVER4])
    def test_the_internet_is_told_what_the_lan_carries(self, lab: Lab, server: str) -> None:
        """The error is about a translated packet: what it says must be true outside, or nobody there believes it."""
        configure(lab["box-1"], box(lan(1, **{"elasticlab-interface:mtu": 1400})))
        host, internet = lab["host-1"], lab["internet"]
        flush = ("ip", "-6" if ":" in server else "-4", "route", "flush", "cache")
        try:
            host.must_reach(server)
            internet.exec(*flush)
            internet.sh(f"setsid python3 -c '{ANSWER.format(server=server)}' >/dev/null 2>&1 &")
            wait_for("the server", lambda: ":7007" in internet.exec("ss", "-Hnlu"), 20)
            with lab.capture("internet:access-1", "icmp6[icmp6type] = 2 or icmp[icmptype] = icmp-unreach") as errors:
                got = json.loads(host.exec("python3", "-c", ASK.format(server=server)))
            assert errors.count(), "nothing about the size came to the Internet"
            assert got[-1] == 1450, f"what is too big for the LAN is lost: {got}"
        finally:
            internet.exec(*flush)
            configure(lab["box-1"], {})


class TestOff:
    def test_ports_without_ipv6_are_silent(self, lab: Lab) -> None:
        node = lab["box-1"]
        node.sh("echo 0 > /proc/sys/net/ipv6/conf/lan2/disable_ipv6; ip link set lan2 up")
        assert "fe80" in node.exec("ip", "-6", "address", "show", "dev", "lan2")
        configure(node, box(ethernet("lan1", "10.1.0.1/24", **of("acme"))))
        try:
            for name in ("lan1", "lan2", "acme"):
                assert node.exec("cat", f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").strip() == "1", name
                assert "fe80" not in node.exec("ip", "-6", "address", "show", "dev", name)
            assert "UP" in node.exec("ip", "link", "show", "lan2"), "more was done to an unused port than asked"
            lab["host-1"].must_reach("10.1.0.1")
            lab["host-1"].must_not_reach(GATEWAY)
        finally:
            configure(node, {})

    def test_a_router_on_the_wan_changes_nothing(self, routed: Lab) -> None:
        before = routed["box-1"].exec("ip", "-6", "route", "show", "table", "all")
        say(routed, "internet", "access-1", "router advertisement")
        assert routed["box-1"].exec("ip", "-6", "route", "show", "table", "all") == before
        assert "bad" not in routed["box-1"].exec("ip", "-6", "address")

    def test_what_is_as_it_should_be_is_left_alone_and_the_rest_repaired(self, routed: Lab) -> None:
        node, wanted = routed["box-1"], box(lan(1), lan(2))
        assert configure(node, wanted) == []
        node.sh(
            "ip -6 address del 2001:db8:1::1/64 dev lan1; ip -6 route del ::/0 via 2001:db8:f1::1 dev wan;"
            "ip -6 rule del pref 900; echo 1 > /proc/sys/net/ipv6/conf/wan/accept_ra;"
            "ip -6 address add 2001:db8:9::9/64 dev lan2"
        )
        assert configure(node, wanted)
        assert configure(node, wanted) == []
        assert "Internet" in page(routed, "host-1")
        assert "2001:db8:9::9" not in node.exec("ip", "-6", "address")


ANSWER_BOTH = """
import json, socket
listener = socket.create_server(("{server}", 7008), family=socket.AF_INET6)
listener.settimeout(10)
both = [listener.accept() for _ in range(2)]
for connection, _ in both:
    connection.settimeout(5)
    connection.sendall(connection.recv(100))
print(json.dumps([source[:2] for _, source in both]))
"""
ASK_AS = """
import socket, sys
s = socket.socket(socket.AF_INET6)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("{own}", 40000))
s.settimeout(15)
s.connect(("{server}", 7008))
s.sendall(sys.argv[1].encode())
print(s.recv(100).decode())
"""
ANSWER = """
import socket
s = socket.socket(socket.getaddrinfo("{server}", 1)[0][0], socket.SOCK_DGRAM)
s.bind(("{server}", 7007))
s.settimeout(8)
for _ in range(3):
    s.sendto(bytes(1450), s.recvfrom(2000)[1])
"""
ASK = """
import socket
s = socket.socket(socket.getaddrinfo("{server}", 1)[0][0], socket.SOCK_DGRAM)
s.settimeout(1)
got = []
for _ in range(3):
    s.sendto(b"?", ("{server}", 7007))
    try:
        got.append(len(s.recv(2000)))
    except TimeoutError:
        got.append(0)
print(got)
"""
# A neighbour of stations, with scapy: each a frame that only the gateway or a router may send.
_SAY = """
from scapy.all import *
mac = get_if_hwaddr("{interface}")
sendp({frame}, iface="{interface}", verbose=0)
"""
_FROM = 'Ether(dst="33:33:00:00:00:01") / IPv6(src="{source}", dst="ff02::1", hlim=255) / '
_RA = (
    "ICMPv6ND_RA(routerlifetime=1800) / ICMPv6NDOptSrcLLAddr(lladdr=mac)"
    ' / ICMPv6NDOptPrefixInfo(prefix="2001:db8:bad::", prefixlen=64)'
)
SAYINGS = {
    "advertisement of the gateway": (
        "gateway-spoofed",
        'ICMPv6ND_NA(tgt="2001:db8:1::1", R=1, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=mac)',
        STRANGER,
    ),
    "advertisement of the gateway's link-local address": (
        "gateway-spoofed",
        'ICMPv6ND_NA(tgt="fe80::e1:ff:fe00:1", R=1, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=mac)',
        STRANGER,
    ),
    "advertisement behind another header": (
        "gateway-spoofed",
        'IPv6ExtHdrDestOpt() / ICMPv6ND_NA(tgt="2001:db8:1::1", O=1) / ICMPv6NDOptDstLLAddr(lladdr=mac)',
        STRANGER,
    ),
    "solicitation as if from the gateway": (
        "gateway-spoofed",
        'ICMPv6ND_NS(tgt="2001:db8:1::20") / ICMPv6NDOptSrcLLAddr(lladdr=mac)',
        GATEWAY,
    ),
    "router advertisement": ("router-imitated", _RA, STRANGER),
    "router advertisement behind another header": ("router-imitated", f"IPv6ExtHdrDestOpt() / {_RA}", STRANGER),
    "router advertisement in fragments": ("router-imitated", f"IPv6ExtHdrFragment(id=7, m=0) / {_RA}", STRANGER),
    "redirect": ("router-imitated", 'ICMPv6ND_Redirect(tgt="fe80::bad", dst="2001:db8:ffff::80")', STRANGER),
    "answer of a DHCPv6 server": ("router-imitated", "UDP(sport=547, dport=546) / DHCP6_Reply(trid=1)", STRANGER),
}


def say(lab: Lab, host: str, interface: str, *names: str) -> None:
    """Send what `SAYINGS` has under these names."""
    frames = (_FROM.format(source=source) + frame for _, frame, source in (SAYINGS[name] for name in names))
    lab[host].exec("python3", "-c", _SAY.format(interface=interface, frame=f"[{', '.join(frames)}]"))


@pytest.fixture(params=["", ".20"], ids=["untagged", "tagged"])
def bridged(lab: Lab, request: pytest.FixtureRequest) -> Iterator[tuple[Lab, str]]:
    """Two stations on a bridge whose gateway is behind a third port, as on a site's box; the stations' interface."""
    vlan, box_1 = request.param, lab["box-1"]
    ports = {"tagged-vlan": [20]} if vlan else {}
    own: Tree = {"vlan-aware": bool(vlan), "tcp-mss": 1348}
    own["protected-station"] = [
        {"mac-address": MAC, "address": [GATEWAY], "port": "wan"} | ({"vlan": 20} if vlan else {})
    ]
    interfaces = [
        {"name": "br", "type": "iana-if-type:bridge", "elasticlab-bridge:bridge": own},
        *(ethernet(name, **port("br", **ports)) for name in ("lan1", "lan2", "wan")),
    ]
    for number, host in ((10, "host-1"), (20, "host-2")):
        if vlan:
            lab[host].sh("ip link add link lan name lan.20 type vlan id 20; ip link set lan.20 up")
        lab[host].sh(f"ip -6 address replace 2001:db8:20::{number}/64 dev lan{vlan} nodad")
    configure(box_1, configuration(interfaces, [], [], []))
    yield lab, f"lan{vlan}"
    configure(box_1, {})
    for number, host in ((10, "host-1"), (20, "host-2")):
        lab[host].exec("ip", "-6", "address", "del", f"2001:db8:20::{number}/64", "dev", f"lan{vlan}")
        # What it believes of the advertisements that it was to hear.
        lab[host].sh(f"ip -6 route flush proto ra; ip -6 address flush dev lan{vlan} dynamic")
        if vlan:
            lab[host].exec("ip", "link", "del", "lan.20")


class TestOneLink:
    """What stations of an L2 site may say to each other (RFC 4861, RFC 6105)."""

    def test_stations_find_each_other(self, bridged: tuple[Lab, str]) -> None:
        bridged[0]["host-1"].must_reach("2001:db8:20::20")

    def test_nobody_speaks_as_the_gateway(self, bridged: tuple[Lab, str]) -> None:
        lab, interface = bridged
        wanted = Counter(counter for counter, _, _ in SAYINGS.values())
        before = {counter: counted(lab["box-1"], counter) for counter in wanted}
        with lab.capture("host-2:lan", "ether dst 33:33:00:00:00:01") as heard:
            say(lab, "host-1", interface, *SAYINGS)
        assert {counter: counted(lab["box-1"], counter) - n for counter, n in before.items()} == wanted
        assert heard.frames() == []

    def test_the_gateway_does(self, bridged: tuple[Lab, str]) -> None:
        """The same frame from behind the protected station's port is heard: the guard is not merely deaf."""
        lab, interface = bridged
        vlan = interface.removeprefix("lan")
        if vlan:
            lab["internet"].sh("ip link add link access-1 name access-1.20 type vlan id 20; ip link set access-1.20 up")
        try:
            with lab.capture("host-2:lan", "ip6 or vlan") as heard:
                say(lab, "internet", f"access-1{vlan}", "router advertisement")
                wait_for("the frame", lambda: any(STRANGER in f for f in heard.frames()), 20, retry_on=(AgentError,))
        finally:
            if vlan:
                lab["internet"].exec("ip", "link", "del", "access-1.20")

    def test_the_clamp_is_of_ipv6s_size(self, bridged: tuple[Lab, str]) -> None:
        lab, _ = bridged
        lab["host-2"].exec("iperf3", "--server", "--one-off", "--daemon")
        lab.wait_until("host-2", "tcp:5201", 20)
        with lab.capture("host-2:lan", "ip6 or vlan") as heard:
            lab["host-1"].exec("iperf3", "--client", "2001:db8:20::20", "--bytes", "100K")
        opening = [f for f in heard.frames() if "> 2001:db8:20::20.5201: Flags [S]" in f]
        assert opening
        assert all("mss 1328" in f for f in opening), opening
