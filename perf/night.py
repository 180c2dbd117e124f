"""What takes too long for every commit: all tests, gates against the parent, all benchmarks; each bounded in time.

    .ci/nightly [--release] [--against HEAD~1] [--only WORD…] [--folder FOLDER] [--list]

A file says what is done, in which order and for how long at most (`.ci/nightly.toml`). A part that fails keeps no other
from being tried. Labs are made in a folder of this run's own, and what a part leaves there is taken down before the
next. Exit status: 0 all is well, 1 something failed, was interrupted or left a lab, 6 nothing did and a figure is void.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.cli.benching import benchmarks
from harness.paths import REPOSITORY, state_dir
from perf import record
from perf.report import verdict
from perf.statistics import VOID

_LABCTL = (sys.executable, "-P", "-m", "harness.cli")
_GRACE = 180.0
"""Seconds in which who is interrupted takes its labs down."""
_DOWN = 300.0


class NightError(Exception):
    """A file that says nothing that could be done; what is wrong with it."""


@dataclass(frozen=True)
class Part:
    """A command with the minutes after which it is interrupted."""

    name: str
    minutes: float
    command: str
    release: bool = False

    def argv(self, known: Mapping[str, str]) -> list[str]:
        return [word.format(**known) for word in shlex.split(self.command)]

    @property
    def file(self) -> str:
        return "".join(letter if letter.isalnum() else "-" for letter in self.name) + ".log"


@dataclass
class Outcome:
    """How a part has ended."""

    part: Part
    status: int | None
    """None: its time was over."""
    seconds: float
    minutes: float
    """That it had."""
    labs: list[str] = field(default_factory=list)
    """That it left behind."""
    figures: int = 0
    said: list[str] = field(default_factory=list)
    """Of its figures, which are void or missed, and why."""
    void: bool = False

    @property
    def failed(self) -> bool:
        return self.status not in (0, VOID) or bool(self.labs)

    def __str__(self) -> str:
        if self.status is None:
            told = f"INTERRUPTED after {self.minutes:.4g} min" if self.minutes else "NOT BEGUN: the hours are over"
        elif self.status not in (0, VOID):
            told = f"FAILED, exit status {self.status}"
        else:
            told = "void" if self.void else "passed"
        left = f", left {', '.join(self.labs)}" if self.labs else ""
        figures = f", {self.figures} figures" if self.figures else ""
        lines = [f"{self.part.name:<36} {self.seconds / 60:7.1f} min  {told}{left}{figures}"]
        return "\n".join([*lines, *(f"    {one}" for one in self.said)])


@dataclass(frozen=True)
class Plan:
    """What is done, in this order, and in how many hours."""

    parts: list[Part]
    hours: float


def plan(file: Path, release: bool, only: Sequence[str] = ()) -> Plan:
    """The file's parts in their order; benchmarks that none of them names follow. Raises NightError."""
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
        parts = [_part(one) for one in said["part"]]
        if others := said.get("others"):
            named = {word for one in parts for word in _measured(one)}
            parts += [
                Part(f"bench {name}", others["minutes"], others["command"].replace("{name}", name))
                for name in benchmarks()
                if name not in named
            ]
        last = [_part(said["last"])] if "last" in said else []
        hours = float(said["hours"]["release" if release else "night"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NightError(f"{file}: {error!r}") from None
    wanted = [one for one in parts if release or not one.release]
    if only:
        wanted = [one for one in wanted if any(word in one.name for word in only)]
    return Plan(wanted + last, hours)


def _part(said: dict[str, Any]) -> Part:
    if unknown := sorted(said.keys() - {one.name for one in fields(Part)}):
        raise NightError(f"a part knows {', '.join(one.name for one in fields(Part))}, not {', '.join(unknown)}")
    return Part(**said)


def _measured(part: Part) -> Sequence[str]:
    """The benchmark that a part runs: not one that it only compares with another commit."""
    words = shlex.split(part.command)
    return words[2:3] if words[1:2] == ["bench"] else ()


class Night:
    """One run: a folder for logs and results, and another for its labs while they are there."""

    def __init__(self, folder: Path, parent: str) -> None:
        self.folder = folder
        self.results = folder / "results"
        self.results.mkdir(parents=True)
        self._state = state_dir() / f"night-{os.getpid()}"
        self._known = {"folder": str(folder), "parent": parent}
        self._environment = {
            **os.environ, "ELASTICLAB_STATE": str(self._state), "ELASTICLAB_RESULTS": str(self.results),
            "PYTHONPATH": str(REPOSITORY),
        }  # fmt: skip

    def close(self) -> None:
        shutil.rmtree(self._state, ignore_errors=True)

    def carry_out(self, part: Part, minutes: float) -> Outcome:
        """It, in no more minutes than these."""
        before = set(self.results.iterdir())
        begun = time.monotonic()
        with (self.folder / part.file).open("wb") as log:
            process = subprocess.Popen(
                part.argv(self._known), cwd=REPOSITORY, env=self._environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
            try:
                status = process.wait(60 * minutes)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                _end(process)
        found = Outcome(part, status, time.monotonic() - begun, minutes, self._left())
        found.void = status == VOID
        for file in sorted(set(self.results.iterdir()) - before):
            _judge(record.read(file), found)
        return found

    def _left(self) -> list[str]:
        """Labs of this run that are still there. They are taken down: the next part has the machine alone."""
        listed = subprocess.run(
            [*_LABCTL, "status", "--json"], cwd=REPOSITORY, env=self._environment, capture_output=True, text=True,
            check=True, timeout=_DOWN,
        )  # fmt: skip
        names = [str(one["name"]) for one in json.loads(listed.stdout)]
        for name in names:
            with (self.folder / "down.log").open("ab") as log:
                subprocess.run(
                    [*_LABCTL, "down", name], cwd=REPOSITORY, env=self._environment, stdout=log, stderr=log,
                    check=False, timeout=_DOWN,
                )  # fmt: skip
        return names


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt what still runs, as a person would, and all that it has started; and kill what then is left."""
    for number, seconds in ((signal.SIGINT, _GRACE), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
            process.wait(seconds)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def _judge(result: record.Result, into: Outcome) -> None:
    """What of a benchmark's result somebody must see."""
    figures = [*result.comparisons, *({**one, "name": name} for name, one in result.promises.items())]
    into.figures += len(figures)
    whole = result.content.get("void")
    said = [f"{result.module}: VOID: {whole}"] if whole else []
    for one in figures:
        missed = ", and its bound is missed" if one.get("void") and one.get("kept") is False else ""
        told = verdict(one)
        if missed or told not in ("", "kept", f"VOID: {whole}"):
            said.append(f"{one['name']}: {told}{missed}")
    into.said += said
    into.void |= any("VOID" in line for line in said)


def run(wanted: Plan, night: Night) -> int:
    """All parts; the summary is printed, and kept in the folder."""
    outcomes: list[Outcome] = []
    end = time.monotonic() + 3600 * wanted.hours
    status = 1
    try:
        for part in wanted.parts:
            if (minutes := min(part.minutes, (end - time.monotonic()) / 60)) > 0:
                print(f"{datetime.now(UTC):%H:%M} {part.name}", file=sys.stderr, flush=True)
                outcomes.append(night.carry_out(part, minutes))
            else:
                outcomes.append(Outcome(part, None, 0, 0))
            print(outcomes[-1], flush=True)
        bad, void = any(one.failed for one in outcomes), any(one.void for one in outcomes)
        status = 1 if bad else VOID if void else 0
    finally:
        night.close()
        told = "\n".join(map(str, outcomes))
        (night.folder / "summary.txt").write_text(f"{told}\nexit status {status}\n", encoding="utf-8")
        print(f"exit status {status}; logs, results and this summary are in {night.folder}", flush=True)
    return status


def main() -> int:
    parser = argparse.ArgumentParser(prog=".ci/nightly", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("file", type=Path, help="what is done, as TOML")
    parser.add_argument("--release", action="store_true", help="also what a release needs")
    parser.add_argument("--against", default="HEAD~1", metavar="REV", help="the commit that gates compare with")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="parts whose names have one of these")
    parser.add_argument("--folder", type=Path, help="for logs, results and labs; default: nightly/ and the time")
    parser.add_argument("--list", action="store_true", help="say what would be done")
    asked = parser.parse_args()
    try:
        wanted = plan(asked.file, asked.release, asked.only)
    except NightError as error:
        print(error, file=sys.stderr)
        return 2
    if asked.list:
        for one in wanted.parts:
            print(f"{one.minutes:6g} min  {one.name:<36} {one.command}")
        print(f"{wanted.hours:6g} h at most, all of it")
        return 0
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell in the background has ignored it for us
        signal.signal(number, signal.default_int_handler)
    folder = asked.folder or REPOSITORY / "nightly" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    return run(wanted, Night(folder.absolute(), asked.against))


if __name__ == "__main__":
    sys.exit(main())
