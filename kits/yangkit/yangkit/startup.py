"""The startup file: the running configuration as it survives a power cut.

Whoever has many edits keeps a journal beside it: what an edit changes is appended there, and the file is written anew
when the journal has become longer than it. The journal names the file that it belongs to by its digest, so that one
that a crash has left behind beside a newer file is told from it.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from pathlib import Path

from yangkit import xmlutil
from yangkit.delta import delta
from yangkit.edit import Editor
from yangkit.errors import RpcError
from yangkit.journal import DamagedError, Journal, sync_folder
from yangkit.schema import Schema
from yangkit.tree import Container, empty
from yangkit.treexml import dump

log = logging.getLogger(__name__)
_HEAD = f'<?xml version="1.0" encoding="UTF-8"?>\n<config xmlns="{xmlutil.NC}">'
#: A journal may always become as long as this, however short the file is.
_SHORT = 256 * 1024


class StartupError(Exception):
    """The file is there, but what it holds is no configuration of this schema."""


class Startup:
    """A startup file and, with ``journal``, the journal beside it. Calls block, and must not overlap."""

    def __init__(self, schema: Schema, path: Path, *, journal: bool = False) -> None:
        self._schema = schema
        self.path = path
        self._keeps_journal = journal
        self.journal: Journal | None = None
        self._length = 0
        #: What the disk has; None when that is not known.
        self.written: Container | None = None

    def read(self) -> Container | None:
        """The configuration that is kept; None when there is none; StartupError when it is no good."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StartupError(f"{self.path}: {error.strerror}") from None
        tree = self._edited(self.path, empty(self._schema), data)
        journal = Journal(journal_of(self.path), _digest(data))
        try:
            for record in journal.read():
                tree = self._edited(journal.path, tree, record)
        except (DamagedError, OSError) as error:
            raise StartupError(str(error)) from None
        self.journal, self._length = journal, len(data)
        self.written = tree
        return tree

    def put_aside(self) -> str:
        """Keep what is no good under other names, which are told: the next commit would replace it."""
        kept = [path.replace(path.with_name(f"{path.name}.refused")) for path in self._files if path.exists()]
        return " and ".join(path.name for path in kept)

    @property
    def _files(self) -> list[Path]:
        return [self.path, journal_of(self.path)]

    def _edited(self, path: Path, tree: Container, data: bytes) -> Container:
        try:
            root = xmlutil.parse(data)
            if xmlutil.split(root)[1] != "config":
                raise StartupError(f"{path}: the root element is {root.tag}, not config")
            return Editor().run(tree, root)
        except (xmlutil.MalformedXml, RpcError) as error:
            raise StartupError(f"{path}: {error}") from None

    def write(self, tree: Container) -> None:
        """Keep this from now on: on the disk when the call returns; OSError when that failed.

        A power cut at any moment leaves what was kept before, or this, whole.
        """
        before, self.written = self.written, None
        journal = self.journal
        if not self._keeps_journal or before is None or journal is None or not self._appended(journal, before, tree):
            self._write_whole(tree)
        self.written = tree

    def _appended(self, journal: Journal, before: Container, tree: Container) -> bool:
        if journal.size is None or journal.size > max(self._length, _SHORT):
            return False
        try:
            journal.append(_config(delta(before, tree)))
        except OSError as error:
            log.warning("the file is written as a whole: %s", error)
            return False
        return True

    def _write_whole(self, tree: Container) -> None:
        self.journal = None
        data = _config(dump(tree))
        write_whole(self.path, data)
        beside = journal_of(self.path)
        if beside.exists():  # it belongs to the file that was: nobody would read it
            beside.unlink()
        self.journal, self._length = Journal(beside, _digest(data)), len(data)

    def fold(self) -> None:
        """Leave one file that has all of it, for whoever reads it while nobody runs."""
        if self.journal is not None and self.journal.size != 0 and self.written is not None:
            self._write_whole(self.written)


def journal_of(path: Path) -> Path:
    """Where the journal of a startup file is."""
    return path.with_name(path.name + ".journal")


def read(schema: Schema, path: Path) -> Container | None:
    """The configuration that is kept there; None when there is none; StartupError when it is no good."""
    return Startup(schema, path).read()


def _config(inner: str) -> bytes:
    return f"{_HEAD}{inner}</config>\n".encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_whole(path: Path, data: bytes) -> None:
    """Write the file so that a power cut at any moment leaves the old one or the new one, whole and on the disk."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path)
