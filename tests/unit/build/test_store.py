"""Entries appear whole or not at all, one builder at a time; what the dead leave is swept away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.build.errors import BuildError
from harness.build.progress import Silent
from harness.build.store import Store, cache_dir

DIGEST = "a" * 64
OTHER = "b" * 64

# A builder that has begun and never ends; it says so by a line.
BUILDER = """
import sys, time
from pathlib import Path
from harness.build.progress import Silent
from harness.build.store import Store
store = Store(Path(sys.argv[1]))
with store.locked(sys.argv[2], "image", Silent()), store.workspace(sys.argv[2]) as work:
    (work / "half").write_text("half")
    print("building", flush=True)
    time.sleep(600)
"""


class Heard(Silent):
    def __init__(self) -> None:
        self.steps: list[str] = []
        self.event = threading.Event()

    def step(self, what: str, text: str) -> None:
        self.steps.append(f"{what}: {text}")
        self.event.set()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


@pytest.fixture
def builder(store: Store):
    process = subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(store.root), DIGEST], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "building\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def publish(store: Store, digest: str, text: str = "whole") -> Path:
    with store.locked(digest, "image", Silent()), store.workspace(digest) as work:
        entry = work / "entry"
        (entry / "root").mkdir(parents=True)
        (entry / "root/file").write_text(text)
        return store.publish(digest, entry, {"image": "base"})


def test_a_published_entry_is_found_with_its_record(store: Store) -> None:
    path = publish(store, DIGEST)
    assert store.lookup(DIGEST) == path
    assert (path / "root/file").read_text() == "whole"
    assert store.meta(DIGEST)["image"] == "base"
    assert list(store.folder("tmp").iterdir()) == []


def test_what_is_not_published_is_not_found(store: Store) -> None:
    with store.workspace(DIGEST) as work:
        (work / "file").write_text("x")
        assert store.lookup(DIGEST) is None
    assert list(store.folder("tmp").iterdir()) == []


def test_a_failed_build_leaves_nothing(store: Store) -> None:
    def fail() -> None:
        with store.locked(DIGEST, "image", Silent()), store.workspace(DIGEST) as work:
            (work / "file").write_text("x")
            raise BuildError("no")

    with pytest.raises(BuildError):
        fail()
    assert store.lookup(DIGEST) is None
    assert list(store.folder("tmp").iterdir()) == []


def test_a_killed_builder_leaves_no_entry_and_the_next_one_sweeps(store: Store, builder: subprocess.Popen[str]) -> None:
    builder.send_signal(signal.SIGKILL)
    builder.wait()
    assert len(list(store.folder("tmp").iterdir())) == 1
    assert store.lookup(DIGEST) is None
    publish(store, DIGEST)
    assert list(store.folder("tmp").iterdir()) == []
    assert store.lookup(DIGEST) is not None


def test_prune_takes_from_the_dead_only(store: Store, builder: subprocess.Popen[str]) -> None:
    dead = store.folder("tmp") / f"{OTHER}.dead"
    dead.mkdir()
    assert store.prune() == 1
    assert not dead.exists()
    assert len(list(store.folder("tmp").iterdir())) == 1
    builder.kill()
    builder.wait()
    assert store.prune() == 1
    assert list(store.folder("tmp").iterdir()) == []


def test_who_waits_says_for_whom(store: Store, builder: subprocess.Popen[str]) -> None:
    heard = Heard()
    got = threading.Event()

    def wait() -> None:
        with store.locked(DIGEST, "image base", heard):
            got.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert heard.event.wait(10)
    assert heard.steps == [f"image base: waiting for process {builder.pid}, which is at it already"]
    assert not got.is_set()
    builder.kill()
    assert got.wait(10)
    thread.join()


def test_other_digests_are_not_waited_for(store: Store, builder: subprocess.Popen[str]) -> None:
    del builder
    heard = Heard()
    with store.locked(OTHER, "image", heard):
        assert heard.steps == []


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("ELASTICLAB_CACHE", raising=False)
    assert cache_dir() == tmp_path / "xdg/elasticlab"
    monkeypatch.setenv("ELASTICLAB_CACHE", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"


def test_a_relative_xdg_folder_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG base directory specification: relative paths are invalid and are to be ignored."""
    monkeypatch.delenv("ELASTICLAB_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_dir() == Path.home() / ".cache/elasticlab"


@pytest.mark.parametrize("name", ["a:b", "a,b"])
def test_paths_that_overlayfs_cannot_take_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BuildError, match="ELASTICLAB_CACHE"):
        Store(tmp_path / name)


def test_locks_are_not_inherited(store: Store) -> None:
    """A child that outlives the builder must not hold the lock for ever."""
    with store.locked(DIGEST, "image", Silent()):
        child = subprocess.Popen(["sleep", "600"], close_fds=False)
    try:
        with store.locked(DIGEST, "image", Silent()):
            pass
        assert os.path.exists(f"/proc/{child.pid}")
    finally:
        child.kill()
        child.wait()
