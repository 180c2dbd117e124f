"""Links as the kernel tells of them, in a network of the test's own."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from element import announce
from element.announce import Place
from element.apply import dumps, told
from element.apply.link import IFA_F_NODAD, IPV6, Links
from element.apply.route import Routes
from element.plan.resources import LINK_GROUP, Address, Link, Route, StationEntry, table
from pyroute2 import IPRoute

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


def test_vlans_and_stations_are_asked_for_where_there_is_a_bridge(
    network: IPRoute, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def note(name: str) -> None:
        original = getattr(told, name)
        monkeypatch.setattr(told, name, lambda *given: (asked.append(name), original(*given))[1])

    note("vlans")
    note("stations")
    network.link("add", ifname="a", kind="veth", peer="b", group=LINK_GROUP)
    (port,) = network.link_lookup(ifname="a")
    assert {one.name for one in Links(network).read() if hasattr(one, "name")} >= {"a", "b"}
    assert asked == []

    network.link("add", ifname="br", kind="bridge", group=LINK_GROUP)
    (bridge,) = network.link_lookup(ifname="br")
    network.link("set", index=port, master=bridge, state="up")
    network.fdb("add", ifindex=port, lladdr=MAC, state=0x40, flags=0x04)
    assert StationEntry("a", MAC, 0) in list(Links(network).read())
    assert asked == ["vlans", "stations"]


def test_what_was_made_is_read(network: IPRoute) -> None:
    """As pyroute2 tells it, which decodes all of it."""
    links = Links(network)
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


def test_routes_are_ours_alone(network: IPRoute) -> None:
    network.link("add", ifname="a", kind="veth", peer="b", group=LINK_GROUP)
    links, routes = Links(network), Routes(network)
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
