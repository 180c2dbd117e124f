"""Orders among services that exist: what growth is."""

from __future__ import annotations

from perf.orders import growth


def test_growth_is_told_from_step_to_step_and_judged_over_all() -> None:
    grown = growth({200: 4.0, 0: 2.0, 50: 3.0})
    assert grown["steps"] == [{"from": 0, "to": 50, "ratio": 1.5}, {"from": 50, "to": 200, "ratio": 1.333}]
    assert (grown["median"], grown["kept"]) == (2.0, False)
    assert growth({0: 2.0, 50: 2.9})["kept"] is True
    assert growth({0: 2.0})["kept"] is None
    assert growth({0: 2.0, 50: 2.9}, "2 rounds are fewer than 5")["void"] == "2 rounds are fewer than 5"
