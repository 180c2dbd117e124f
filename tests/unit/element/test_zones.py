"""Conntrack zones: which packets have their tenant's zone in both directions, and which in the first one only."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from element.lan import resolver
from element.model import Config, Granted, Tenant
from element.plan.firewall import ruleset

Tree = dict[str, Any]
Edit = Callable[[Callable[[Tree], Any]], Config]
ORIGINAL = "ct original zone set 1"


def chain(config: Config, name: str) -> list[str]:
    """The rules of a chain, without its hook."""
    found = re.search(rf"^  chain {name} {{\n(.*?)^  }}", ruleset(config).text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return [line.strip() for line in found[1].splitlines() if "hook" not in line]


@pytest.fixture
def shared(pop: Config) -> Config:
    """Another tenant has an interface, too."""
    other = replace(pop.interface("gre-1"), name="gre-9", tenant="globex")
    return replace(pop, tenants=(*pop.tenants, Tenant("globex", 2)), interfaces=(*pop.interfaces, other))


def test_a_tenant_is_told_by_its_vrf_and_its_interfaces(pop: Config) -> None:
    members = '{ "acme" : jump zone-1, "gre-1" : jump zone-1, "br-2" : jump zone-1 }'
    assert chain(pop, "zones") == [f"iifname vmap {members}"]
    assert chain(pop, "own-zones") == [f"oifname vmap {members}"]


def test_a_chain_comes_before_those_that_jump_to_it(shared: Config) -> None:
    text = ruleset(shared).text
    assert max(text.index("chain zone-1 "), text.index("chain zone-2 ")) < text.index("chain zones ")


def test_what_stays_inside_has_the_zone_in_both_directions(pop: Config) -> None:
    old, new, rest = chain(pop, "zone-1")
    assert old == "ip daddr { 10.1.0.0/24, 10.2.0.0/24, 224.0.0.0/4, 255.255.255.255/32 } ct zone set 1 return"
    assert new == "ip6 daddr { fe80::/10, ff00::/8 } ct zone set 1 return"
    assert rest == ORIGINAL


def test_without_a_way_out_all_stays_inside(shared: Config) -> None:
    assert chain(shared, "zone-2") == ["ct zone set 2"]


def test_a_prefix_inside_of_another_is_not_said_again(changed: Edit) -> None:
    """The static routes of the blueprint's tenant get one around its bridge's network."""

    def wider(tree: Tree) -> None:
        for protocol in tree["ietf-routing:routing"]["control-plane-protocols"]["control-plane-protocol"]:
            if protocol["name"] == "acme":
                routes = protocol["static-routes"]["ietf-ipv4-unicast-routing:ipv4"]["route"]
                routes.append({"destination-prefix": "10.0.0.0/8", "next-hop": {"outgoing-interface": "gre-1"}})

    assert "{ 10.0.0.0/8, 224.0.0.0/4, 255.255.255.255/32 }" in chain(changed(wider), "zone-1")[0]


def test_where_a_policy_decides_the_target_does_not(changed: Edit) -> None:
    def policy(tree: Tree) -> None:
        entry = {"name": "1", "matches": {"destination-prefix": "10.1.0.0/25"}, "action": "break-out"}
        tree["elasticlab-nat:nat"]["breakout"][0]["policy"] = [entry]

    assert chain(changed(policy), "zone-1") == [ORIGINAL]


def test_where_the_rest_of_the_world_is_inside_the_target_does_not_decide(changed: Edit) -> None:
    """Answers of translated connections would be looked for in another zone than they are in."""

    def all_inside(tree: Tree) -> None:
        for protocol in tree["ietf-routing:routing"]["control-plane-protocols"]["control-plane-protocol"]:
            if protocol["name"] == "acme":
                default = protocol["static-routes"]["ietf-ipv4-unicast-routing:ipv4"]["route"][0]
                default["next-hop"] = {"outgoing-interface": "gre-1"}

    assert chain(changed(all_inside), "zone-1") == [ORIGINAL]


def test_a_dns_servers_link_is_inside(changed: Edit) -> None:
    def named(tree: Tree) -> None:
        bridge = next(i for i in tree["ietf-interfaces:interfaces"]["interface"] if i["name"] == "br-2")
        bridge["elasticlab-lan:dns"] = {"domain": "office.example"}

    config = resolver.attach(changed(named))
    (link,) = (i for i in config.interfaces if i.serves)
    network = link.addresses[0]
    assert network in chain(config, "zone-1")[0]
    assert f'"{link.name}" : jump zone-1' in chain(config, "zones")[-1]


def test_nobody_inside_answers_in_place_of_the_internet(shared: Config) -> None:
    refused = 'counter name "reply-imitated" drop'
    assert (
        chain(shared, "zones")[0] == f'iifname {{ "gre-1", "br-2", "gre-9" }} ip daddr {{ 203.0.113.2/32 }} {refused}'
    )


def test_a_leased_address_outside_is_one_too(shared: Config) -> None:
    leased = replace(shared, granted=(Granted("wan", "198.51.100.7/24", None),))
    assert "{ 198.51.100.7/32, 203.0.113.2/32 }" in chain(leased, "zones")[0]


def test_alone_on_a_box_a_tenant_can_imitate_nobody(pop: Config) -> None:
    assert not any("reply-imitated" in rule for rule in chain(pop, "zones"))
