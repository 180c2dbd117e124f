"""Results as data: a JSON file for each run in `perf/results/`, with the command that made it."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Json = Any
RESULTS = Path(__file__).parent / "results"
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
        """What is held against a bound alone, without anything beside it."""
        return {
            name: value
            for name, value in self.content.items()
            if isinstance(value, dict) and {"median", "bound", "kept"} <= value.keys()
        }


def save(module: str, result: dict[str, Json], arguments: Sequence[str] | None = None, folder: Path = RESULTS) -> Path:
    """Keep a run that may say its command itself. `arguments` are those of one; without them, this process's own."""
    folder.mkdir(parents=True, exist_ok=True)
    began = datetime.fromisoformat(str(result["started"])).astimezone(UTC)
    file = folder / f"{module}-{began.strftime(_STAMP)}.json"
    given = sys.argv[1:] if arguments is None else arguments
    told = {"command": _command(module, given, result.get("seed")), **result}
    file.write_text(json.dumps(told, indent=1) + "\n")
    return file


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
