"""B13: what the harness costs a test: empty tests on a live lab, beside the same tests without the plugin.

    labctl bench harness [--topology demo] [--tests 200] [--rounds 5] [--seed N]

Each round runs pytest twice, in the order that the seed decides: with the plugin, where each test takes `lab` from the
lab that runs already, and without, where `lab` is a fixture that does nothing. Both write results for Allure, as
`labctl test` has it. All of a run counts, its start too; that alone is measured with a single test. One round before
the first is not counted.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from harness import topology
from harness.build.progress import Lines
from harness.lab import down, up
from harness.lab.lifecycle import Timings
from harness.paths import REPOSITORY
from perf import conditions, record
from perf.lab import BenchmarkError
from perf.statistics import LEAST_ROUNDS, Comparison, Series, promise

BOUND = 10.0
"""Milliseconds a test."""
_SECONDS = 300
_BARE = ("-p", "no:elasticlab")


def empty_tests(count: int, name: str) -> str:
    """A test file of so many empty tests on a topology."""
    empty = "".join(f"def test_{number}(lab): pass\n" for number in range(count))
    return f"import pytest\npytestmark = pytest.mark.topology({name!r})\n{empty}"


# What the plugin brings, doing nothing.
BARE = """
import pytest

def pytest_configure(config):
    config.addinivalue_line("markers", "topology(name)")

@pytest.fixture
def lab():
    return None
"""


@dataclass
class Rounds:
    """Seconds of whole runs: of all tests, and of a single one."""

    all: list[float] = field(default_factory=list)
    one: list[float] = field(default_factory=list)


def _pytest(folder: Path, file: str, *options: str) -> float:
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", "."),
        *("--alluredir=results", "--clean-alluredir", *options, file),
    ]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    begun = time.monotonic()
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=_SECONDS, env=environment
    )
    seconds = time.monotonic() - begun
    if done.returncode != 0:
        raise BenchmarkError(f"{' '.join(command)}: exit status {done.returncode}:\n{done.stdout}{done.stderr}")
    return seconds


def measure(folder: Path, rounds: Rounds, *options: str) -> None:
    rounds.all.append(_pytest(folder, "test_all.py", *options))
    rounds.one.append(_pytest(folder, "test_one.py", *options))


def milliseconds(ours: list[float], floor: list[float], count: int, void: str = "") -> dict[str, object]:
    """What a test costs more with the plugin, round by round."""
    found = [1000 * (one - other) / count for one, other in zip(ours, floor, strict=True)]
    return promise(found, BOUND, void=void)


def run(name: str, count: int, times: int, seed: int) -> dict[str, Any]:
    """All rounds; the result as it is stored."""
    order = random.Random(seed)  # noqa: S311 - the order of a benchmark is no secret
    started = datetime.now(UTC)
    ours, floor = Rounds(), Rounds()
    skies: list[dict[str, object]] = []
    lab = f"perf-harness-{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="harness-") as place:
        with_plugin, without = Path(place, "with"), Path(place, "without")
        for folder in (with_plugin, without):
            folder.mkdir()
            (folder / "test_all.py").write_text(empty_tests(count, name))
            (folder / "test_one.py").write_text(empty_tests(1, name))
        (without / "conftest.py").write_text(BARE)
        try:
            up(topology.load(name), name=lab, progress=Lines(), timings=Timings()).close()
            for number in range(-1, times):
                skies.append({"round": number, **conditions.weather()})
                one, other = (ours, floor) if number >= 0 else (Rounds(), Rounds())
                for kind in order.sample(["with", "without"], 2):
                    if kind == "with":
                        measure(with_plugin, one, "--lab", lab)
                    else:
                        measure(without, other, *_BARE)
                print(f"round {number + 1} of {times} done", file=sys.stderr, flush=True)
        finally:
            down(lab)
    skies.append({"round": "end", **conditions.weather()})
    compared = [
        Comparison(f"{count} tests", Series.of(ours.all), Series.of(floor.all)),
        Comparison("1 test", Series.of(ours.one), Series.of(floor.one)),
    ]
    return {
        "benchmark": "B13 harness",
        "started": started.isoformat(timespec="seconds"),
        "seed": seed,
        "topology": name,
        "subject": conditions.subject(),
        "weather": skies,
        "comparisons": [comparison.as_json() for comparison in compared],
        "milliseconds_a_test": milliseconds(ours.all, floor.all, count, compared[0].void),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="labctl bench harness", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--topology", default="demo")
    parser.add_argument("--tests", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    asked = parser.parse_args()
    made = partial(run, asked.topology, asked.tests, asked.rounds, asked.seed)
    result = record.kept("harness", asked, made).content
    each = result["milliseconds_a_test"]
    for one in result["comparisons"]:
        with_it, without = one["ours"]["median"], one["floor"]["median"]
        void = f"  VOID: {one['void']}" if one["void"] else ""
        print(f"{one['name']:<10} with the plugin {with_it:6.2f} s  without {without:6.2f} s{void}")
    verdict = "" if each["kept"] else "  BOUND MISSED"
    print(f"the harness costs {each['median']:.2f} ms a test (bound {BOUND:g}){verdict}")
    return int(not each["kept"])


if __name__ == "__main__":
    sys.exit(main())
