"""Digests follow content and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.build import digest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    (root / "sub/file").write_text("content")
    (root / "link").symlink_to("sub/file")
    return root


def test_one_changed_byte_changes_it(folder: Path) -> None:
    before = digest.tree(folder)
    (folder / "sub/file").write_text("contenT")
    assert digest.tree(folder) != before


def test_time_stamps_do_not_count(folder: Path) -> None:
    before = digest.tree(folder)
    os.utime(folder / "sub/file", (1, 1))
    assert digest.tree(folder) == before


def test_byte_code_and_caches_do_not_count(folder: Path) -> None:
    before = digest.tree(folder)
    (folder / "sub/__pycache__").mkdir()
    (folder / "sub/__pycache__/x.cpython-313.pyc").write_text("x")
    (folder / "old.pyc").write_text("x")
    assert digest.tree(folder) == before


def test_executable_bit_counts(folder: Path) -> None:
    before = digest.tree(folder)
    (folder / "sub/file").chmod(0o755)
    assert digest.tree(folder) != before


def test_other_permission_bits_do_not_count(folder: Path) -> None:
    (folder / "sub/file").chmod(0o600)
    before = digest.tree(folder)
    (folder / "sub/file").chmod(0o644)
    assert digest.tree(folder) == before


def test_link_target_counts(folder: Path) -> None:
    before = digest.tree(folder)
    (folder / "link").unlink()
    (folder / "link").symlink_to("sub")
    assert digest.tree(folder) != before


def test_a_rename_counts(folder: Path) -> None:
    before = digest.tree(folder)
    (folder / "sub/file").rename(folder / "sub/other")
    assert digest.tree(folder) != before


def test_an_empty_folder_counts(folder: Path) -> None:
    before = digest.tree(folder)
    (folder / "empty").mkdir()
    assert digest.tree(folder) != before


def test_a_dangling_link_is_no_obstacle(folder: Path) -> None:
    (folder / "nowhere").symlink_to("/does/not/exist")
    assert digest.tree(folder)


@pytest.mark.parametrize(
    ("left", "right"), [(["ab", "c"], ["a", "bc"]), (["a"], [["a"]]), ([None], ["null"]), ([1], ["1"])]
)
def test_parts_do_not_run_together(left: list[object], right: list[object]) -> None:
    assert digest.combine(*left) != digest.combine(*right)
