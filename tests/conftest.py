"""What all tests share."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, settings

# A machine that stands still for a moment has not found a slow example.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is marked as exhaustive runs only when it is asked for: `-m exhaustive`.

    Long ones come first: a file that one worker begins last keeps all others waiting.
    """
    if not any(item.get_closest_marker("topology") for item in items):  # whose order the labs decide
        sizes = Counter(item.path for item in items)
        items.sort(key=lambda item: (item.get_closest_marker("long") is None, -sizes[item.path]))
    if "exhaustive" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("exhaustive")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
