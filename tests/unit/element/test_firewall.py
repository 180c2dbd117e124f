"""The packet filter's text: who is bound to what, and that equal configurations give equal rules."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from element.model import Bridge, BridgePort, Config, Interface, Kind, Station, Tenant, read
from element.plan import fastpath, frames
from element.plan.firewall import COUNTERS, ruleset

Tree = dict[str, Any]


BY_PROTOCOL = (
    'meta l4proto esp {} {{ "wan" }} notrack accept',
    'meta l4proto gre {} {{ "ipsec-1" }} notrack accept',
)
BY_PORT = ('udp {1} 4500 {0} {{ "wan" }} notrack accept', 'udp dport 4789 {0} {{ "ipsec-2" }} notrack accept')
SEEN = "ct state != invalid accept"
NUMBERS = '{ "acme" : 1, "gre-1" : 1, "br-2" : 1 }'
DISPATCH = 'iifname vmap { "acme" : goto zone-1, "gre-1" : goto zone-1, "br-2" : goto zone-1 }'
PASSING = ("accept", "goto passed")
IN_CLEAR = 'iifname != { "ipsec-1", "ipsec-2" }'
OWN_PORT = {"iifname": "dport", "oifname": "sport"}


def untracked(direction: str, rules: tuple[str, ...] = (*BY_PROTOCOL, *BY_PORT)) -> list[str]:
    """What conntrack does not see of the tunnels, inside and outside."""
    return [rule.format(direction, OWN_PORT[direction]) for rule in rules]


def leaving_in_clear(config: Config) -> list[str]:
    return [rule for rule in chain(config, "sending") if "overlay-leak" in rule]


def own_zones(config: Config) -> list[str]:
    """What follows, for what the box sends itself."""
    own = chain(config, "sending")
    assert own[:4] == untracked("oifname")
    return [rule for rule in own[4:] if "overlay-leak" not in rule]


def chain(config: Config, name: str) -> list[str]:
    """The rules of a chain; the first line of one that the kernel calls is where it does."""
    text = ruleset(config).text
    found = re.search(rf"^  chain {name} {{\n(.*?)^  }}", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return [line.strip() for line in found[1].splitlines() if " hook " not in line]


def test_equal_configurations_have_equal_revisions(pop: Config, blueprint: Tree) -> None:
    assert ruleset(pop) == ruleset(read(blueprint))
    assert ruleset(pop).revision != ruleset(Config()).revision


def test_every_counter_that_is_used_is_declared(pop: Config) -> None:
    used = set(re.findall(r'counter name "([^"]+)"', ruleset(pop).text))
    assert used <= {*COUNTERS, *frames.COUNTERS}


def test_without_configuration_only_netconf_on_the_management_network_gets_in() -> None:
    accepting = [rule for rule in chain(Config(), "input") if rule.endswith("accept")]
    assert all(rule.startswith(('iifname "lo"', 'iifname "eth0"')) for rule in accepting)
    assert accepting
    assert "{  }" not in ruleset(Config()).text, "nft knows no empty set"
    assert not [rule for rule in chain(Config(), "forwarding") if rule.endswith(PASSING)]


def test_a_vni_is_bound_to_its_sites_tunnel(pop: Config) -> None:
    rules = [rule for rule in chain(pop, "input") if "4789" in rule]
    end = '{ "ipsec-2" . 100.127.2.1 . 1020 } accept'
    assert rules[0] == f"udp dport 4789 iifname . ip saddr . @th,96,24 {end}"
    assert rules[1] == f'udp dport 4789 {IN_CLEAR} counter name "vxlan-in-clear" drop'
    assert rules[2] == 'udp dport 4789 counter name "vxlan-foreign-vni" drop'


def test_gre_is_bound_to_its_sites_tunnel(pop: Config) -> None:
    rules = [rule for rule in chain(pop, "input") if "l4proto gre" in rule]
    ends = '{ "ipsec-1" . 100.127.1.1 . 100.127.0.1 }'
    assert rules[0] == f"meta l4proto gre iifname . ip saddr . ip daddr {ends} accept"
    assert rules[1] == f'meta l4proto gre {IN_CLEAR} counter name "gre-in-clear" drop'
    assert rules[2].endswith('counter name "gre-foreign" drop')


def test_management_is_never_forwarded(pop: Config) -> None:
    denied = 'counter name "management-forwarding" drop'
    assert {f'{way}ifname "eth0" {denied}' for way in "io"} <= {*chain(pop, "forwarding")}
    assert [rule for rule in ruleset(pop).text.splitlines() if '"eth0"' in rule and "goto" in rule] == []


def test_netconf_is_offered_on_the_management_network_only(pop: Config) -> None:
    assert all('iifname "eth0"' in rule for rule in chain(pop, "input") if "830" in rule)


def test_a_tenant_reaches_its_own_and_the_internet_only(pop: Config) -> None:
    forwarding = chain(pop, "forwarding")
    assert 'iifname vmap { "acme" : jump from-1 }' in forwarding
    [answers] = [rule for rule in forwarding if "meta mark vmap" in rule]
    ways = '{ "wan" . "gre-1" . 1 : goto passed, "wan" . "br-2" . 1 : accept }'
    assert answers == f"ct state established,related ct direction reply iifname . oifname . meta mark vmap {ways}"
    assert not [rule for rule in forwarding if rule.endswith(PASSING)]


def test_tenants_have_zones_of_their_own(pop: Config) -> None:
    """What stays inside is the tenant's in both directions; replies to what left come back where there is none."""
    assert chain(pop, "zones") == [DISPATCH]
    assert chain(pop, "zone-1") == ['fib daddr oifname "wan" ct original zone set 1 accept', "ct zone set 1"]
    assert own_zones(pop) == [f"ct zone set oifname map {NUMBERS}"]


def test_a_tenant_that_stays_inside_asks_for_no_route(changed: Callable[[Callable[[Tree], Any]], Config]) -> None:
    closed = changed(lambda tree: tree.pop("elasticlab-nat:nat"))
    assert chain(closed, "zones") == [DISPATCH]
    assert chain(closed, "zone-1") == ["ct zone set 1"]
    assert own_zones(closed) == [f"ct zone set oifname map {NUMBERS}"]


def test_a_policy_is_not_foretold(changed: Callable[[Callable[[Tree], Any]], Config]) -> None:
    """Which of its first packets leave is known after conntrack only."""
    entry = {"name": "all", "action": "break-out"}
    config = changed(lambda tree: tree["elasticlab-nat:nat"]["breakout"][0].update({"policy": [entry]}))
    assert chain(config, "zones") == [DISPATCH]
    assert chain(config, "zone-1") == ["ct original zone set 1 accept"]
    assert own_zones(config) == [f"ct original zone set oifname map {NUMBERS} accept"]


def test_a_fragment_in_clear_completes_nothing_of_the_overlay(pop: Config) -> None:
    known = '{ "lo", "acme", "ipsec-1", "gre-1", "ipsec-2", "br-2" }'
    came = f"ip daddr {{ 100.127.0.1/32 }} iifname != {known}"
    inside = 'iifname vmap { "gre-1" : goto cut-1, "br-2" : goto cut-1 }'
    assert chain(pop, "fragments") == [f'{came} counter name "fragment-in-clear" drop', inside, "goto zones"]
    assert "prerouting priority -450;" in ruleset(pop).text, "before fragments are put together (-400)"


def test_fragments_that_stay_inside_are_not_put_together(
    pop: Config, changed: Callable[[Callable[[Tree], Any]], Config]
) -> None:
    to_box = ["ip daddr { 10.2.0.1 } goto zone-1", "ip6 daddr fe80::/10 goto zone-1"]
    leaving = 'fib daddr oifname "wan" ct original zone set 1 accept'
    assert chain(pop, "cut-1") == [*to_box, leaving, "notrack accept"]
    closed = changed(lambda tree: tree.pop("elasticlab-nat:nat"))
    assert chain(closed, "cut-1") == [*to_box, "notrack accept"]


def test_where_a_policy_decides_all_are_put_together(changed: Callable[[Callable[[Tree], Any]], Config]) -> None:
    entry = {"name": "all", "action": "break-out"}
    config = changed(lambda tree: tree["elasticlab-nat:nat"]["breakout"][0].update({"policy": [entry]}))
    assert "cut-1" not in ruleset(config).text


def test_a_rule_by_port_sees_whole_packets_only(pop: Config) -> None:
    """Only the first fragment has ports: left to it, the others would wait in vain."""
    assert chain(pop, "arriving") == [
        SEEN,
        *untracked("iifname", BY_PROTOCOL),
        "ip frag-off & 0x3fff != 0 goto fragments",
        "exthdr frag exists goto fragments",
        *untracked("iifname", BY_PORT),
        "goto zones",
    ]


def test_without_breakout_nothing_is_translated(
    pop: Config, changed: Callable[[Callable[[Tree], Any]], Config]
) -> None:
    closed = changed(lambda tree: tree.pop("elasticlab-nat:nat"))
    assert "translation" in ruleset(pop).text
    assert "chain translation" not in ruleset(closed).text, "the kernel would call it for every packet"
    assert not [rule for rule in chain(closed, "forwarding") if '"wan"' in rule]


def test_a_gateways_addresses_cannot_be_claimed_by_a_port(pop: Config) -> None:
    spoofed = 'counter name "gateway-spoofed" drop'
    assert chain(pop, "stations") == [f'ether saddr {{ 02:e1:00:00:10:20 }} iifname {{ "vxlan-2" }} {spoofed}']
    assert f'meta protocol arp arp saddr ip {{ 10.2.0.1 }} iifname {{ "vxlan-2" }} {spoofed}' in chain(pop, "of-arp")
    assert chain(pop, "frames") == [
        "ether saddr { 02:e1:00:00:10:20 } jump stations",
        "meta protocol vmap { arp : jump of-arp, ip : jump of-ip, ip6 : jump of-ip6 }",
        "meta pkttype { broadcast, multicast } jump floods",
    ]


def test_where_nobody_is_protected_only_floods_are_looked_at() -> None:
    assert chain(bridged(ports=2), "frames") == ["meta pkttype { broadcast, multicast } jump floods"]
    bpdus, *limits = chain(bridged(ports=2), "floods")
    assert bpdus.endswith('iifname { "more-0", "more-1" } counter name "bpdu-filtered" drop')
    assert [limit.split()[1] for limit in limits] == ['"more-0"', '"more-1"']


def bridged(*stations: Station, ports: int = 0, mac: str | None = None) -> Config:
    """A bridge with stations, each behind its port."""
    names = list(dict.fromkeys([*(s.port for s in stations), *(f"more-{n}" for n in range(ports))]))
    own = Bridge(mac=mac, stations=stations)
    bridge = Interface("br", Kind.BRIDGE, bridge=own, addresses=("10.0.0.1/24",) if mac else ())
    return Config(interfaces=(bridge, *(Interface(n, Kind.ETHERNET, port=BridgePort("br")) for n in names)))


def test_a_stations_addresses_come_from_its_own_port_only() -> None:
    first = Station("02:00:00:00:00:01", ("10.0.0.11", "2001:db8::11"), "one", None)
    second = Station("02:00:00:00:00:02", ("10.0.0.12",), "two", None)
    said = (rule for name in ("stations", "of-arp", "of-ip6") for rule in chain(bridged(first, second), name))
    rules = [rule for rule in said if "gateway-spoofed" in rule]
    ports, end = 'iifname { "one", "two" }', 'counter name "gateway-spoofed" drop'
    v6 = "{ fe80::ff:fe00:1, 2001:db8::11, fe80::ff:fe00:2 }"
    homes = '{ "one" . fe80::ff:fe00:1, "one" . 2001:db8::11, "two" . fe80::ff:fe00:2 }'
    assert rules == [
        f"ether saddr {{ 02:00:00:00:00:01, 02:00:00:00:00:02 }} {ports} "
        f'iifname . ether saddr != {{ "one" . 02:00:00:00:00:01, "two" . 02:00:00:00:00:02 }} {end}',
        f"meta protocol arp arp saddr ip {{ 10.0.0.11, 10.0.0.12 }} {ports} "
        f'iifname . arp saddr ip != {{ "one" . 10.0.0.11, "two" . 10.0.0.12 }} {end}',
        f"meta protocol ip6 ip6 saddr {v6} {ports} iifname . ip6 saddr != {homes} {end}",
        f"meta protocol ip6 meta l4proto ipv6-icmp icmpv6 type nd-neighbor-advert icmpv6 taddr {v6} {ports} "
        f"iifname . icmpv6 taddr != {homes} {end}",
    ]


def test_what_is_the_bridges_own_or_is_said_to_be_behind_two_ports_is_behind_none() -> None:
    twice = [Station("02:00:00:00:00:01", (), port, None) for port in ("one", "two")]
    own = Station("02:00:00:00:00:09", (), "one", None)
    [macs] = chain(bridged(*twice, own, mac="02:00:00:00:00:09"), "stations")
    assert "iifname . ether saddr" not in macs
    assert "{ 02:00:00:00:00:01, 02:00:00:00:00:09 }" in macs


def test_rules_of_a_bridge_grow_with_its_ports_and_no_faster() -> None:
    def size(ports: int) -> int:
        stations = [Station(f"02:00:00:00:00:{n:02x}", (f"10.0.0.{n + 2}",), f"p{n}", None) for n in range(ports)]
        return len(ruleset(bridged(*stations)).text)

    small, medium, large = (size(ports) for ports in (50, 100, 200))
    assert large - medium < 2.2 * (medium - small)


def test_nothing_of_the_overlay_leaves_in_clear(pop: Config) -> None:
    in_clear = 'oifname != { "lo", "ipsec-1", "ipsec-2" } counter name "overlay-leak" drop'
    outer = ("udp dport 4789", "meta l4proto gre", "ip saddr { 100.127.0.1/32 }")
    expected = [f"{what} {in_clear}" for what in outer]
    assert leaving_in_clear(pop) == expected, "of what the box sends"
    forwarding = chain(pop, "forwarding")
    assert [rule for rule in forwarding if "overlay-leak" in rule] == expected, "of what it forwards"
    accepting = next(n for n, rule in enumerate(forwarding) if rule.endswith(PASSING) or "jump" in rule)
    assert max(forwarding.index(rule) for rule in expected) < accepting


def _segmented(**segments: list[str]) -> Callable[[Tree], None]:
    """Put interfaces (by name, ``-`` written ``_``) into segments."""

    def edit(tree: Tree) -> None:
        for interface in tree["ietf-interfaces:interfaces"]["interface"]:
            if found := segments.get(interface["name"].replace("-", "_")):
                interface["elasticlab-tenant:segment"] = found

    return edit


def _between(config: Config) -> dict[str, list[str]]:
    """The interfaces inside, with those that may send to each."""
    *alone, dispatch = [rule for rule in chain(config, "from-1") if '"wan"' not in rule]
    assert dispatch.startswith("oifname vmap { ")
    chains = dict(re.findall(r'"([^"]+)" : goto ([\w-]+)', dispatch))
    found = {out: re.findall(r'"([^"]+)"', "".join(chain(config, name))) for out, name in chains.items()}
    pairs = re.findall(r'"([^"]+)" \. "([^"]+)" :', "".join(alone))
    assert [out for out, _ in pairs] == re.findall(r'"([^"]+)" : return', dispatch), "nothing else goes there"
    return found | {out: [source] for out, source in pairs}


def test_interfaces_of_one_segment_forward_to_each_other(changed: Callable[[Callable[[Tree], None]], Config]) -> None:
    together = changed(_segmented(gre_1=["vpn-1"], br_2=["vpn-1"]))
    assert _between(together) == {"gre-1": ["gre-1", "br-2"], "br-2": ["gre-1", "br-2"]}
    assert chain(together, "within-1-0") == ['meta sdifname vmap { "gre-1" : goto passed, "br-2" : accept }']
    assert chain(together, "within-1-1") == ['meta sdifname vmap { "gre-1" : accept, "br-2" : accept }']


def test_interfaces_of_two_segments_do_not(changed: Callable[[Callable[[Tree], None]], Config]) -> None:
    apart = changed(_segmented(gre_1=["vpn-1"], br_2=["vpn-2"]))
    assert _between(apart) == {"gre-1": ["gre-1"], "br-2": ["br-2"]}
    pairs = '"gre-1" . "gre-1" : goto passed, "br-2" . "br-2" : accept'
    assert f"oifname . meta sdifname vmap {{ {pairs} }}" in chain(apart, "from-1")


def test_an_interface_of_several_segments_reaches_those_of_each() -> None:
    def member(name: str, *segments: str) -> Interface:
        return Interface(name, Kind.GRE, tenant="acme", forwarding=True, segments=frozenset(segments))

    sites = (member("hub", "a", "b"), member("left", "a"), member("right", "b"), member("alone"))
    config = Config(tenants=(Tenant("acme", 1),), interfaces=sites)
    assert _between(config) == {
        "hub": ["hub", "left", "right"],
        "left": ["hub", "left"],
        "right": ["hub", "right"],
        "alone": ["alone"],
    }


def test_without_a_segment_an_interface_is_in_the_tenants(changed: Callable[[Callable[[Tree], None]], Config]) -> None:
    assert _between(changed(_segmented(gre_1=["acme"]))) == _between(changed(lambda _: None))
    assert _between(changed(_segmented(gre_1=["vpn-1"]))) == {"gre-1": ["gre-1"], "br-2": ["br-2"]}


def test_only_internal_interfaces_reach_the_internet(changed: Callable[[Callable[[Tree], None]], Config]) -> None:
    def only_gre(tree: Tree) -> None:
        tree["elasticlab-nat:nat"]["breakout"][0]["internal-interface"] = ["gre-1"]

    rules = [rule for name in ("from-1", "forwarding") for rule in chain(changed(only_gre), name) if '"wan"' in rule]
    out = 'meta sdifname { "gre-1" } oifname "wan"'
    assert rules[:4] == [
        'ct mark & 0xfff == 1 oifname "wan" meta sdifname vmap { "gre-1" : goto passed }',
        f'{out} meta l4proto esp counter name "breakout-unanswerable" drop',
        f"{out} ct status & confirmed == 0 ct mark set ct mark | 1 accept",
        f'{out} counter name "breakout-untranslated" drop',
    ]
    assert len(rules) == 5
    assert all('"gre-1"' in rule and '"br-2"' not in rule for rule in rules)
    assert all('"br-2"' in rule for rule in chain(changed(lambda _: None), "from-1") if '"wan"' in rule)


def test_answers_come_in_only_from_whom_the_box_calls(pop: Config) -> None:
    called = replace(pop, contacts=(("203.0.113.6", 8572), ("203.0.113.6", 4335)))
    [rule] = set(chain(called, "input")) - set(chain(pop, "input"))
    contacts = "{ 203.0.113.6 . 4335, 203.0.113.6 . 8572 }"
    assert rule == f'iifname {{ "wan" }} ip saddr . tcp sport {contacts} ct state established accept'
    # While it enrols again it calls some for two reasons.
    assert ruleset(replace(called, contacts=2 * called.contacts)) == ruleset(called)


OFFERS = [
    "ct status & assured == assured flow add @fastpath",
    "ct status & (confirmed | seen-reply) == confirmed flow add @fastpath",
]


def test_the_fast_path_is_offered_by_one_chain_that_lets_pass(pop: Config) -> None:
    assert chain(pop, "passed") == [*OFFERS, "accept"]
    assert sum("flow" in line for line in ruleset(pop).text.splitlines() if "counter" not in line) == 3


def test_a_kernel_without_flow_tables_gets_the_same_rules_otherwise(pop: Config) -> None:
    text = ruleset(pop).text
    left = fastpath.without(text)
    assert [line for line in text.splitlines() if line not in left.splitlines()] == [
        "  flowtable fastpath { hook ingress priority filter; }",
        *(f"    {offer}" for offer in OFFERS),
    ]
    assert "flow add" not in left
    assert "flowtable" not in left
