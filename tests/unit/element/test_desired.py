"""What a configuration means: fail closed, tenants apart, and exact identities."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from element.model import Config
from element.plan.desired import LAST_METRIC, MAIN_TABLE, desired
from element.plan.resources import Credential, Ike, Link, Route, Rule, Table, table
from element.unsupported import InvalidError, UnsupportedError

Tree = dict[str, Any]
Edit = Callable[[Callable[[Tree], None]], Config]


def routes(wanted: Table) -> list[Route]:
    return [r for r in wanted.values() if isinstance(r, Route)]


def message(wanted: Table, name: str) -> dict[str, Any]:
    ike = wanted["ike", name]
    assert isinstance(ike, Ike)
    return dict(json.loads(ike.message))


def test_a_peers_loopback_is_routed_only_through_its_tunnel_with_a_blackhole_behind(pop: Config) -> None:
    found = [r for r in routes(desired(pop)) if r.prefix == "100.127.1.1/32"]
    assert [(r.table, r.kind, r.link) for r in found] == [
        (MAIN_TABLE, "unicast", "ipsec-1"),
        (MAIN_TABLE, "blackhole", None),
    ]
    assert found[0].metric < found[1].metric == LAST_METRIC


def test_a_tenant_without_a_route_does_not_fall_into_the_underlay(pop: Config) -> None:
    last = [r for r in routes(desired(pop)) if r.table == 1001 and r.kind == "unreachable"]
    assert [(r.prefix, r.metric) for r in last] == [("0.0.0.0/0", LAST_METRIC), ("::/0", LAST_METRIC)]


def test_replies_are_routed_by_mark_only_where_they_arrive(pop: Config) -> None:
    rules = [r for r in desired(pop).values() if isinstance(r, Rule) and r.mark]
    replies = [(r.mark, r.table, r.link, r.family) for r in rules if r.protocol is None]
    assert replies == [(1, 1001, "wan", 4), (1, 1001, "wan", 6)]


def test_one_tunnel_interface_a_site(pop: Config) -> None:
    tunnels = [r for r in desired(pop).values() if isinstance(r, Link) and r.kind == "xfrm"]
    assert {t.if_id for t in tunnels} == {1, 2}
    assert all(t.master == "" for t in tunnels)


def test_vxlan_is_not_bound_to_a_link_and_gre_is(pop: Config) -> None:
    wanted = desired(pop)
    vxlan, gre = wanted["link", "vxlan-2"], wanted["link", "gre-1"]
    assert isinstance(vxlan, Link)
    assert isinstance(gre, Link)
    assert vxlan.underlay is None
    assert gre.underlay == "ipsec-1"


def test_forwarding_is_the_vrfs_and_never_the_managements(pop: Config) -> None:
    wanted = desired(pop)
    vrf = wanted["link", "acme"]
    assert isinstance(vrf, Link)
    assert vrf.forwarding
    assert getattr(wanted["setting", "net/ipv4/conf/eth0/forwarding"], "value", None) == "0"
    assert ("link", "eth0") not in wanted


def test_connections_are_between_exact_identities_with_strict_revocation(pop: Config) -> None:
    found = message(desired(pop), "site-1")
    assert found["remote"] == {
        "auth": "pubkey",
        "id": "site-1.example",
        "cacerts": ["ca"],
        "revocation": "strict",
    }
    child = found["children"]["overlay"]
    assert (child["mode"], child["local_ts"], child["remote_ts"]) == ("tunnel", ["100.127.0.1/32"], ["100.127.1.1/32"])
    assert child["if_id_in"] == child["if_id_out"] == "1"
    assert int(child["replay_window"]) >= 1024
    assert child["copy_df"] == "no", "what is too large for the way would be lost"
    assert all("gcm" in p for p in child["esp_proposals"])


def test_who_waits_does_not_start(pop: Config) -> None:
    child = message(desired(pop), "site-1")["children"]["overlay"]
    assert (child["start_action"], child["close_action"]) == ("none", "none")


def test_who_starts_keeps_trying(changed: Edit) -> None:
    def start(tree: Tree) -> None:
        connection = tree["elasticlab-ipsec:ipsec"]["conn-entry"][0]
        connection["autostartup"] = "start"
        connection["remote"]["address"] = "203.0.113.2"

    found = message(desired(changed(start)), "site-1")
    child = found["children"]["overlay"]
    assert (child["start_action"], child["dpd_action"], child["close_action"]) == ("trap", "restart", "start")
    assert found["keyingtries"] == "0"
    assert found["remote_addrs"] == ["203.0.113.2"]


def test_credentials_are_named_never_shown(pop: Config) -> None:
    wanted = desired(pop)
    assert {(r.name, r.own) for r in wanted.values() if isinstance(r, Credential)} == {("ike", True), ("ca", False)}
    assert "PRIVATE" not in repr(wanted)


def test_a_next_hop_nowhere_is_refused(changed: Edit) -> None:
    def lose(tree: Tree) -> None:
        protocols = tree["ietf-routing:routing"]["control-plane-protocols"]["control-plane-protocol"]
        route = protocols[0]["static-routes"]["ietf-ipv4-unicast-routing:ipv4"]["route"][0]
        route["next-hop"]["next-hop-address"] = "192.0.2.1"

    with pytest.raises(UnsupportedError, match=r"192\.0\.2\.1"):
        desired(changed(lose))


def test_a_vni_belongs_to_one_site(changed: Edit) -> None:
    def share(tree: Tree) -> None:
        interfaces = tree["ietf-interfaces:interfaces"]["interface"]
        first = next(one for one in interfaces if one["name"] == "vxlan-2")
        interfaces.append(first | {"name": "again"})

    with pytest.raises(InvalidError, match="interface again: VNI 1020 is that of interface vxlan-2") as refused:
        desired(changed(share))
    assert refused.value.path == "/ietf-interfaces:interfaces/interface[name='again']/elasticlab-vxlan:vxlan/vni"
    assert refused.value.tag == "invalid-value"


@pytest.mark.parametrize("elsewhere", ["ipsec-1", "overlay", "eth0"])
def test_a_tenants_route_cannot_lead_elsewhere(changed: Edit, elsewhere: str) -> None:
    def lead(tree: Tree) -> None:
        protocols = tree["ietf-routing:routing"]["control-plane-protocols"]["control-plane-protocol"]
        route = protocols[1]["static-routes"]["ietf-ipv4-unicast-routing:ipv4"]["route"][1]
        route["next-hop"] = {"outgoing-interface": elsewhere}

    with pytest.raises(UnsupportedError, match="not one of tenant acme"):
        desired(changed(lead))


def test_without_breakout_a_tenant_has_no_route_into_the_underlay(changed: Edit) -> None:
    with pytest.raises(UnsupportedError, match="wan"):
        desired(changed(lambda tree: tree.pop("elasticlab-nat:nat")))


def test_the_management_interface_is_not_for_configuration(changed: Edit) -> None:
    def take(tree: Tree) -> None:
        tree["ietf-interfaces:interfaces"]["interface"][0]["name"] = "eth0"
        tree["elasticlab-nat:nat"] = {}
        tree["ietf-routing:routing"] = {}

    with pytest.raises(UnsupportedError, match="management"):
        desired(changed(take))


def test_two_resources_of_one_key_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="two resources"):
        table([Rule(1), Rule(1)])
