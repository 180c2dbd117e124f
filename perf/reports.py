"""B13, reports: how long `labctl report` takes for 10,000 results with earlier runs, beside Allure alone on the same.

    labctl bench reports [--results 10000] [--earlier 5] [--rounds 5] [--seed N]

Each round renders the same results twice, in the order that the seed decides: by `labctl report`, with a history of as
many earlier runs as `--earlier` says, and by `allure generate` in the same image, which knows only a folder.
The results are written by Allure's own writer for Python: steps in all of them; in one of fifty what a failed test
gets, a timeline and what each node says. All of a run counts, its start too. One round before the first is not counted.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from allure_commons.logger import AllureFileLogger
from allure_commons.model2 import Attachment, Label, Status, StatusDetails, TestResult, TestStepResult
from allure_commons.utils import md5

from harness import build
from harness.build.progress import Lines
from harness.evidence import timeline
from harness.evidence.timeline import Entry
from harness.paths import REPOSITORY
from perf import conditions, record
from perf.lab import BenchmarkError
from perf.statistics import LEAST_ROUNDS, Comparison, Series

MOST_RATIO = 1.2
IMAGE = "report"
FAILS = 50
"""One of so many tests."""
_NODES = ("host-1", "host-2", "nat-1", "stack", "ucpe-1", "ucpe-2", "vmsr-1")
_FILES = 250
_STEPS = 4
_LINES = 600
"""Of what a node says."""
_EVENTS = 1500
"""On a timeline."""
_BEGUN = 1_800_000_000
"""Seconds since the epoch at which the first of the earlier runs began."""
_SECONDS = 900


@dataclass
class Rounds:
    ours: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)


class Results:
    """A run's results in a folder, as pytest leaves them. The same seed makes the same tests, which end as `number` of
    the run decides."""

    def __init__(self, folder: Path, seed: int, number: int) -> None:
        self._writer = AllureFileLogger(folder)
        self._random = random.Random(f"{seed}/{number}")  # noqa: S311 (repeatable, not secret)
        self._clock = 1000 * (_BEGUN + 3600 * number)

    def write(self, count: int) -> None:
        for number in range(count):
            self._writer.report_result(self._result(number))

    def _id(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def _result(self, number: int) -> TestResult:
        file, failed = number % _FILES, self._random.randrange(FAILS) == 0
        place = f"tests.lab.test_{file}"
        name = f"test_what_{number}_promises"
        begun = self._clock
        steps = [self._step(step) for step in range(_STEPS)]
        self._clock += 20
        labels = {"suite": f"test_{file}", "parentSuite": "tests.lab", "host": "lab", "thread": "1-MainThread",
                  "framework": "pytest", "language": "cpython3", "package": place}  # fmt: skip
        return TestResult(
            uuid=self._id(), name=name, fullName=f"{place}#{name}", historyId=md5(place, name),
            testCaseId=md5(name, place), status=Status.FAILED if failed else Status.PASSED, steps=steps,
            statusDetails=StatusDetails(message="AssertionError: no answer", trace=_TRACE) if failed else None,
            attachments=[*self._evidence()] if failed else [], start=begun, stop=self._clock,
            labels=[Label(key, value) for key, value in labels.items()], titlePath=["tests", "lab", f"test_{file}.py"],
        )  # fmt: skip

    def _step(self, number: int) -> TestStepResult:
        self._clock += self._random.randrange(1, 400)
        end = self._clock
        return TestStepResult(name=f"step {number}: packets pass", status=Status.PASSED, start=end - 1, stop=end)

    def _evidence(self) -> Iterator[Attachment]:
        """What `harness.evidence` attaches to a failed test."""
        yield self._attachment("how to run it again", "txt", "text/plain", _TRACE)
        for node in _NODES:
            said = "\n".join(f"{node} line {line}: {self._random.getrandbits(200):x}" for line in range(_LINES))
            yield self._attachment(node, "txt", "text/plain", said)
        events = [
            Entry(self._clock / 1000 + n / 100, _NODES[n % len(_NODES)], "charon", _TRACE) for n in range(_EVENTS)
        ]
        page = timeline.page("a test", events, self._clock / 1000)
        yield self._attachment("timeline", "html", "text/html", page)

    def _attachment(self, name: str, extension: str, kind: str, content: str) -> Attachment:
        source = f"{self._id()}-attachment.{extension}"
        self._writer.report_attached_data(content, source)
        return Attachment(name=name, source=source, type=kind)


_TRACE = "\n".join(f"tests/lab/test_x.py:{line}: in test_what_it_promises: assert host.reaches()" for line in range(3))


def labctl(results: Path, history: Path, output: Path) -> float:
    """Seconds of `labctl report`."""
    command = [
        sys.executable, "-P", "-m", "harness.cli", "report", str(results), "--output", str(output),
        "--history", str(history),
    ]  # fmt: skip
    begun = time.monotonic()
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=_SECONDS,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    if done.returncode != 0:
        raise BenchmarkError(f"{' '.join(command)}: exit status {done.returncode}:\n{done.stdout}{done.stderr}")
    return time.monotonic() - begun


def allure(results: Path, output: Path) -> float:
    """Seconds of `allure generate`, entered into its image as ours is."""
    argv = ["allure", "generate", str(results), "--output", str(output)]
    binds = (build.Bind(results, str(results)), build.Bind(output.parent, str(output.parent), writable=True))
    begun = time.monotonic()
    status = build.run_in_image(IMAGE, argv, binds=binds, progress=Lines(), stdout=2)
    if status != 0:
        raise BenchmarkError(f"{' '.join(argv)}: exit status {status}")
    return time.monotonic() - begun


def _shows(report: Path, count: int) -> None:
    """Nothing is measured that was not made."""
    found = sum(1 for _ in report.glob("**/test-results/*.json"))
    if found != count:
        raise BenchmarkError(f"the report in {report} shows {found} of {count} results")


def measure(place: Path, results: Path, count: int, rounds: Rounds, order: random.Random) -> None:
    """One round. The history is the same each time: of the earlier runs."""
    for kind in order.sample(["ours", "alone"], 2):
        with tempfile.TemporaryDirectory(dir=place) as made:
            report, history = Path(made, "report"), Path(made, "history.jsonl")
            if kind == "ours":
                shutil.copyfile(place / "history.jsonl", history)
                rounds.ours.append(labctl(results, history, report))
            else:
                rounds.alone.append(allure(results, report))
            _shows(report, count)


def run(count: int, earlier: int, times: int, seed: int) -> dict[str, Any]:
    """All rounds; the result as it is stored."""
    order = random.Random(seed)  # noqa: S311 - the order of a benchmark is no secret
    started = datetime.now(UTC)
    rounds = Rounds()
    skies: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="reports-") as made:
        place = Path(made)
        (place / "history.jsonl").touch()
        for number in range(earlier):
            with tempfile.TemporaryDirectory(dir=place) as before:
                Results(Path(before, "results"), seed, number).write(count)
                labctl(Path(before, "results"), place / "history.jsonl", Path(before, "report"))
        results = place / "results"
        Results(results, seed, earlier).write(count)
        for number in range(-1, times):
            skies.append({"round": number, **conditions.weather()})
            measure(place, results, count, rounds if number >= 0 else Rounds(), order)
            print(f"round {number + 1} of {times} done", file=sys.stderr, flush=True)
        size = sum(file.stat().st_size for file in results.iterdir())
        past = (place / "history.jsonl").stat().st_size
    skies.append({"round": "end", **conditions.weather()})
    compared = Comparison(
        f"report of {count} results", Series.of(rounds.ours), Series.of(rounds.alone),
        most_ratio=MOST_RATIO, against="Allure alone",
    )  # fmt: skip
    return {
        "benchmark": "B13 reports",
        "started": started.isoformat(timespec="seconds"),
        "seed": seed,
        "earlier_runs": earlier,
        "bytes": {"results": size, "history": past},
        "subject": conditions.subject(),
        "weather": skies,
        "comparisons": [compared.as_json()],
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="labctl bench reports", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--results", type=int, default=10_000)
    parser.add_argument("--earlier", type=int, default=5, help="runs that the history holds")
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    asked = parser.parse_args()
    made = partial(run, asked.results, asked.earlier, asked.rounds, asked.seed)
    result = record.kept("reports", asked, made).content
    [one] = result["comparisons"]
    void = f"  VOID: {one['void']}" if one["void"] else ""
    missed = "  BOUND MISSED" if one["kept"] is False else ""
    print(
        f"{one['name']}: labctl report {one['ours']['median']:.2f} s, Allure alone {one['floor']['median']:.2f} s{void}"
    )
    print(f"ratio {one['ratio']:.3f} (bound {MOST_RATIO:g}){missed}")
    return int(one["kept"] is False)


if __name__ == "__main__":
    sys.exit(main())
