"""Roots are entered in namespaces of their own; whatever happens, nothing stays mounted, running or changed.

The machine's own programs, bound read-only, serve as the system, so that no image is needed.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from harness.build import chroot
from harness.build.chroot import Bind, Root
from harness.build.errors import BuildError
from harness.wait import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root: run `labctl test` as root")


@pytest.fixture
def root(tmp_path: Path) -> Root:
    layer = tmp_path / "layer"
    (layer / "srv").mkdir(parents=True)
    (layer / "srv/mark").write_text("top\n")
    (tmp_path / "below/srv").mkdir(parents=True)
    (tmp_path / "below/srv/mark").write_text("below\n")
    (tmp_path / "below/srv/other").write_text("below\n")
    for folder in ("proc", "sys", "dev", "run", "tmp", "mnt", "usr"):
        (layer / folder).mkdir()
    for link in ("bin", "sbin", "lib", "lib64"):
        (layer / link).symlink_to(f"usr/{link}")
    return Root((layer, tmp_path / "below"), binds=(Bind(Path("/usr"), "/usr"),))


def run(root: Root, tmp_path: Path, script: str) -> str:
    with (tmp_path / "out").open("wb") as out:
        code = chroot.run_in_root(root, ["sh", "-c", script], stdout=out)
    text = (tmp_path / "out").read_text()
    assert code == 0, text
    return text


def mounts_below(path: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if line.split()[4].startswith(str(path))]


def test_layers_are_one_root_and_writes_are_forgotten(root: Root, tmp_path: Path) -> None:
    assert run(root, tmp_path, "cat /srv/*; echo new > /srv/mark; cat /srv/mark") == "top\nbelow\nnew\n"
    assert (root.layers[0] / "srv/mark").read_text() == "top\n"


def test_the_exit_status_passes_through(root: Root) -> None:
    assert chroot.run_in_root(root, ["sh", "-c", "exit 7"]) == 7


def test_an_upper_folder_keeps_what_is_written(root: Root, tmp_path: Path) -> None:
    work, upper = tmp_path / "work", tmp_path / "upper"
    work.mkdir()
    upper.mkdir()
    kept = replace(root, upper=upper)
    argv = chroot.command(kept, work, ["sh", "-c", "echo new > /srv/new; rm /srv/mark"])
    chroot.run_logged(argv, kept.environment(), tmp_path / "log", "writing")
    assert (upper / "srv/new").read_text() == "new\n"
    assert (upper / "srv/mark").is_char_device()
    assert (root.layers[0] / "srv/mark").exists()


def test_binds_are_read_only_unless_asked(root: Root, tmp_path: Path) -> None:
    shown, open_ = tmp_path / "shown", tmp_path / "open"
    for folder in (shown, open_):
        folder.mkdir()
        (folder / "file").write_text("before\n")
    bound = replace(root, binds=(*root.binds, Bind(shown, "/mnt/a b"), Bind(open_, "/mnt/open", writable=True)))
    script = 'cat "/mnt/a b/file"; echo x 2>/dev/null > "/mnt/a b/file" || echo refused; echo after > /mnt/open/file'
    assert run(bound, tmp_path, script) == "before\nrefused\n"
    assert (shown / "file").read_text() == "before\n"
    assert (open_ / "file").read_text() == "after\n"


def test_the_machine_is_not_seen(root: Root, tmp_path: Path) -> None:
    """Its processes, its environment and its temporary files stay outside."""
    os.environ["ELASTICLAB_TEST_SECRET"] = "secret"
    try:
        text = run(root, tmp_path, "env; ls /tmp; ls -d /proc/[0-9]* | wc -l")
    finally:
        del os.environ["ELASTICLAB_TEST_SECRET"]
    assert "secret" not in text
    assert tmp_path.parts[2] not in text
    assert int(text.splitlines()[-1]) < 10


def test_nothing_stays_mounted(root: Root, tmp_path: Path) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    run(root, tmp_path, "true")
    assert Path("/proc/self/mountinfo").read_text() == before


def test_a_killed_run_leaves_no_process_and_no_mount(root: Root, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    mark = f"987{os.getpid()}"
    argv = chroot.command(root, work, ["sh", "-c", f"setsid sleep {mark} & echo up; wait"])
    process = subprocess.Popen(argv, env=root.environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.kill()
    process.wait()
    process.stdout.close()
    wait_for("the sleeper is gone", lambda: Gone(mark), 30, interval=0.01)
    assert mounts_below(work) == []


class Gone:
    """That no process sleeps with this mark; else what is known of it, for whoever reads that it stayed."""

    def __init__(self, mark: str) -> None:
        self.seen = ""
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (folder / "cmdline").read_bytes() == f"sleep\0{mark}\0".encode():
                    self.seen = "".join((folder / what).read_text() for what in ("status", "wchan", "stack"))

    def __bool__(self) -> bool:
        return not self.seen

    def __repr__(self) -> str:
        return self.seen


def test_a_failure_names_step_end_and_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(BuildError) as caught:
        chroot.run_logged(["sh", "-c", "echo broken pipe in the cellar; exit 3"], os.environ, log, "plumbing")
    message = str(caught.value)
    assert "plumbing failed (exit status 3)" in message
    assert "broken pipe in the cellar" in message
    assert str(log) in message
