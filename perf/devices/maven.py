"""Files of Maven Central (or the mirror that $MAVEN_CENTRAL names), each by its hash."""

from __future__ import annotations

import hashlib
import os
import re
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from perf.lab import BenchmarkError

_CENTRAL = "https://repo.maven.apache.org/maven2"
_LINE = re.compile(r"([0-9a-f]{64})  ((?:\w[\w.+-]*/)+\w[\w.+-]*\.jar)")


@dataclass(frozen=True)
class Jar:
    """One file: where a Maven repository has it, and what it is."""

    place: str
    sha256: str

    @property
    def name(self) -> str:
        return Path(self.place).name


def listed(file: Path) -> list[Jar]:
    """The files of a list as sha256sum writes it: hash and place. BenchmarkError names a line that is wrong."""
    found: dict[str, Jar] = {}
    for number, line in enumerate(file.read_text().splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise BenchmarkError(
                f"{file}:{number}: wanted is a SHA-256, two spaces and the place of a jar, not {line!r}"
            )
        jar = Jar(match[2], match[1])
        if jar.name in found:
            raise BenchmarkError(f"{file}:{number}: {jar.name} is there twice; they are kept in one folder")
        found[jar.name] = jar
    return list(found.values())


def missing(jars: Iterable[Jar], folder: Path) -> list[Jar]:
    """Those that are not there yet. A file is there whole or not at all."""
    return [jar for jar in jars if not (folder / jar.name).is_file()]


def take(jar: Jar, folder: Path) -> None:
    """Fetch it."""
    url = f"{os.environ.get('MAVEN_CENTRAL', _CENTRAL)}/{jar.place}"
    try:
        with urllib.request.urlopen(url, timeout=120) as answer:  # noqa: S310 - of https, or the user's own
            content: bytes = answer.read()
    except OSError as error:
        raise BenchmarkError(f"{url} cannot be had ({error}); set MAVEN_CENTRAL to a mirror") from error
    if hashlib.sha256(content).hexdigest() != jar.sha256:
        raise BenchmarkError(f"{url} is not what was pinned: its SHA-256 is not {jar.sha256}")
    beside = folder / f"{jar.name}.new"
    beside.write_bytes(content)
    beside.replace(folder / jar.name)
