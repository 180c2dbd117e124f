"""Servers of a LAN: what the programs are told, what of a configuration cannot be, and which leases count."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, ClassVar

import pytest
from element.lan import dnsmasq, leases, radvd, resolver
from element.lan.daemons import Folders, daemons
from element.lan.model import Dns, HostName
from element.model import Config
from element.nat import Matches, Policy
from element.plan.desired import desired
from element.plan.firewall import ruleset
from element.plan.resources import Link
from element.unsupported import InvalidError

Tree = dict[str, Any]
Edit = Callable[[Callable[[Tree], None]], Config]
FOLDERS = Folders(Path("/run/told"), Path("/var/given"), Path("/usr/behind"))
RANGE = {"start-address": "10.2.0.100", "end-address": "10.2.0.199"}


def lan(tree: Tree) -> Tree:
    """The L2 site's gateway."""
    return next(i for i in tree["ietf-interfaces:interfaces"]["interface"] if i["name"] == "br-2")


@pytest.fixture
def served(changed: Edit) -> Callable[..., Config]:
    """The POP with these servers at its L2 gateway."""

    def make(dhcp: Tree | None = None, dns: Tree | None = None, ipv6: Tree | None = None) -> Config:
        def edit(tree: Tree) -> None:
            gateway = lan(tree)
            gateway |= {"elasticlab-lan:dhcp-server": dhcp} if dhcp is not None else {}
            gateway |= {"elasticlab-lan:dns": dns} if dns is not None else {}
            gateway |= {"ietf-ip:ipv6": ipv6} if ipv6 is not None else {}

        return changed(edit)

    return make


def texts(config: Config) -> dict[str, list[str]]:
    return {d.name: d.text.splitlines() for d in daemons(config, FOLDERS)}


class TestDhcp:
    def test_it_is_bound_to_its_interface_and_tells_the_gateways_own_address(
        self, served: Callable[..., Config]
    ) -> None:
        told = texts(served(RANGE | {"mtu": 1388}, {"domain": "one.example."}))["br-2: DHCP"]
        assert {
            "interface=br-2",
            "bind-interfaces",
            "port=0",
            "dhcp-range=10.2.0.100,10.2.0.199,255.255.255.0,3600",
            "dhcp-option=option:router,10.2.0.1",
            "dhcp-option=option:dns-server,10.2.0.1",
            "dhcp-option=option:mtu,1388",
            "domain=one.example",
            "dhcp-lease-max=100",
            "dhcp-leasefile=/var/given/acme:br-2",
        } <= set(told)

    def test_without_dns_no_server_is_told(self, served: Callable[..., Config]) -> None:
        assert "dhcp-option=option:dns-server" in texts(served(RANGE))["br-2: DHCP"]

    def test_other_dns_servers_are_told_instead(self, served: Callable[..., Config]) -> None:
        told = texts(served(RANGE | {"dns-server": ["192.0.2.53", "192.0.2.54"]}, {}))["br-2: DHCP"]
        assert "dhcp-option=option:dns-server,192.0.2.53,192.0.2.54" in told

    def test_a_reservation_is_the_stations(self, served: Callable[..., Config]) -> None:
        reserved = [{"mac-address": "02:00:00:00:00:AA", "address": "10.2.0.7"}]
        assert "dhcp-host=02:00:00:00:00:aa,10.2.0.7" in texts(served(RANGE | {"reservation": reserved}))["br-2: DHCP"]

    WRONG: ClassVar[dict[str, tuple[Tree, str, str]]] = {
        "elsewhere": ({"start-address": "10.3.0.1"}, "start-address", "a network of br-2"),
        "ends elsewhere": ({"end-address": "10.3.0.9"}, "end-address", "as start-address"),
        "downwards": ({"end-address": "10.2.0.99"}, "end-address", "exchange its ends"),
        "over the gateway": (
            {"start-address": "10.2.0.1"},
            "end-address",
            "has 10.2.0.1, the gateway's own: leave it out",
        ),
        "to the broadcast address": ({"end-address": "10.2.0.255"}, "end-address", "has 10.2.0.255, no station's"),
        "reserved elsewhere": (
            {"reservation": [{"mac-address": "02:00:00:00:00:01", "address": "10.3.0.7"}]},
            "reservation[mac-address='02:00:00:00:00:01']/address",
            "of a station in 10.2.0.0/24",
        ),
        "reserved for the gateway": (
            {"reservation": [{"mac-address": "02:00:00:00:00:01", "address": "10.2.0.1"}]},
            "reservation[mac-address='02:00:00:00:00:01']/address",
            "of a station in 10.2.0.0/24",
        ),
    }

    @pytest.mark.parametrize("case", WRONG)
    def test_a_range_that_cannot_be_is_refused_with_its_place(self, served: Callable[..., Config], case: str) -> None:
        wrong, leaf, sentence = self.WRONG[case]
        with pytest.raises(InvalidError, match=sentence.replace("(", ".")) as refused:
            desired(served(RANGE | wrong))
        place = "/ietf-interfaces:interfaces/interface[name='br-2']/elasticlab-lan:dhcp-server/"
        assert refused.value.path == place + leaf
        assert refused.value.tag == "invalid-value"


class TestDns:
    def test_it_asks_forwarders_in_their_order_and_keeps_its_domain(self, served: Callable[..., Config]) -> None:
        told = texts(served(dns={"domain": "one.example", "forwarder": ["192.0.2.54", "2001:db8::53"]}))["br-2: DNS"]
        assert [line for line in told if line.startswith("server=")] == ["server=192.0.2.54", "server=2001:db8::53"]
        assert {"local=/one.example/", "expand-hosts", "strict-order", "no-resolv"} <= set(told)

    def test_without_forwarders_nothing_else_exists(self, served: Callable[..., Config]) -> None:
        assert "address=/#/" in texts(served(dns={}))["br-2: DNS"]

    def test_it_does_not_ask_itself(self, served: Callable[..., Config]) -> None:
        with pytest.raises(InvalidError, match="ask itself"):
            desired(served(dns={"forwarder": ["10.2.0.1"]}))

    def test_a_station_takes_no_configured_name(self) -> None:
        names = Dns("one.example", (), (HostName("printer", ("10.2.0.9",)),))
        text = dnsmasq.hosts(names, [("Printer", "10.2.0.66"), ("pc", "10.2.0.100")])
        assert text == "10.2.0.9 printer\n10.2.0.100 pc\n"

    def test_it_lives_behind_the_gateway_in_the_tenants_domain(self, served: Callable[..., Config]) -> None:
        config = served(dns={})
        link = resolver.links(config)["br-2"]
        near = desired(config)["link", link.name]
        assert isinstance(near, Link)
        assert (near.kind, near.master, near.forwarding) == ("port", "acme", True)
        rules = ruleset(resolver.attach(config)).text
        assert (
            f'iifname "br-2" ip daddr {{ 10.2.0.1 }} meta l4proto {{ tcp, udp }} th dport 53 dnat ip to {link.far[0]}'
            in rules
        )
        assert f'oifname "{link.name}" ct direction original counter name "forwarding-denied" drop' in rules
        away = f'ip daddr {link.far[0]} oifname != "{link.name}" counter name "forwarding-denied" drop'
        assert away in rules
        assert f'ip saddr {link.far[0]} oifname {{ "gre-1", "br-2" }} snat ip to 10.2.0.1' in rules
        assert f'"{link.name}" : 1' in rules

    def test_it_has_its_lans_way_to_the_internet(self, pop: Config, served: Callable[..., Config]) -> None:
        config = served(dns={})
        inside = replace(config.breakouts[0], inside=frozenset({"br-2"}))
        attached = resolver.attach(replace(config, breakouts=(inside,)))
        assert {i.name for i in attached.insiders(attached.breakouts[0])} == {
            "br-2",
            resolver.links(config)["br-2"].name,
        }
        assert resolver.attach(pop) is pop

    def test_it_asks_as_the_gateway_by_the_policy_too(self, served: Callable[..., Config]) -> None:
        config = served(dns={})
        here, elsewhere = Matches(source="10.2.0.0/24", protocol=17), Matches(source="10.9.0.0/24")
        policy = (Policy(here, break_out=True), Policy(elsewhere, break_out=True))
        attached = resolver.attach(replace(config, breakouts=(replace(config.breakouts[0], policy=policy),)))
        far = resolver.links(config)["br-2"].far[0]
        rules = [line.strip() for line in ruleset(attached).text.splitlines() if "saddr" in line and "0x1000" in line]
        assert [rule.partition(" ct mark")[0] for rule in rules] == [
            "ip saddr 10.2.0.0/24 meta l4proto 17",
            f"ip saddr {far}/32 meta l4proto 17",
            "ip saddr 10.9.0.0/24",
        ]

    def test_links_do_not_meet(self, pop: Config) -> None:
        many = tuple(replace(pop.interface("br-2"), name=f"lan{n}", dns=Dns()) for n in range(300))
        links = resolver.links(replace(pop, interfaces=many))
        assert len({link.far for link in links.values()}) == len({link.name for link in links.values()}) == 300


class TestFilter:
    def test_dhcp_is_heard_where_it_is_served(self, pop: Config, served: Callable[..., Config]) -> None:
        heard = 'iifname "acme" meta sdifname "br-2" udp sport 68 udp dport 67 accept'
        assert heard in ruleset(served(RANGE)).text
        assert "dport 67" not in ruleset(pop).text

    def test_no_station_is_a_dhcp_server_for_others(self, pop: Config) -> None:
        refused = (
            'meta protocol ip meta l4proto udp udp sport 67 iifname { "vxlan-2" } counter name "dhcp-imitated" drop'
        )
        assert refused in ruleset(pop).text


WRONG_RA = {
    "forgotten between two": ({"default-lifetime": 100}, "default-lifetime", "give 0, or 600 to 9000"),
    "forgotten a second too early": (
        {"max-rtr-adv-interval": 1000, "default-lifetime": 999},
        "default-lifetime",
        "give 0, or 1000 to 9000",
    ),
    "for too long": ({"default-lifetime": 9001}, "default-lifetime", "no more than 9000 seconds"),
    "too seldom": ({"max-rtr-adv-interval": 1801}, "max-rtr-adv-interval", "no more than 1800 seconds"),
    "less than IPv6 needs": ({"link-mtu": 1279}, "link-mtu", "give 0, or 1280 to what br-2 carries, 1500"),
    "more than there is": ({"link-mtu": 1501}, "link-mtu", "give 0, or 1280 to what br-2 carries, 1500"),
}


class TestRouter:
    IPV6: ClassVar[Tree] = {
        "forwarding": True,
        "address": [{"ip": "2001:db8:2::1", "prefix-length": 64}],
        "ietf-ipv6-unicast-routing:ipv6-router-advertisements": {"send-advertisements": True},
    }

    def test_it_advertises_its_prefix_and_its_names(self, served: Callable[..., Config]) -> None:
        config = served(dns={"domain": "one.example"}, ipv6=self.IPV6)
        told = [line.strip() for line in texts(config)["br-2: router advertisements"]]
        assert {"interface br-2 {", "prefix 2001:db8:2::/64 {", "AdvDefaultLifetime 1800;"} <= set(told)
        assert any(line.startswith("RDNSS 2001:db8:2::1 ") for line in told)
        assert any(line.startswith("DNSSL one.example ") for line in told)

    def test_what_is_not_asked_for_is_not_sent(self, served: Callable[..., Config]) -> None:
        silent = {"address": self.IPV6["address"]}
        assert not [name for name in texts(served(ipv6=silent)) if "router" in name]

    def test_a_listed_prefix_replaces_the_default_and_one_may_be_silent(self, served: Callable[..., Config]) -> None:
        listed = [
            {"prefix-spec": "2001:db8:2::/64", "no-advertise": [None]},
            {"prefix-spec": "2001:db8:9::/64", "autonomous-flag": False},
        ]
        ra = {"send-advertisements": True, "prefix-list": {"prefix": listed}}
        config = served(ipv6=self.IPV6 | {"ietf-ipv6-unicast-routing:ipv6-router-advertisements": ra})
        text = "\n".join(texts(config)["br-2: router advertisements"])
        assert "2001:db8:2::/64" not in text
        assert "prefix 2001:db8:9::/64" in text
        assert "AdvAutonomous off" in text

    RA = "ietf-ipv6-unicast-routing:ipv6-router-advertisements"

    @pytest.mark.parametrize("case", WRONG_RA)
    def test_what_radvd_would_not_send_is_refused_with_its_place(
        self, served: Callable[..., Config], case: str
    ) -> None:
        wrong, leaf, sentence = WRONG_RA[case]
        with pytest.raises(InvalidError, match=sentence) as refused:
            desired(served(ipv6=self.IPV6 | {self.RA: {"send-advertisements": True} | wrong}))
        place = f"/ietf-interfaces:interfaces/interface[name='br-2']/ietf-ip:ipv6/{self.RA}/{leaf}"
        assert refused.value.path == place

    @pytest.mark.parametrize(
        "right",
        [
            {"default-lifetime": 0, "link-mtu": 0},
            {"max-rtr-adv-interval": 4, "default-lifetime": 4, "link-mtu": 1280},
            {"max-rtr-adv-interval": 1800, "default-lifetime": 9000, "link-mtu": 1500},
        ],
    )
    def test_what_is_within_the_bounds_is_sent(self, served: Callable[..., Config], right: Tree) -> None:
        config = served(ipv6=self.IPV6 | {self.RA: {"send-advertisements": True} | right})
        assert desired(config)
        told = [line.strip() for line in texts(config)["br-2: router advertisements"]]
        assert {f"AdvDefaultLifetime {right['default-lifetime']};", f"AdvLinkMTU {right['link-mtu']};"} <= set(told)

    def test_a_tunnel_has_no_stations_to_tell(self, changed: Edit) -> None:
        def edit(tree: Tree) -> None:
            tunnel = next(i for i in tree["ietf-interfaces:interfaces"]["interface"] if i["name"] == "gre-1")
            tunnel["ietf-ip:ipv6"] = {"forwarding": True, self.RA: {"send-advertisements": True}}

        with pytest.raises(InvalidError, match="stations are on an Ethernet interface, a bridge or VXLAN"):
            desired(changed(edit))

    def test_who_does_not_forward_is_no_router(self, served: Callable[..., Config]) -> None:
        config = served(ipv6=self.IPV6 | {"forwarding": False})
        gateway = config.interface("br-2")
        assert gateway.advertisements is not None
        assert "AdvDefaultLifetime 0;" in radvd.text(gateway, gateway.advertisements)


class TestLeases:
    def test_only_those_in_force_of_the_network_count(self, tmp_path: Path) -> None:
        later, mac = int(time.time()) + 600, "02:00:00:00:00:aa"
        file = tmp_path / "leases"
        file.write_text(
            f"{later} {mac} 10.2.0.101 pc 01:{mac}\n0 {mac} 10.2.0.100 * *\n5 {mac} 10.2.0.102 old *\n"
            f"{later} {mac} 10.9.0.1 elsewhere *\nduid 00:01\n{later} {mac} 10.2.0.103 -odd- *\nnonsense\n"
        )
        found = leases.read(file, IPv4Network("10.2.0.0/24"))
        assert [(str(g.address), g.host_name, g.expires) for g in found] == [
            ("10.2.0.100", None, None),
            ("10.2.0.101", "pc", later),
            ("10.2.0.103", None, later),
        ]

    def test_no_file_is_no_lease(self, tmp_path: Path) -> None:
        assert leases.read(tmp_path / "none", IPv4Network("10.2.0.0/24")) == ()


def test_without_servers_nothing_runs(pop: Config) -> None:
    assert list(daemons(pop, FOLDERS)) == []
    assert not any(i.serves for i in pop.interfaces)
