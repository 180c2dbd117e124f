"""The pure difference: nothing to do when all is well, the right order, and the way back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from element.model import Config, read
from element.plan.desired import desired
from element.plan.difference import Action, ConflictError, Operation, difference
from element.plan.resources import Address, FlowTable, Link, Resource, Route, Ruleset, Table, table
from hypothesis import given, settings
from hypothesis import strategies as st

Tree = dict[str, Any]

EMPTY = Config()
PORTS = (Link("wan", "port", up=False, group=0, mtu=1500), Link("lan", "port", up=False, group=0, mtu=1500))


def machine(*resources: Resource) -> Table:
    """A machine that was never configured, and what is there besides."""
    return table((*PORTS, *resources))


def execute(actual: Table, wanted: Table) -> Table:
    """What the operations of a plan would make of a machine: a kernel that does as it is told."""
    result = dict(actual)
    for step in difference(wanted, actual).operations:
        resource = step.resource
        if step.action is not Action.DELETE:
            old = result.get(resource.key)
            if isinstance(resource, Link) and isinstance(old, Link):
                given_values = {f: getattr(resource, f) for f in Link.__slots__ if getattr(resource, f) is not None}
                resource = replace(old, **given_values)
            result[resource.key] = resource
        elif isinstance(resource, Link) and resource.kind == "port":
            result[resource.key] = replace(resource, up=False, group=0, master="", forwarding=False, learning=None)
        else:
            del result[resource.key]
            if isinstance(resource, Link):
                result = {k: r for k, r in result.items() if isinstance(r, Link) or resource.name not in r.needs}
    return result


def converged(wanted: Table, actual: Table) -> Table:
    for _ in range(4):
        if not difference(wanted, actual):
            return actual
        actual = execute(actual, wanted)
    raise AssertionError([str(step) for step in difference(wanted, actual).operations])


def steps(wanted: Table, actual: Table) -> list[Operation]:
    return list(difference(wanted, actual).operations)


def position(found: list[Operation], kind: type[Resource], name: str = "") -> int:
    return next(
        i for i, step in enumerate(found) if isinstance(step.resource, kind) and name in (*step.resource.key, "")
    )


def test_a_machine_that_is_as_wanted_is_left_alone(pop: Config) -> None:
    wanted = desired(pop)
    assert not difference(wanted, wanted)


def test_plans_lead_to_what_is_wanted(pop: Config) -> None:
    wanted = desired(pop)
    actual = converged(wanted, machine())
    assert not difference(wanted, actual)


def test_without_configuration_nothing_of_ours_is_left(pop: Config) -> None:
    start = converged(desired(EMPTY), machine())
    after = converged(desired(EMPTY), converged(desired(pop), start))
    assert after == start


def test_the_filter_is_loaded_before_anything_comes_and_after_anything_goes(pop: Config) -> None:
    coming = steps(desired(pop), machine())
    assert isinstance(coming[0].resource, Ruleset)
    going = steps(desired(EMPTY), converged(desired(pop), machine()))
    assert isinstance(going[-1].resource, Ruleset)


def test_users_come_after_what_they_use(pop: Config) -> None:
    found = steps(desired(pop), machine())
    order = [position(found, Link, name) for name in ("acme", "br-2", "ipsec-1", "gre-1")]
    assert order == sorted(order)
    assert position(found, Address, "wan") < position(found, Route)


def test_foreign_links_are_not_touched(pop: Config) -> None:
    stranger = Link("docker0", "port", group=0)
    actual = converged(desired(EMPTY), converged(desired(pop), machine(stranger)))
    assert actual[stranger.key] == stranger


@pytest.mark.parametrize("name", ["gre-1", "vxlan-2", "br-2", "acme"])
def test_a_foreign_link_in_the_way_is_told(pop: Config, name: str) -> None:
    stranger = Link(name, "port", group=0)
    with pytest.raises(ConflictError, match=f"link {name} is there already.*remove it, or give it another name"):
        difference(desired(pop), machine(stranger))


@pytest.mark.parametrize("name", ["gre-1", "vxlan-2", "br-2", "acme"])
def test_the_way_around_a_foreign_link_has_all_that_does_not_stand_on_it(pop: Config, name: str) -> None:
    """Somebody took the name behind our back: what else is damaged is mended, and the rest when he has left."""
    wanted, stranger = desired(pop), Link(name, "port", group=0)
    whole = converged(wanted, machine())
    found = difference(wanted, machine(stranger), around=True)
    assert [conflict.resource.name for conflict in found.conflicts] == [name]
    waiting = {resource.key for resource in found.deferred if not isinstance(resource, FlowTable)}
    assert ("link", name) in waiting
    assert {step.resource.key for step in found.operations} | waiting >= whole.keys() - {r.key for r in PORTS}
    assert not [step for step in found.operations if name in (*step.resource.key, *step.resource.needs)]
    assert not difference(wanted, whole, around=True).conflicts


def test_a_port_cannot_have_the_name_of_what_was_made(pop: Config) -> None:
    made = converged(desired(pop), machine())
    wanted = table([Link("gre-1", "port")])
    with pytest.raises(ConflictError, match="gre-1 was made here, as gre"):
        difference(wanted, made)


def test_what_was_plugged_in_is_made_bare_not_deleted(pop: Config) -> None:
    actual = converged(desired(EMPTY), converged(desired(pop), machine()))
    wan = actual["link", "wan"]
    assert isinstance(wan, Link)
    assert (wan.group, wan.up, wan.master, wan.forwarding) == (0, False, "", False)


def test_what_is_not_plugged_in_yet_waits_with_all_that_needs_it(pop: Config) -> None:
    plan = difference(desired(pop), table(()))
    waiting = {resource.key[:2] for resource in plan.deferred}
    assert ("link", "wan") in waiting
    assert ("address", "wan") in waiting
    assert all("wan" not in (step.resource.key, *step.resource.needs) for step in plan.operations)
    assert any(step.resource.key == ("link", "ipsec-1") for step in plan.operations)


def test_the_fast_path_begins_where_it_can_already(pop: Config) -> None:
    wanted = desired(pop)
    whole = wanted[("flow-table",)]
    assert isinstance(whole, FlowTable)
    assert whole.devices == ("gre-1", "wan")
    plan = difference(wanted, table((PORTS[1],)))
    [table_now] = [step.resource for step in plan.operations if isinstance(step.resource, FlowTable)]
    assert table_now == replace(whole, devices=("gre-1",))
    assert whole in plan.deferred
    assert difference(wanted, machine()).deferred == ()
    assert whole.without(set(whole.devices)) is None, "nothing would ever be as wanted"


def test_the_fast_path_goes_with_its_rules(pop: Config) -> None:
    wanted = desired(pop)
    actual = converged(wanted, machine())
    actual[("ruleset",)] = Ruleset("older")
    actual[("flow-table",)] = replace(wanted[("flow-table",)], revision="older")  # type: ignore[type-var]
    found = steps(wanted, actual)
    assert [(step.action, type(step.resource)) for step in found] == [
        (Action.CHANGE, Ruleset),
        (Action.CHANGE, FlowTable),
    ]


def test_a_changed_tunnel_takes_its_addresses_and_routes_along(pop: Config) -> None:
    wanted = desired(pop)
    actual = converged(wanted, machine())
    gre = actual["link", "gre-1"]
    assert isinstance(gre, Link)
    actual["link", "gre-1"] = replace(gre, remote="100.127.9.9")
    found = [(step.action, step.resource.key[:2]) for step in steps(wanted, actual)]
    assert found[0] == (Action.DELETE, ("link", "gre-1"))
    assert (Action.CREATE, ("link", "gre-1")) in found
    assert (Action.CREATE, ("route", 1001)) in found
    assert not [key for _, key in found if "wan" in key or "ipsec-1" in key]


def test_a_replaced_underlay_takes_the_tunnel_inside_along(pop: Config) -> None:
    wanted = desired(pop)
    actual = converged(wanted, machine())
    below = actual["link", "ipsec-1"]
    assert isinstance(below, Link)
    actual["link", "ipsec-1"] = replace(below, if_id=99)
    found = [(step.action, step.resource.key) for step in steps(wanted, actual) if isinstance(step.resource, Link)]
    assert (Action.DELETE, ("link", "gre-1")) in found
    assert found.index((Action.DELETE, ("link", "gre-1"))) < found.index((Action.DELETE, ("link", "ipsec-1")))


def _subset(blueprint: Tree, names: set[str]) -> Config:
    """The POP without some of its sites."""
    tree = {**blueprint}
    interfaces = [i for i in blueprint["ietf-interfaces:interfaces"]["interface"] if not names & {i["name"][-1]}]
    ipsec = blueprint["elasticlab-ipsec:ipsec"]
    kept = [c for c in ipsec["conn-entry"] if c["name"][-1] not in names]
    tree["ietf-interfaces:interfaces"] = {"interface": interfaces}
    tree["elasticlab-ipsec:ipsec"] = {**ipsec, "conn-entry": kept}
    if "1" in names:
        del tree["ietf-routing:routing"]
    return read(tree)


_sites = st.sets(st.sampled_from(["1", "2"]))


@settings(max_examples=30, deadline=None)
@given(before=_sites, after=_sites, lost=st.sets(st.integers(0, 60)))
def test_from_any_machine_to_any_configuration_and_back(
    blueprint: Tree, before: set[str], after: set[str], lost: set[int]
) -> None:
    old, new = desired(_subset(blueprint, before)), desired(_subset(blueprint, after))
    start = converged(old, machine())
    # Somebody or something removed a part of it behind our back; what stood on it is gone too.
    removed = {r.key for i, r in enumerate(start.values()) if i in lost and not isinstance(r, Link)}
    damaged = {k: r for k, r in start.items() if k not in removed}
    there = converged(new, damaged)
    assert converged(old, there) == start
