"""Numbers: stable, freed, never twice, whatever the order; and the same after a restart."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from controller.intent import MIGRATION, Allocations, AllocationStore, DeviceFacts, allocate, compile, join, pops, read
from controller.service import allocation
from controller.service.allocation import branch_loopback, pop_loopback
from controller.service.names import fitted
from hypothesis import given, settings
from hypothesis import strategies as st
from stackkit.database import Database
from yangkit import ApplyError, Tree

from tests.work import spent

ROOT = "ietf-l3vpn-svc:l3vpn-svc"
POPS = ("vmsr-1", "vmsr-2")


def _site(number: int, bridged: bool, tenant: str) -> Tree:
    access = {
        "site-network-access-id": "lan",
        "ip-connection": {
            "ipv4": {
                "address-allocation-type": "static-address",
                "addresses": {"provider-address": f"10.{number}.0.1", "prefix-length": 24},
            }
        },
        "vpn-attachment": {"vpn-id": f"net-{tenant}"},
        "elasticlab-access:access": {"device": f"branch-{number}", "mode": "bridged" if bridged else "routed"},
    }
    return {"site-id": f"site-{number}", "site-network-accesses": {"site-network-access": [access]}}


def _order(sites: list[tuple[int, bool, str]]) -> Tree:
    cloud = {"cloud-identifier": "internet", "address-translation": {"nat44": {"enabled": True}}}
    return {
        ROOT: {
            "vpn-services": {
                "vpn-service": [
                    {"vpn-id": f"net-{t}", "customer-name": t, "cloud-accesses": {"cloud-access": [cloud]}}
                    for t in sorted({tenant for _, _, tenant in sites})
                ]
            },
            "sites": {"site": [_site(*s) for s in sites]},
        }
    }


def _inventory(numbers: range) -> dict[str, DeviceFacts]:
    routers = {
        name: DeviceFacts(name, name, "vmsr-x86", "vmsr", f"203.0.113.{n}", "203.0.113.254")
        for n, name in enumerate(POPS, 1)
    }
    boxes = {f"branch-{n}": DeviceFacts(f"branch-{n}", f"S{n}", "ucpe-100", "ucpe") for n in numbers}
    return routers | boxes


INVENTORY = _inventory(range(256))
SITES = st.lists(
    st.tuples(st.integers(0, 40), st.booleans(), st.sampled_from(["acme", "other", "third"])),
    unique_by=lambda s: s[0],
    max_size=20,
)


def _no_number_twice(given_numbers: Allocations) -> None:
    shared = [(key[:2], number) for key, number in given_numbers.table.items() if key[0] != "home"]
    assert [item for item, count in Counter(shared).items() if count > 1] == []


@settings(max_examples=60, deadline=None)
@given(SITES, SITES, st.randoms(use_true_random=False))
def test_numbers_stay_are_freed_and_are_never_shared(
    first: list[tuple[int, bool, str]], second: list[tuple[int, bool, str]], dice: random.Random
) -> None:
    before = allocate(read(_order(first)), POPS, {})
    shuffled = list(first)
    dice.shuffle(shuffled)
    assert allocate(read(_order(shuffled)), reversed(POPS), {}) == before
    after = allocate(read(_order(second)), POPS, before.table)
    for numbers, sites in ((before, first), (after, second)):
        _no_number_twice(numbers)
        assert {key[2] for key in numbers.table if key[0] == "vni"} == {f"site-{n}" for n, b, _ in sites if b}
    stayed = {n for n, _, _ in first} & {n for n, _, _ in second}
    for number in stayed:
        device = f"branch-{number}"
        assert after.branch(device) == before.branch(device)
        assert after.home(device) == before.home(device)
    assert allocate(read(_order(second)), POPS, after.table) == after
    assert allocate(read({}), POPS, after.table).table == {}


@settings(max_examples=25, deadline=None)
@given(SITES, st.randoms(use_true_random=False))
def test_the_order_of_input_does_not_matter_to_what_is_compiled(
    sites: list[tuple[int, bool, str]], dice: random.Random
) -> None:
    shuffled, devices = list(sites), list(INVENTORY.items())
    dice.shuffle(shuffled)
    dice.shuffle(devices)
    one, two = read(_order(sites)), read(_order(shuffled))
    numbers = allocate(one, POPS, {})
    assert compile(one, INVENTORY, numbers) == compile(two, dict(devices), numbers)
    assert set(map(str, compile(read({}), INVENTORY, allocate(read({}), POPS, {})).values())) == {"{}"}


def test_sites_are_spread_over_the_routers_and_stay() -> None:
    four = [(n, False, "acme") for n in range(4)]
    numbers = allocate(read(_order(four)), POPS, {})
    assert Counter(numbers.homes().values()) == {"vmsr-1": 2, "vmsr-2": 2}
    fewer = allocate(read(_order(four[:1])), ["vmsr-2"], numbers.table)
    assert fewer.home("branch-0") == "vmsr-1"


def test_without_a_router_sites_wait_and_with_one_they_do_not() -> None:
    intent = read(_order([(1, True, "acme")]))
    boxes = {"branch-1": INVENTORY["branch-1"]}
    numbers = allocate(intent, pops(boxes), {})
    network = join(intent, boxes, numbers)
    assert "no POP router" in network.waiting["site-1"]
    assert compile(intent, boxes, numbers) == {"branch-1": {}}
    later = allocate(intent, pops(INVENTORY), numbers.table)
    assert later.vni("site-1") == numbers.vni("site-1")
    assert not join(intent, INVENTORY, later).waiting


def test_an_unknown_box_is_waited_for() -> None:
    intent = read(_order([(1, False, "acme")]))
    routers = {name: INVENTORY[name] for name in POPS}
    numbers = allocate(intent, pops(routers), {})
    assert join(intent, routers, numbers).waiting == {"site-1": "device branch-1 is not known yet"}
    assert compile(intent, routers, numbers) == {"vmsr-1": {}, "vmsr-2": {}}


def test_an_exhausted_pool_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(allocation.POOLS, "vni", (1020, 1021))
    two = [(n, True, "acme") for n in (1, 2)]
    full = allocate(read(_order(two)), POPS, {})
    with pytest.raises(ApplyError, match="no vni number is left") as caught:
        allocate(read(_order([*two, (3, True, "acme")])), POPS, full.table)
    assert caught.value.tag == "resource-denied"
    assert caught.value.path == f"/{ROOT}/sites/site[site-id='site-3']"
    freed = allocate(read(_order([two[1], (3, True, "acme")])), POPS, full.table)
    assert (freed.vni("site-2"), freed.vni("site-3")) == (1021, 1020)


def test_addresses_follow_from_numbers() -> None:
    assert [branch_loopback(n) for n in (1, 2, 255, 256)] == [
        "100.127.1.1",
        "100.127.2.1",
        "100.127.255.1",
        "100.127.1.2",
    ]
    every = {branch_loopback(n) for n in range(1, 255 * 254 + 1)} | {pop_loopback(n) for n in range(1, 255)}
    assert len(every) == 255 * 254 + 254


LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True)


@given(st.lists(LABEL, unique=True, min_size=2, max_size=20))
def test_names_fit_linux_and_never_clash(names: list[str]) -> None:
    for prefix in ("ipsec-", "gre-", ""):
        fit = [fitted(prefix, name, 64000 + n) for n, name in enumerate(names)]
        assert len(set(fit)) == len(names)
        assert max(map(len, fit)) <= 15


def test_numbers_outlive_the_program(tmp_path: Path) -> None:
    path = tmp_path / "controller.sqlite"
    database = Database(path, [MIGRATION])
    store = AllocationStore(database)
    assert store.load().table == {}
    numbers = allocate(read(_order([(1, True, "acme"), (2, False, "other")])), POPS, {})
    store.save(numbers)
    database.close()
    again = Database(path, [MIGRATION])
    assert AllocationStore(again).load() == numbers
    # A number passes to another owner in one step.
    moved = allocate(read(_order([(3, True, "acme")])), POPS, {})
    AllocationStore(again).save(moved)
    assert AllocationStore(again).load() == moved
    again.close()


def test_a_transaction_that_fails_changes_no_number(tmp_path: Path) -> None:
    database = Database(tmp_path / "c.sqlite", [MIGRATION])
    store = AllocationStore(database)

    def fail() -> None:
        with database.begin() as connection:
            store.save(allocate(read(_order([(1, True, "acme")])), POPS, {}), connection)
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fail()
    assert store.load().table == {}
    database.close()


def test_the_database_holds_no_number_twice(tmp_path: Path) -> None:
    database = Database(tmp_path / "c.sqlite", [MIGRATION])
    twice = Allocations({("vni", "", "a"): 1020, ("vni", "", "b"): 1020})
    with pytest.raises(Exception, match="UNIQUE"):
        AllocationStore(database).save(twice)
    database.close()


def test_two_hundred_sites_are_compiled_at_once(build: Callable[..., dict[str, Tree]]) -> None:
    intent = read(_order([(n, n % 2 == 0, "acme") for n in range(200)]))
    numbers = allocate(intent, POPS, {})
    compile(intent, INVENTORY, numbers)  # drivers are found once
    with spent() as work:
        compile(intent, INVENTORY, allocate(intent, POPS, numbers.table))
    assert work.seconds < 0.2
