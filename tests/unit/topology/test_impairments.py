"""What a topology declares to be wrong with its lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.engine.describe import world
from harness.host.slot import Slot
from harness.topology import Topology, load
from harness.topology.impairments import LINK_LABELS, Impairment
from tests.unit.harness.test_describe import IMAGES

FILE = """
name: bad-line
topology:
  defaults: {kind: linux, image: elasticlab/endpoint}
  nodes: {a: , b: }
  links:
    - endpoints: ["a:good", "b:good"]
    - endpoints: ["a:wan", "b:wan"]
      labels:
        elasticlab.delay: 20ms
        elasticlab.jitter: 2.5ms toward a:wan
        elasticlab.loss: 0.5% toward b:wan, 1% toward a:wan
        elasticlab.reorder: 2% toward b:wan
        elasticlab.rate: 1gbit toward a:wan, 512kbit toward b:wan
        mine: untouched
"""


@pytest.fixture
def topology(tmp_path: Path) -> Topology:
    file = tmp_path / "bad-line.clab.yml"
    file.write_text(FILE)
    return load(file)


def test_each_direction_has_its_own(topology: Topology) -> None:
    good, bad = topology.links
    assert good.impaired == (Impairment(), Impairment())
    assert bad.impaired == (
        Impairment(delay=20, jitter=2.5, loss=1, rate=1e9),
        Impairment(delay=20, loss=0.5, reorder=2, rate=512e3),
    )
    assert str(bad.impaired[1]) == "delay 20 ms, loss 0.5 %, reorder 2 %, rate 0.512 Mbit/s"
    assert bad.labels["mine"] == "untouched"


def test_the_kernel_must_be_able_to(topology: Topology) -> None:
    assert topology.requires == {"netem"}
    assert "netem" not in load("plain").requires


def test_the_agent_is_told_by_side_and_loses_the_same_frames_at_every_up(topology: Topology) -> None:
    good, bad = world(topology, "x", Slot(3), IMAGES, str, {})["links"]
    assert good["declared"] == {}
    assert bad["declared"]["a"].items() >= {"delay": 20, "jitter": 2.5, "loss": 1, "rate": 1e9, "queue": 200}.items()
    assert bad["declared"]["b"].items() >= {"reorder": 2, "late": 10}.items()
    assert bad["declared"]["a"]["seed"] != bad["declared"]["b"]["seed"]
    assert world(topology, "x", Slot(4), IMAGES, str, {})["links"][1] == bad


def test_every_label_is_told() -> None:
    table = (Path(__file__).resolve().parents[3] / "topologies" / "README.md").read_text()
    assert [label for label in LINK_LABELS if f"`{label}`" not in table] == []
