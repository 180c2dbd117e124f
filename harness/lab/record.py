"""What is known of a lab between two commands: one folder, written so that a kill at any moment loses nothing."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TextIO, cast

from harness.host import LabPlace
from harness.paths import labs_dir
from harness.wait import DeadlineError, wait_for

_LOCK_SECONDS = 1.0


class LabError(RuntimeError):
    """A lab cannot do what was asked; says why and what would help."""


@dataclass(frozen=True)
class LabRecord:
    """`digest` is the topology file's; `complete` is false while `up` has not finished."""

    name: str
    topology: str
    digest: str
    host: str
    reason: str
    complete: bool = False
    engine: str = "native"

    @property
    def place(self) -> LabPlace:
        return place_of(self.name)


_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")


def checked_name(name: str) -> str:
    """The name, if it can be one: it becomes a folder, an address and part of a command. Raises LabError."""
    if not _NAME.fullmatch(name):
        raise LabError(f"{name!r} cannot name a lab; use at most 40 of a-z, 0-9 and inner hyphens")
    return name


def place_of(name: str) -> LabPlace:
    return LabPlace(name, labs_dir() / name)


def write_json(path: Path, content: Any) -> None:
    """Whole or not at all, and on the disk before it counts."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)


def read(name: str) -> LabRecord | None:
    """What is known of a lab; what another version of this program has written besides is none of ours."""
    try:
        told = json.loads((place_of(name).folder / "lab.json").read_text())
    except FileNotFoundError:
        return None
    return LabRecord(**{field.name: told[field.name] for field in fields(LabRecord) if field.name in told})


def write(record: LabRecord) -> None:
    record.place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_json(record.place.folder / "lab.json", asdict(record))


def known_labs() -> list[LabRecord]:
    folder = labs_dir()
    names = sorted(path.parent.name for path in folder.glob("*/lab.json")) if folder.is_dir() else []
    return [record for name in names if (record := read(name)) is not None]


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """One `up` or `down` of a lab at a time; the lock goes with its process.

    A moment later, that is: a program that was being started when it was killed has the lock until it runs.
    """
    labs_dir().mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        file = cast(TextIO, wait_for(f"the lock of lab {name}", lambda: _taken(name), _LOCK_SECONDS))
    except DeadlineError:
        raise LabError(f"another labctl is bringing lab {name} up or down; wait for it to end") from None
    with file:
        try:
            yield
        finally:
            if not place_of(name).folder.exists():  # there is no lab (any more) that it could be the lock of
                _lock_file(name).unlink(missing_ok=True)


def _taken(name: str) -> TextIO | None:
    file = _lock_file(name).open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file.fileno()).st_ino == os.stat(_lock_file(name)).st_ino:
            return file
    except (BlockingIOError, FileNotFoundError):
        pass  # FileNotFoundError, or another file: whoever had it removed it with the lab
    file.close()
    return None


def _lock_file(name: str) -> Path:
    """Beside the lab's folder, which `down` removes."""
    return labs_dir() / f".{name}.lock"
