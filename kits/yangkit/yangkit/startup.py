"""The startup file: the running configuration as it survives a power cut."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from yangkit import xmlutil
from yangkit.edit import Editor
from yangkit.errors import RpcError
from yangkit.schema import Schema
from yangkit.tree import Container, empty
from yangkit.treexml import dump

_HEAD = f'<?xml version="1.0" encoding="UTF-8"?>\n<config xmlns="{xmlutil.NC}">'


class StartupError(Exception):
    """The file is there, but what it holds is no configuration of this schema."""


def write(path: Path, tree: Container) -> None:
    """Write the file so that a power cut at any moment leaves the old one or the new one, whole and on the disk."""
    data = f"{_HEAD}{dump(tree)}</config>\n".encode()
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
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read(schema: Schema, path: Path) -> Container | None:
    """The configuration in the file; None when there is no file; StartupError when it is no good."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StartupError(f"{path}: {error.strerror}") from None
    try:
        root = xmlutil.parse(data)
        if xmlutil.split(root)[1] != "config":
            raise StartupError(f"{path}: the root element is {root.tag}, not config")
        return Editor().run(empty(schema), root)
    except (xmlutil.MalformedXml, RpcError) as error:
        raise StartupError(f"{path}: {error}") from None
