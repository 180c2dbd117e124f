"""Labs come and go: side by side, twice, killed in the middle, and always without a trace."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import lab as labs
from harness import topology as topologies
from harness.build.progress import Silent
from harness.host import keeper, open_host
from harness.host.local import Local
from harness.host.slot import SLOTS, Slot
from harness.lab import Lab, LabError
from harness.lab.lifecycle import Timings
from harness.lab.record import place_of
from harness.paths import labs_dir
from harness.wait import wait_for
from tests.lab.remains import traces

HOST_2 = "10.2.0.10"
# Kinds of lab host, and the engine that has its own: containerlab's needs more of a kernel than `plain` does.
KINDS = ["local", "lab-kernel", "containerlab"]


def asked(kind: str) -> dict[str, str]:
    """What of `up` makes this kind."""
    return {"engine": kind} if kind == "containerlab" else {"host": kind}


LABCTL = [sys.executable, "-m", "harness.cli"]


def labctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*LABCTL, *arguments], capture_output=True, text=True, check=False)


def bring_up(name: str, kind: str) -> Lab:
    return labs.up(topologies.load("plain"), name=name, **asked(kind), progress=Silent(), timings=Timings())


@pytest.fixture
def name() -> Iterator[str]:
    """A name for a lab; whatever became of the lab, it is gone afterwards."""
    chosen = f"life-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}-{os.getpid()}"
    yield chosen
    if place_of(chosen).folder.exists():
        labs.down(chosen)
    assert traces(chosen) == []


@pytest.mark.parametrize("kind", KINDS)
def test_down_leaves_nothing(name: str, kind: str) -> None:
    bring_up(name, kind).close()
    slot = open_host(place_of(name)).slot
    link = Path("/sys/class/net", slot.device)
    number = (link / "ifindex").read_text()
    assert traces(name), "a lab that is up can be found"
    assert labs.down(name) == []
    assert traces(name) == []
    # Another lab may have taken the slot meanwhile, with an interface of the same name.
    assert not link.exists() or (link / "ifindex").read_text() != number
    with pytest.raises(LabError, match="there is no lab"):
        labs.down(name)


@pytest.mark.parametrize("kind", KINDS)
def test_demolish_takes_the_world_apart_on_a_host_that_goes_on(name: str, kind: str) -> None:
    with bring_up(name, kind) as lab:
        assert lab.agent.call("audit") != [], "the audit sees a lab that is up"
        assert lab.engine.demolish() == []
        assert lab.engine.demolish() == [], "and may be repeated"


@pytest.mark.parametrize("kind", ["local", "containerlab"])
def test_up_is_idempotent_and_repairs(name: str, kind: str) -> None:
    with bring_up(name, kind) as lab:
        lab["host-1"].sh("touch /root/mine")
        lab["host-2"].power.off()
        before = lab.engine.states()
    with bring_up(name, kind) as lab:
        lab["host-1"].must_reach(HOST_2)
        assert lab["host-1"].run("test", "-e", "/root/mine").ok, "what was running was not touched"
        assert lab.engine.states()["host-1"] == before["host-1"]


def test_another_topology_under_the_same_name_is_refused(name: str, tmp_path: Path) -> None:
    bring_up(name, "local").close()
    changed = tmp_path / "plain.clab.yml"
    changed.write_text(topologies.load("plain").path.read_text().replace("10.2.0.10", "10.2.0.11"))
    with pytest.raises(LabError, match="labctl down"):
        labs.up(topologies.load(changed), name=name, progress=Silent(), timings=Timings())


def test_two_labs_side_by_side_do_not_see_each_other(name: str) -> None:
    second = f"{name}-b"
    try:
        with bring_up(name, "local") as one, bring_up(second, "lab-kernel") as other:
            one["host-1"].must_reach(HOST_2)
            other["host-1"].must_reach(HOST_2)
            assert one["host-1"].management_address != other["host-1"].management_address
            one["host-1"].must_not_reach(other["host-1"].management_address)
            with other.link("host-1:lan").cut():
                one["host-1"].must_reach(HOST_2)
        assert labs.down(second) == []
        with labs.attach(name) as one:
            one["host-1"].must_reach(HOST_2)
    finally:
        if place_of(second).folder.exists():
            labs.down(second)


@pytest.mark.parametrize("kind", KINDS)
def test_a_lab_whose_host_was_killed_is_brought_up_again_with_its_disks(name: str, kind: str) -> None:
    with bring_up(name, kind) as lab:
        lab["host-1"].sh("echo kept > /root/kept; sync")
    keeper.kill(place_of(name).folder)
    with pytest.raises(LabError, match="lost its host"):
        labs.attach(name)
    with bring_up(name, kind) as lab:
        assert lab["host-1"].exec("cat", "/root/kept") == "kept\n"
        lab["host-1"].must_reach(HOST_2)


def test_an_up_with_containerlab_killed_at_any_moment_leaves_nothing_that_down_or_up_trips_over(
    name: str, chance: random.Random
) -> None:
    """What `test_killing` does on the other kinds of lab host, as far as time allows."""
    for round_number in range(4):
        process = subprocess.Popen(
            [sys.executable, "-m", "harness.cli", "up", "plain", "--name", name, "--engine", "containerlab"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(timeout=chance.uniform(0.3, 8))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if round_number == 1 and place_of(name).folder.exists():
            assert labs.down(name) == []
            assert traces(name) == []
    with bring_up(name, "containerlab") as lab:
        lab["host-1"].must_reach(HOST_2)
    assert labs.down(name) == []


def test_a_host_that_nobody_has_written_down_ends_with_its_lab(name: str) -> None:
    bring_up(name, "local").close()
    folder = place_of(name).folder
    (folder / "host.json").unlink()
    assert keeper.find(folder) is not None
    assert labs.down(name) == []
    assert keeper.find(folder) is None


@pytest.mark.parametrize("kind", ["local", "lab-kernel"])
def test_a_closed_or_killed_host_leaves_nobody_who_talks_to_it(name: str, kind: str) -> None:
    """An ssh of a `labctl` that was killed goes on; without this one it would for most of a minute."""
    lab = bring_up(name, kind)
    folder = place_of(name).folder
    subprocess.Popen(lab.host.command("sleep", "60"), stdin=subprocess.DEVNULL)
    keeper.kill(folder)
    (folder / "host.json").unlink()
    assert labs.down(name) == []
    assert traces(name) == []
    lab.close()


def test_a_running_host_holds_its_disk(name: str) -> None:
    """Whoever starts the next one waits for that: two hosts on one disk would break it."""
    lab = bring_up(name, "local")
    assert isinstance(lab.host, Local)
    assert not lab.host.disk_is_free()
    lab.host.stop()
    wait_for("the disk to be let go", lab.host.disk_is_free, 10)
    lab.close()


def test_down_says_what_it_could_not_remove_with_status_4_and_removes_it_when_it_can(name: str) -> None:
    bring_up(name, "local").close()
    folder = place_of(name).folder
    held = subprocess.run(
        ["losetup", "--find", "--show", folder / "disk.img"], capture_output=True, text=True, check=True
    ).stdout.strip()
    subprocess.run(["mount", "-t", "tmpfs", "mine", folder / "factory"], check=True)
    stays = open_host(place_of(name)).command("sh", "-c", "cd /run/elasticlab/nodes/host-1/root; echo; exec sleep 60")
    staying = subprocess.Popen(stays, stdout=subprocess.PIPE)
    assert staying.stdout is not None
    staying.stdout.readline()
    try:
        done = labctl("down", name)
        assert done.returncode == 4
        assert f"left over: loop device {Path(held).name}" in done.stdout
        assert f"left over: mount {folder}/factory" in done.stdout
        assert "left over: part of the world, until its host was ended: demolish: " in done.stdout
        assert "umount /run/elasticlab/nodes/host-1/root: Device or resource busy" in done.stdout.replace("\n", " ")
        (grave,) = labs_dir().glob(f".{name}.removed.*")
        assert f"left over: folder {grave}" in done.stdout
        subprocess.run(["umount", grave / "factory"], check=True)
    finally:
        subprocess.run(["losetup", "--detach", held], check=True)
        staying.wait(10)
    assert labctl("down", name).returncode == 0
    assert labctl("down", name).returncode == 1


def test_up_shows_on_a_terminal_how_far_it_is_and_gives_its_json_to_whoever_reads_that(name: str) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*LABCTL, "up", "plain", "--name", name, "--host", "local", "--json"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    ) as process:
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # how a terminal says that nobody writes to it any more (pty(7))
            while read := os.read(ours, 65536):
                seen += read
        os.close(ours)
        assert process.stdout is not None
        assert json.loads(process.stdout.read())["lab"] == name
    assert process.returncode == 0
    assert f"lab {name}".encode() in seen
    assert b"starting the lab host" in seen
    assert seen.rindex(b"\x1b[2K") > seen.rindex(b"lab " + name.encode()), "nothing of it stays"


def test_a_slot_is_free_again_when_its_lab_is_dead(name: str) -> None:
    bring_up(name, "local").close()
    taken = open_host(place_of(name)).slot
    assert 0 <= taken.index < SLOTS
    keeper.kill(place_of(name).folder)
    wait_for("the management link to vanish", lambda: not Path(f"/sys/class/net/{taken.device}").exists(), 20)
    labs.down(name)
    bring_up(name, "local").close()
    # The lowest that is free, unless another worker's lab was quicker.
    assert open_host(place_of(name)).slot.index <= taken.index or others_at(taken, name)


def others_at(place: Slot, name: str) -> list[str]:
    """Other labs at this slot."""
    hosts = (lab for lab in labs.known_labs() if lab.name != name and (lab.place.folder / "host.json").exists())
    return [lab.name for lab in hosts if open_host(lab.place).slot == place]


@pytest.mark.parametrize("bad", ["../x", "a b", "..", "A", "x" * 41, "nosuch/../x"])
def test_a_name_that_could_lead_elsewhere_is_refused(bad: str) -> None:
    for attempt in (labs.down, labs.attach, lambda name: bring_up(name, "local")):
        with pytest.raises(LabError, match="cannot name a lab"):
            attempt(bad)


def test_down_ends_faults_and_whoever_runs_them(name: str) -> None:
    with bring_up(name, "local") as lab:
        running = subprocess.Popen(
            [sys.executable, "-m", "harness.cli", "fault", "run", "line-cut", "--on", "host-1:lan", "--lab", name],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for("the fault to begin", lambda: lab.faults_in_effect() != [], 30)
    assert labs.down(name) == []
    _, said = running.communicate(timeout=30)
    assert running.returncode == 1
    assert "is gone, and its faults with it" in said.replace("\n", " ")
