"""LAB-07: tests at once have a lab host each; none notices the others, and nothing of any stays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness import lab as labs
from harness.paths import REPOSITORY, TOPOLOGIES, labs_dir
from harness.wait import wait_for
from tests.lab.inner import results
from tests.lab.remains import abandoned_interfaces, traces

SECONDS = 600
# Each says what it has, waits for all others, and breaks what it has while others look at theirs.
INNER = """
import contextlib
import json
import os
from pathlib import Path
import pytest
from harness.host import keeper
from harness.wait import wait_for

PLACE, COUNT = Path(os.environ["PLACE"]), int(os.environ["COUNT"])

def small(number):
    return pytest.param(number, marks=pytest.mark.topology(f"{PLACE}/small-{number}.clab.yml"))

def everybody(step, number, **told):
    (PLACE / f"{step}-{number}").write_text(json.dumps(told))
    wait_for(f"{step} everywhere", lambda: len(list(PLACE.glob(f"{step}-*"))) == COUNT, 240)

def memory(pid):
    # And of all below it; what is shared, by its share.
    try:
        told = Path(f"/proc/{pid}/smaps_rollup").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it ended meanwhile
        return 0
    own = [int(line.split()[1]) for line in told.splitlines() if line.startswith("Pss:")]
    return sum(own) + sum(map(memory, children))

@pytest.mark.parametrize("number", list(map(small, range(COUNT))))
def test_is_alone(lab, number):
    host = keeper.find(lab.place.folder)
    addresses = [node.management_address for node in lab.nodes.values()]
    boot = lab["host-1"].exec("cat", "/proc/sys/kernel/random/boot_id").strip()
    everybody("up", number, lab=lab.name, host=host, addresses=addresses, boot=boot, kilobytes=memory(host))
    lab["host-1"].sh(f"ip link add of-{number} type bridge")
    with lab.link("host-1:lan").cut() if number % 2 else contextlib.nullcontext():
        everybody("broken", number)
        assert lab["host-1"].reaches("10.2.0.10") == (number % 2 == 0)
        assert lab["host-1"].sh("ls -d /sys/class/net/of-*").split() == [f"/sys/class/net/of-{number}"]
        everybody("seen", number)
    lab["host-1"].must_reach("10.2.0.10", 10)
"""


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """With a state folder of its own, whose path is short enough for sockets."""
    made = Path(tempfile.mkdtemp(prefix="many-"))
    monkeypatch.setenv("ELASTICLAB_STATE", str(made / "state"))
    yield made
    for lab in labs.known_labs():
        labs.down(lab.name)
    shutil.rmtree(made)


def side_by_side(folder: Path, count: int, command: Sequence[str]) -> list[dict[str, Any]]:
    """So many tests, each on a lab of its own, at once; what they told while all were there."""
    plain = (TOPOLOGIES / "plain/plain.clab.yml").read_text()
    for number in range(count):
        (folder / f"small-{number}.clab.yml").write_text(plain.replace("name: plain", f"name: small-{number}"))
    (folder / "test_many.py").write_text(INNER)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PLACE": str(folder), "COUNT": str(count)}
    done = subprocess.run(
        [sys.executable, "-P", "-m", *command], cwd=REPOSITORY, env=environment, capture_output=True, text=True,
        check=False, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{count} passed" in done.stdout
    told = [json.loads(file.read_text()) for file in sorted(folder.glob("up-*"))]
    for what in ("lab", "host", "addresses"):
        assert len({json.dumps(one[what]) for one in told}) == count, f"no two have the same {what}"
    threads = {
        label["value"] for one in results(folder / "results") for label in one["labels"] if label["name"] == "thread"
    }
    assert len(threads) == count, "a worker each"
    assert [line for one in told for line in traces(one["lab"])] == []
    assert list(labs_dir().iterdir()) == []
    wait_for("all interfaces of dead labs to be gone", lambda: not abandoned_interfaces(), 10)
    return told


def test_two_workers_have_a_lab_host_each(folder: Path) -> None:
    # Plugins that take a second to import.
    without = [option for plugin in ("cacheprovider", "schemathesis", "locust") for option in ("-p", f"no:{plugin}")]
    options = ["-n2", "--dist=loadgroup", "--lab-host=local", f"--alluredir={folder}/results", *without]
    side_by_side(folder, 2, ["pytest", "-q", *options, "--rootdir", str(folder), f"{folder}/test_many.py"])


@pytest.mark.exhaustive
def test_four_workers_have_a_lab_kernel_each(folder: Path) -> None:
    """As somebody types it."""
    verb = ["harness.cli", "test", "--only", "lab", "-n", "4", "--results", f"{folder}/results"]
    told = side_by_side(
        folder, 4, [*verb, "--", "-k", "test_is_alone", "--lab-host=lab-kernel", f"{folder}/test_many.py"]
    )
    assert len({one["boot"] for one in told}) == 4, "a kernel each"
    print("memory of each lab host (MB):", *(one["kilobytes"] // 1024 for one in told))
