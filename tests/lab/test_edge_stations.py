"""Addresses and names for the stations of a LAN: each tenant's own, also when addresses, names and MACs are equal."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from harness.lab import Lab, Node
from harness.wait import wait_for
from tests.lab.edge import GATEWAY, TENANTS, Edge, ipv6
from tests.scenarios.forgery import mac_of

pytestmark = pytest.mark.topology("edge")

MODULE = "urn:elasticlab:yang:elasticlab-lan"
RANGE = "<start-address>10.1.0.100</start-address><end-address>10.1.0.119</end-address>"
DHCP = f'<dhcp-server xmlns="{MODULE}">{RANGE}<mtu>1400</mtu></dhcp-server>'
DNS = (
    f'<dns xmlns="{MODULE}"><domain>office.example</domain><forwarder>198.51.100.53</forwarder>'
    "<host><name>printer</name><address>10.1.0.9</address></host></dns>"
)
BOTH = DHCP + DNS
MAC = "02:00:00:00:00:aa"
FORWARDER = "198.51.100.53"
PREFIX, GATEWAY6 = "2001:db8:1:", "2001:db8:1::1"
IPV6 = ipv6(
    GATEWAY6,
    '<ipv6-router-advertisements xmlns="urn:ietf:params:xml:ns:yang:ietf-ipv6-unicast-routing">'
    "<send-advertisements>true</send-advertisements><max-rtr-adv-interval>10</max-rtr-adv-interval>"
    "</ipv6-router-advertisements>",
)
RUNNING = "pgrep -x -r DRS dnsmasq || true"  # zombies do not run


@pytest.fixture
def edge(lab: Lab) -> Iterator[Edge]:
    """Hosts without addresses, with equal MACs; whoever is asked for names says where it stands."""
    found = Edge(lab)
    for name in TENANTS:
        lab[f"host-{name}"].sh(f"ip address flush dev lan; ip link set lan address {MAC} mtu 1500; ip link set lan up")
    answering = ("far-a", "far-b", "internet")
    for number, name in enumerate(answering):
        lab[name].sh(
            f"ip address replace {FORWARDER}/32 dev lo; dnsmasq --conf-file=/dev/null --listen-address={FORWARDER} "
            f"--bind-interfaces --no-resolv --no-hosts --address=/where.example/203.0.113.{number} "
            "--pid-file=/run/dns.pid"
        )
    try:
        yield found
    finally:
        for name in answering:
            lab[name].sh("kill $(cat /run/dns.pid)")


def ask_for_address(node: Node, name: str = "pc") -> str:
    """What a station gets by DHCP that calls itself so; it configures itself with it."""
    node.exec(
        "busybox", "udhcpc", "-i", "lan", "-n", "-q", "-t", "12", "-T", "1", "-O", "mtu", "-x", f"hostname:{name}"
    )
    return node.sh("ip -4 -o address show lan | awk '{print $4}'").strip()


def ask(node: Node, name: str, server: str = GATEWAY, *options: str) -> list[str]:
    """The addresses of a name, or the error's code."""
    done = node.run("timeout", "3", "drill", *options, f"@{server}", name)  # drill itself would ask for 15 s
    if not done.ok:
        return ["no answer"]
    answer = done.stdout.split("ANSWER SECTION:")[1].split(";;")[0]
    code = done.stdout.split("rcode: ")[1].split(",")[0]
    return [line.split()[-1] for line in answer.splitlines() if "\tA\t" in line] or [code]


def wait_for_names(edge: Edge, *tenants: str) -> None:
    for tenant in tenants:
        node = edge.lab[f"host-{tenant}"]
        wait_for(f"tenant {tenant}'s names", lambda n=node: ask(n, "printer.office.example") == ["10.1.0.9"], 20)


def test_equal_stations_of_two_tenants_have_addresses_and_names(edge: Edge) -> None:
    edge.configure(None, BOTH)
    given = {name: ask_for_address(edge.lab[f"host-{name}"]) for name in TENANTS}
    for name, address in given.items():
        host = edge.lab[f"host-{name}"]
        assert address.startswith("10.1.0.1")
        assert address.endswith("/24")
        assert f"default via {GATEWAY}" in host.exec("ip", "route")
        assert "mtu 1400" in host.exec("ip", "link", "show", "lan")
        assert "domain office.example" in host.exec("cat", "/etc/resolv.conf")
    wait_for_names(edge, *TENANTS)
    for name, address in given.items():
        host = edge.lab[f"host-{name}"]
        for asked in ("pc", "pc.office.example"):
            wait_for(f"{asked} of {name}", lambda h=host, a=asked, x=address: ask(h, a) == [x.partition("/")[0]], 20)
    edge.lab["host-a"].exec("ip", "link", "set", "lan", "address", "02:00:00:00:00:ab")
    second = ask_for_address(edge.lab["host-a"], "only-a").partition("/")[0]
    wait_for("the second name", lambda: ask(edge.lab["host-a"], "only-a") == [second], 20)
    assert ask(edge.lab["host-b"], "only-a.office.example") == ["NXDOMAIN"]


def test_a_tenants_questions_go_where_its_packets_go(edge: Edge) -> None:
    edge.configure([], BOTH)
    with edge.lab.capture("far-a:lan") as routed:
        for number, name in enumerate(TENANTS):
            ask_for_address(edge.lab[f"host-{name}"])
            wait_for_names(edge, name)
            for options in ((), ("-t",)):
                assert ask(edge.lab[f"host-{name}"], "where.example", GATEWAY, *options) == [f"203.0.113.{number}"]
    assert routed.count(f"udp port 53 and src host {GATEWAY}") > 0
    assert routed.count("net 169.254.0.0/16") == 0
    edge.configure([{"source-prefix": "10.1.0.0/24"}], BOTH)
    wait_for_names(edge, *TENANTS)
    with edge.lab.capture("internet:lan") as outside:
        for name in TENANTS:
            assert ask(edge.lab[f"host-{name}"], "where.example") == ["203.0.113.2"]
    assert outside.count("udp port 53 and src host 192.0.2.10") > 0
    assert outside.count("net 169.254.0.0/16 or net 10.0.0.0/8") == 0


def test_without_forwarders_other_names_do_not_exist(edge: Edge) -> None:
    edge.configure(None, DHCP + DNS.replace(f"<forwarder>{FORWARDER}</forwarder>", ""))
    ask_for_address(edge.lab["host-a"])
    wait_for_names(edge, "a")
    assert ask(edge.lab["host-a"], "where.example") == ["NXDOMAIN"]


def test_nobody_else_is_served(edge: Edge) -> None:
    """Not from the tenant's other interfaces, not from the uplink, not by the server's inner address."""
    edge.configure(None, BOTH)
    ask_for_address(edge.lab["host-a"])
    wait_for_names(edge, "a")
    inner = edge.box.sh("ip -4 -o address | awk '$2 ~ /^dns-/ {print $4}' | cut -d/ -f1 | head -1").strip()
    far, internet = edge.lab["far-a"], edge.lab["internet"]
    for server in (GATEWAY, inner, inner[:-1] + str(int(inner[-1]) + 1)):
        assert ask(far, "printer.office.example", server) == ["no answer"]
    assert ask(internet, "printer.office.example", "192.0.2.10") == ["no answer"]
    stranger = mac_of(edge.lab, "far-a")
    with edge.lab.capture("far-a:lan", "udp port 67") as heard:
        asked = far.run("busybox", "udhcpc", "-i", "lan", "-n", "-q", "-t", "2", "-T", "1", "-s", "/bin/true")
    assert not asked.ok, asked.stderr
    assert heard.count(f"udp dst port 67 and ether src {stranger}") == 2
    assert heard.count("udp src port 67") == 0
    leases = edge.box.sh("cat /var/lib/element-stations/*").lower()
    assert MAC in leases
    assert stranger not in leases
    listening = edge.box.sh("ss -Hlun | awk '{print $4}'").split()
    assert {one for one in listening if one.endswith((":53", ":67"))} == {"0.0.0.0%lan-a:67", "0.0.0.0%lan-b:67"}


def test_servers_have_no_more_rights_than_they_need(edge: Edge) -> None:
    edge.configure(None, BOTH)
    wait_for("four servers", lambda: len(edge.box.sh(RUNNING).split()) == 4, 15)
    what = "'Uid\\|CapEff\\|CapBnd\\|NoNewPrivs'"
    status = edge.box.sh(f"for p in $(pgrep -x dnsmasq); do grep -h {what} /proc/$p/status; done")
    lines = [line.split() for line in status.splitlines()]
    assert {words[1] for words in lines if words[0] == "Uid:"} == {edge.box.exec("id", "-u", "dnsmasq").strip()}
    # NET_BIND_SERVICE is bit 10, NET_ADMIN 12, NET_RAW 13.
    assert {int(w[1], 16) for w in lines if w[0] in {"CapEff:", "CapBnd:"}} == {1 << 10, 1 << 10 | 1 << 12 | 1 << 13}
    assert {words[1] for words in lines if words[0] == "NoNewPrivs:"} == {"1"}


def test_servers_come_back_and_leases_stay(edge: Edge) -> None:
    """After the death of a server, of the element, and of the power."""
    edge.configure(None, BOTH)
    host = edge.lab["host-a"]
    given = ask_for_address(host)
    wait_for_names(edge, "a")
    edge.box.sh("kill -9 $(pgrep -x dnsmasq)")
    wait_for("the name after the servers' death", lambda: ask(host, "pc") == [given.partition("/")[0]], 60)
    before = set(edge.box.sh(RUNNING).split())
    edge.box.sh("kill -9 $(cat /etc/sv/element/supervise/pid)")
    wait_for("new servers", lambda: _four_others(edge, before), 60)
    wait_for("the name after the element's death", lambda: ask(host, "pc") == [given.partition("/")[0]], 60)
    edge.box.power.cycle()
    host.exec("ip", "address", "flush", "dev", "lan")
    assert given.partition("/")[0] in edge.box.exec("cat", "/var/lib/element-stations/a:lan-a")
    wait_for("servers after the power cut", lambda: len(edge.box.sh(RUNNING).split()) == 4, 60)
    assert ask_for_address(host) == given


def _four_others(edge: Edge, before: set[str]) -> bool:
    now = set(edge.box.sh(RUNNING).split())
    return len(now) == 4 and not now & before


def test_servers_end_with_their_configuration(edge: Edge) -> None:
    edge.configure(None, BOTH)
    ask_for_address(edge.lab["host-a"])
    wait_for_names(edge, "a")
    edge.configure(None, DHCP)
    wait_for("DNS to end", lambda: len(edge.box.sh(RUNNING).split()) == 2, 10)
    edge.configure(None)
    wait_for("DHCP to end", lambda: not edge.box.sh(RUNNING).split(), 10)
    assert "dns-" not in edge.box.exec("ip", "-br", "link")
    # Who comes next would inherit them.
    wait_for("the leases to go", lambda: edge.box.exec("ls", "/var/lib/element-stations") == "", 10)
    assert ask(edge.lab["host-a"], "printer.office.example") == ["no answer"]


def test_stations_learn_their_router_prefix_and_dns_server(edge: Edge) -> None:
    with edge.lab.capture("host-a:lan") as heard:
        edge.configure(None, DNS + IPV6)
        for name in TENANTS:
            host = edge.lab[f"host-{name}"]
            wait_for(f"{name}'s address", lambda h=host: PREFIX in h.exec("ip", "-6", "address", "show", "lan"), 30)
            assert "default via fe80::" in host.exec("ip", "-6", "route", "show", "dev", "lan")
            _wait_for_names_by_ipv6(host)
    assert heard.count("icmp6 and ip6[40] = 134") > 0
    # RFC 8106, section 5.1: type, length and zeros before the lifetime of three intervals.
    assert heard.contains(bytes([25, 3, 0, 0, 0, 0, 0, 30]) + ip_address(GATEWAY6).packed)
    edge.configure(None)
    wait_for("radvd to end", lambda: not edge.box.run("pgrep", "-x", "-r", "DRS", "radvd").ok, 10)


def _wait_for_names_by_ipv6(host: Node) -> None:
    asked = "printer.office.example"
    wait_for(f"names by IPv6 at {host.name}", lambda: ask(host, asked, GATEWAY6) == ["10.1.0.9"], 30)


def test_no_station_gives_others_addresses(edge: Edge) -> None:
    """On a bridge with its gateway on the box: the gateway's server answers, a station's does not reach anybody."""
    edge.configure(None, DHCP, bridged=True)
    rogue, victim = edge.lab["host-a"], edge.lab["far-a"]
    before = edge.counter("dhcp-imitated")
    wait_for("the tenants' servers", lambda: len(edge.box.sh(RUNNING).split()) == 2, 20)
    rogue.sh(
        "ip address replace 10.1.0.66/24 dev lan; dnsmasq --conf-file=/dev/null --port=0 --interface=lan "
        "--bind-interfaces --dhcp-authoritative --no-ping --dhcp-range=10.1.0.60,10.1.0.69,255.255.255.0,120 "
        "--dhcp-leasefile=/run/rogue --pid-file=/run/rogue.pid"
    )
    try:
        with edge.lab.capture("far-a:lan") as heard:
            victim.exec("busybox", "udhcpc", "-i", "lan", "-n", "-q", "-t", "12", "-T", "1", "-s", "/bin/true")
        assert heard.count(f"udp src port 67 and src host {GATEWAY}") > 0
        assert heard.count("udp src port 67 and src host 10.1.0.66") == 0
        wait_for("it to be counted", lambda: edge.counter("dhcp-imitated") > before, 10)
    finally:
        rogue.sh("kill $(cat /run/rogue.pid)")
