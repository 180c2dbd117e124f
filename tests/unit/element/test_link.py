"""Links as the kernel tells of them, in a network of the test's own."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from element import announce, neighbours
from element.announce import Place
from element.apply import asked, told
from element.apply.link import IFA_F_NODAD, IPV6, Links
from element.apply.route import Routes
from element.neighbours import Neighbour, ask, look
from element.plan.resources import LINK_GROUP, Address, Link, LocalRule, Route, Rule, StationEntry, table
from netlinkkit import dumps
from netlinkkit.requests import Refused, Request, Wire
from pyroute2 import IPRoute
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg

MAC, OTHER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"


@pytest.fixture
def network() -> Iterator[IPRoute]:
    before = os.open("/proc/self/ns/net", os.O_RDONLY)
    os.unshare(os.CLONE_NEWNET)
    try:
        with IPRoute() as made:
            yield made
    finally:
        os.setns(before, os.CLONE_NEWNET)
        os.close(before)


@pytest.fixture
def wire(network: IPRoute) -> Iterator[Wire]:
    with Wire() as made:
        yield made


def test_vlans_and_stations_are_asked_for_where_there_is_a_bridge(
    network: IPRoute, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def note(name: str) -> None:
        original = getattr(told, name)
        monkeypatch.setattr(told, name, lambda *given: (asked.append(name), original(*given))[1])

    note("vlans")
    note("stations")
    network.link("add", ifname="a", kind="veth", peer="b", group=LINK_GROUP)
    (port,) = network.link_lookup(ifname="a")
    assert {one.name for one in Links(wire).read() if hasattr(one, "name")} >= {"a", "b"}
    assert asked == []

    network.link("add", ifname="br", kind="bridge", group=LINK_GROUP)
    (bridge,) = network.link_lookup(ifname="br")
    network.link("set", index=port, master=bridge, state="up")
    network.fdb("add", ifindex=port, lladdr=MAC, state=0x40, flags=0x04)
    assert StationEntry("a", MAC, 0) in list(Links(wire).read())
    assert asked == ["vlans", "stations"]


def test_what_was_made_is_read(network: IPRoute, wire: Wire) -> None:
    """As pyroute2 tells it, which decodes all of it."""
    links = Links(wire)
    network.link("add", ifname="a", kind="veth", peer="b", group=LINK_GROUP)
    links.create(bridge := Link("br", "bridge", ipv6="host"))
    port = Link("a", "port", mtu=1400, mac=MAC, master="br", forwarding=True, ipv6="router", learning=False)
    links.change(port)
    links.add_address(four := Address("br", "10.1.0.1/24"))
    links.add_address(six := Address("br", "2001:db8::1/64"))
    links.add_station(station := StationEntry("a", OTHER_MAC, 0))
    found = list(links.read())
    assert not [one for one in (port, bridge) if one.differs(table(found)[one.key])]
    assert [one for one in found if isinstance(one, Address)] == [four, six]
    assert station in found
    assert {link.name: (link.mtu, link.mac, link.group) for link in told.links()} == {
        m.get_attr("IFLA_IFNAME"): (m.get_attr("IFLA_MTU"), m.get_attr("IFLA_ADDRESS"), m.get_attr("IFLA_GROUP"))
        for m in network.get_links()
    }


def test_routes_are_ours_alone(network: IPRoute, wire: Wire) -> None:
    network.link("add", ifname="a", kind="veth", peer="b", group=LINK_GROUP)
    links, routes = Links(wire), Routes(wire)
    for name, ipv6 in (("a", "router"), ("b", "host")):
        links.change(Link(name, "port", ipv6=ipv6))
    links.add_address(Address("a", "10.1.0.1/24"))
    links.add_address(Address("a", "2001:db8::1/64"))
    wanted = [
        Route(254, "0.0.0.0/0", 5, gateway="10.1.0.9", link="a", source="10.1.0.1"),
        Route(1000, "10.9.0.0/16", link="a"),
        Route(1000, "10.8.0.0/16", 9, kind="blackhole"),
        Route(1000, "2001:db8:9::/48", 7, gateway="2001:db8::9", link="a"),
        Route(1000, "::/0", 1024, kind="unreachable"),
    ]
    for route in wanted:
        routes.create(route)
    network.route("add", dst="10.7.0.0/16", oif=links.index("a"), proto=4)
    found = {one.key: one for one in routes.read() if isinstance(one, Route)}
    assert found.keys() == {one.key for one in wanted}
    assert not [one for one in wanted if one.differs(found[one.key])]


def test_who_refuses_says_why(network: IPRoute) -> None:
    with pytest.raises(OSError, match=r"\w"):
        dumps.dump(0x3FFE, bytes(16))


def test_what_changed_while_it_was_told_is_asked_for_again(network: IPRoute, monkeypatch: pytest.MonkeyPatch) -> None:
    original, answers = dumps._take, [False, False, True]

    def take(kernel: socket.socket, found: list[bytes]) -> bool:
        original(kernel, found)
        return answers.pop(0)

    monkeypatch.setattr(dumps, "_take", take)
    assert [link.name for link in told.links()] == ["lo"]
    assert answers == []
    answers += [False] * 100
    with pytest.raises(OSError, match="changes all the time"):
        told.links()


def test_settings_are_told_as_they_are_in_files(network: IPRoute) -> None:
    """Each is set to something else than the others are, and than it is by itself."""
    network.link("add", ifname="a", kind="veth", peer="b")
    network.link("add", ifname="small", kind="veth", peer="other", mtu=1200)  # RFC 8200, section 5: no IPv6
    values = {"accept_ra": "2", "autoconf": "0", "accept_redirects": "0", "accept_dad": "2", "forwarding": "1"}
    values |= {"keep_addr_on_down": "1", "addr_gen_mode": "3", "disable_ipv6": "1"}
    assert values.keys() >= IPV6.keys()
    for name, value in values.items():
        Path(f"/proc/sys/net/ipv6/conf/a/{name}").write_text(value)
    Path("/proc/sys/net/ipv4/conf/b/forwarding").write_text("1")
    assert Path("/proc/sys/net/ipv4/conf/a/forwarding").read_text() == "0\n"

    found = {link.name: link.settings() for link in told.links()}
    assert found["a"] == (False, values)
    forwards, of_b = found["b"]
    assert forwards
    assert of_b == {name: Path(f"/proc/sys/net/ipv6/conf/b/{name}").read_text().strip() for name in values}
    assert of_b.items().isdisjoint(values.items())
    assert found["small"] == (False, {})


def test_places_are_addresses_of_our_links_that_are_plugged_in(network: IPRoute) -> None:
    network.link("add", ifname="a", kind="veth", peer="b", group=LINK_GROUP, address=MAC)
    network.link("add", ifname="theirs", kind="veth", peer="there")
    network.link("add", ifname="deaf", kind="veth", peer="dumb", group=LINK_GROUP)
    ports = {link.name: link.index for link in told.links()}
    for link, address in (("theirs", "10.2.0.1"), ("deaf", "10.3.0.1"), ("a", "10.1.0.1"), ("a", "2001:db8::1")):
        version6 = ":" in address
        arguments = {"address": address, "prefixlen": 64 if version6 else 24, "flags": IFA_F_NODAD if version6 else 0}
        network.addr("add", index=ports[link], **arguments)
    for link in ("b", "theirs", "there", "dumb"):
        network.link("set", index=ports[link], state="up")
    network.link("set", index=ports["deaf"], state="up", arp=False)
    Path("/proc/sys/net/ipv6/conf/a/forwarding").write_text("1")
    assert announce.places() == frozenset(), "it is down"
    network.link("set", index=ports["a"], state="up")
    here = Place("a", ports["a"], MAC, "10.1.0.1")
    assert announce.places() == {here, Place("a", ports["a"], MAC, "2001:db8::1", router=True)}
    network.link("set", index=ports["b"], state="down")
    assert announce.places() == frozenset(), "its cable is out"


def test_links_are_made_as_they_are_wanted(network: IPRoute, wire: Wire) -> None:
    """As pyroute2 tells it. (What not every kernel has, VLANs, GRE, VRFs and xfrm interfaces, is in the next test.)"""
    links = Links(wire)
    network.link("add", ifname="a", kind="veth", peer="b", group=LINK_GROUP)
    network.addr("add", index=links.index("a"), address="192.0.2.1", prefixlen=24)
    links.create(Link("br", "bridge", up=True))
    vxlan = Link("vx", "vxlan", mtu=1400, mac=MAC, vni=1020, local="192.0.2.1", remote="192.0.2.2", master="br")
    links.create(replace(vxlan, learning=False))
    told_of = {m.get_attr("IFLA_IFNAME"): m for m in network.get_links()}
    bridge = told_of["br"].get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA")
    assert [bridge.get_attr(name) for name in ("IFLA_BR_STP_STATE", "IFLA_BR_MCAST_SNOOPING")] == [0, 0]
    data = told_of["vx"].get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA")
    names = ("ID", "LOCAL", "GROUP", "PORT", "LEARNING", "TOS")
    assert [data.get_attr(f"IFLA_VXLAN_{name}") for name in names] == [1020, "192.0.2.1", "192.0.2.2", 4789, 0, 1]
    with pytest.raises(ValueError, match="link vx has VNI 1020"):
        links.create(replace(vxlan, name="again", master=""))

    links.add_station(station := StationEntry("vx", OTHER_MAC, 0))
    assert [one for one in links.read() if isinstance(one, StationEntry)] == [station]
    [entry] = [m for m in network.get_neighbours(family=7) if m.get_attr("NDA_LLADDR") == OTHER_MAC]
    assert (entry["state"], entry["flags"] & 0x40) == (0x40, 0x40)
    links.remove_station(station)
    links.delete(vxlan)
    assert not [one for one in links.read() if isinstance(one, StationEntry) or getattr(one, "name", "") == "vx"]


def test_requests_are_what_another_implementation_reads_them_as() -> None:
    gre = Link("g", "gre", local="100.127.1.1", remote="100.127.0.1", underlay="x")
    assert _data(asked.new_link(gre, 7)) == {
        "IFLA_GRE_LINK": 7, "IFLA_GRE_LOCAL": "100.127.1.1", "IFLA_GRE_REMOTE": "100.127.0.1",
        "IFLA_GRE_TTL": 64, "IFLA_GRE_TOS": 1, "IFLA_GRE_PMTUDISC": 0,
    }  # fmt: skip
    assert _data(asked.new_link(Link("v", "vrf", table=1012), 0)) == {"IFLA_VRF_TABLE": 1012}
    assert _data(asked.new_link(Link("x", "xfrm", if_id=3), 0)) == {"IFLA_XFRM_IF_ID": 3}
    assert _data(asked.new_link(Link("b", "bridge"), 0))["IFLA_BR_VLAN_DEFAULT_PVID"] == 0
    assert _data(asked.filtering(5)) == {"IFLA_BR_VLAN_FILTERING": 1}
    for request, number in ((asked.new_vlan(5, 20, 6), 19), (asked.no_vlan(5, 20), 17)):
        message = _read(request, ifinfmsg)
        spec = message.get_attr("IFLA_AF_SPEC").get_attr("IFLA_BRIDGE_VLAN_INFO")
        flags = 6 if number == 19 else 0
        assert (request.kind, message["family"], message["index"]) == (number, 7, 5)
        assert (spec["vid"], spec["flags"]) == (20, flags)
    station = _read(asked.new_station(5, MAC, 20, 0x40, 0x44), ndmsg)
    assert (station["family"], station["ifindex"], station["state"], station["flags"]) == (7, 5, 0x40, 0x44)
    assert (station.get_attr("NDA_LLADDR"), station.get_attr("NDA_VLAN")) == (MAC, 20)


def _read(request: Request, form: type[Any]) -> Any:
    message = form(request.packed(1))
    message.decode()
    return message


def _data(request: Request) -> dict[str, Any]:
    return dict(_read(request, ifinfmsg).get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA")["attrs"])


def test_addresses_come_and_go(network: IPRoute, wire: Wire) -> None:
    links = Links(wire)
    links.create(Link("br", "bridge", ipv6="host"))
    sure, unsure = Address("br", "2001:db8::1/64"), Address("br", "2001:db8::2/64", unsure=True)
    for one in (four := Address("br", "10.1.0.1/24"), sure, unsure):
        links.add_address(one)
    flags = {m.get_attr("IFA_ADDRESS"): m.get_attr("IFA_FLAGS") & IFA_F_NODAD for m in network.get_addr()}
    assert (flags["2001:db8::1"], flags["2001:db8::2"]) == (IFA_F_NODAD, 0)
    for one in (four, sure, unsure):
        links.remove_address(one)
    assert not [one for one in links.read() if isinstance(one, Address)]
    with pytest.raises(Refused, match=re.escape("10.1.0.1/24: ")):
        links.remove_address(four)


def test_rules_are_made_read_and_removed(network: IPRoute, wire: Wire) -> None:
    routes = Routes(wire)
    wanted = [
        Rule(5000, 0x20000, 77, "lo", mask=0xFF0000),
        Rule(5001, 0x30000, 78, "lo", mask=0xFF0000, protocol=17),
        Rule(6, table=1012, link="lo", source="192.0.2.1"),
        Rule(6, table=1012, link="lo", source="2001:db8::1", family=6),
        Rule(1000, family=4),
    ]
    for rule in wanted:
        routes.create_rule(rule)
        routes.create_rule(rule)
    network.rule("add", priority=9, table=9)
    assert sorted(map(repr, _rules(routes))) == sorted(map(repr, wanted))
    for version in (4, 6):
        routes.move_local_rule(LocalRule(version, (0, 2000)))
        routes.move_local_rule(LocalRule(version, (2000,)))
    assert [one.priorities for one in routes.read() if isinstance(one, LocalRule)] == [(2000,), (2000,)]
    for rule in wanted:
        routes.delete_rule(rule)
    assert _rules(routes) == []
    assert [m.get_attr("FRA_PRIORITY") for m in network.get_rules(family=2)] == [9, 2000, 32766, 32767]


def _rules(routes: Routes) -> list[Rule]:
    return [one for one in routes.read() if isinstance(one, Rule)]


def test_what_is_told_of_neighbours_and_traffic(network: IPRoute, wire: Wire) -> None:
    network.link("add", ifname="a", kind="veth", peer="b")
    ports = {link.name: link.index for link in told.links()}
    for index in ports.values():
        network.link("set", index=index, state="up")
    for address in ("192.0.2.9", "2001:db8::9"):
        network.neigh("add", dst=address, ifindex=ports["a"], lladdr=MAC, state=neighbours.NUD_STALE)
    known = {Neighbour(ports["a"], address) for address in ("192.0.2.9", "2001:db8::9")}
    assert {one: state for one, state in look({"a"}).items() if one in known} == dict.fromkeys(
        known, neighbours.NUD_STALE
    )
    assert not look({"b"}).keys() & known
    ask([*known, Neighbour(ports["a"], "192.0.2.77")])
    assert {look({"a"})[one] for one in known} <= {neighbours.NUD_DELAY, neighbours.NUD_PROBE}


def test_traffic_is_told_as_pyroute2_tells_it(network: IPRoute) -> None:
    network.link("add", ifname="a", kind="veth", peer="b")
    for link in told.links():
        Path(f"/proc/sys/net/ipv6/conf/{link.name}/disable_ipv6").write_text("1")  # nothing is said unasked
        network.link("set", index=link.index, state="up")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind(("a", 0))
        for _ in range(3):
            sender.send(bytes(60))
    counted = {link.name: link.statistics for link in told.links(counted=True)}
    theirs = {m.get_attr("IFLA_IFNAME"): m.get_attr("IFLA_STATS64") for m in network.get_links()}
    names = ("rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "rx_errors", "tx_errors", "rx_dropped", "tx_dropped")
    assert counted == {link: tuple(stats[name] for name in names) for link, stats in theirs.items()}
    assert (counted["b"][0], counted["b"][2], counted["a"][1]) == (3, 180, 3)
    assert {link.name: link.operational_state for link in told.links()}["a"] == 6
