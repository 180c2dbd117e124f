"""A lab that lost its host (the machine was restarted) comes back with its devices, tenants and orders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from harness import lab as labs
from harness import topology as topologies
from harness.build.progress import Silent
from harness.host import keeper
from harness.lab import Lab
from harness.lab.record import place_of
from harness.lab.timings import Timings
from harness.orchestrator import ordering
from harness.orchestrator.client import Orchestrator

# The longest of all tests, by itself, would be begun last; this group is one of the first.
pytestmark = pytest.mark.xdist_group("orchestrator")


def bring_up(name: str) -> Lab:
    return labs.up(topologies.load("demo"), name=name, progress=Silent(), timings=Timings())


@pytest.fixture
def name() -> Iterator[str]:
    """A name for a lab; whatever became of the lab, it is gone afterwards."""
    chosen = f"kept-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}-{os.getpid()}"
    yield chosen
    if place_of(chosen).folder.exists():
        assert labs.down(chosen) == []


def known(lab: Lab) -> list[Any]:
    """Orders and their states, and each box's certificate."""
    orders = Orchestrator.of(lab).call("gro", "GET", f"{ordering.ORDERING}/serviceOrder").json()
    own = "/var/lib/element/identity/current/netconf.pem"
    boxes = [node.name for node in lab.topology.nodes.values() if node.personality]
    return [{order["id"]: order["state"] for order in orders}, *(lab[box].exec("cat", own) for box in boxes)]


def test_a_lab_whose_host_was_lost_comes_back_with_what_was_ordered(name: str) -> None:
    with bring_up(name) as lab:
        before = known(lab)
    keeper.kill(place_of(name).folder)
    with bring_up(name) as lab:
        assert known(lab) == before
        assert lab["host-1"].reaches("10.2.0.10")
