"""What scenarios share: a shop on the lab. Each test leaves the lab as it found it: nothing bought."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.lab import Lab
from tests.scenarios.buying import Kept, Shop


@pytest.fixture
def shop(lab: Lab) -> Iterator[Shop]:
    """Where tenants order; what a broken test left behind is taken back, so that the next one is not blamed."""
    made = Shop(lab)
    yield made
    made.life.clear()


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    """What is bought once for a module, whichever of its tests are chosen."""
    made = Kept()
    yield made
    made.end()
