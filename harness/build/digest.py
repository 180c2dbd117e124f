"""Content hashes: equal content gives equal digests; time stamps, owners and byte code do not count."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path

IGNORED_FOLDERS = frozenset({"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".venv", ".git"})
IGNORED_SUFFIXES = (".pyc", ".pyo", ".swp", "~")


def combine(*parts: object) -> str:
    """One digest out of JSON-able parts, unambiguous in their order and borders."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def entries(root: Path) -> list[tuple[str, Path, os.stat_result]]:
    """All files, links and folders below `root` that count, by relative name, sorted."""
    found: list[tuple[str, Path, os.stat_result]] = []
    stack = [(root, "")]
    while stack:
        folder, prefix = stack.pop()
        with os.scandir(folder) as items:
            for item in items:
                directory = item.is_dir(follow_symlinks=False)
                if item.name in IGNORED_FOLDERS if directory else item.name.endswith(IGNORED_SUFFIXES):
                    continue
                path = Path(item.path)
                found.append((prefix + item.name, path, item.stat(follow_symlinks=False)))
                if directory:
                    stack.append((path, f"{prefix}{item.name}/"))
    return sorted(found, key=lambda entry: entry[0])


def file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tree(path: Path) -> str:
    """Digest of a file or of a folder with all below: names, executable bits, link targets, bytes."""
    if not path.is_dir():
        return combine("file", bool(path.stat().st_mode & stat.S_IXUSR), file(path))
    listing: list[list[object]] = []
    for name, entry, status in entries(path):
        if stat.S_ISDIR(status.st_mode):
            listing.append([name, "directory"])
        elif stat.S_ISLNK(status.st_mode):
            listing.append([name, "link", os.readlink(entry)])
        else:
            listing.append([name, "file", bool(status.st_mode & stat.S_IXUSR), file(entry)])
    return combine("tree", listing)
