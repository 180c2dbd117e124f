"""PC-01: the orchestrator stack, as it is, on hardware of each tier, where that has the memory for it.

That hardware with less is refused is shown without a lab (tests/unit/harness/test_room.py).
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import lab as labs
from harness import topology as topologies
from harness.build import recipe
from harness.build.progress import Silent
from harness.lab import Lab
from harness.lab.timings import Timings
from harness.orchestrator import plug
from harness.orchestrator.client import Orchestrator
from harness.paths import REPOSITORY
from harness.topology import TIERS, TOPOLOGIES
from harness.wait import Deadline
from tests.system.footprint import MIB, footprint, table

pytestmark = pytest.mark.exhaustive

LEAST = recipe.load(REPOSITORY, "stack").least
SECONDS = 60
STACK = """
      image: elasticlab/stack:latest
      labels:
        elasticlab.role: stack
        elasticlab.site: core
        elasticlab.tier: rack
"""


def moved(folder: Path, tier: str, memory: int | None = None) -> Path:
    """Topology `tiers` with its stack on hardware of a tier, and nothing else changed; with so many MiB of memory, if
    they are not the tier's.
    """
    shutil.copytree(TOPOLOGIES / "tiers", folder, dirs_exist_ok=True)
    file = folder / "tiers.clab.yml"
    there = STACK.replace("site: core", "site: office").replace("tier: rack", f"tier: {tier}")
    if memory:
        there = there.replace("      labels:", f"      memory: {memory}MiB\n      labels:")
    text = file.read_text()
    assert text.count(STACK) == 1
    file.write_text(text.replace(STACK, there))
    return file


@contextlib.contextmanager
def running(file: Path, name: str) -> Iterator[Lab]:
    try:
        with labs.up(topologies.load(file), name=name, progress=Silent(), timings=Timings()) as lab:
            yield lab
    finally:
        with contextlib.suppress(labs.LabError):  # it never came to be
            assert labs.down(name) == []


@pytest.mark.parametrize("tier", TIERS)
def test_the_stack_runs_on_each_tier_that_has_the_memory_for_it(
    tier: str, tmp_path: Path, tell: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the boxes in and brings what is ordered; after a power cut it is back. Tiers with less memory than the
    documented least are given that, so that nothing else of their hardware is too small.
    """
    hardware = TIERS[tier]
    more = LEAST.memory if hardware.memory < LEAST.memory * MIB else None
    monkeypatch.setenv("ELASTICLAB_TIME_SCALE", f"{max(1, 1 / hardware.cpu):g}")  # it has so much less of a processor
    with running(moved(tmp_path, tier, more), f"stack-{tier}") as lab:
        far, wanted = Orchestrator.of(lab), plug.wiring(lab.topology, lab.factory)
        lab["stack"].power.off()
        begun = time.monotonic()
        lab["stack"].power.on()
        plug.wait_until_there(far, Deadline(SECONDS))
        spent = time.monotonic() - begun
        plug.wait_until_managed(far, wanted, Deadline(SECONDS))
        plug.wait_until_up(far, Deadline(SECONDS))
        used = footprint(lab["stack"])
        given = f", given {more} MiB" if more else ""
        tell(f"stack on {tier}{given}: answers after power on", table([(tier, spent, [used])]))
        assert used.killed == 0
        assert used.disk <= min(hardware.disk, LEAST.disk * MIB)
        assert more is None or used.own > hardware.memory, "it would have fitted"
