"""What people see of long work: all of it where lines are written over, little where they stay."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from harness.build import progress
from harness.build.progress import Lines, Terminal


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands still until the test moves it."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_news_are_few_lines(clock: list[float]) -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    for count in range(40):
        clock[0] += 0.25
        lines.news("lab demo", f"{count // 4} of 10 are up")
    lines.news("lab demo", "9 of 10 are up")
    said = stream.getvalue().splitlines()
    assert said == [
        "   3.0 s  lab demo: 2 of 10 are up",
        "   6.0 s  lab demo: 5 of 10 are up",
        "   9.0 s  lab demo: 8 of 10 are up",
    ]
    clock[0] += 60
    lines.news("lab demo", "8 of 10 are up")
    assert stream.getvalue().splitlines() == said, "what has not changed is no news"


def test_what_is_over_soon_is_not_told_and_every_step_of_a_build_is(clock: list[float]) -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.news("lab plain", "starting the lab host")
    clock[0] += 1
    lines.news("lab plain", "booting nodes")
    assert stream.getvalue() == ""
    lines.step("base", "unpacking")
    assert stream.getvalue() == "   1.0 s  base: unpacking\n"


def test_a_terminal_has_one_line_that_changes(clock: list[float]) -> None:
    shown = io.StringIO()
    terminal = Terminal(Console(file=shown, force_terminal=True, width=100))
    rows = []
    for text in ("1 of 3 are up", "2 of 3 are up", "2 of 3 are up"):
        terminal.news("lab demo", text)
        clock[0] += 2
        table = terminal._render()
        rows.append([str(next(iter(column.cells))) for column in table.columns])
    assert rows == [
        ["    2 s", "lab demo", "1 of 3 are up (2 s)"],
        ["    4 s", "lab demo", "2 of 3 are up (2 s)"],
        ["    6 s", "lab demo", "2 of 3 are up (4 s)"],
    ]
