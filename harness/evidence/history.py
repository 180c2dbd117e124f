"""How tests ended in earlier runs, and so which of them cannot be trusted.

Earlier runs are in a file of Allure's: one line of JSON each, the oldest first (its `historyPath`).
"""

from __future__ import annotations

import html
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = Any
_BAD = ("failed", "broken")
_RAN = ("passed", *_BAD)


class HistoryError(ValueError):
    """A file that holds no history; which, and what would help."""


@dataclass(frozen=True)
class Ended:
    """How a test ended, and when it had begun (milliseconds since the epoch): no two runs of it did at once."""

    status: str
    begun: int


Run = Mapping[str, Ended]
"""By test."""


@dataclass(frozen=True)
class Figure:
    """Of one test: how often it ran, how often it failed, and how often that was another end than the time before."""

    test: str
    runs: int
    failed: int
    flips: int
    last: str


def of_results(folder: Path) -> Run:
    """The run whose Allure results are in a folder."""
    return _run(json.loads(file.read_text(encoding="utf-8")) for file in folder.glob("*-result.json"))


def lines(file: Path) -> list[str]:
    """Of a history; none when there is no file yet."""
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def of_line(file: Path, line: str) -> Run:
    """One run of a history. Raises HistoryError."""
    try:
        return _run(json.loads(line)["testResults"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        raise HistoryError(
            f"{file} is no history of Allure's: {line!r:.60} is no run; name another file with --history"
        ) from None


def _run(results: Any) -> Run:
    found: dict[str, Ended] = {}
    for one in results:
        name, ended = _name(one), Ended(one["status"], int(one.get("start") or 0))
        if name not in found or found[name].begun < ended.begun:  # of a test that was tried again, the last try
            found[name] = ended
    return found


def _name(result: Mapping[str, Json]) -> str:
    """The same in results and in histories; with its parameters, which `fullName` leaves out."""
    place = str(result.get("fullName", "")).rpartition("#")[0]
    return f"{place}::{result['name']}"


def slim(line: str) -> str:
    """A run of a history without what its pages do not show: Allure's labels are two thirds of it, and it writes all
    of a test's earlier runs again beside each test."""
    run = json.loads(line)
    for one in run["testResults"].values():
        one.pop("labels", None)
        for name in ("reportLinks", "url"):
            if not one.get(name):
                one.pop(name, None)
    return json.dumps(run, ensure_ascii=False, separators=(",", ":"))


def is_same(one: Run, other: Run) -> bool:
    """Whether they are one run, which was looked at twice."""
    return bool(one) and one == other


def before(earlier: Sequence[tuple[str, Run]], now: Run, keep: int) -> list[tuple[str, Run]]:
    """Of earlier runs with their lines those kept beside this one, which counts once if it was told before."""
    others = [(line, one) for line, one in earlier if not is_same(one, now)]
    return others[-keep + 1 :] if keep > 1 else []


def figures(earlier: Sequence[Run], now: Run) -> list[Figure]:
    """Of each test that ran now, the least trustworthy first. A run in which it was skipped says nothing of it."""
    return sorted(
        (_figure(test, [run[test].status for run in (*earlier, now) if test in run]) for test in now),
        key=lambda figure: (-figure.flips, -figure.failed, figure.test),
    )


def _figure(test: str, statuses: Sequence[str]) -> Figure:
    bad = [status in _BAD for status in statuses if status in _RAN]
    flips = sum(before != after for before, after in itertools.pairwise(bad))
    return Figure(test, len(bad), sum(bad), flips, statuses[-1])


def page(found: Sequence[Figure]) -> str:
    """The figures of those that ever failed, as a table that opens anywhere."""
    told = [figure for figure in found if figure.failed]
    rows = "".join(
        f"<tr><td>{html.escape(one.test)}</td><td>{one.runs}</td><td>{one.failed}</td><td>{one.flips}</td>"
        f"<td>{html.escape(one.last)}</td></tr>\n"
        for one in told
    )
    return _PAGE.format(rows=rows, others=len(found) - len(told))


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Flake figures</title>
<style>
body {{ font: 14px/1.5 system-ui, sans-serif; margin: 1em; color: #222; background: #fff }}
td, th {{ padding: 0 1em 0 0; text-align: right }} td:first-child, th:first-child {{ text-align: left }}
</style>
<table><thead><tr><th>test</th><th>runs</th><th>failed</th><th>flips</th><th>now</th></tr></thead><tbody>
{rows}</tbody></table>
<p>A flip is an end that is not that of the run before. {others} other tests never failed.</p>
</html>
"""
