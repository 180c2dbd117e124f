"""LAB-06: what a report says of a test whose lab died under it, or never came up."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from harness import lab as labs
from harness import topology as topologies
from harness.build.progress import Silent
from harness.evidence import difference
from harness.evidence.witness import Witness
from harness.faults import Cut
from harness.faults.scenario import of
from harness.host import keeper
from harness.lab import Lab
from harness.lab.faults import prepared
from harness.lab.lifecycle import Timings
from harness.lab.record import place_of


@pytest.fixture
def mortal(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A lab of the test's own, on that kind of host, which it may kill."""
    name, plain = f"mortal-{os.getpid()}", topologies.load("plain")
    with labs.up(plain, name=name, host=request.param, progress=Silent(), timings=Timings()) as lab:
        yield lab
    labs.down(name)


def reported(witness: Witness) -> tuple[dict[str, str], str]:
    """What is attached, and what the test's error says beside."""
    error = AssertionError("no route to host")
    witness.failed(error)
    return {exhibit.name: exhibit.text for exhibit in witness.seen}, " ".join(error.__notes__)


@pytest.mark.parametrize("mortal", ["local"], indirect=True)
def test_an_agent_that_died_is_named_and_another_one_looks(mortal: Lab) -> None:
    before = difference.taken(mortal)
    prepared(mortal, of((Cut("host-1:lan"),))).begin()
    mortal["router"].sh("ip link add of-the-test type bridge")
    witness = Witness(mortal, "test_x", lambda: before)
    subprocess.run(mortal.host.command("kill", "-KILL", str(mortal.agent.call("pid"))), check=True)
    assert mortal.agent.lost.wait(10)
    seen, note = reported(witness)
    assert note == "the lab's agent went away; its lab host lives"
    assert "on purpose: cut on host-1:lan" in seen["what is not as it was"]
    assert "+ of-the-test: " in seen["what is not as it was"]
    assert "of-the-test" in seen["router"]


@pytest.mark.parametrize("mortal", ["lab-kernel"], indirect=True)
def test_of_a_lab_host_that_died_there_is_what_it_said_last(mortal: Lab) -> None:
    before = difference.taken(mortal)
    witness = Witness(mortal, "test_x", lambda: before)
    mortal.place.log.write_text("out of memory")
    keeper.kill(place_of(mortal.name).folder)
    begun = time.monotonic()
    seen, note = reported(witness)
    assert time.monotonic() - begun < 10, "nobody waits for its answers"
    assert note.startswith("the lab host is gone")
    assert seen["what is not as it was"].startswith("the lab host is gone")
    assert seen["lab host"] == "out of memory"
    assert "no answer" in seen["router"]
    assert "no route to host" in seen["timeline"]
