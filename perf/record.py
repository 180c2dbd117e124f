"""Results as data: a JSON file for each run in `perf/results/`, with the command that made it."""

from __future__ import annotations

import json
import os
import shlex
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from perf import conditions

Json = Any
RESULTS = Path(os.environ.get("ELASTICLAB_RESULTS") or Path(__file__).parent / "results")
_STAMP = "%Y%m%dT%H%M%SZ"


class ResultError(ValueError):
    """A file that is no result; which, and why."""


@dataclass(frozen=True)
class Result:
    """One run of a benchmark."""

    file: Path
    content: dict[str, Json]

    @property
    def module(self) -> str:
        """What `labctl bench` calls it."""
        return self.file.stem.rpartition("-")[0]

    @property
    def started(self) -> datetime:
        return datetime.fromisoformat(self.content["started"])

    @property
    def command(self) -> str:
        """What makes it again; of runs that did not say, as far as it is known: their seed."""
        return str(self.content.get("command") or _command(self.module, [], self.content.get("seed")))

    @property
    def comparisons(self) -> list[dict[str, Json]]:
        found: list[dict[str, Json]] = self.content.get("comparisons", [])
        return found

    @property
    def promises(self) -> dict[str, dict[str, Json]]:
        """What is held against a bound alone, without anything beside it; void where all of the run is.

        Earlier ones did not say so themselves: they are void, too, where nothing counts that has something beside it.
        """
        void = self.content.get("void", "")
        beside = [one.get("void", "") for one in self.comparisons]
        untold = void or (beside[0] if beside and all(beside) else "")
        return {
            name: {**value, "void": (value["void"] or void) if "void" in value else untold}
            for name, value in self.content.items()
            if isinstance(value, dict) and {"median", "bound", "kept"} <= value.keys()
        }


def kept(module: str, asked: Namespace, run: Callable[[], dict[str, Json]], folder: Path = RESULTS) -> Result:
    """Run a benchmark and keep what it says, with the command that makes it again: all that was asked, also by default.

    One that breaks off is kept as void, with the reason, and raises what it raised: it is not as if it had not been.
    """
    begun = datetime.now(UTC).isoformat(timespec="seconds")
    told = {"command": shlex.join(["labctl", "bench", module, *words(asked)])}
    try:
        told |= run()
    except Exception as error:
        void = f"it broke off: {error}" if str(error) else f"it broke off: {type(error).__name__}"
        broken = {"benchmark": module, "started": begun, "subject": conditions.subject(), "void": void}
        save(module, told | broken | {"comparisons": []}, folder)
        raise
    return Result(save(module, told, folder), told)


def save(module: str, result: dict[str, Json], folder: Path = RESULTS) -> Path:
    """Keep what says its command itself."""
    folder.mkdir(parents=True, exist_ok=True)
    began = datetime.fromisoformat(str(result["started"])).astimezone(UTC)
    file = folder / f"{module}-{began.strftime(_STAMP)}.json"
    file.write_text(json.dumps(result, indent=1) + "\n")
    return file


def words(asked: Namespace) -> list[str]:
    """Everything that was asked for, as it would be typed: options are called as what they are parsed into, lists may
    be empty, and what is true or not can be said both ways (``argparse.BooleanOptionalAction``)."""
    found: list[str] = []
    for name, value in vars(asked).items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            found.append(option if value else f"--no-{option.removeprefix('--')}")
        elif isinstance(value, Iterable) and not isinstance(value, str):
            found += [option, *map(str, value)]
        elif value is not None:
            found += [option, str(value)]
    return found


def _command(module: str, arguments: Sequence[str], seed: Json) -> str:
    seeded = seed is None or any(one.split("=")[0] == "--seed" for one in arguments)
    return shlex.join(["labctl", "bench", module, *arguments, *([] if seeded else ["--seed", str(seed)])])


def read(file: Path) -> Result:
    """Raises ResultError."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        result = Result(file, content)
        _ = result.started
    except (ValueError, KeyError, TypeError) as error:
        raise ResultError(f"{file} is no result of a benchmark: {error!r}") from None
    return result


def read_all(folder: Path = RESULTS) -> list[Result]:
    """The oldest first. Raises ResultError."""
    return sorted((read(file) for file in folder.glob("*.json")), key=lambda one: (one.module, one.started))
