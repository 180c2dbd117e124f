"""What tests of an order's life share."""

from __future__ import annotations

import pytest

from harness.lab import Lab
from harness.orchestrator.client import Orchestrator
from tests.system.lifecycle import Life
from tests.system.traces import Json

_BEFORE = pytest.StashKey[dict[str, dict[str, Json]]]()


@pytest.fixture
def life(lab: Lab) -> Life:
    """Orders that come and go; the lab's are placed again after the tests that say `orders=False`."""
    return Life(lab, Orchestrator.of(lab))


@pytest.fixture
def nothing(life: Life, request: pytest.FixtureRequest) -> dict[str, Json]:
    """Nothing is ordered; what the lab looked like when that was so for the first time."""
    life.clear()
    looks = request.config.stash.setdefault(_BEFORE, {})
    if life.lab.name not in looks:
        looks[life.lab.name] = life.traces()
    return looks[life.lab.name]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is marked as exhaustive runs only when it is asked for: `-m exhaustive`."""
    if "exhaustive" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("exhaustive")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
