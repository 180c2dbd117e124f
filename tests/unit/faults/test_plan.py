"""What a fault comes to in a topology: which cables, which direction, which nodes, and in which order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.faults import (
    Clock,
    Cpu,
    Cut,
    Disk,
    Drop,
    Fault,
    FaultError,
    Loss,
    Outage,
    Partition,
    Power,
    Swizzle,
    Timed,
)
from harness.faults.plan import Step, steps
from harness.topology import Topology, load

# Cables: 0 a--r, 1 b--r, 2 a--b; a and b stand in site west.
FILE = """
name: three
topology:
  defaults: {kind: linux, image: elasticlab/endpoint, labels: {elasticlab.site: west}}
  nodes:
    a: {labels: {elasticlab.disk: 64MiB}}
    b: {}
    r: {labels: {elasticlab.site: middle}}
  links:
    - endpoints: ["a:wan", "r:a"]
    - endpoints: ["r:b", "b:wan"]
    - endpoints: ["a:lan", "b:lan"]
"""


@pytest.fixture(scope="module")
def topology(tmp_path_factory: pytest.TempPathFactory) -> Topology:
    file = Path(tmp_path_factory.mktemp("three"), "three.clab.yml")
    file.write_text(FILE)
    return load(file)


def plan(fault: Fault, topology: Topology, seconds: float | None = 10, seed: int = 1) -> list[Step]:
    return steps(Timed(fault, seconds=seconds), topology, seed)


def strains(fault: Fault, topology: Topology) -> dict[int, Any]:
    (step,) = plan(fault, topology)
    assert {effect["kind"] for effect in step.effects} == {"line"}
    return {effect["link"]: effect["strain"] for effect in step.effects}


def test_a_cable_is_named_by_either_end(topology: Topology) -> None:
    assert strains(Cut("a:wan"), topology) == {0: {"cut": True}} == strains(Cut("r:a"), topology)


def test_direction_is_seen_from_the_end_that_is_named(topology: Topology) -> None:
    everything: list[dict[str, object]] = [{}]
    assert strains(Drop("a:wan", "in"), topology) == {0: {"drop": {"a": everything}}}
    assert strains(Drop("a:wan", "out"), topology) == {0: {"drop": {"b": everything}}}
    assert strains(Drop("r:a", "in"), topology) == {0: {"drop": {"b": everything}}}
    assert strains(Drop("b:wan", "in"), topology) == {1: {"drop": {"b": everything}}}
    assert strains(Drop("a:wan"), topology) == {0: {"drop": {"a": everything, "b": everything}}}


def test_a_node_is_all_its_cables_and_a_site_those_that_lead_into_it(topology: Topology) -> None:
    assert strains(Cut("a"), topology).keys() == {0, 2}
    assert strains(Cut("site west"), topology).keys() == {0, 1}
    assert strains(Cut(("a", "b")), topology).keys() == {0, 1}
    assert strains(Cut("lab"), topology).keys() == {0, 1, 2}
    inward = strains(Partition("site west", "in"), topology)
    assert inward == {0: {"drop": {"a": [{}]}}, 1: {"drop": {"b": [{}]}}}


def test_two_nodes_are_apart_by_the_addresses_on_the_cables_of_both(topology: Topology) -> None:
    of_a, of_r = ["a:wan", "a:lan"], ["r:a", "r:b"]
    assert strains(Partition("a", "in", peer="r"), topology) == {
        0: {"drop": {"a": [{"of": of_r, "end": "src"}, {"of": of_a, "end": "dst"}]}},
        1: {"drop": {"b": [{"of": of_a, "end": "dst"}]}},
        2: {"drop": {"a": [{"of": of_r, "end": "src"}]}},
    }
    both = strains(Partition("a", peer="r"), topology)
    assert both[0]["drop"].keys() == {"a", "b"}
    said, heard = strains(Partition("a", "out", peer="r"), topology), strains(Partition("r", "in", peer="a"), topology)
    assert said.keys() == heard.keys()
    for link in said:
        (toward, matches), *others = said[link]["drop"].items()
        assert not others
        assert sorted(map(str, matches)) == sorted(map(str, heard[link]["drop"][toward]))
    with pytest.raises(FaultError, match="site west cannot be apart from itself"):
        plan(Partition("a", peer="site west"), topology)
    with pytest.raises(FaultError, match="there is no 'nobody'"):
        plan(Partition("a", peer="nobody"), topology)


def test_an_outage_is_of_one_port_toward_its_server(topology: Topology) -> None:
    assert strains(Outage("r", 8572), topology) == {
        0: {"drop": {"b": [{"port": 8572, "end": "dst"}]}},
        1: {"drop": {"a": [{"port": 8572, "end": "dst"}]}},
    }


def test_lines_and_directions_lose_different_frames_and_the_same_ones_again(topology: Topology) -> None:
    def seeds(seed: int) -> list[int]:
        (step,) = plan(Loss("r", percent=5), topology, seed=seed)
        return [part["seed"] for effect in step.effects for part in effect["strain"]["netem"].values()]

    assert len(set(seeds(1))) == 4
    assert seeds(1) == seeds(1) != seeds(2)
    own = steps(Timed(Loss("r", percent=5), seed=1), topology, seed=99)
    assert own[0].seed == 1


def test_nodes_of_a_site_and_of_the_lab(topology: Topology) -> None:
    def nodes(fault: Fault) -> list[Any]:
        return [effect.get("node") for effect in plan(fault, topology)[0].effects]

    assert nodes(Cpu("site west")) == ["a", "b"]
    assert nodes(Power(("a", "site west"))) == ["a", "b"]
    assert nodes(Cpu("lab")) == ["a", "b", "r"]
    assert nodes(Disk()) == nodes(Disk("lab")) == [None]
    assert nodes(Disk("a")) == ["a"]
    assert nodes(Clock(offset=5)) == nodes(Clock("lab", offset=5)) == [None]
    assert nodes(Clock("a", offset=5)) == ["a"]


def test_swizzled_cables_go_in_one_order_and_come_in_another_by_the_seed(topology: Topology) -> None:
    def orders(seed: int) -> tuple[list[str], list[str]]:
        found = plan(Swizzle(("a:wan", "b:wan", "a:lan")), topology, 30, seed)
        assert all(0 <= step.begin <= 15 <= (step.end or 0) <= 30 for step in found)
        return (
            [step.text for step in sorted(found, key=lambda step: step.begin)],
            [step.text for step in sorted(found, key=lambda step: step.end or 0)],
        )

    assert orders(3) == orders(3)
    assert len({str(orders(seed)) for seed in range(50)}) > 20
    assert any(gone != back for gone, back in map(orders, range(5)))
    assert len(plan(Swizzle("lab"), topology, 30)) == 3
    with pytest.raises(FaultError, match="for how many seconds"):
        plan(Swizzle("lab"), topology, None)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Cut("a:eth9"), r"cut: there is no cable at 'a:eth9'; there is a:lan, a:wan, "),
        (Cut("nobody"), r"cut: there is no 'nobody'; there is a, b, r, site middle, site west"),
        (Cut("site north"), "cut: there is no 'site north'"),
        (Cpu("a:wan"), "'a:wan' is a cable's end, and this is a fault of nodes"),
        (Cut(("a", "b", "r")), "no cable leads into a, b, r"),
        (Drop("lab", "in"), "the lab has no outside"),
        (Cut(), "cut: no place"),
        (Power(), "power: no place"),
        (
            Disk(("a", "site west", "r")),
            r"what b, r writes is on the disk that nodes share; .* \(elasticlab.disk, elasticlab.tier\), or .*on: lab",
        ),
    ],
)
def test_a_place_that_is_none_is_refused_with_what_there_is(topology: Topology, fault: Fault, said: str) -> None:
    with pytest.raises(FaultError, match=said):
        plan(fault, topology)


def test_a_place_in_a_file_is_refused_with_its_line(topology: Topology) -> None:
    with pytest.raises(FaultError, match=r"^x\.yaml:7:5: cut: there is no cable"):
        steps(Timed(Cut("a:eth9"), source="x.yaml:7:5"), topology, 1)
