"""Local Internet access as rules: which connections a policy sends out, and that only their first packet decides."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from element.model import Config, Granted, Tenant
from element.plan.desired import LAST_METRIC, MAIN_TABLE, desired
from element.plan.firewall import ruleset
from element.plan.resources import Route, Rule

Tree = dict[str, Any]
Edit = Callable[[Callable[[Tree], None]], Config]


def rules(config: Config, name: str) -> list[str]:
    found = re.search(rf"^  chain {name} {{\n(.*?)^  }}", ruleset(config).text, re.MULTILINE | re.DOTALL)
    return [line.strip() for line in found[1].splitlines()] if found else []


@pytest.fixture
def with_policy(changed: Edit) -> Callable[..., Config]:
    """The POP with entries of a policy: what is to match, and the action."""

    def make(*entries: tuple[Tree, str]) -> Config:
        listed = [{"name": str(n), "matches": m, "action": a} for n, (m, a) in enumerate(entries)]
        return changed(lambda tree: tree["elasticlab-nat:nat"]["breakout"][0].update(policy=listed))

    return make


OUT = "ct mark set ct mark | 0x1000 return"
CASES: list[tuple[Tree, list[str]]] = [
    ({}, [OUT]),
    ({"dscp": 46}, [f"ip dscp 46 {OUT}", f"ip6 dscp 46 {OUT}"]),
    ({"protocol": 1}, [f"meta l4proto 1 {OUT}"]),
    ({"destination-prefix": "198.51.100.0/24"}, [f"ip daddr 198.51.100.0/24 {OUT}"]),
    ({"source-prefix": "2001:db8:1::/64", "dscp": 8}, [f"ip6 saddr 2001:db8:1::/64 ip6 dscp 8 {OUT}"]),
    (
        {"protocol": 6, "destination-port": {"lower-port": 80, "upper-port": 89}, "source-port": {"lower-port": 7}},
        [f"meta l4proto 6 th sport 7 th dport 80-89 {OUT}"],
    ),
]


@pytest.mark.parametrize(("matches", "expected"), CASES)
def test_entries_match_in_all_that_is_said(
    with_policy: Callable[..., Config], matches: Tree, expected: list[str]
) -> None:
    assert rules(with_policy((matches, "break-out")), "policy-1")[2:] == expected


def test_the_first_entry_decides_in_the_users_order(with_policy: Callable[..., Config]) -> None:
    config = with_policy(({"protocol": 17}, "route"), ({}, "break-out"), ({"protocol": 17}, "break-out"))
    assert rules(config, "policy-1")[2:] == ["meta l4proto 17 return", OUT, f"meta l4proto 17 {OUT}"]


def test_the_gateway_and_the_link_itself_are_no_way_out(with_policy: Callable[..., Config]) -> None:
    v4, v6 = rules(with_policy(({}, "break-out")), "policy-1")[:2]
    assert v4 == "ip daddr { 224.0.0.0/4, 255.255.255.255, 10.2.0.1, 10.2.0.255 } return"
    assert v6 == "ip6 daddr { fe80::/10, ff00::/8 } return"


def test_only_the_first_packet_of_a_connection_is_decided(with_policy: Callable[..., Config]) -> None:
    marks = rules(with_policy(({}, "break-out")), "marks")
    jumps = [rule for rule in marks if "jump" in rule]
    assert jumps == ['iifname { "gre-1", "br-2" } ct status & confirmed == 0 jump policy-1']
    assert any("direction original ct mark & 0x1000 == 0x1000 meta mark set 0x1000" in rule for rule in marks)


def test_what_breaks_out_is_routed_as_the_underlay_and_nowhere_else(with_policy: Callable[..., Config]) -> None:
    wanted = desired(with_policy(({}, "break-out"))).values()
    assert Rule(900, mark=0x1000, table=MAIN_TABLE, link="acme") in wanted
    assert Route(MAIN_TABLE, "0.0.0.0/0", metric=LAST_METRIC, kind="unreachable") in wanted


def test_without_a_policy_there_is_nothing_of_it(pop: Config) -> None:
    assert "policy-1" not in ruleset(pop).text
    assert "0x1000" not in ruleset(pop).text
    assert not any(isinstance(r, Rule) and r.table == MAIN_TABLE for r in desired(pop).values())


class TestImitations:
    """Who is inside cannot answer in place of the Internet."""

    REFUSED = 'counter name "reply-imitated" drop'

    @pytest.fixture
    def shared(self, pop: Config) -> Config:
        """Another tenant has an interface, too."""
        other = replace(pop.interface("gre-1"), name="gre-9", tenant="globex")
        return replace(pop, tenants=(*pop.tenants, Tenant("globex", 2)), interfaces=(*pop.interfaces, other))

    def refused(self, config: Config) -> list[str]:
        return [rule for rule in rules(config, "zones") if rule.endswith(self.REFUSED)]

    def test_nobody_of_any_tenant_sends_to_the_address_of_the_translation(self, shared: Config) -> None:
        expected = f'ip daddr {{ 203.0.113.2 }} iifname {{ "gre-1", "br-2", "gre-9" }} {self.REFUSED}'
        assert self.refused(shared) == [expected]
        found = rules(shared, "zones")
        assert rules(shared, "arriving")[-1] == "goto zones", "before conntrack, which would believe it"
        assert all(" zone set " not in rule for rule in found[: found.index(expected)]), "before a zone's verdict"

    def test_a_leased_address_is_one_too(self, shared: Config) -> None:
        leased = replace(shared, granted=(Granted("wan", "198.51.100.7/24", None),))
        assert "{ 198.51.100.7, 203.0.113.2 }" in self.refused(leased)[0]

    def test_of_both_families(self, shared: Config) -> None:
        wan = replace(shared.interface("wan"), addresses=("203.0.113.2/30", "2001:db8:1::2/64"))
        both = replace(shared, interfaces=(wan, *(i for i in shared.interfaces if i.name != "wan")))
        assert "ip6 daddr { 2001:db8:1::2 }" in self.refused(both)[1]

    def test_without_translation_there_is_nothing_to_imitate(self, shared: Config) -> None:
        assert self.refused(replace(shared, breakouts=())) == []

    def test_alone_on_a_box_a_tenant_can_imitate_nobody(self, pop: Config) -> None:
        assert self.refused(pop) == []


class TestOwnTunnels:
    """No answer to a tenant looks like what comes to the box's own tunnels."""

    DROPPED = 'meta l4proto esp counter name "breakout-unanswerable" drop'

    def leaving(self, config: Config) -> str:
        (rule,) = (rule for rule in rules(config, "from-1") if rule.endswith(self.DROPPED))
        return rule

    def with_address(self, config: Config, address: str | None) -> Config:
        return replace(config, breakouts=tuple(replace(b, address=address) for b in config.breakouts))

    @pytest.mark.parametrize("address", [None, "203.0.113.2"])
    def test_esp_does_not_leave_by_the_address_of_the_tunnels(self, pop: Config, address: str | None) -> None:
        config = self.with_address(pop, address)
        assert "nfproto" not in self.leaving(config)
        assert 'meta l4proto esp iifname { "wan" } notrack accept' in rules(config, "arriving")

    def test_esp_leaves_by_an_address_of_its_own_and_is_tracked(self, pop: Config) -> None:
        """Of IPv4; IPv6 has no other address than the box's."""
        config = self.with_address(pop, "203.0.113.99")
        assert f"meta nfproto ipv6 {self.DROPPED}" in self.leaving(config)
        assert not any("esp notrack" in rule for rule in (*rules(config, "arriving"), *rules(config, "sending")))

    def test_who_has_no_tunnels_lets_it_pass(self, pop: Config) -> None:
        assert self.DROPPED not in ruleset(replace(pop, connections=())).text

    @pytest.mark.parametrize("address", [None, "203.0.113.2", "203.0.113.99"])
    def test_udp_leaves_from_no_port_of_the_boxs_own(self, pop: Config, address: str | None) -> None:
        """Of each way of translation the rule for UDP is the first."""
        found = [rule for rule in rules(self.with_address(pop, address), "translation") if "ct mark" in rule]
        udp, other = found[::2], found[1::2]
        assert all("meta l4proto udp" in rule and rule.endswith(":4501-65535") for rule in udp)
        assert [
            rule.replace("meta l4proto udp ", "").replace(":4501-65535", "").removesuffix(" to ") for rule in udp
        ] == other
