"""What is wrong with a topology file, said so that the reader can mend it: where, what, and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

MAX_TEXT = 400


class Place(Protocol):
    """Anything that knows where in the file it stands, counted from 1."""

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake. Line and column count from 1; line 0 means the file as a whole."""

    file: Path
    line: int
    column: int
    message: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else str(self.file)
        return f"{where}: {self.message} ({self.remedy})"


class FileError(Exception):
    """A file that cannot be used, with every problem found in it, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))


class TopologyError(FileError):
    """A topology that cannot be used."""


class Problems:
    """Collects the problems of one file, so that a person sees all of them at once."""

    def __init__(self, file: Path, error: type[FileError] = TopologyError) -> None:
        self.file = file
        self._error = error
        self._found: list[Problem] = []

    def add(self, place: Place | None, message: str, remedy: str) -> None:
        line, column = (place.line, place.column) if place else (0, 0)
        self._found.append(Problem(self.file, line, column, _printable(message), _printable(remedy)))

    def __len__(self) -> int:
        return len(self._found)

    def raise_if_any(self) -> None:
        if self._found:
            raise self._error(self._found)


def _printable(text: str) -> str:
    """One line without control characters: what a stranger's file holds must not steer the reader's terminal."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:MAX_TEXT])
    return shown + ("..." if len(text) > MAX_TEXT else "")


def suggest(word: str, known: Iterable[str], otherwise: str) -> str:
    """`did you mean "x"?`, or what else to do when nothing comes close."""
    close = difflib.get_close_matches(word.lower()[:64], list(known), n=1, cutoff=0.7)
    return f'did you mean "{close[0]}"?' if close else otherwise
