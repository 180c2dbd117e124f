"""Leases: what is taken, what is refused, and what a taken one means for the kernel."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from element import day0
from element.dhcp import client, option143
from element.dhcp.client import V4, V6, Clients
from element.dhcp.lease import LARGEST, Lease, LeaseError, asking, granted, parse, parse6
from element.model import Config, Granted, read
from element.plan import firewall
from element.plan.desired import desired
from element.plan.difference import difference
from element.plan.resources import Address, Link, Route, table
from element.unsupported import UnsupportedError
from hypothesis import given
from hypothesis import strategies as st

Tree = dict[str, Any]

DHCP_RULE = 'iifname { "wan" } udp sport 67 udp dport 68 accept'


def option(*uris: bytes) -> bytes:
    return b"".join(len(uri).to_bytes(2, "big") + uri for uri in uris)


GOOD = {
    "address": "198.51.100.20",
    "prefix-length": "24",
    "routers": "198.51.100.1 198.51.100.2",
    "option-143": option(b"https://203.0.113.6:8572").hex(),
    "lease-time": "600",
    "at": "1000.5",
}


def content(**changes: str) -> bytes:
    return json.dumps(GOOD | {k.replace("_", "-"): v for k, v in changes.items()}).encode()


def on_dhcp(**more: Any) -> Config:
    """A box at its start, by DHCP."""
    interface: Tree = {"name": "wan", "type": "iana-if-type:ethernetCsmacd", "elasticlab-interface:dhcp": {}, **more}
    return read({"ietf-interfaces:interfaces": {"interface": [interface]}})


@given(st.lists(st.tuples(st.ip_addresses(v=4), st.integers(1, 65535)), max_size=20))
def test_servers_come_out_as_they_went_in_or_not_at_all(servers: list[Any]) -> None:
    uris = [f"https://{address}:{port}" for address, port in servers]
    if all(option143.usable(address) for address, _ in servers):
        assert option143.parse(option(*(uri.encode() for uri in uris))) == tuple(dict.fromkeys(uris))
    else:
        with pytest.raises(ValueError, match="option 143"):
            option143.parse(option(*(uri.encode() for uri in uris)))


@given(st.binary(max_size=1200))
def test_any_octets_are_servers_or_refused(octets: bytes) -> None:
    try:
        found = option143.parse(octets)
    except ValueError:
        return
    assert all(uri.startswith("https://") for uri in found)


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text() | st.floats(), st.lists).map(json.dumps))
def test_any_file_is_a_lease_or_refused(text: bytes | str) -> None:
    with pytest.raises(LeaseError):
        parse(text if isinstance(text, bytes) else text.encode())


@given(st.fixed_dictionaries({key: st.text() | st.integers().map(str) | st.none() for key in GOOD}))
def test_any_values_are_a_lease_or_refused(values: Tree) -> None:
    with contextlib.suppress(LeaseError):
        parse(json.dumps(GOOD | values).encode())


@pytest.mark.parametrize(
    "uri",
    [
        b"http://203.0.113.6:8572",
        b"https://203.0.113.6",
        b"https://bootstrap.example:8572",
        b"https://203.0.113.6:8572/path",
        b"https://user@203.0.113.6:8572",
        b"https://203.0.113.256:8572",
        b"https://203.0.113.6:65536",
        b"https://127.0.0.1:8572",
        b"https://203.0.113.6:8572\n",
        b"\xff\xfe",
        b"",
    ],
)
def test_what_is_no_server_spoils_the_list(uri: bytes) -> None:
    with pytest.raises(ValueError, match="option 143"):
        option143.parse(option(b"https://203.0.113.6:8572", uri))


@pytest.mark.parametrize("octets", [b"\0", b"\0\x18https", option(b"x" * 1100)])
def test_a_list_cut_short_or_too_long_is_refused(octets: bytes) -> None:
    with pytest.raises(ValueError, match="option 143"):
        option143.parse(octets)


def test_a_lease_is_read() -> None:
    lease = parse(content())
    assert (str(lease.address), str(lease.router)) == ("198.51.100.20/24", "198.51.100.1")
    assert lease.servers == ("https://203.0.113.6:8572",)
    assert lease.ends == 1600.5
    assert parse(content(lease_time=str(0xFFFFFFFF))).ends is None
    assert lease == parse(content(at="1300")), "a renewal is no change"
    assert parse(content(routers="", option_143="")) == replace(lease, router=None, servers=())


@pytest.mark.parametrize(
    "change",
    [
        {"address": "127.0.0.1"},
        {"address": "224.0.0.1"},
        {"address": "169.254.3.3"},
        {"address": "0.0.0.1"},
        {"address": "198.51.100.0"},
        {"address": "198.51.100.255"},
        {"address": "nowhere"},
        {"prefix_length": "0"},
        {"prefix_length": "32"},
        {"prefix_length": ""},
        {"routers": "203.0.113.1"},
        {"routers": "198.51.100.20"},
        {"option_143": "zz"},
        {"option_143": option(b"http://203.0.113.6:80").hex()},
        {"lease_time": "0"},
        {"lease_time": ""},
        {"at": "x" * LARGEST},
    ],
)
def test_a_hostile_lease_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(LeaseError):
        parse(content(**change))


def test_a_lease_is_address_and_default_route() -> None:
    config = on_dhcp()
    config = replace(config, granted=granted(config, {"wan": parse(content())}))
    wanted = list(desired(config).values())
    assert Address("wan", "198.51.100.20/24") in wanted
    routes = [(r.prefix, r.gateway, r.link) for r in wanted if isinstance(r, Route)]
    assert routes == [("0.0.0.0/0", "198.51.100.1", "wan")]
    assert not [r for r in desired(on_dhcp()).values() if isinstance(r, (Address, Route))]


def test_a_lease_is_for_interfaces_that_ask() -> None:
    lease = {"wan": parse(content())}
    assert granted(on_dhcp(), lease) == (Granted("wan", "198.51.100.20/24", "198.51.100.1"),)
    assert not granted(on_dhcp(enabled=False), lease)
    assert not granted(Config(), lease)


def test_a_lease_takes_nothing_from_the_overlay(changed: Callable[..., Config]) -> None:
    def ask(tree: Tree) -> None:
        wan = tree["ietf-interfaces:interfaces"]["interface"][0]
        wan["elasticlab-interface:dhcp"] = {}
        del wan["ietf-ip:ipv4"]["address"]

    config = changed(ask)
    assert granted(config, {"wan": parse(content())})
    greedy = parse(content(address="100.127.9.9", prefix_length="16", routers=""))
    assert not granted(config, {"wan": greedy})


def test_the_filter_lets_in_dhcp_where_it_is_asked_for(pop: Config) -> None:
    assert DHCP_RULE in firewall.ruleset(on_dhcp()).text
    assert "dport 68" not in firewall.ruleset(pop).text


@pytest.mark.parametrize(
    "more", [{"elasticlab-tenant:tenant": "acme"}, {"elasticlab-bridge:bridge-port": {"bridge": "br"}}]
)
def test_only_an_uplink_asks(more: Tree) -> None:
    with pytest.raises(UnsupportedError, match="uplink") as caught:
        on_dhcp(**more)
    assert caught.value.path.endswith("elasticlab-interface:dhcp")


def test_the_beginning_by_dhcp(tmp_path: Path) -> None:
    wan: Tree = {"interface": "wan", "dhcp": True}
    (tmp_path / "day0.json").write_text(json.dumps({"wan": wan, "bootstrap-servers": []}))
    config = read(day0.read(tmp_path).configuration(forwarding=True))
    assert config.interface("wan").dhcp
    assert config.interface("wan").forwarding
    assert not config.routes
    for wrong in (wan | {"address": "203.0.113.2/30"}, wan | {"dhcp": "yes"}, wan | {"dhcp": False}):
        (tmp_path / "day0.json").write_text(json.dumps({"wan": wrong, "bootstrap-servers": []}))
        with pytest.raises(day0.FactoryError, match="makes no sense"):
            day0.read(tmp_path)


GOOD6 = {"address": "2001:db8:6::1f0", "lease-time": "600", "at": "1000.5"}


def content6(**changes: str) -> bytes:
    return json.dumps(GOOD6 | {k.replace("_", "-"): v for k, v in changes.items()}).encode()


def on_dhcp6(**more: Any) -> Config:
    return read(
        {
            "ietf-interfaces:interfaces": {
                "interface": [
                    {
                        "name": "wan",
                        "type": "iana-if-type:ethernetCsmacd",
                        "ietf-ip:ipv6": {"forwarding": True},
                        "elasticlab-interface:dhcp6": {},
                        **more,
                    }
                ]
            }
        }
    )


def test_a_lease_of_dhcpv6_is_an_address_alone_that_neighbours_are_asked_for() -> None:
    """Which router there is, and which addresses are neighbours, is not for the server to say."""
    lease = parse6(content6())
    assert (str(lease.address), lease.router, lease.servers, lease.ends) == ("2001:db8:6::1f0/128", None, (), 1600.5)
    assert parse6(content6(lease_time=str(0xFFFFFFFF))).ends is None
    config = replace(on_dhcp6(), granted=granted(on_dhcp6(), {"wan": lease}))
    wanted = desired(config)
    address = wanted["address", "wan", "2001:db8:6::1f0/128"]
    assert isinstance(address, Address)
    assert address.unsure
    there = table([Address("wan", "2001:db8:6::1f0/128")])
    assert not difference(there | {address.key: address}, there), "the kernel does not say how it came to be"
    assert not [r for r in wanted.values() if isinstance(r, Route)]
    link = wanted["link", "wan"]
    assert isinstance(link, Link)
    assert (link.dhcp6, link.slaac, link.ipv6) == (True, False, "router")


@pytest.mark.parametrize("how", ["dhcp6", "slaac"])
def test_where_ipv6_is_off_no_address_of_it_is_asked_for(how: str) -> None:
    """Else the link would be found otherwise than wanted, for ever."""
    wan = {"name": "wan", "type": "iana-if-type:ethernetCsmacd", "ietf-ip:ipv6": {"enabled": False}}
    config = read({"ietf-interfaces:interfaces": {"interface": [{**wan, f"elasticlab-interface:{how}": {}}]}})
    link = desired(config)["link", "wan"]
    assert isinstance(link, Link)
    assert (link.dhcp6, link.slaac, link.ipv6) == (False, False, "off")
    assert not asking(config, 6)


@pytest.mark.parametrize(
    "change",
    [
        {"address": "fe80::1"},
        {"address": "ff02::1"},
        {"address": "::1"},
        {"address": "::"},
        {"address": "::ffff:192.0.2.1"},
        {"address": "2001:db8::1/64"},
        {"address": "2001:db8::1%wan"},
        {"address": "192.0.2.1"},
        {"address": ""},
        {"lease_time": "0"},
        {"lease_time": ""},
        {"at": "x" * LARGEST},
    ],
)
def test_a_hostile_lease_of_dhcpv6_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(LeaseError):
        parse6(content6(**change))


@given(st.fixed_dictionaries({key: st.text() | st.integers().map(str) | st.none() for key in GOOD6}))
def test_any_values_are_a_lease_of_dhcpv6_or_refused(values: Tree) -> None:
    with contextlib.suppress(LeaseError):
        parse6(json.dumps(GOOD6 | values).encode())


def test_a_lease_is_for_those_who_ask_in_its_family() -> None:
    four, six = {"wan": parse(content())}, {"wan": parse6(content6())}
    assert not granted(on_dhcp(), six)
    assert not granted(on_dhcp6(), four)
    assert [grant.version for grant in (*granted(on_dhcp(), four), *granted(on_dhcp6(), six))] == [4, 6]


def test_a_lease_of_dhcpv6_takes_nothing_from_what_is_configured() -> None:
    inside: Tree = {"name": "overlay", "type": "iana-if-type:softwareLoopback"}
    inside["ietf-ip:ipv6"] = {"address": [{"ip": "2001:db8:6::1", "prefix-length": 64}]}
    tree = {"name": "wan", "type": "iana-if-type:ethernetCsmacd", "elasticlab-interface:dhcp6": {}, "ietf-ip:ipv6": {}}
    config = read({"ietf-interfaces:interfaces": {"interface": [tree, inside]}})
    assert not granted(config, {"wan": parse6(content6())})
    assert granted(config, {"wan": parse6(content6(address="2001:db8:7::1"))})


def test_the_filter_lets_in_dhcpv6_and_routers_where_a_lease_is_asked_for() -> None:
    rules = firewall.ruleset(on_dhcp6()).text
    assert 'iifname { "wan" } meta nfproto ipv6 udp sport 547 udp dport 546 accept' in rules
    assert "nd-router-advert ip6 saddr fe80::/10 accept" in rules
    assert "sport 547" not in firewall.ruleset(on_dhcp()).text


@pytest.mark.parametrize(
    "more", [{"elasticlab-tenant:tenant": "acme"}, {"elasticlab-bridge:bridge-port": {"bridge": "br"}}]
)
def test_only_an_uplink_asks_for_a_lease_of_dhcpv6(more: Tree) -> None:
    with pytest.raises(UnsupportedError, match="uplink") as caught:
        on_dhcp6(**more)
    assert caught.value.path.endswith("elasticlab-interface:dhcp6")


async def test_leases_of_both_families_are_apart(tmp_path: Path) -> None:
    async def changed(_: object) -> None: ...

    four, six = (Clients(tmp_path, Path("/none"), frozenset, changed, family) for family in (V4, V6))
    (tmp_path / "wan.lease").write_bytes(content(at="1e12"))
    (tmp_path / "wan.lease6").write_bytes(content6(at="1e12"))
    (tmp_path / "old.lease6").write_bytes(content6(at="-1e9"))
    assert {name: lease.address.version for name, lease in four.held().items()} == {"wan": 4}
    assert {name: lease.address.version for name, lease in six.held().items()} == {"wan": 6}


@pytest.mark.parametrize(
    ("family", "event", "told", "left"),
    [
        ("6", "bound", {"ipv6": "2001:db8:6::1f0", "lease": "120"}, ["wan.lease", "wan.lease6", "wan.offer6"]),
        ("6", "renew", {"ipv6": "2001:db8:6::1f0", "lease": "120"}, ["wan.lease", "wan.lease6", "wan.offer6"]),
        ("6", "bound", {}, ["wan.lease", "wan.lease6"]),
        ("6", "nak", {}, ["wan.lease"]),
        ("6", "deconfig", {}, ["wan.lease", "wan.lease6"]),
        ("", "nak", {}, ["wan.lease6"]),
    ],
)
def test_what_the_client_says_is_put_down_by_family(
    tmp_path: Path, family: str, event: str, told: dict[str, str], left: list[str]
) -> None:
    script = Path("images/element/rootfs/usr/libexec/elasticlab/dhcp-event").resolve()
    for name in ("wan.lease", "wan.lease6"):
        (tmp_path / name).write_text("{}")
    environment = {"ELEMENT_LEASES": str(tmp_path), "ELEMENT_FAMILY": family, "interface": "wan", "PATH": "/bin"}
    subprocess.run(["sh", str(script), event], env=environment | told, check=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == left
    if "wan.offer6" in left:
        assert str(parse6((tmp_path / "wan.offer6").read_bytes()).address.ip) == told["ipv6"]


async def test_leases_of_a_former_life_are_held_and_end(tmp_path: Path) -> None:
    async def changed(leases: object) -> None:
        raise AssertionError(leases)

    clients = Clients(tmp_path, Path("/none"), frozenset, changed)
    assert clients.held() == {}
    (tmp_path / "wan.lease").write_bytes(content(at="1e12"))
    (tmp_path / "bad.lease").write_bytes(b"{")
    (tmp_path / "old.lease").write_bytes(content(at="-1e9"))
    found: dict[str, Lease] = clients.held()
    assert list(found) == ["wan"]


def cable(links: Path, carrier: str = "1", ups: int = 1) -> None:
    for name, value in (("ifindex", "3"), ("carrier", carrier), ("carrier_up_count", str(ups))):
        (links / "wan").mkdir(exist_ok=True)
        (links / "wan" / name).write_text(f"{value}\n")


async def test_what_is_plugged_in_anew_is_asked_for_a_lease_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def changed(_: object) -> None: ...

    started: list[str] = []
    monkeypatch.setattr(client, "LINKS", tmp_path)
    monkeypatch.setattr(client, "POLL", 0.01)
    monkeypatch.setattr(client, "RESTART", 0.01)
    monkeypatch.setattr(client.Family, "command", lambda _, name, __: started.append(name) or ("sleep", "60"))
    clients = Clients(tmp_path / "leases", Path("/none"), lambda: frozenset({"wan"}), changed)
    running = asyncio.create_task(clients.run())

    async def times(number: int) -> None:
        async with asyncio.timeout(10):
            while len(started) < number:  # noqa: ASYNC110 - processes are started
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert len(started) == number

    try:
        await times(0)  # nobody is asked where nothing is plugged in
        cable(tmp_path)
        await times(1)
        cable(tmp_path, carrier="0")
        await times(1)  # the lease may be good yet
        cable(tmp_path, ups=2)
        await times(2)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_the_client_dies_with_the_element_and_asks_for_servers() -> None:
    words = V4.command("wan", Path("/script"))
    assert words[:3] == ("setpriv", "--pdeathsig", "TERM")
    assert "143" in words
    six = V6.command("wan", Path("/script"))
    assert six[:5] == (*words[:3], "busybox", "udhcpc6")
