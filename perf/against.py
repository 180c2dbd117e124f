"""Whether a benchmark has become slower than it was at another commit, both run by turns on this machine.

    labctl bench --against REV NAME [--rounds 5] [--seed N] [what NAME takes]

The other commit is checked out beside this one, with an environment of its own. Each turn runs the benchmark once with
each code, in the order that the seed decides; what is compared are ratios to the floor that each run measured beside
itself. jumpavg says whether two series are of one distribution or of two. No stored figure takes part.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import secrets
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jumpavg

from harness.paths import REPOSITORY
from perf import conditions, record
from perf.lab import BenchmarkError
from perf.statistics import LEAST_ROUNDS, MOST_SPREAD, VOID, Comparison, Series

_LONG = 12
"""Characters of a commit."""


@dataclass
class Figure:
    """One comparison of a benchmark, turn by turn."""

    more_is_better: bool = False
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    floors: list[float] = field(default_factory=list)
    faulty: list[str] = field(default_factory=list)
    """What made a turn say nothing."""
    unit: str = "ratio to the floor"

    @property
    def void(self) -> str:
        """Why it says nothing; empty when it does."""
        if len(self.ours) != len(self.theirs) or len(self.ours) < LEAST_ROUNDS:
            return f"{min(len(self.ours), len(self.theirs))} turns are fewer than {LEAST_ROUNDS}"
        if (spread := max(self.floors) / min(self.floors)) > MOST_SPREAD:
            return f"the floor's slowest turn took {spread:.2f} times its fastest (> {MOST_SPREAD})"
        return self.faulty[0] if self.faulty else ""

    @property
    def incomparable(self) -> str:
        """Why there is no ratio of the two; empty when there is."""
        if not (self.ours and self.theirs):
            return f"only {'this commit' if self.ours else 'the other'} has it"
        return "it is nothing, in a turn" if min(*self.ours, *self.theirs, *self.floors) <= 0 else ""

    @property
    def change(self) -> str:
        """`regression`, `progression`, or nothing where the two are of one distribution."""
        groups = jumpavg.classify([self.theirs, self.ours])
        if len(groups) == 1:
            return ""
        grew = groups[1].stats.avg > groups[0].stats.avg
        return "progression" if grew is self.more_is_better else "regression"

    def take(self, one: dict[str, Any], ours: bool) -> None:
        """A comparison, or a promise: that has nothing beside it but its other turns."""
        (self.ours if ours else self.theirs).append(float(one["ratio"] if "ratio" in one else one["median"]))
        self.floors.append(float(one["floor"]["median"]) if "floor" in one else 1.0)
        if "floor" not in one:
            self.unit = "its own"
        if ours:  # the other commit need not say it
            self.more_is_better = bool(one.get("more_is_better", one.get("at least")))
        if one.get("faulty"):
            self.faulty.append(str(one["faulty"]))


@contextlib.contextmanager
def checked_out(revision: str) -> Iterator[tuple[Path, str]]:
    """Another commit's files with their environment, and its full name."""
    with tempfile.TemporaryDirectory(prefix="against-") as place:
        tree = Path(place) / "tree"
        _run(["git", "worktree", "add", "--detach", str(tree), revision], REPOSITORY)
        try:
            _run([str(tree / "labctl.py"), "--version"], tree)
            yield tree, _run(["git", "rev-parse", "HEAD"], tree).strip()
        finally:
            _run(["git", "worktree", "remove", "--force", str(tree)], REPOSITORY)


def _run(command: Sequence[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"{shlex.join(command)}: exit status {done.returncode}:\n{done.stderr}")
    return done.stdout


def measure(tree: Path, name: str, arguments: Sequence[str], seed: int) -> list[dict[str, Any]]:
    """The comparisons and promises of one run of one round; its file is taken away, for one round says nothing."""
    results = tree / "perf" / "results"
    before = set(results.glob(f"{name}-*.json"))
    command = [str(tree / ".venv/bin/python"), "-m", f"perf.{name}", *arguments, "--rounds", "1", "--seed", str(seed)]
    environment = {**os.environ, "PYTHONPATH": str(tree), "ELASTICLAB_RESULTS": ""}  # the other commit may not know it
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False, env=environment)
    fresh = set(results.glob(f"{name}-*.json")) - before
    if len(fresh) != 1:  # whatever its exit status: a single round may miss a bound
        raise BenchmarkError(f"{shlex.join(command)}: exit status {done.returncode}, no result:\n{done.stderr}")
    file = fresh.pop()
    found = record.read(file)
    file.unlink()
    if not (said := [*found.comparisons, *({"name": of, **one} for of, one in found.promises.items())]):
        why = found.content.get("void") or "it compares nothing that could be held against another commit"
        raise BenchmarkError(f"{shlex.join(command)}: {why}\n{done.stderr}")
    return said


def run(revision: str, name: str, arguments: Sequence[str], turns: int, seed: int) -> dict[str, Any]:
    """All turns; the result as it is stored."""
    order = random.Random(seed)  # noqa: S311 - the order of a benchmark is no secret
    started = datetime.now(UTC)
    figures: dict[str, Figure] = {}
    skies: list[dict[str, object]] = []
    with checked_out(revision) as (tree, commit):
        for number in range(turns):
            skies.append({"round": number, **conditions.weather()})
            same = order.getrandbits(32)
            for place in order.sample([REPOSITORY, tree], 2):
                for one in measure(place, name, arguments, same):
                    figures.setdefault(one["name"], Figure()).take(one, place is REPOSITORY)
            print(f"turn {number + 1} of {turns} done", file=sys.stderr, flush=True)
    return {
        "benchmark": f"Against the parent: {name}",
        "command": shlex.join(["labctl", "bench", "--against", commit, name, *arguments, "--seed", str(seed)]),
        "started": started.isoformat(timespec="seconds"),
        "seed": seed,
        "subject": conditions.subject(),
        "weather": skies,
        "comparisons": [told(of, one, commit[:_LONG]) for of, one in figures.items() if not one.incomparable],
        "not_compared": {of: one.incomparable for of, one in figures.items() if one.incomparable},
    }


def told(name: str, figure: Figure, commit: str) -> dict[str, Any]:
    """Of one figure: ratios to the floor, ours beside those of the commit."""
    count = min(len(figure.ours), len(figure.theirs))
    ours, theirs = Series.of(figure.ours[:count]), Series.of(figure.theirs[:count])
    compared = Comparison(name, ours, theirs, against=commit, unit=figure.unit).as_json()
    change = figure.change
    return {**compared, "void": figure.void, "change": change, "kept": None if figure.void else change != "regression"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="labctl bench --against", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("revision")
    parser.add_argument("name")
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS, help="turns; each is a run of one round of each")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    asked, arguments = parser.parse_known_args()
    try:
        result = run(asked.revision, asked.name, arguments, asked.rounds, asked.seed)
    except (BenchmarkError, record.ResultError) as error:
        print(error, file=sys.stderr)
        return 1
    record.save(f"against-{asked.name}", result)
    for one in result["comparisons"]:
        said = f"VOID: {one['void']}" if one["void"] else one["change"] or "no change"
        ours, theirs = one["ours"]["median"], one["floor"]["median"]
        print(f"{one['name']:<20} ours {ours:.3f}  {one['against']} {theirs:.3f}  {said}")
    for name, why in result["not_compared"].items():
        print(f"{name:<20} not compared: {why}")
    if any(one["kept"] is False for one in result["comparisons"]):
        return 1
    return VOID if any(one["void"] for one in result["comparisons"]) else 0


if __name__ == "__main__":
    sys.exit(main())
