"""A node that is too small for its image is refused before anything starts, in words that help."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import lab as labs
from harness.build import recipe
from harness.build.progress import Silent
from harness.cli.validating import validated
from harness.engine.room import refuse_too_small
from harness.lab.timings import Timings
from harness.paths import REPOSITORY
from harness.topology import TIERS, TopologyError, load

MIB = 2**20
LEAST = recipe.load(REPOSITORY, "stack").least
ENOUGH = [tier.name for tier in TIERS.values() if tier.memory >= LEAST.memory * MIB]


def topology(folder: Path, hardware: str, image: str = "elasticlab/stack:latest") -> Path:
    file = folder / "x.clab.yml"
    file.write_text(f"name: x\ntopology:\n  nodes:\n    a:\n      kind: linux\n      image: {image}\n{hardware}")
    return file


def on(tier: str) -> str:
    return f"      labels: {{elasticlab.tier: {tier}}}\n"


@pytest.mark.parametrize("tier", TIERS)
def test_the_stack_is_refused_on_tiers_that_have_less_memory_than_it_needs(tier: str, tmp_path: Path) -> None:
    file = topology(tmp_path, on(tier))
    if tier in ENOUGH:
        refuse_too_small(load(file))
        assert validated(str(file))["valid"]
        return
    with pytest.raises(TopologyError) as refused:
        refuse_too_small(load(file))
    assert str(refused.value) == (
        f'{file}:4:1: node "a": elasticlab/stack:latest needs {LEAST.memory} MiB of memory at least, tier {tier} has '
        f"{TIERS[tier].memory // MIB} MiB (give it tier {ENOUGH[0]}, or more of its own)"
    )
    assert [problem["line"] for problem in validated(str(file))["problems"]] == [4]


def test_some_tiers_are_too_small_and_some_are_not() -> None:
    assert list(TIERS)[-2:] == ENOUGH, "docs/how-to/tiers.md says which"


def test_what_a_node_has_of_its_own_counts_before_its_tier(tmp_path: Path) -> None:
    refuse_too_small(load(topology(tmp_path, f"      memory: {LEAST.memory}MiB\n{on('embedded')}")))
    little = f"      memory: {LEAST.memory - 1}MiB\n      labels: {{elasticlab.disk: {LEAST.disk - 1}MiB}}\n"
    with pytest.raises(TopologyError) as refused:
        refuse_too_small(load(topology(tmp_path, little)))
    told = {(problem.message.partition("needs ")[2], problem.remedy) for problem in refused.value.problems}
    assert told == {
        (f"{LEAST.disk} MiB of disk at least, it has {LEAST.disk - 1} MiB", "give it more"),
        (f"{LEAST.memory} MiB of memory at least, it has {LEAST.memory - 1} MiB", "give it more"),
    }


@pytest.mark.parametrize("image", ["elasticlab/endpoint", "alpine:3", "elasticlab/no-such-image"])
def test_what_asks_for_nothing_is_not_refused_for_that(image: str, tmp_path: Path) -> None:
    refuse_too_small(load(topology(tmp_path, "      memory: 16MiB\n", image)))


def test_nothing_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELASTICLAB_STATE", str(tmp_path / "state"))
    try:
        with pytest.raises(TopologyError, match="of memory at least"):
            labs.up(load(topology(tmp_path, on("embedded"))), progress=Silent(), timings=Timings())
        assert labs.known_labs() == []
    finally:
        for lab in labs.known_labs():
            labs.down(lab.name)
