"""Recipes are read strictly; every mistake is named with its file and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.build.errors import RecipeError
from harness.build.recipe import Least, PythonSpec, available, load, load_all
from harness.paths import REPOSITORY

from .conftest import WriteRecipe


def test_all_recipes_of_this_repository_load() -> None:
    names = available(REPOSITORY / "images")
    assert {"base", "compiler", "kernel", "endpoint", "tools"} <= set(names)
    assert set(load_all(REPOSITORY, names)) >= set(names)


def test_a_full_recipe(repository: Path, recipe: WriteRecipe) -> None:
    folder = recipe(
        "element",
        'from = "base"\npackages = ["nftables", "charon-systemd"]\nfiles = "rootfs"\n'
        '[copy]\n"/usr/share/yang" = "kits"\n[python]\npackage = "element"\n[least]\nmemory = 64\n',
    )
    (folder / "rootfs").mkdir()
    found = load(repository, "element")
    assert found.parent == "base"
    assert found.packages == ("charon-systemd", "nftables")
    assert found.files == folder / "rootfs"
    assert found.copy == (("/usr/share/yang", repository / "kits"),)
    assert found.python == PythonSpec("package", "element")
    assert found.least == Least(memory=64, disk=0)


def test_parents_come_first(repository: Path, recipe: WriteRecipe) -> None:
    recipe("middle", 'from = "base"\n')
    recipe("top", 'from = "middle"\n')
    assert list(load_all(repository, ["top", "base"])) == ["base", "middle", "top"]


def test_network_functions_have_their_own_room(repository: Path, recipe: WriteRecipe) -> None:
    recipe("vnf/firewall", 'from = "base"\n')
    assert load(repository, "firewall").parent == "base"
    assert "firewall" in available(repository / "images")


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        ('from = "base"\npackage = ["x"]\n', "unknown key 'package'", "known keys: from"),
        ("packages = []\n", "exactly one of `from` and `suite`", 'from = "base"'),
        ('from = "base"\nsuite = "trixie"\n', "exactly one of `from` and `suite`", 'from = "base"'),
        ('from = "nowhere"\n', "unknown parent image 'nowhere'", "set `from` to one of: base"),
        ('from = "odd"\n', "in a circle: odd → odd", "let one stand on base"),
        ('from = "base"\npackages = "iperf3"\n', "`packages` must be a list", 'packages = ["iproute2"]'),
        ('from = "base"\npackages = ["--force"]\n', "'--force' is no name of a Debian package", "apt-get install"),
        ('from = "base"\npackages = ["x; rm"]\n', "'x; rm' is no name of a Debian package", "apt-get install"),
        ('from = "base"\npackages = ["curl", "curl"]\n', "'curl' is named twice", "remove one"),
        ('from = "base"\nfiles = "rootfs"\n', "'rootfs', which does not exist", "create"),
        ('from = "base"\nfiles = "../base"\n', "leaves odd/", "without .."),
        ('from = "base"\nfiles = 3\n', "`files` must be a text", "write for example"),
        ('from = "base"\n[copy]\n"/x" = "missing"\n', "'missing', which does not exist", "create"),
        ('from = "base"\n[copy]\n"x" = "kits"\n', "[copy] 'x' is wrong", '"/absolute/target"'),
        ('from = "base"\n[python]\n', "[python] needs exactly one key", "package, group, dependencies"),
        ('from = "base"\n[python]\nmodule = "x"\n', "unknown key 'module' in [python]", "known keys: package"),
        ('from = "base"\n[python]\ndependencies = "all"\n', "dependencies = 'all'", '"workspace"'),
        ('from = "base"\n[npm]\nlock = "."\n', "package.json does not exist", "npm install --package-lock-only"),
        ('from = "base"\n[go]\nmodule = "."\n', "go.mod does not exist", "go get -tool MODULE@VERSION"),
        ('from = "base"\n[go]\ntool = "x"\n', "unknown key 'tool' in [go]", "known keys: module"),
        ('from = "base"\n[go]\n', "[go] needs `module`", "go.mod and go.sum"),
        ('from = "base"\n[least]\ncpu = 1\n', "unknown key 'cpu' in [least]", "known keys: memory, disk"),
        ('from = "base"\n[least]\nmemory = "1GiB"\n', "memory = '1GiB' is no number of MiB", "memory = 64"),
        ("from = base\n", "not TOML", "images/base/image.toml"),
    ],
)
def test_mistakes_are_named(repository: Path, recipe: WriteRecipe, text: str, problem: str, remedy: str) -> None:
    recipe("odd", text)
    with pytest.raises(RecipeError) as caught:
        load_all(repository, ["odd"])
    message = str(caught.value)
    assert str(repository / "images/odd/image.toml") in message
    assert problem in message
    assert remedy in message


def test_a_longer_circle_is_drawn(repository: Path, recipe: WriteRecipe) -> None:
    recipe("one", 'from = "two"\n')
    recipe("two", 'from = "one"\n')
    with pytest.raises(RecipeError, match="one → two → one"):
        load_all(repository, ["one"])


@pytest.mark.parametrize("name", ["missing", "../base", "", "Base"])
def test_an_unknown_image_names_the_known_ones(repository: Path, recipe: WriteRecipe, name: str) -> None:
    del recipe
    with pytest.raises(RecipeError, match="images with a recipe: base, compiler"):
        load(repository, name)
