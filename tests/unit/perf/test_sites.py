"""What is measured with more and more sites is a lab as any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import topology as topologies
from harness.engine.describe import refuse_unsupported
from harness.orchestrator.orderfile import load_orders
from perf.sites import growth, topology, write


@pytest.mark.parametrize("sites", [1, 50, 200])
def test_a_lab_of_many_sites_can_be_brought_up_and_orders_for_each_box(tmp_path: Path, sites: int) -> None:
    loaded = topologies.load(write(tmp_path, sites))
    refuse_unsupported(loaded)
    assert len(loaded.nodes) == 2 * sites + 3
    assert len(loaded.links) == 2 * sites + 2
    ordered = {device for order in load_orders(loaded.directory) for device in order.devices()}
    assert ordered == {node.serial for node in loaded.nodes.values() if node.role == "ucpe"}


def test_there_is_an_end_of_addresses() -> None:
    with pytest.raises(ValueError, match="1 to 250 sites, not 251"):
        topology(251)


def test_growth_is_what_one_more_costs_among_few_and_many() -> None:
    flat = growth({1: 20.0, 5: 24.0, 20: 39.0, 50: 69.0})
    assert (flat["ratio"], flat["kept"]) == (1.0, True)
    steep = growth({5: 24.0, 20: 39.0, 50: 99.0})
    assert (steep["ratio"], steep["kept"]) == (2.0, False)
