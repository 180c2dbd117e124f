"""What is told of tunnels beside their rounds."""

from __future__ import annotations

from perf.tunnels import over_devices


def test_an_order_that_took_no_longer_than_its_devices_is_told() -> None:
    over = over_devices({"order": [2.0, 3.0, 1.0], "commit": [0.5, 0.5, 0.25], "tunnel": [1.0, 1.0, 1.0]})
    assert over.as_json() == {"median": 0.0, "min": -0.5, "max": 1.0, "rounds": [0.0, 1.0, -0.5]}
