"""What is measured with more and more sites is a lab as any other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import topology as topologies
from harness.engine.describe import refuse_unsupported
from harness.orchestrator.orderfile import load_orders
from perf import record
from perf.agents import Cost, Seen
from perf.lab import Rounds
from perf.report import page
from perf.sites import growth, healthy, told, topology, write


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
    assert (flat["median"], flat["kept"]) == (1.0, True)
    steep = growth({5: 24.0, 20: 39.0, 50: 99.0})
    assert (steep["median"], steep["kept"]) == (2.0, False)
    assert set(growth({5: 24.0, 20: 39.0})) == {"steps"}  # nothing is promised of two sizes


def measured(seconds: float, floor: float = 2.0) -> Rounds:
    parts = {"boot": floor - 1, "links": 0.5, "spawn": 0.5, "stop": 0.1}
    return Rounds(up=[seconds - 1, *[seconds] * 3, seconds + 1], down=[1.0] * 5, floor=[parts] * 5)


def seen(agent: float) -> list[Seen]:
    return [Seen(Cost((agent, 2 * agent), 1.5, 40.0), Cost((0.05,), 0.04, 8.0))] * 5


def shown(tmp_path: Path, sizes: dict[int, Rounds]) -> str:
    found = told(sizes, {size: seen(size / 10) for size in sizes})
    record.save("sites", {"benchmark": "B1 sites", "started": "2026-11-23T10:00:00+00:00", **found}, tmp_path)
    return page(record.read_all(tmp_path))


def test_a_hundred_sites_within_a_minute_is_promised_where_there_are_so_many(tmp_path: Path) -> None:
    [(name, kept)] = healthy({100: measured(59.0).comparisons("x")[0]}).items()
    assert {"median": 59.0, "min": 58.0, "max": 60.0, "bound": 60.0, "kept": True, "void": ""}.items() <= kept.items()
    missed = measured(61.0)
    assert healthy({100: missed.comparisons("x")[0]})[name]["kept"] is False
    missed.floor[-1] = {"boot": 9.0, "links": 0.5, "spawn": 0.5, "stop": 0.1}
    assert "the floor's slowest round" in str(healthy({100: missed.comparisons("x")[0]})[name]["void"])
    assert healthy({50: measured(59.0).comparisons("x")[0]}) == {}
    told_on_page = shown(tmp_path, {1: measured(15.0), 50: measured(40.0), 100: measured(70.0)})
    assert re.search(rf'<tr class="missed"><td>{name}</td>.*70 \(69 – 71\).*≤ 60.*MISSED', told_on_page)


def test_the_page_says_growth_and_what_an_agent_costs(tmp_path: Path) -> None:
    said = shown(tmp_path, {1: measured(15.0), 5: measured(19.0), 20: measured(49.0)})
    assert re.search(r'<tr class="missed"><td>a site more among the most, over one among fewer</td>.*ours: 2<', said)
    for what, ours, beside in (
        ("answers over NETCONF", "4 (4 – 4)", "0.05 (0.05 – 0.05)"),
        ("first thing done", "2 (2 – 2)", "0.05 (0.05 – 0.05)"),
        ("processor", "1.5 (1.5 – 1.5)", "0.04 (0.04 – 0.04)"),
        ("memory", "40 (40 – 40)", "8 (8 – 8)"),
    ):
        [row] = re.findall(rf"<tr.*>a box&#x27;s agent, 20 sites: {what}</td>.*", said)
        assert f"ours: {ours}" in row
        assert f"a bare interpreter: {beside}" in row
    assert "seconds until all sites are healthy" in said
