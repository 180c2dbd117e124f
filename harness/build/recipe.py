"""Recipes: `images/NAME/image.toml`, found by folder, checked strictly.

Keys: `suite` (the root of all images) or `from` (its parent), `packages` (Debian), `files` (a tree of the recipe's
folder that is copied in), `[copy]` (target = path in the repository), `[python]` (one of `package`, `group`,
`dependencies`: a virtual environment `/opt/NAME` out of `uv.lock`), `[npm]` (`lock` = folder with package.json and
package-lock.json, installed as `/opt/NAME`), `[go]` (`module` = folder with go.mod and go.sum; its `tool`s are
compiled into `/opt/NAME/bin`), `[least]` (MiB of `memory` and `disk` without which it
does not work; no part of what is built).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from harness.build.errors import RecipeError

RECIPE = "image.toml"
PythonKind = Literal["package", "group", "dependencies"]
PYTHON_KINDS: tuple[PythonKind, ...] = ("package", "group", "dependencies")
KEYS = ("from", "suite", "packages", "files", "copy", "python", "npm", "go", "least")
LEAST_KEYS = ("memory", "disk")
DEBIAN_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")


@dataclass(frozen=True)
class PythonSpec:
    """What a virtual environment holds: a workspace package, a dependency group, or all dependencies of all."""

    kind: PythonKind
    value: str


@dataclass(frozen=True)
class Least:
    """What a node needs to have for an image to work there, in MiB."""

    memory: int = 0
    disk: int = 0


@dataclass(frozen=True)
class Recipe:
    """One image, as its folder describes it."""

    name: str
    path: Path
    suite: str | None
    parent: str | None
    packages: tuple[str, ...] = ()
    files: Path | None = None
    copy: tuple[tuple[str, Path], ...] = ()
    python: PythonSpec | None = None
    npm: Path | None = None
    go: Path | None = None
    least: Least = Least()


def folder_of(images: Path, name: str) -> Path:
    """The folder of image `name`: `images/NAME`, or `images/vnf/NAME` for network functions."""
    nested = images / "vnf" / name
    return nested if (nested / RECIPE).is_file() else images / name


def available(images: Path) -> list[str]:
    """Names of all images that have a recipe."""
    found = [*images.glob(f"*/{RECIPE}"), *images.glob(f"vnf/*/{RECIPE}")]
    return sorted(path.parent.name for path in found)


def load(repository: Path, name: str) -> Recipe:
    """Read and check one recipe.

    Raises:
        RecipeError: the file is missing or says something that is not understood.
    """
    images = repository / "images"
    path = folder_of(images, name) / RECIPE
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name) or not path.is_file():
        known = ", ".join(available(images)) or "none"
        raise RecipeError(path, f"there is no image {name!r}", f"images with a recipe: {known}")
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(path, f"not TOML: {error}", "see images/base/image.toml for the form") from error
    return _Reader(repository, path, name, data).recipe()


def load_all(repository: Path, names: list[str]) -> dict[str, Recipe]:
    """The recipes of `names` and of all their ancestors, parents before children."""
    ordered: dict[str, Recipe] = {}
    for name in names:
        _visit(repository, name, ordered, ())
    return ordered


def _visit(repository: Path, name: str, ordered: dict[str, Recipe], chain: tuple[str, ...]) -> None:
    if name in ordered:
        return
    recipe = load(repository, name)
    if recipe.parent is not None:
        if recipe.parent in (*chain, name):
            cycle = " → ".join((*chain, name, recipe.parent))
            raise RecipeError(recipe.path, f"images stand on each other in a circle: {cycle}", "let one stand on base")
        if not (folder_of(repository / "images", recipe.parent) / RECIPE).is_file():
            known = ", ".join(available(repository / "images"))
            raise RecipeError(recipe.path, f"unknown parent image {recipe.parent!r}", f"set `from` to one of: {known}")
        _visit(repository, recipe.parent, ordered, (*chain, name))
    ordered[name] = recipe


class _Reader:
    """Checks one parsed file key by key."""

    def __init__(self, repository: Path, path: Path, name: str, data: Mapping[str, object]) -> None:
        self.repository = repository
        self.path = path
        self.name = name
        self.data = data

    def fail(self, problem: str, remedy: str) -> RecipeError:
        return RecipeError(self.path, problem, remedy)

    def recipe(self) -> Recipe:
        self._no_others(self.data, KEYS, "recipe")
        parent, suite = self._text("from"), self._text("suite")
        if (parent is None) == (suite is None):
            raise self.fail("needs exactly one of `from` and `suite`", 'write for example: from = "base"')
        return Recipe(
            name=self.name,
            path=self.path,
            suite=suite,
            parent=parent,
            packages=self._packages(),
            files=self._files(),
            copy=self._copy(),
            python=self._python(),
            npm=self._locked("npm", "lock", ("package.json", "package-lock.json"), "npm install --package-lock-only"),
            go=self._locked("go", "module", ("go.mod", "go.sum"), "go get -tool MODULE@VERSION"),
            least=self._least(),
        )

    def _no_others(self, table: Mapping[str, object], known: tuple[str, ...], where: str) -> None:
        if unknown := sorted(set(table) - set(known)):
            raise self.fail(f"unknown key {unknown[0]!r} in {where}", f"known keys: {', '.join(known)}")

    def _text(self, key: str) -> str | None:
        value = self.data.get(key)
        if value is not None and not (isinstance(value, str) and value):
            raise self.fail(f"`{key}` must be a text", f'write for example: {key} = "base"')
        return value

    def _table(self, key: str) -> Mapping[str, object] | None:
        value = self.data.get(key)
        if value is not None and not isinstance(value, dict):
            raise self.fail(f"`{key}` must be a table", f"write a section [{key}]")
        return value

    def _packages(self) -> tuple[str, ...]:
        value = self.data.get("packages", [])
        if not isinstance(value, list):
            raise self.fail("`packages` must be a list", 'write for example: packages = ["iproute2"]')
        for item in value:
            if not (isinstance(item, str) and DEBIAN_PACKAGE.fullmatch(item)):
                raise self.fail(f"{item!r} is no name of a Debian package", "name packages as `apt-get install` does")
        if len(set(value)) != len(value):
            twice = next(item for item in value if value.count(item) > 1)
            raise self.fail(f"package {twice!r} is named twice", "remove one of them")
        return tuple(sorted(value))

    def _files(self) -> Path | None:
        text = self._text("files")
        return None if text is None else self._existing(self.path.parent, text, "files", directory=True)

    def _existing(self, base: Path, text: str, key: str, *, directory: bool = False) -> Path:
        pure = PurePosixPath(text)
        if pure.is_absolute() or ".." in pure.parts:
            raise self.fail(f"`{key}` leaves {base.name}/: {text!r}", "name a path below it, without ..")
        found = base / pure
        if not (found.is_dir() if directory else found.exists()):
            raise self.fail(f"`{key}` names {text!r}, which does not exist", f"create {found} or remove the key")
        return found

    def _copy(self) -> tuple[tuple[str, Path], ...]:
        table = self._table("copy") or {}
        result = []
        for target, source in sorted(table.items()):
            if not (target.startswith("/") and ".." not in PurePosixPath(target).parts and isinstance(source, str)):
                raise self.fail(f"[copy] {target!r} is wrong", 'write: "/absolute/target" = "path/in/the/repository"')
            result.append((target, self._existing(self.repository, source, "copy")))
        return tuple(result)

    def _python(self) -> PythonSpec | None:
        table = self._table("python")
        if table is None:
            return None
        self._no_others(table, PYTHON_KINDS, "[python]")
        if len(table) != 1:
            raise self.fail("[python] needs exactly one key", f"choose one of: {', '.join(PYTHON_KINDS)}")
        kind = next(known for known in PYTHON_KINDS if known in table)
        value = table[kind]
        if not (isinstance(value, str) and value):
            raise self.fail(f"[python] `{kind}` must be a text", f'write for example: {kind} = "element"')
        if kind == "dependencies" and value != "workspace":
            raise self.fail(f"[python] dependencies = {value!r}", 'only "workspace" is known')
        return PythonSpec(kind, value)

    def _least(self) -> Least:
        table = self._table("least") or {}
        self._no_others(table, LEAST_KEYS, "[least]")
        sizes: dict[str, int] = {}
        for key, value in table.items():
            if not (isinstance(value, int) and value > 0):
                raise self.fail(f"[least] {key} = {value!r} is no number of MiB", f"write for example: {key} = 64")
            sizes[key] = value
        return Least(**sizes)

    def _locked(self, section: str, key: str, files: tuple[str, ...], maker: str) -> Path | None:
        """The folder that `[section] key` names, with the files that decide what is installed from it."""
        table = self._table(section)
        if table is None:
            return None
        self._no_others(table, (key,), f"[{section}]")
        value = table.get(key)
        if not isinstance(value, str):
            raise self.fail(f"[{section}] needs `{key}`", f'write: {key} = "." (folder with {" and ".join(files)})')
        folder = self._existing(self.path.parent, value, f"{section}.{key}", directory=True)
        for needed in files:
            if not (folder / needed).is_file():
                raise self.fail(f"[{section}] {folder / needed} does not exist", f"make it with `{maker}`")
        return folder
