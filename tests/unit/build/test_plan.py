"""Each layer's digest follows what it is made of, and only that."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.build.errors import BuildError
from harness.build.locked import LockFile
from harness.build.plan import LockDigests, Plan, Planner
from harness.build.recipe import PythonSpec

from .conftest import WriteRecipe

ELEMENT = 'from = "base"\npackages = ["strongswan"]\nfiles = "rootfs"\n[python]\npackage = "element"\n'


@pytest.fixture
def images(repository: Path, recipe: WriteRecipe) -> Path:
    folder = recipe("element", ELEMENT)
    (folder / "rootfs/etc").mkdir(parents=True)
    (folder / "rootfs/etc/issue").write_text("element\n")
    recipe("endpoint", 'from = "base"\npackages = ["curl"]\n')
    recipe("kernel", 'from = "base"\n[python]\ngroup = "agent"\n')
    recipe("tools", 'from = "compiler"\n[python]\ndependencies = "workspace"\n')
    return repository


def plan(repository: Path) -> Plan:
    return Planner(repository).plan(["element", "endpoint", "kernel", "tools"])


def digests(repository: Path) -> dict[str, str]:
    return {layer.label: layer.digest for layer in plan(repository).order}


def changed(repository: Path, before: dict[str, str]) -> set[str]:
    after = digests(repository)
    assert after.keys() == before.keys()
    return {label for label, value in after.items() if before[label] != value}


def test_an_element_is_a_pile_with_the_quickest_layer_on_top(images: Path) -> None:
    pile = plan(images).images["element"]
    assert [layer.label for layer in pile] == ["element files", "element python", "element packages", "base debian"]


def test_order_builds_what_is_below_first(images: Path) -> None:
    seen: set[str] = set()
    for layer in plan(images).order:
        assert {other.digest for other in (*layer.lower, *layer.builder)} <= seen
        seen.add(layer.digest)


def test_source_of_a_package_rebuilds_its_environment_only(images: Path) -> None:
    before = digests(images)
    (images / "images/element/element/__init__.py").write_text("x = 1\n")
    assert changed(images, before) == {"element python", "element files"}


def test_source_of_a_dependency_in_the_workspace_counts(images: Path) -> None:
    before = digests(images)
    (images / "kits/yangkit/yangkit/new.py").write_text("x = 1\n")
    assert changed(images, before) == {"element python", "element files"}


def test_go_tools_are_compiled_anew_for_their_module_and_compiler_only(images: Path, recipe: WriteRecipe) -> None:
    recipe("golang", 'from = "base"\npackages = ["golang-1.26-go"]\n')
    folder = recipe("docker", 'from = "endpoint"\n[go]\nmodule = "."\n')
    for name in ("go.mod", "go.sum"):
        (folder / name).write_text(f"{name} 1\n")

    def docker() -> dict[str, str]:
        found = Planner(images).plan(["docker"])
        assert [layer.label for layer in found.images["docker"]][:2] == ["docker go", "endpoint packages"]
        return {layer.label: layer.digest for layer in found.order}

    before = docker()
    recipe("endpoint", 'from = "base"\npackages = ["curl", "socat"]\n')
    assert docker()["docker go"] == before["docker go"], "the layers below are not looked at"
    (folder / "go.sum").write_text("go.sum 2\n")
    second = docker()
    assert second["docker go"] != before["docker go"]
    recipe("golang", 'from = "base"\npackages = ["golang-1.27-go"]\n')
    assert docker()["docker go"] != second["docker go"]


def test_a_copied_file_rebuilds_the_files_only(images: Path) -> None:
    before = digests(images)
    (images / "images/element/rootfs/etc/issue").write_text("Element\n")
    assert changed(images, before) == {"element files"}


def test_unrelated_files_rebuild_nothing(images: Path) -> None:
    before = digests(images)
    (images / "README.md").write_text("hello\n")
    (images / "images/element/README.md").write_text("hello\n")
    (images / "images/element/element/__pycache__").mkdir()
    assert changed(images, before) == set()


def test_packages_rebuild_what_stands_on_them(images: Path, recipe: WriteRecipe) -> None:
    before = digests(images)
    recipe("endpoint", 'from = "base"\npackages = ["curl", "socat"]\n')
    assert changed(images, before) == {"endpoint packages"}


def test_order_of_packages_does_not_count(images: Path, recipe: WriteRecipe) -> None:
    recipe("endpoint", 'from = "base"\npackages = ["curl", "socat"]\n')
    before = digests(images)
    recipe("endpoint", '# a comment\nfrom = "base"\npackages = ["socat", "curl"]\n')
    assert changed(images, before) == set()


def test_base_rebuilds_everything(images: Path, recipe: WriteRecipe) -> None:
    before = digests(images)
    recipe("base", 'suite = "trixie"\npackages = ["iproute2", "runit"]\n')
    assert changed(images, before) == set(before)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("sha256:v1", "sha256:v2", {"element python", "element files", "tools python"}),
        ("sha256:l1", "sha256:l2", {"element python", "element files", "tools python"}),
        ("sha256:e1", "sha256:e2", {"kernel python", "tools python"}),
        ("sha256:c1", "sha256:c2", {"tools python"}),
    ],
)
def test_the_lock_counts_where_a_package_is_used(images: Path, old: str, new: str, expected: set[str]) -> None:
    before = digests(images)
    lock = images / "uv.lock"
    lock.write_text(lock.read_text().replace(old, new))
    assert changed(images, before) == expected


def test_closure_follows_extras_and_names_workspace_members(repository: Path) -> None:
    closure = LockFile(repository / "uv.lock").closure(PythonSpec("package", "element"))
    assert closure.members == ("images/element", "kits/yangkit")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (PythonSpec("package", "vici"), "no workspace package 'vici'"),
        (PythonSpec("group", "dreams"), "no dependency group 'dreams'"),
    ],
)
def test_what_the_lock_has_not_got_is_named(repository: Path, spec: PythonSpec, message: str) -> None:
    with pytest.raises(BuildError, match=message):
        LockFile(repository / "uv.lock").closure(spec)


def test_without_a_lock_the_remedy_is_said(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="uv lock"):
        LockFile(tmp_path / "uv.lock")


def test_closures_are_remembered_until_the_lock_changes(repository: Path, tmp_path: Path) -> None:
    spec = PythonSpec("package", "element")
    first = LockDigests(repository / "uv.lock", tmp_path / "memory").closure(spec)
    again = LockDigests(repository / "uv.lock", tmp_path / "memory")
    assert again.closure(spec) == first
    assert again._lock is None
    lock = repository / "uv.lock"
    lock.write_text(lock.read_text().replace("sha256:v1", "sha256:v2"))
    assert LockDigests(lock, tmp_path / "memory").closure(spec) != first
