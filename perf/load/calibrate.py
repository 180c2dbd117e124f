"""Promises out of what was measured: rewrites the milliseconds of a scenario's [sla] by a kept result of it.

    .venv/bin/python -m perf.load.calibrate perf/results/load-….json

Each becomes the measured value and half of it more, rounded up to two digits: by so much may a run on the same machine
differ. How many there must be, and that nothing fails, stays as it is. A result that is void calibrates nothing.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from pathlib import Path
from typing import Any

from perf import record
from perf.load.scenario import FOLDER
from perf.record import Result, ResultError

Json = Any
MARGIN = 1.5
_SECTION = re.compile(r'\[sla\."(.+)"\]')
_LIMIT = re.compile(r"(p50|p95|p99|most) = \S+")
_NAMES = {"p50": "median", "p95": "p95", "p99": "p99", "most": "max"}
_SOURCE = "# Milliseconds: "
_TOLD = _SOURCE + "{margin:g} × what {file} has seen, of commit {commit}; made by perf/load/calibrate.py.\n"
_DIGITS = 2


def promised(milliseconds: float) -> int:
    """With the margin, rounded up to two digits."""
    value = milliseconds * MARGIN
    step = max(1, 10 ** (math.floor(math.log10(max(value, 1))) + 1 - _DIGITS))
    return int(math.ceil(round(value / step, 6)) * step)


def calibrated(text: str, run: Result) -> str:
    """A scenario's text with the promises that this run of it bears out. Raises ResultError."""
    if run.content.get("void"):
        raise ResultError(f"{run.file} is void ({run.content['void']}), and calibrates nothing; measure again")
    what, lines = "", []
    for line in text.splitlines(keepends=True):
        if line.startswith(_SOURCE):
            continue
        if section := _SECTION.match(line):
            if not what:
                commit = str(run.content["subject"]["commit"])[:12]
                lines.append(_TOLD.format(margin=MARGIN, file=run.file.name, commit=commit))
            what = section[1]
        if what and (limit := _LIMIT.match(line)):
            line = f"{limit[1]} = {promised(_seen(run, what)[_NAMES[limit[1]]])}\n"  # noqa: PLW2901
        lines.append(line)
    return "".join(lines)


def _seen(run: Result, what: str) -> dict[str, float]:
    try:
        found: dict[str, float] = run.content["milliseconds"][what]
    except KeyError:
        raise ResultError(f"{run.file} has not seen {what!r}, which its scenario promises; measure again") from None
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="perf.load.calibrate", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("results", nargs="+", type=Path)
    for file in parser.parse_args().results:
        try:
            run = record.read(file)
            scenario = FOLDER / f"{run.content['scenario']['name']}.toml"
            scenario.write_text(calibrated(scenario.read_text(encoding="utf-8"), run), encoding="utf-8")
        except ResultError as error:
            print(error, file=sys.stderr)
            return 1
        print(f"{scenario} promises what {file} has seen")
    return 0


if __name__ == "__main__":
    sys.exit(main())
