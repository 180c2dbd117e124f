"""What `uv.lock` says about a virtual environment: the closure of its packages, as a digest.

An image is rebuilt when a package *it* holds changes in the lock, not when the lock changes elsewhere.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.build import digest
from harness.build.errors import BuildError
from harness.build.recipe import PythonSpec

Entry = dict[str, Any]


@dataclass(frozen=True)
class Closure:
    """The registry packages of an environment as one digest, and the folders of the workspace packages in it."""

    digest: str
    members: tuple[str, ...]


class LockFile:
    """`uv.lock`, parsed once and only when needed."""

    def __init__(self, path: Path) -> None:
        try:
            self.text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise BuildError(f"{path} does not exist; make it with `uv lock`") from error
        self.path = path
        self.root = "elasticlab"
        self.by_name: dict[str, list[Entry]] = {}
        for entry in tomllib.loads(self.text)["package"]:
            self.by_name.setdefault(entry["name"], []).append(entry)

    def closure(self, spec: PythonSpec) -> Closure:
        """Packages that `spec` installs; markers are not evaluated: all branches count."""
        pending = list(self._roots(spec))
        seen: set[tuple[str, str]] = set()
        names: set[str] = set()
        while pending:
            name, extra = pending.pop()
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            names.add(name)
            for entry in self.by_name.get(name, ()):
                wanted = (
                    entry.get("optional-dependencies", {}).get(extra, []) if extra else entry.get("dependencies", [])
                )
                pending.extend(_edges(wanted))
        held = [entry for name in sorted(names) for entry in self.by_name.get(name, ())]
        foreign = [_essence(entry) for entry in held if "registry" in entry["source"]]
        members = tuple(sorted(entry["source"]["editable"] for entry in held if "editable" in entry["source"]))
        return Closure(digest.combine(foreign), () if spec.kind == "dependencies" else members)

    def _roots(self, spec: PythonSpec) -> Iterable[tuple[str, str]]:
        if spec.kind == "package":
            if not any("editable" in entry["source"] for entry in self.by_name.get(spec.value, ())):
                raise BuildError(f"{self.path}: no workspace package {spec.value!r}; add it to tool.uv.workspace")
            return [(spec.value, "")]
        members = [e for es in self.by_name.values() for e in es if "editable" in e["source"]]
        if spec.kind == "group":
            groups = [e.get("dev-dependencies", {}).get(spec.value) for e in members if e["name"] == self.root]
            if not groups or groups[0] is None:
                raise BuildError(f"{self.path}: no dependency group {spec.value!r} in the root pyproject.toml")
            return _edges(groups[0])
        roots = [(entry["name"], extra) for entry in members for extra in ("", *entry.get("optional-dependencies", ()))]
        for entry in members:
            for group in entry.get("dev-dependencies", {}).values():
                roots.extend(_edges(group))
        return roots


def _edges(dependencies: Iterable[Entry]) -> list[tuple[str, str]]:
    edges = []
    for dependency in dependencies:
        edges.append((dependency["name"], ""))
        edges.extend((dependency["name"], extra) for extra in dependency.get("extra", ()))
    return edges


def _essence(entry: Entry) -> list[object]:
    """Name, version and hashes: what decides the bytes that are installed."""
    files = [entry.get("sdist", {}), *entry.get("wheels", [])]
    return [entry["name"], entry["version"], sorted(item.get("hash", "") for item in files)]
