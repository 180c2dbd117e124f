"""The lab kernel's options are compared with what was asked; a kernel of one's own can be named."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.build.errors import BuildError
from harness.build.images import Builder
from harness.build.kernel import FRAGMENT, REQUIRED, dropped, ensure_kernel, options
from harness.build.store import Store
from harness.paths import REPOSITORY

CONFIG = '# CONFIG_SMP is not set\nCONFIG_VETH=y\nCONFIG_HZ=100\nCONFIG_NAME="a b"\n# a comment\n'


def test_options_are_read() -> None:
    assert options(CONFIG) == {"SMP": "n", "VETH": "y", "HZ": "100", "NAME": '"a b"'}


@pytest.mark.parametrize(
    ("fragment", "missing"),
    [
        ("CONFIG_VETH=y\n", []),
        ("# CONFIG_SMP is not set\n", []),
        ("# CONFIG_GONE is not set\n", []),
        ("CONFIG_ESP=y\n", ["ESP"]),
        ("CONFIG_SMP=y\n", ["SMP"]),
        ("# CONFIG_VETH is not set\n", ["VETH"]),
        ("CONFIG_HZ=250\nCONFIG_ESP=y\n", ["ESP", "HZ"]),
    ],
)
def test_dropped_options_are_named(fragment: str, missing: list[str]) -> None:
    assert dropped(fragment, CONFIG) == missing


def test_our_fragment_asks_for_all_that_is_required() -> None:
    asked = options((REPOSITORY / FRAGMENT).read_text())
    assert {name for name in REQUIRED if asked.get(name) != "y"} == set()


def test_a_kernel_of_ones_own_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "linux"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setenv("ELASTICLAB_KERNEL", str(own))
    assert ensure_kernel(Builder(store=Store(tmp_path / "cache"))) == own


def test_one_that_cannot_run_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ELASTICLAB_KERNEL", str(tmp_path / "nothing"))
    with pytest.raises(BuildError, match="unset it"):
        ensure_kernel(Builder(store=Store(tmp_path / "cache")))
