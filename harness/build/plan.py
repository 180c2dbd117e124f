"""From recipes to layers: each with a digest of all that decides its content, and of nothing else.

An image is a pile of layers. `debian` or `packages` lies below, then `python`, `npm`, `go` and `files`: an edit of code
or of a file rebuilds that layer only. Increase a kind's number in FORMAT when its way of building changes.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.build import digest
from harness.build.locked import Closure, LockFile
from harness.build.recipe import PythonSpec, Recipe, load_all

Kind = Literal["debian", "packages", "python", "npm", "go", "files"]
FORMAT: dict[str, int] = {"debian": 2, "packages": 2, "python": 2, "npm": 1, "go": 1, "files": 1, "kernel": 1}
COMPILER = "compiler"  # the image in which everything is compiled
GOLANG = "golang"  # but what is written in Go


@dataclass(frozen=True)
class Layer:
    """One layer to be built over `lower` (topmost first), in `builder` where it needs tools that it must not hold."""

    kind: Kind
    image: str
    digest: str
    recipe: Recipe
    lower: tuple[Layer, ...] = ()
    builder: tuple[Layer, ...] = ()

    @property
    def label(self) -> str:
        return f"{self.image} {self.kind}"


@dataclass(frozen=True)
class Plan:
    """Images as piles of layers (topmost first) and the order to build them in."""

    images: dict[str, tuple[Layer, ...]]
    order: tuple[Layer, ...]

    def digest_of(self, name: str) -> str:
        return digest.combine([layer.digest for layer in self.images[name]])


class Planner:
    """Plans images of one repository; reads `uv.lock` at most once."""

    def __init__(self, repository: Path, lock_digests: LockDigests | None = None) -> None:
        self.repository = repository
        self.locks = lock_digests or LockDigests(repository / "uv.lock", None)
        self.piles: dict[str, tuple[Layer, ...]] = {}
        self.order: dict[str, Layer] = {}

    def plan(self, names: list[str]) -> Plan:
        self._plan(names)
        return Plan({name: self.piles[name] for name in names}, tuple(self.order.values()))

    def _plan(self, names: list[str]) -> None:
        for recipe in load_all(self.repository, names).values():
            if recipe.name not in self.piles:
                self.piles[recipe.name] = self._pile(recipe)

    def _pile(self, recipe: Recipe) -> tuple[Layer, ...]:
        pile: tuple[Layer, ...] = () if recipe.parent is None else self.piles[recipe.parent]
        if recipe.suite is not None:
            pile = self._add("debian", recipe, pile, (), [recipe.suite, recipe.packages])
        elif recipe.packages:
            pile = self._add("packages", recipe, pile, (), [recipe.packages])
        if recipe.python is not None:
            content = self._python_content(recipe, recipe.python)
            pile = self._add("python", recipe, pile, self._builder(COMPILER), content, over_lower=False)
        if recipe.npm is not None:
            content = [digest.file(recipe.npm / name) for name in ("package.json", "package-lock.json")]
            pile = self._add("npm", recipe, pile, (), content)
        if recipe.go is not None:
            content = [recipe.name, *(digest.file(recipe.go / name) for name in ("go.mod", "go.sum"))]
            pile = self._add("go", recipe, pile, self._builder(GOLANG), content, over_lower=False)
        if recipe.files is not None or recipe.copy:
            trees = [[target, digest.tree(source)] for target, source in recipe.copy]
            pile = self._add("files", recipe, pile, (), [recipe.files and digest.tree(recipe.files), trees])
        return pile

    def _builder(self, image: str) -> tuple[Layer, ...]:
        self._plan([image])
        return self.piles[image]

    def _python_content(self, recipe: Recipe, spec: PythonSpec) -> list[object]:
        closure = self.locks.closure(spec)
        sources = [[member, self._member(member)] for member in closure.members]
        return [recipe.name, spec.kind, spec.value, closure.digest, sources]

    def _member(self, member: str) -> list[str]:
        """The files of a workspace package that decide the wheel: its project file and its module folders."""
        folder = self.repository / member
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        backend = project.get("tool", {}).get("uv", {}).get("build-backend", {})
        named = backend.get("module-name", folder.name.replace("-", "_"))
        modules = [named] if isinstance(named, str) else sorted(named)
        return [digest.file(folder / "pyproject.toml"), *(digest.tree(folder / module) for module in modules)]

    def _add(
        self,
        kind: Kind,
        recipe: Recipe,
        lower: tuple[Layer, ...],
        builder: tuple[Layer, ...],
        content: object,
        *,
        over_lower: bool = True,
    ) -> tuple[Layer, ...]:
        """Put a layer on the pile; one that does not look at the layers below is not rebuilt with them."""
        below = [layer.digest for layer in (lower if over_lower else ())]
        value = digest.combine(kind, FORMAT[kind], below, [layer.digest for layer in builder], content)
        layer = Layer(kind, recipe.name, value, recipe, lower, builder)
        self.order.setdefault(value, layer)
        return (layer, *lower)


class LockDigests:
    """Closures out of `uv.lock`, remembered in the cache under the lock's own digest: parsing it takes a while."""

    def __init__(self, path: Path, memory: Path | None) -> None:
        self.path = path
        self.memory = memory
        self._lock: LockFile | None = None
        self._key: str | None = None

    def closure(self, spec: PythonSpec) -> Closure:
        remembered = self._remembered(spec)
        if remembered is not None and remembered.is_file():
            found, *members = remembered.read_text(encoding="utf-8").split("\n")
            return Closure(found, tuple(members))
        if self._lock is None:
            self._lock = LockFile(self.path)
        closure = self._lock.closure(spec)
        if remembered is not None:
            remembered.parent.mkdir(parents=True, exist_ok=True)
            aside = remembered.with_suffix(f".{id(self)}")
            aside.write_text("\n".join((closure.digest, *closure.members)), encoding="utf-8")
            aside.replace(remembered)
        return closure

    def _remembered(self, spec: PythonSpec) -> Path | None:
        if self.memory is None or not self.path.is_file():
            return None
        if self._key is None:
            self._key = digest.combine(1, digest.file(self.path))
        return self.memory / f"{self._key[:32]}-{spec.kind}-{spec.value}"
