"""Layers of copied files fit those below; overlayfs' attributes never stay in a layer."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from harness.build import chroot, digest, layers, overlay
from harness.build.errors import BuildError, RecipeError
from harness.build.layers import EPOCH, Site
from harness.build.plan import Layer
from harness.build.recipe import Recipe
from harness.build.store import Store

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root: run `labctl test` as root")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    work = tmp_path / "work"
    work.mkdir()
    return Site(Store(tmp_path / "cache"), tmp_path, work, tmp_path / "log")


@pytest.fixture
def base(site: Site) -> Layer:
    """A finished lowest layer with a private /root and a merged /bin."""
    root = site.store.folder("layers", "0" * 64, "root")
    (root / "usr/bin").mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    (root / "root").mkdir()
    (root / "root").chmod(0o700)
    return Layer("debian", "base", "0" * 64, Recipe("base", Path("base/image.toml"), "trixie", None))


def files(site: Site, base: Layer, **recipe: object) -> Path:
    made = Recipe("box", site.repository / "image.toml", None, "base", **recipe)  # type: ignore[arg-type]
    layer = Layer("files", "box", "1" * 64, made, (base,))
    target = site.work / "root"
    layers.make(layer, site, target)
    return target


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "rootfs"
    (root / "root").mkdir(parents=True)
    (root / "root/.profile").write_text("x\n")
    (root / "etc/sv/x").mkdir(parents=True)
    (root / "etc/sv/x/run").write_text("#!/bin/sh\n")
    (root / "etc/sv/x/run").chmod(0o700)
    (root / "etc/link").symlink_to("sv/x")
    return root


def test_files_get_plain_rights_and_one_time_stamp(site: Site, base: Layer, tree: Path) -> None:
    made = files(site, base, files=tree)
    assert stat.S_IMODE((made / "etc/sv/x/run").stat().st_mode) == 0o755
    assert stat.S_IMODE((made / "root/.profile").stat().st_mode) == 0o644
    assert (made / "etc/link").readlink() == Path("sv/x")
    assert {path.lstat().st_mtime for path in made.rglob("*")} == {EPOCH}


def test_a_folder_keeps_the_rights_it_has_below(site: Site, base: Layer, tree: Path) -> None:
    made = files(site, base, files=tree)
    assert stat.S_IMODE((made / "root").stat().st_mode) == 0o700
    assert stat.S_IMODE((made / "etc").stat().st_mode) == 0o755


def test_equal_recipes_give_equal_layers(site: Site, base: Layer, tree: Path) -> None:
    first = files(site, base, files=tree)
    first.rename(site.work / "first")
    assert digest.tree(site.work / "first") == digest.tree(files(site, base, files=tree))


def test_folders_and_files_are_copied_to_where_the_recipe_says(site: Site, base: Layer, tree: Path) -> None:
    made = files(site, base, copy=(("/usr/share/sv", tree / "etc/sv"), ("/root/profile", tree / "root/.profile")))
    assert (made / "usr/share/sv/x/run").is_file()
    assert (made / "root/profile").read_text() == "x\n"


@pytest.mark.parametrize("place", ["bin/tool", "bin/deeper/tool"])
def test_a_link_below_is_not_buried(site: Site, base: Layer, tree: Path, place: str) -> None:
    (tree / place).parent.mkdir(parents=True)
    (tree / place).write_text("x")
    with pytest.raises(RecipeError, match="would replace the link /bin → usr/bin; put it below /usr/bin"):
        files(site, base, files=tree)


@as_root
def test_a_replaced_folder_hides_the_old_one_without_attributes(tmp_path: Path) -> None:
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    (lower / "gone").mkdir(parents=True)
    for name in ("old", "kept", "both"):
        (lower / "gone" / name).write_text("lower")
    for folder in ("upper", "work", "merged"):
        (tmp_path / folder).mkdir()
    mount = f"mount -t overlay -o lowerdir={lower},upperdir={upper},workdir={tmp_path}/work o {tmp_path}/merged"
    change = f"cd {tmp_path}/merged && rm -r gone && mkdir gone && echo upper > gone/both"
    subprocess.run(chroot.isolated(["sh", "-ec", f"{mount}; {change}"]), check=True)
    assert os.getxattr(upper / "gone", "trusted.overlay.opaque") == b"y"
    assert overlay.normalise(upper, (lower,)) == 1
    assert sorted(path.name for path in (upper / "gone").iterdir()) == ["both", "kept", "old"]
    assert overlay.is_whiteout((upper / "gone/old").lstat())
    assert (upper / "gone/both").read_text() == "upper\n"
    assert [name for path in upper.rglob("*") for name in os.listxattr(path, follow_symlinks=False)] == []


@as_root
def test_what_the_lab_kernel_cannot_see_is_refused(tmp_path: Path) -> None:
    (tmp_path / "upper/moved").mkdir(parents=True)
    os.setxattr(tmp_path / "upper/moved", "trusted.overlay.redirect", b"/elsewhere")
    with pytest.raises(BuildError, match=r"trusted\.overlay\.redirect"):
        overlay.normalise(tmp_path / "upper", (tmp_path,))


def test_lower_layers_are_read_as_overlayfs_does(tmp_path: Path) -> None:
    top, bottom = tmp_path / "top", tmp_path / "bottom"
    for folder, names in ((top, ["a"]), (bottom, ["a", "b"])):
        (folder / "x").mkdir(parents=True)
        for name in names:
            (folder / "x" / name).touch()
    assert overlay.merged_names((top, bottom), Path("x")) == {"a", "b"}
    assert overlay.merged_names((top, bottom), Path("nowhere")) == set()
    (tmp_path / "blocker").mkdir()
    (tmp_path / "blocker/x").touch()
    assert overlay.merged_names((tmp_path / "blocker", bottom), Path("x")) == set()
