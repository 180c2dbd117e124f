"""Flows of connections: a tenant's own packets in IPsec, IKEv1, shared keys, routes that follow a connection."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import MagicMock

import pytest
from element.apply.daemon import CharonError, CharonGoneError
from element.apply.ipsec import alive, established
from element.apply.system import OperationError, _Machine
from element.connections import ESP_PROPOSALS, IKE_PROPOSALS, Mode
from element.model import Config, read
from element.plan.desired import LAST_METRIC, METRIC6, desired
from element.plan.difference import Action, difference
from element.plan.firewall import ruleset
from element.plan.resources import Credential, FlowTable, Ike, Route, SharedKey, Table, table
from element.state import _connection
from element.unsupported import InvalidError, UnsupportedError

from tests.unit.element.test_firewall import chain

Tree = dict[str, Any]
Edit = Callable[[Callable[[Tree], None]], Config]
SECRET = "a-key-that-nobody-else-sees"
TENANT_TABLE = 1001


def gateway(tree: Tree) -> None:
    """Site 1 is a private cloud now: a tenant's prefixes of both families, without GRE."""
    interfaces = tree["ietf-interfaces:interfaces"]["interface"]
    interfaces[:] = [i for i in interfaces if i["name"] != "gre-1"]
    tunnel = next(i for i in interfaces if i["name"] == "ipsec-1")
    forwards = {"ietf-ip:ipv4": {"forwarding": True}, "ietf-ip:ipv6": {"forwarding": True}}
    tunnel |= forwards | {"elasticlab-tenant:tenant": "acme"}
    protocols = tree["ietf-routing:routing"]["control-plane-protocols"]["control-plane-protocol"]
    protocols[1]["static-routes"]["ietf-ipv4-unicast-routing:ipv4"]["route"].pop()
    entry = connection(tree)["spd"]["spd-entry"][0]
    entry["local-prefix"] = ["2001:db8:2::/64", "10.2.0.7/24"]
    entry["remote-prefix"] = ["10.9.1.0/24", "2001:db8:9::/64", "10.9.0.0/24"]


def shared(tree: Tree) -> None:
    gateway(tree)
    entries = tree["elasticlab-ipsec:ipsec"]["pad"]["pad-entry"]
    entries[1]["pre-shared"] = {"secret": SECRET}


def connection(tree: Tree) -> Tree:
    entry: Tree = tree["elasticlab-ipsec:ipsec"]["conn-entry"][0]
    return entry


def message(wanted: Table, name: str = "site-1") -> Tree:
    ike = wanted["ike", name]
    assert isinstance(ike, Ike)
    return dict(json.loads(ike.message))


def routes_of(config: Config) -> list[Route]:
    return [r for r in desired(config).values() if isinstance(r, Route)]


def both(first: Callable[[Tree], None], **more: Any) -> Callable[[Tree], None]:
    def edit(tree: Tree) -> None:
        first(tree)
        connection(tree).update(more)

    return edit


class TestFlows:
    def test_a_tenants_flow_is_routed_in_the_tenants_domain_and_nowhere_else(self, changed: Edit) -> None:
        routes = [r for r in routes_of(changed(gateway)) if r.prefix.startswith("10.9")]
        assert {(r.table, r.prefix, r.metric, r.kind, r.link, r.source) for r in routes} == {
            (TENANT_TABLE, prefix, *rest)
            for prefix in ("10.9.0.0/24", "10.9.1.0/24")
            for rest in ((1, "unicast", "ipsec-1", None), (LAST_METRIC, "blackhole", None, None))
        }

    def test_so_is_its_ipv6(self, changed: Edit) -> None:
        routes = [
            r for r in desired(changed(gateway)).values() if isinstance(r, Route) and r.prefix == "2001:db8:9::/64"
        ]
        assert [(r.table, r.metric, r.kind) for r in routes] == [
            (TENANT_TABLE, METRIC6 + 1, "unicast"),
            (TENANT_TABLE, LAST_METRIC, "blackhole"),
        ]

    def test_it_takes_the_fast_path(self, changed: Edit) -> None:
        config = changed(gateway)
        wanted = desired(config)[("flow-table",)]
        assert isinstance(wanted, FlowTable)
        assert wanted.devices == ("ipsec-1", "wan")
        ways = [*chain(config, "within-1-0"), *chain(config, "from-1"), *chain(config, "forwarding")]
        assert sum('"ipsec-1" : goto passed' in way for way in ways) == 2, "inside and out"
        assert sum('"wan" . "ipsec-1" . 1 : goto passed' in way for way in ways) == 1, "answers"

    def test_a_child_has_all_prefixes_of_its_flow(self, changed: Edit) -> None:
        children = message(desired(changed(gateway)))["children"]
        assert set(children) == {"overlay"}
        assert children["overlay"]["local_ts"] == ["10.2.0.0/24", "2001:db8:2::/64"]
        assert children["overlay"]["remote_ts"] == ["10.9.0.0/24", "10.9.1.0/24", "2001:db8:9::/64"]

    def test_several_flows_have_interfaces_of_their_own(self, changed: Edit) -> None:
        def more(tree: Tree) -> None:
            gateway(tree)
            second = copy.deepcopy(connection(tree)["spd"]["spd-entry"][0])
            second |= {"name": "more", "interface": "ipsec-9", "remote-prefix": ["10.9.2.0/24"]}
            second["local-prefix"] = ["10.2.0.0/24"]
            connection(tree)["spd"]["spd-entry"].append(second)
            interfaces = tree["ietf-interfaces:interfaces"]["interface"]
            tunnel = copy.deepcopy(next(i for i in interfaces if i["name"] == "ipsec-1"))
            interfaces.append(tunnel | {"name": "ipsec-9", "elasticlab-ipsec:ipsec-tunnel": {"if-id": 9}})

        wanted = desired(changed(more))
        children = message(wanted)["children"]
        assert {name: child["if_id_out"] for name, child in children.items()} == {"overlay": "1", "more": "9"}
        assert any(isinstance(r, Route) and r.link == "ipsec-9" and r.table == TENANT_TABLE for r in wanted.values())

    @pytest.mark.parametrize(
        ("local", "remote", "reason"),
        [
            (["10.2.0.0/24"], ["2001:db8:9::/64"], "one IP version"),
            (["10.2.0.0/24"], ["10.9.0.0/24", "10.9.0.9/24"], "asked for twice"),
        ],
    )
    def test_what_cannot_be_is_refused(self, changed: Edit, local: list[str], remote: list[str], reason: str) -> None:
        def edit(tree: Tree) -> None:
            gateway(tree)
            connection(tree)["spd"]["spd-entry"][0].update({"local-prefix": local, "remote-prefix": remote})

        with pytest.raises(UnsupportedError, match=reason):
            desired(changed(edit))

    def test_ipv6_needs_an_interface_that_has_it(self, changed: Edit) -> None:
        def edit(tree: Tree) -> None:
            gateway(tree)
            next(i for i in tree["ietf-interfaces:interfaces"]["interface"] if i["name"] == "ipsec-1").pop(
                "ietf-ip:ipv6"
            )

        with pytest.raises(UnsupportedError, match="ipsec-1 has no IPv6"):
            desired(changed(edit))

    def test_everything_of_a_tenant_can_be_a_flow_and_the_underlay_not(self, changed: Edit) -> None:
        def all_of(tree: Tree) -> None:
            connection(tree)["spd"]["spd-entry"][0]["remote-prefix"] = ["0.0.0.0/0"]

        def of_the_tenant(tree: Tree) -> None:
            gateway(tree)
            connection(tree)["spd"]["spd-entry"][0]["local-prefix"] = ["10.2.0.0/24"]
            all_of(tree)

        found = [
            r for r in desired(changed(of_the_tenant)).values() if isinstance(r, Route) and r.table == TENANT_TABLE
        ]
        last = [r.kind for r in found if r.prefix == "0.0.0.0/0" and r.metric == LAST_METRIC]
        assert last == ["unreachable"]
        with pytest.raises(UnsupportedError, match="give the interface a tenant") as refusal:
            desired(changed(all_of))
        assert refusal.value.path.endswith("/spd/spd-entry[name='overlay']")


class TestFilter:
    def rules(self, config: Config) -> list[str]:
        return [line.strip() for line in ruleset(config).text.splitlines()]

    def test_a_tenants_flow_never_leaves_by_an_uplink(self, changed: Edit) -> None:
        rules = self.rules(changed(gateway))
        drop = 'oifname { "wan" } counter name "overlay-leak" drop'
        guards = [
            f"ip daddr {{ 10.9.0.0/24, 10.9.1.0/24 }} {drop}",
            f"ip6 daddr {{ 2001:db8:9::/64 }} {drop}",
        ]
        assert set(guards) <= set(rules)
        breakout = next(n for n, rule in enumerate(rules) if 'oifname "wan"' in rule and "ct mark set" in rule)
        assert max(rules.index(guard) for guard in guards) < breakout

    def test_a_tenants_prefixes_are_no_loopbacks(self, changed: Edit) -> None:
        """Other tenants may have the same, and break out with them."""
        leaks = [rule for rule in self.rules(changed(gateway)) if "overlay-leak" in rule and "saddr" in rule]
        assert len(leaks) == 2, "sent and forwarded"
        assert all("{ 100.127.0.1/32 }" in leak for leak in leaks)

    def test_the_interface_is_one_of_the_tenants_segment_and_zone(self, changed: Edit) -> None:
        rules = self.rules(changed(gateway))
        assert 'meta sdifname vmap { "ipsec-1" : goto passed, "br-2" : accept }' in rules
        assert 'oifname vmap { "ipsec-1" : goto within-1-0, "br-2" : goto within-1-1 }' in rules
        assert any(rule.startswith("iifname vmap") and '"ipsec-1" : goto zone-1' in rule for rule in rules)

    def test_the_underlay_hears_nothing_new(self, changed: Edit, pop: Config) -> None:
        said = 'iifname "ipsec-1" meta ipsec exists'
        assert not [rule for rule in self.rules(changed(gateway)) if rule.startswith(said)]
        assert [rule for rule in self.rules(pop) if rule.startswith(said)]

    def test_what_has_no_proof_that_it_came_by_ipsec_must_be_of_the_flow(self, changed: Edit, pop: Config) -> None:
        """The kernel would find no policy, and let it pass."""
        rules = self.rules(changed(gateway))
        asked = 'meta ipsec missing iifname { "ipsec-1" } jump unproven'
        for name in "zones", "fragments":
            first = rules.index(f"chain {name} {{")
            assert asked in rules[first : next(n for n in range(first, len(rules)) if "goto" in rules[n])]
        start = rules.index("chain unproven {")
        assert rules[start + 1 : rules.index("}", start)] == [
            'iifname "ipsec-1" ip saddr { 10.9.0.0/24, 10.9.1.0/24 } ip daddr { 10.2.0.0/24 } return',
            'iifname "ipsec-1" ip6 saddr { 2001:db8:9::/64 } ip6 daddr { 2001:db8:2::/64 } return',
            'counter name "flow-foreign" drop',
        ]
        assert not [rule for rule in self.rules(pop) if "unproven" in rule], "GRE and VXLAN are bound to their tunnels"


class TestIkev1:
    @pytest.mark.parametrize("mode", [Mode.MAIN, Mode.AGGRESSIVE])
    def test_a_child_is_a_pair_of_prefixes_of_one_family(self, changed: Edit, mode: Mode) -> None:
        found = message(desired(changed(both(shared, **{"ike-mode": str(mode)}))))
        pairs = {name: (child["local_ts"], child["remote_ts"]) for name, child in found["children"].items()}
        assert pairs == {
            "overlay.1": (["10.2.0.0/24"], ["10.9.0.0/24"]),
            "overlay.2": (["10.2.0.0/24"], ["10.9.1.0/24"]),
            "overlay.3": (["2001:db8:2::/64"], ["2001:db8:9::/64"]),
        }
        assert (found["version"], found["aggressive"]) == ("1", "yes" if mode is Mode.AGGRESSIVE else "no")
        assert "mobike" not in found

    def test_flows_whose_names_look_like_children_lose_none(self, changed: Edit) -> None:
        """A flow with two pairs of prefixes, and one that has the first one's name with a number."""

        def edit(tree: Tree) -> None:
            shared(tree)
            connection(tree)["ike-mode"] = "ikev1-main"
            (first,) = connection(tree)["spd"]["spd-entry"]
            first |= {"name": "a", "local-prefix": ["10.2.0.0/24"], "remote-prefix": ["10.9.0.0/24", "10.9.1.0/24"]}
            connection(tree)["spd"]["spd-entry"].append(first | {"name": "a-1", "remote-prefix": ["10.9.7.0/24"]})

        children = changed(edit).connections[0].children
        assert [child.flow.name for child in children] == ["a", "a", "a-1"]
        assert len({child.name for child in children}) == 3

    def test_ikev2_is_as_it_was(self, pop: Config) -> None:
        found = message(desired(pop))
        assert (found["version"], found["mobike"]) == ("2", "yes")
        assert "aggressive" not in found
        assert found["local_addrs"] == ["%any"]

    def test_proposals_of_one_message_are_of_one_group(self) -> None:
        """RFC 2409, section 5 (aggressive mode) and 5.5 (quick mode)."""
        for mode in (Mode.MAIN, Mode.AGGRESSIVE):
            assert len({proposal.rpartition("-")[2] for proposal in ESP_PROPOSALS[mode]}) == 1
        assert len({proposal.rpartition("-")[2] for proposal in IKE_PROPOSALS[Mode.AGGRESSIVE]}) == 1
        assert not [p for mode in (Mode.MAIN, Mode.AGGRESSIVE) for p in IKE_PROPOSALS[mode] if "gcm" in p]

    def test_configured_proposals_go_before_defaults(self, changed: Edit) -> None:
        asked = {"ike-mode": "ikev1-main", "ike-proposal": ["aes128-sha1-modp1536"], "esp-proposal": ["aes128-sha1"]}
        found = message(desired(changed(both(shared, **asked))))
        assert found["proposals"] == ["aes128-sha1-modp1536"]
        assert found["children"]["overlay.1"]["esp_proposals"] == ["aes128-sha1"]

    def test_the_local_address_tells_connections_apart(self, changed: Edit) -> None:
        def edit(tree: Tree) -> None:
            shared(tree)
            connection(tree)["local"]["address"] = "203.0.113.2"

        found = message(desired(changed(edit)))
        assert found["local_addrs"] == ["203.0.113.2"]
        assert found["mobike"] == "no", "the tunnel would move to whatever address routing prefers"


class TestSharedKeys:
    def test_both_ends_prove_themselves_by_the_key(self, changed: Edit) -> None:
        found = message(desired(changed(shared)))
        assert found["local"] == {"id": "pop.example", "auth": "psk"}
        assert found["remote"] == {"id": "site-1.example", "auth": "psk"}

    def test_a_key_is_seen_nowhere(self, changed: Edit) -> None:
        config = changed(shared)
        wanted = desired(config)
        keys = [r for r in wanted.values() if isinstance(r, SharedKey)]
        assert [(k.local_id, k.remote_id, k.value) for k in keys] == [("pop.example", "site-1.example", SECRET)]
        plan = difference(wanted, {})
        for text in (repr(config), repr(wanted), str(wanted), repr(plan), *map(str, plan.operations)):
            assert SECRET not in text
            assert keys[0].digest not in text
        assert not [r for r in wanted.values() if isinstance(r, Ike) and SECRET in r.message]

    def test_others_keep_their_certificates(self, changed: Edit) -> None:
        wanted = desired(changed(shared))
        assert message(wanted, "site-2")["remote"]["auth"] == "pubkey"
        assert {r.name for r in wanted.values() if isinstance(r, Credential)} == {"ike", "ca"}

    def test_only_a_changed_key_is_loaded_again(self, changed: Edit) -> None:
        wanted = desired(changed(shared))
        key = next(r for r in wanted.values() if isinstance(r, SharedKey))
        assert not difference(wanted, wanted)
        stale = wanted | {key.key: replace(key, digest="?", value="")}
        assert [(o.action, o.resource) for o in difference(wanted, stale).operations] == [(Action.CHANGE, key)]
        without = {k: r for k, r in wanted.items() if k != key.key}
        assert [o.action for o in difference(without, wanted).operations] == [Action.DELETE]

    def test_keys_come_before_connections_and_go_after_them(self, changed: Edit) -> None:
        wanted = desired(changed(shared))
        kinds = [type(o.resource) for o in difference(wanted, {}).operations]
        assert kinds.index(SharedKey) < kinds.index(Ike)
        going = [type(o.resource) for o in difference({}, wanted).operations]
        assert going.index(Ike) < going.index(SharedKey)

    def test_two_keys_of_the_same_identities_are_refused(self, pop_tree: Tree) -> None:
        shared(pop_tree)
        pop_tree["elasticlab-ipsec:ipsec"]["pad"]["pad-entry"][2] |= {
            "identity": "site-1.example",
            "pre-shared": {"secret": SECRET[::-1]},
        }
        with pytest.raises(UnsupportedError, match="two shared keys") as refusal:
            read(pop_tree)
        assert SECRET not in str(refusal.value)
        assert SECRET[::-1] not in str(refusal.value)

    def owners(self, tree: Tree, *ends: tuple[str, str, str]) -> list[tuple[str, ...]]:
        """Who has each key at charon, with a connection for each pair of identities and its key."""
        keyed(tree, *ends)
        return [secret.owners for secret in read(tree).secrets]

    def test_what_several_connections_share_owns_no_key(self, pop_tree: Tree) -> None:
        """charon takes any key of which *one* owner is right: of a POP that calls two gateways, either's for both."""
        assert self.owners(pop_tree, ("pop", "one", "a"), ("pop", "two", "b")) == [("one.example",), ("two.example",)]

    def test_nor_does_a_peer_who_calls_two_of_our_addresses(self, pop_tree: Tree) -> None:
        assert self.owners(pop_tree, ("one", "pop", "a"), ("two", "pop", "b")) == [("one.example",), ("two.example",)]

    def test_one_key_for_all_is_everybodys(self, pop_tree: Tree) -> None:
        assert self.owners(pop_tree, ("pop", "one", "a"), ("pop", "two", "a")) == [
            ("pop.example", "one.example"),
            ("pop.example", "two.example"),
        ]

    def test_a_key_that_no_end_has_for_itself_is_refused(self, pop_tree: Tree) -> None:
        keyed(pop_tree, ("pop", "one", "a"), ("pop", "two", "b"), ("east", "two", "c"))
        with pytest.raises(InvalidError, match="both have other shared keys") as refusal:
            read(pop_tree)
        assert refusal.value.path == "/elasticlab-ipsec:ipsec/conn-entry[name='1']"
        assert "b" * 20 not in str(refusal.value)

    def test_a_key_that_gets_another_owner_is_loaded_again(self, changed: Edit) -> None:
        wanted = desired(changed(shared))
        key = next(r for r in wanted.values() if isinstance(r, SharedKey))
        assert key.owners == ("pop.example", "site-1.example")
        former = wanted | {key.key: replace(key, owners=("pop.example",))}
        assert [o.action for o in difference(wanted, former).operations] == [Action.CHANGE]


def keyed(tree: Tree, *ends: tuple[str, str, str]) -> None:
    """A connection for each pair of identities, with a key."""
    shared(tree)
    model = connection(tree)
    pad, connections = [], []
    for number, (local, remote, key) in enumerate(ends):
        pad.append({"name": f"own-{number}", "identity": f"{local}.example"})
        secret = {"pre-shared": {"secret": key * 20}}
        pad.append({"name": f"peer-{number}", "identity": f"{remote}.example"} | secret)
        names = {
            "local": {"local-pad-entry-name": f"own-{number}"},
            "remote": {"remote-pad-entry-name": f"peer-{number}"},
        }
        connections.append(copy.deepcopy(model) | names | {"name": str(number)})
    tree["elasticlab-ipsec:ipsec"] = {"pad": {"pad-entry": pad}, "conn-entry": connections}


class TestTrackedRoutes:
    def tracked(self, config: Config) -> dict[str, str | None]:
        return {r.prefix: r.tracked for r in desired(config).values() if isinstance(r, Route)}

    def test_routes_in_a_tracked_connections_tunnel_wait_for_it(self, changed: Edit) -> None:
        found = self.tracked(changed(lambda tree: connection(tree).update({"track-routes": True})))
        assert found.pop("10.1.0.0/24") == "site-1"
        assert set(found.values()) == {None}

    def test_no_others_do(self, changed: Edit, pop: Config) -> None:
        assert set(self.tracked(pop).values()) == {None}
        other = changed(lambda tree: tree["elasticlab-ipsec:ipsec"]["conn-entry"][1].update({"track-routes": True}))
        assert set(self.tracked(other).values()) == {None}

    def asked(self, changed: Edit, error: Exception) -> tuple[set[str], set[str]]:
        """The routes that are made, and those that wait, when charon answers no more than its version."""

        def established(_: Any) -> None:
            raise error

        charon: Any = MagicMock(established=established)
        wanted = desired(changed(lambda tree: connection(tree).update({"track-routes": True})))
        resources = table([r for r in wanted.values() if isinstance(r, Route | Ike)])
        now, waiting = _Machine(MagicMock(), charon, None, lambda: None).split(resources)
        assert not any(isinstance(r, Ike) for r in now.values())
        of_now, of_waiting = ({r.prefix for r in found if isinstance(r, Route)} for found in (now.values(), waiting))
        return of_now, of_waiting

    def test_they_wait_while_charon_goes_between_two_questions(self, changed: Edit) -> None:
        now, waiting = self.asked(changed, CharonGoneError("charon is gone"))
        assert waiting == {"10.1.0.0/24"}
        assert now

    def test_what_charon_refuses_to_say_is_a_failure_like_any_other(self, changed: Edit) -> None:
        with pytest.raises(OperationError, match="reading the machine: list_sas: no"):
            self.asked(changed, CharonError("list_sas: no"))


def sa(state: str, **children: str) -> Tree:
    return {
        "uniqueid": "7",
        "state": state,
        "child-sas": {
            f"{name}-{n}": {"name": name.replace("_", "-"), "uniqueid": str(n), "state": child}
            for n, (name, child) in enumerate(children.items(), 1)
        },
    }


class TestAlive:
    """What is not started (again)."""

    WANTED = frozenset({("one", "a"), ("one", "b"), ("two", "a")})

    @pytest.mark.parametrize(
        ("association", "found"),
        [
            (sa("ESTABLISHED"), set()),
            (sa("ESTABLISHED", a="INSTALLED"), {"a"}),
            (sa("ESTABLISHED", a="DELETED"), set()),
            (sa("CONNECTING"), {"a", "b"}),
            (sa("ESTABLISHED", a="INSTALLED") | {"tasks-queued": ["QUICK_MODE"]}, {"a", "b"}),
            (sa("ESTABLISHED", a="INSTALLED") | {"tasks-active": ["CHILD_CREATE"]}, {"a", "b"}),
            (sa("ESTABLISHED", a="INSTALLED") | {"tasks-active": ["IKE_DPD"]}, {"a"}),
        ],
    )
    def test_is_what_has_an_sa_or_is_about_to(self, association: Tree, found: set[str]) -> None:
        assert alive(self.WANTED, [{"name": "one", **association}]) == {("one", child) for child in found}


class TestEstablished:
    @pytest.mark.parametrize(
        ("associations", "right"),
        [
            ([], False),
            ([sa("CONNECTING")], False),
            ([sa("ESTABLISHED")], False),
            ([sa("ESTABLISHED", a="INSTALLED")], False),
            ([sa("ESTABLISHED", a="INSTALLED", b="DELETING")], False),
            ([sa("DELETING", a="INSTALLED", b="INSTALLED")], False),
            ([sa("ESTABLISHED", a="INSTALLED", b="REKEYING")], True),
            ([sa("REKEYING", a="INSTALLED"), sa("ESTABLISHED", b="INSTALLED")], True),
        ],
    )
    def test_is_an_ike_sa_and_all_children(self, associations: list[Tree], right: bool) -> None:
        assert established(["a", "b"], associations) is right

    def test_children_are_told_by_the_name_of_their_flow(self, changed: Edit) -> None:
        config = changed(both(shared, **{"ike-mode": "ikev1-main"}))
        children = {f"overlay.{n}": "INSTALLED" for n in (1, 2, 3)}
        state = _connection(config.connections[0], [sa("ESTABLISHED", **children)])["state"]
        assert state["established"] is True
        assert [child["spd-entry"] for child in state["child-sa"]] == ["overlay"] * 3
