"""The README's figures: the newest run that counts, and what stands there when there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from perf.figures import FIGURES, table
from perf.record import Result, read_all
from perf.statistics import Comparison, Series


def result(module: str, day: int, *comparisons: dict[str, Any], **more: Any) -> Result:
    content = {"started": f"2026-11-{day:02d}T10:00:00+00:00", "comparisons": list(comparisons), **more}
    return Result(Path(f"{module}-202611{day:02d}T100000Z.json"), content)


def comparison(name: str, ours: float, floor: float, rounds: int = 5, **bounds: float) -> dict[str, Any]:
    return Comparison(name, Series.of([ours] * rounds), Series.of([floor] * rounds), **bounds).as_json()  # type: ignore[arg-type]


def row(results: list[Result], about: str) -> str:
    [found] = [line for line in table(results).splitlines() if line.startswith(f"| {about} |")]
    return found


def test_the_newest_run_that_is_not_void_is_told_with_its_command() -> None:
    runs = [
        result("engines", 1, comparison("up 20", 10.0, 2.0), seed=1),
        result("engines", 2, comparison("up 20", 12.0, 2.0), comparison("down 20", 8.0, 4.0), seed=2),
    ]
    told = row(runs, "make a lab")
    assert "containerlab takes 6 times as long for 20 nodes (12 s, ours 2 s)" in told
    assert "`labctl bench engines --seed 2`" in told
    assert "not measured yet" in told  # beside its floor
    later = [*runs, result("engines", 3, comparison("up 20", 90.0, 2.0, rounds=2), seed=3)]
    assert "(12 s, ours 2 s); void since: 2 rounds are fewer than 5 |" in row(later, "make a lab")


def test_what_was_only_void_and_what_missed_its_bound_is_said() -> None:
    void = row([result("engines", 1, comparison("up 20", 1.0, 1.0, rounds=2))], "make a lab")
    assert "void: 2 rounds are fewer than 5" in void
    missed = row(
        [result("reports", 1, comparison("report of 10000 results", 3.0, 2.0, most_ratio=1.2))],
        "tests and their report",
    )
    assert "1.5 × Allure alone (3 s); **bound missed**" in missed


def test_a_promise_without_a_peer_is_told_and_is_void_with_its_run() -> None:
    promise = {"median": 8.25, "bound": 10.0, "kept": True}
    about = "1,000 boxes on one controller"
    assert "managed again 8.25 s after" in row([result("devices", 1, restart=promise)], about)
    assert "void: 2 rounds" in row([result("devices", 1, restart=promise, void="2 rounds are fewer than 5")], about)


def test_every_figure_of_the_kept_results_is_told() -> None:
    """Five, and no pattern that no benchmark could ever have meant."""
    told = table(read_all())
    assert len(FIGURES) == 5
    assert len(told.splitlines()) == 2 + 5
    assert "make a lab" in told
