"""IPv6: off unless configured, the same fail-closed routing as IPv4, and neighbour discovery in the filter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from element.apply.told import AddressTold
from element.model import Config, read
from element.plan.desired import FORWARDING6, METRIC6, desired
from element.plan.difference import Action, difference
from element.plan.firewall import ruleset
from element.plan.firewall6 import link_local
from element.plan.resources import Address, Link, Route, Rule, Setting, table
from element.state import in_use
from element.unsupported import UnsupportedError

from tests.unit.element.test_firewall import PASSING, chain

Tree = dict[str, Any]
Edit = Callable[[Callable[[Tree], None]], Config]


def _interface(tree: Tree, name: str) -> Tree:
    return next(i for i in tree["ietf-interfaces:interfaces"]["interface"] if i["name"] == name)


def address(text: str, flags: int = 0) -> AddressTold:
    return AddressTold(1, text, 64, flags, 0)


def _ipv6(*addresses: str, forwarding: bool = True) -> Tree:
    pairs = (address.split("/") for address in addresses)
    return {
        "ietf-ip:ipv6": {
            "forwarding": forwarding,
            "address": [{"ip": ip, "prefix-length": int(length)} for ip, length in pairs],
        }
    }


def _routes(tree: Tree, protocol: int, *routes: tuple[str, Tree]) -> None:
    protocols = tree["ietf-routing:routing"]["control-plane-protocols"]["control-plane-protocol"]
    listed = [{"destination-prefix": prefix, "next-hop": hop} for prefix, hop in routes]
    protocols[protocol]["static-routes"]["ietf-ipv6-unicast-routing:ipv6"] = {"route": listed}


def dual(tree: Tree) -> None:
    """The POP with IPv6 outside, on the L2 site's gateway and in GRE."""
    _interface(tree, "wan").update(_ipv6("2001:DB8:f::2/64"))
    _interface(tree, "br-2").update(_ipv6("2001:db8:2::1/64"))
    _interface(tree, "gre-1").update(_ipv6())
    _routes(tree, 0, ("::/0", {"next-hop-address": "2001:db8:f::1"}))
    out = {"next-hop-address": "2001:db8:f::1", "outgoing-interface": "wan"}
    _routes(tree, 1, ("::/0", out), ("2001:db8:1::/64", {"outgoing-interface": "gre-1"}))


def link(config: Config, name: str) -> Link:
    found = desired(config)["link", name]
    assert isinstance(found, Link)
    return found


class TestWhatIsWanted:
    def test_without_it_ipv6_is_off_everywhere(self, pop: Config) -> None:
        assert {r.ipv6 for r in desired(pop).values() if isinstance(r, Link)} == {"off"}
        assert desired(pop)["setting", FORWARDING6] == Setting(FORWARDING6, "0")

    def test_it_is_on_where_it_is_configured_and_nowhere_else(self, changed: Edit) -> None:
        wanted = desired(changed(dual))
        on = {r.name: r.ipv6 for r in wanted.values() if isinstance(r, Link) and r.ipv6 != "off"}
        assert on == {"wan": "router", "br-2": "router", "gre-1": "router", "acme": "router"}
        assert wanted["setting", FORWARDING6] == Setting(FORWARDING6, "1")

    def test_a_host_does_not_forward(self, changed: Edit) -> None:
        def host(tree: Tree) -> None:
            _interface(tree, "wan").update(_ipv6("2001:db8:f::2/64", forwarding=False))

        assert link(changed(host), "wan").ipv6 == "host"
        assert desired(changed(host))["setting", FORWARDING6] == Setting(FORWARDING6, "0")

    def test_routers_are_heard_where_that_is_configured_and_nowhere_else(self, changed: Edit) -> None:
        def told(tree: Tree) -> None:
            dual(tree)
            _interface(tree, "wan").update({"ietf-ip:ipv6": {"forwarding": True}, "elasticlab-interface:slaac": {}})
            del tree["ietf-routing:routing"]["control-plane-protocols"]["control-plane-protocol"][0]["static-routes"][
                "ietf-ipv6-unicast-routing:ipv6"
            ]

        wanted = desired(changed(told))
        assert [r.name for r in wanted.values() if isinstance(r, Link) and r.slaac] == ["wan"]
        heard = [rule for rule in ruleset(changed(told)).text.splitlines() if "nd-router-advert ip6 saddr" in rule]
        assert [rule.split("icmpv6")[0].strip() for rule in heard] == ['iifname { "wan" } ip6 hoplimit 255']
        assert "nd-router-advert ip6 saddr" not in ruleset(changed(dual)).text

    def test_of_addresses_that_routers_say_those_are_told_that_are_for_use(self) -> None:
        """A prefix that is renumbered is good for a while, but nothing begins with it (RFC 4862, section 5.5.4)."""
        old, new, asked = address("2001:db8:6::9", 0x20), address("2001:db8:66::9"), address("2001:db8:a::9", 0x40)
        assert in_use([new, old, asked]) == ["2001:db8:66::9"]
        assert in_use([old]) == ["2001:db8:6::9"]
        assert in_use([asked]) == []

    def test_no_tenants_interface_hears_routers(self, changed: Edit) -> None:
        def wrong(tree: Tree) -> None:
            dual(tree)
            _interface(tree, "br-2").update({"elasticlab-interface:slaac": {}})

        with pytest.raises(UnsupportedError, match="br-2: an address of a provider's router is an uplink's"):
            changed(wrong)

    def test_enabled_false_is_off(self, changed: Edit) -> None:
        def off(tree: Tree) -> None:
            dual(tree)
            _interface(tree, "gre-1")["ietf-ip:ipv6"]["enabled"] = False

        assert link(changed(off), "gre-1").ipv6 == "off"

    def test_presence_alone_is_on(self, changed: Edit) -> None:
        assert (
            link(changed(lambda tree: _interface(tree, "gre-1").update({"ietf-ip:ipv6": {}})), "gre-1").ipv6 == "host"
        )

    def test_a_tenant_in_tunnels_only_has_an_address_for_errors(self, changed: Edit) -> None:
        def tunnels(tree: Tree) -> None:
            dual(tree)
            del _interface(tree, "br-2")["ietf-ip:ipv6"]

        assert ("address", "acme", "fd65:6c61:7374:1::647f:1/128") in desired(changed(tunnels))
        assert not [r for r in desired(changed(dual)).values() if isinstance(r, Address) and r.link == "acme"]

    def test_addresses_are_written_as_the_kernel_does(self, changed: Edit) -> None:
        wanted = desired(changed(dual))
        assert wanted["address", "wan", "2001:db8:f::2/64"].path == (
            "/ietf-interfaces:interfaces/interface[name='wan']/ietf-ip:ipv6/address[ip='2001:db8:f::2']"
        )

    def test_static_routes_of_tenants_and_of_the_underlay(self, changed: Edit) -> None:
        found = {(r.table, r.prefix, r.kind): r for r in desired(changed(dual)).values() if isinstance(r, Route)}
        assert found[254, "::/0", "unicast"] == Route(254, "::/0", METRIC6, gateway="2001:db8:f::1", link="wan")
        assert found[1001, "::/0", "unicast"].link == "wan"
        assert found[1001, "2001:db8:1::/64", "unicast"].link == "gre-1"
        assert found[1001, "::/0", "unreachable"].metric > METRIC6

    @pytest.mark.parametrize(
        ("hop", "reason"),
        [
            ({"next-hop-address": "2001:db8:dead::1"}, "no interface has a network with the next hop"),
            ({"next-hop-address": "fe80::1%wan"}, "not a zone"),
            ({"outgoing-interface": "br-2"}, "not one of the underlay"),
        ],
    )
    def test_a_next_hop_nowhere_or_elsewhere_is_refused(self, changed: Edit, hop: Tree, reason: str) -> None:
        def lose(tree: Tree) -> None:
            dual(tree)
            _routes(tree, 0, ("::/0", hop))

        with pytest.raises(UnsupportedError, match=reason):
            desired(changed(lose))

    @pytest.mark.parametrize(
        ("address", "reason"),
        [("fe80::1/64", "made from the MAC"), ("ff02::5/64", "no host's"), ("::1/128", "no host's")],
    )
    def test_addresses_that_are_no_hosts_are_refused_with_their_place(
        self, pop_tree: Tree, address: str, reason: str
    ) -> None:
        _interface(pop_tree, "wan").update(_ipv6(address))
        with pytest.raises(UnsupportedError, match=reason) as refusal:
            read(pop_tree)
        assert f"ietf-ip:ipv6/address[ip='{address.partition('/')[0]}']" in refusal.value.path


class TestWhatIsNotOurs:
    def test_ipv6_is_turned_off_on_unused_ports_and_nothing_else_is_done_to_them(self, pop: Config) -> None:
        unused = Link("lan7", "port", group=0, ipv6="other", mtu=1500, mac="02:00:00:00:00:07")
        wanted = desired(pop)
        [operation] = difference(wanted, wanted | table([unused])).operations
        assert (operation.action, operation.values) == (Action.CHANGE, {"ipv6"})
        changed = operation.resource
        assert isinstance(changed, Link)
        assert (changed.name, changed.ipv6, changed.up, changed.group) == ("lan7", "off", True, 0)
        assert (changed.mtu, changed.mac) == (None, None)
        assert not difference(wanted, wanted | table([replace(unused, ipv6="off")]))

    def test_an_address_that_nobody_configured_goes(self, changed: Edit) -> None:
        wanted = desired(changed(dual))
        [operation] = difference(wanted, wanted | table([Address("wan", "2001:db8:bad::1/64")])).operations
        assert operation.action is Action.DELETE


class TestFilter:
    def test_without_it_no_ipv6_is_forwarded_or_let_in(self, pop: Config) -> None:
        assert 'meta nfproto ipv6 counter name "forwarding-denied" drop' in chain(pop, "forwarding")
        assert not [r for r in chain(pop, "input") if "ip6" in r and "eth0" not in r]

    def test_it_is_forwarded_between_those_only_that_forward_it(self, changed: Edit) -> None:
        rules = [r for r in chain(changed(dual), "forwarding") if "nfproto ipv6" in r]
        names = '{ "wan", "gre-1", "br-2" }'
        assert rules == [
            f'meta nfproto ipv6 oifname != {names} counter name "forwarding-denied" drop',
            f'meta nfproto ipv6 meta sdifname != {names} iifname != {names} counter name "forwarding-denied" drop',
        ]
        everything = chain(changed(dual), "forwarding")
        assert everything.index(rules[1]) < min(
            n for n, r in enumerate(everything) if r.endswith(PASSING) or "jump" in r
        )

    def test_neighbour_discovery_is_let_in_from_neighbours_only(self, changed: Edit) -> None:
        rules = [r for r in chain(changed(dual), "input") if "nd-neighbor-solicit" in r and "eth0" not in r]
        assert len(rules) == 2
        assert all("ip6 hoplimit 255" in r and "nd-router-advert" not in r for r in rules)

    def test_packet_too_big_is_never_dropped_at_the_uplink(self, changed: Edit) -> None:
        [rule] = [r for r in chain(changed(dual), "input") if "packet-too-big" in r]
        assert rule.startswith('iifname { "wan" }')
        assert rule.endswith("accept")

    def test_both_families_are_translated(self, changed: Edit) -> None:
        assert chain(changed(dual), "translation") == [
            'oifname "wan" ct mark & 0xfff == 1 meta nfproto ipv4 meta l4proto udp snat ip to 203.0.113.2:4501-65535',
            'oifname "wan" ct mark & 0xfff == 1 meta nfproto ipv4 snat ip to 203.0.113.2',
            'oifname "wan" ct mark & 0xfff == 1 meta l4proto udp masquerade to :4501-65535',
            'oifname "wan" ct mark & 0xfff == 1 masquerade',
        ]

    def test_callers_answers_come_in_of_their_family(self, changed: Edit) -> None:
        called = replace(changed(dual), contacts=(("203.0.113.6", 4335), ("2001:db8:f::6", 4335)))
        rules = [r for r in chain(called, "input") if "4335" in r]
        assert any("ip saddr . tcp sport { 203.0.113.6 . 4335 }" in r for r in rules)
        assert any("ip6 saddr . tcp sport { 2001:db8:f::6 . 4335 }" in r for r in rules)

    def test_errors_find_the_tenant_whom_they_concern(self, changed: Edit) -> None:
        """By the mark of what a station sent, in its routing table."""
        config = changed(dual)
        [rule] = [r for r in desired(config).values() if isinstance(r, Rule) and r.protocol]
        assert (rule.table, rule.link, rule.family, rule.protocol) == (1001, "lo", 6, 58)
        marked = f"meta mark set meta mark | {rule.mark:#x}"
        assert f'meta nfproto ipv6 iifname {{ "gre-1", "br-2" }} {marked}' in chain(config, "marks")

    def test_a_gateways_address_never_leaves_by_the_uplink(self, changed: Edit) -> None:
        leak = 'ip6 saddr { 2001:db8:2::1 } oifname { "wan" } counter name "overlay-leak" drop'
        assert leak in chain(changed(dual), "sending")

    def test_nobody_but_the_gateway_advertises_it(self, changed: Edit) -> None:
        frames = chain(changed(dual), "of-ip6")
        own = "{ fe80::e1:ff:fe00:1020, 2001:db8:2::1 }"
        assert any(f"icmpv6 taddr {own}" in r and r.endswith('"gateway-spoofed" drop') for r in frames)
        assert any(f"ip6 saddr {own}" in r and r.endswith('"gateway-spoofed" drop') for r in frames)
        assert any("nd-router-advert" in r and r.endswith('"router-imitated" drop') for r in frames)

    def test_the_gateways_own_port_may_speak_as_a_router(self, pop_tree: Tree) -> None:
        """On a site's bridge the gateway is behind the tunnel: only the other ports are guarded."""
        station = {"mac-address": "02:e1:00:00:10:20", "port": "vxlan-2", "address": ["10.2.0.1", "2001:db8:2::1"]}
        _interface(pop_tree, "br-2")["elasticlab-bridge:bridge"] = {"protected-station": [station]}
        lan = {"name": "lan", "type": "iana-if-type:ethernetCsmacd"}
        pop_tree["ietf-interfaces:interfaces"]["interface"].append(
            lan | {"elasticlab-bridge:bridge-port": {"bridge": "br-2"}}
        )
        said = (rule for name in ("stations", "of-arp", "of-ip", "of-ip6") for rule in chain(read(pop_tree), name))
        guarded = [rule for rule in said if "router-imitated" in rule or "gateway-spoofed" in rule]
        assert guarded
        at_home = {r: '"vxlan-2" . ' in r for r in guarded if "gateway-spoofed" in r}
        assert len(at_home) == 4
        assert all(at_home.values())
        assert all('iifname { "lan" }' in r for r in guarded if "router-imitated" in r)
        assert any("10.2.0.1" in r and "2001" not in r for r in guarded)
        assert any("2001:db8:2::1" in r for r in guarded)

    def test_the_clamp_knows_the_longer_header(self, pop_tree: Tree) -> None:
        _interface(pop_tree, "br-2")["elasticlab-bridge:bridge"]["tcp-mss"] = 1348
        old, new = chain(read(pop_tree), "segments")
        assert ("protocol ip tcp" in old, old.endswith("set 1348")) == (True, True)
        assert ("protocol ip6 tcp" in new, new.endswith("set 1328")) == (True, True)

    def test_a_revision_tells_the_families_apart(self, pop: Config, changed: Edit) -> None:
        assert ruleset(pop).revision != ruleset(changed(dual)).revision

    def test_link_local_addresses_are_the_kernels(self) -> None:
        assert link_local("02:e1:00:00:10:20") == "fe80::e1:ff:fe00:1020"
        assert link_local("00:00:00:00:00:01") == "fe80::200:ff:fe00:1"
