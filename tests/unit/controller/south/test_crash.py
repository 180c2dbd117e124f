"""kill -9 of the controller at every step of a network-wide commit: afterwards all devices have it, or none."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from controller.southbound.executor import Executor
from controller.southbound.journal import Journal

NAMES = ("ucpe-1", "ucpe-2", "vmsr-1")
BEFORE = [
    ("locked", ""),
    ("prepare", "ucpe-1"),
    ("prepare", "vmsr-1"),
    ("begun", ""),
    *(("commit", name) for name in NAMES),
    ("probe", ""),
    ("probed", ""),
]
AFTER = [("decided", ""), *(("confirm", name) for name in NAMES), ("settled", "")]
NEW = (
    '<interfaces xmlns="urn:ietf:params:xml:ns:yang:ietf-interfaces"><interface><name>gre-1</name>'
    '<type xmlns:t="urn:ietf:params:xml:ns:yang:iana-if-type">t:ethernetCsmacd</type></interface></interfaces>'
)


async def killed(fleet: Any, die: tuple[str, str] | None, directory: Path) -> int:
    settings = {
        "devices": {name: {"port": fleet[name].port, "edit": NEW} for name in NAMES},
        "ca": str(fleet["vmsr-1"].authority.ca),
        "database": str(directory / "controller.sqlite"),
        "die": list(die or ()),
        **{kind: str(path) for kind, path in fleet["vmsr-1"].authority.issue("controller").items()},
    }
    (directory / "settings.json").write_text(json.dumps(settings))
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).with_name("crash_child.py")), str(directory / "settings.json")
    )
    async with asyncio.timeout(30):
        return await child.wait()


def reborn(journal: Journal) -> Journal:
    """The journal as the next process finds it."""
    return Journal(journal._database)


async def settled(executor: Executor, device: str) -> str | None:
    """The device's answer to its last word, once it has seen that the dead controller's session, and lock, are gone."""
    async with asyncio.timeout(10):
        while "lock-denied" in ((reason := await executor.settle(device)) or ""):  # noqa: ASYNC110 - it is another's socket
            await asyncio.sleep(0.01)
    return reason


@pytest.mark.parametrize("die", [*BEFORE, *AFTER], ids="-".join)
async def test_killed(fleet: Any, journal: Journal, tmp_path: Path, die: tuple[str, str]) -> None:
    """The controller's next life tells devices the last word; the decision stands."""
    assert await killed(fleet, die, tmp_path) == -signal.SIGKILL
    journal = reborn(journal)
    executor = Executor(journal, fleet.session)
    for name in NAMES:
        assert await settled(executor, name) is None
    assert fleet.have("gre-1") == (set(NAMES) if die in AFTER else set())
    assert not any(fleet[name].pending for name in NAMES)
    assert not journal.debtors()
    # Confirmed without our noting it looks like reverted: such a device is compared before it counts as up to date.
    assert not journal.fenced() or die[0] == "confirm"
    for name in NAMES:  # and nothing of it survives, or is lost in, a power cut
        await fleet[name].reboot()
    assert fleet.have("gre-1") == (set(NAMES) if die in AFTER else set())


async def test_not_killed(fleet: Any, journal: Journal, tmp_path: Path) -> None:
    assert await killed(fleet, None, tmp_path) == 0
    assert fleet.have("gre-1") == set(NAMES)
    assert not reborn(journal).debtors()


async def test_killed_after_the_decision_and_a_device_reboots(fleet: Any, journal: Journal, tmp_path: Path) -> None:
    """It comes up with its old configuration: fenced, so that it is brought forward; the others keep the new one."""
    assert await killed(fleet, ("decided", ""), tmp_path) == -signal.SIGKILL
    await fleet["ucpe-2"].reboot()
    await fleet.connect("ucpe-2")
    journal = reborn(journal)
    executor = Executor(journal, fleet.session)
    for name in NAMES:
        assert await executor.settle(name) is None
    assert fleet.have("gre-1") == {"ucpe-1", "vmsr-1"}
    assert journal.fenced().keys() == {"ucpe-2"}
    assert "must be compared" in journal.fenced()["ucpe-2"]
    assert (await executor.run({"ucpe-2": NEW})).decided
    assert fleet.have("gre-1") == set(NAMES)


async def test_killed_while_a_device_is_away(fleet: Any, journal: Journal, tmp_path: Path) -> None:
    """The last word waits for it, over any number of restarts."""
    assert await killed(fleet, ("decided", ""), tmp_path) == -signal.SIGKILL
    fleet.vanish("ucpe-1")
    journal = reborn(journal)
    executor = Executor(journal, fleet.session)
    assert await executor.settle("ucpe-1") == "it is not connected"
    assert journal.debtors() == set(NAMES)
    await fleet.connect("ucpe-1")
    assert await Executor(journal, fleet.session).settle("ucpe-1") is None
    assert journal.debtors() == {"ucpe-2", "vmsr-1"}
    assert not fleet["ucpe-1"].pending
