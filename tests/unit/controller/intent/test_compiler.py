"""Compiling again: a device for which nothing has changed keeps its tree, the others get theirs anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from controller.intent import AllocationStore, DeviceFacts, allocate, join, pops, read
from controller.main import MIGRATIONS
from controller.northbound.backend import IntentBackend
from controller.service.compile import Compiler, compile_network
from controller.service.network import Network
from controller.southbound.inventory import Inventory
from stackkit.database import Database
from yangkit import Tree

from tests.unit.controller.intent.conftest import INVENTORY, order, site, vpn


def two_sites(gateway: str = "10.2.0.1/24") -> Tree:
    return order(
        [vpn("net", internet=True)], [site("a", "ucpe-1", "10.1.0.1/24", "net"), site("b", "ucpe-2", gateway, "net")]
    )


def joined(tree: Tree, inventory: dict[str, DeviceFacts]) -> Network:
    intent = read(tree)
    return join(intent, inventory, allocate(intent, pops(inventory), {}))


def test_only_who_is_concerned_gets_another_tree() -> None:
    compiler = Compiler()
    first = compiler(joined(two_sites(), INVENTORY), INVENTORY)
    changed = joined(two_sites("10.3.0.1/24"), INVENTORY)
    second = compiler(changed, INVENTORY)
    assert second["ucpe-1"] is first["ucpe-1"]
    assert second["ucpe-2"] != first["ucpe-2"]
    assert second == compile_network(changed, INVENTORY)


@pytest.mark.parametrize("name", sorted(INVENTORY))
def test_a_device_that_has_become_another_gets_another_tree(name: str) -> None:
    compiler = Compiler()
    compiler(joined(two_sites(), INVENTORY), INVENTORY)
    moved = INVENTORY | {name: replace(INVENTORY[name], wan_address="198.51.100.7", wan_gateway="198.51.100.1")}
    again = joined(two_sites(), moved)
    assert compiler(again, moved) == compile_network(again, moved)


def test_who_is_left_without_a_site_has_nothing() -> None:
    compiler = Compiler()
    compiler(joined(two_sites(), INVENTORY), INVENTORY)
    assert set(map(str, compiler(Network(), INVENTORY).values())) == {"{}"}
    assert compiler(joined(two_sites(), INVENTORY), INVENTORY)["ucpe-1"]


def test_the_network_is_the_same_while_nothing_of_it_changes(tmp_path: Path) -> None:
    """Whoever has compiled it knows so without looking at it."""
    database = Database(tmp_path / "controller.sqlite", MIGRATIONS)
    inventory = Inventory(database)
    for facts in INVENTORY.values():
        inventory.learn(facts)
    backend = IntentBackend(inventory, AllocationStore(database))
    first = backend.number(read(two_sites()))
    tree = two_sites()
    tree["ietf-l3vpn-svc:l3vpn-svc"]["vpn-services"]["vpn-service"].append(vpn("waits-for-sites"))
    assert backend.number(read(tree)) is first
    assert backend.number(read(two_sites("10.3.0.1/24"))) != first
    database.close()
