"""The network-wide commit on real NETCONF servers: all or none, whoever refuses, vanishes, reboots or is in the way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from controller.southbound import patience
from controller.southbound.executor import Executor, Timing
from controller.southbound.journal import MIGRATION, Journal
from stackkit.database import Database
from yangkit.errors import RpcError

NAMES = ("ucpe-1", "ucpe-2", "vmsr-1")
QUICK = Timing(confirm=60, lock=0.6, probe=5)


def edit(name: str, operation: str = "replace") -> str:
    return (
        '<interfaces xmlns="urn:ietf:params:xml:ns:yang:ietf-interfaces" '
        'xmlns:nc="urn:ietf:params:xml:ns:netconf:base:1.0">'
        f'<interface nc:operation="{operation}"><name>{name}</name>'
        '<type xmlns:t="urn:ietf:params:xml:ns:yang:iana-if-type">t:ethernetCsmacd</type></interface></interfaces>'
    )


def edits(name: str = "gre-1") -> dict[str, str]:
    return dict.fromkeys(NAMES, edit(name))


@pytest.fixture
def executor(fleet: Any, journal: Journal) -> Executor:
    return Executor(journal, fleet.session, QUICK)


def clean(fleet: Any, journal: Journal) -> bool:
    """No lock, no pending commit, no open transaction."""
    devices = fleet.devices.values()
    return not any(device.stores.locks or device.pending for device in devices) and not journal.debtors()


async def test_all_get_it(fleet: Any, journal: Journal, executor: Executor) -> None:
    seen: list[bool] = []

    async def probe() -> None:
        seen.extend(device.pending for device in fleet.devices.values())

    outcome = await executor.run(edits(), probe)
    assert outcome.decided
    assert outcome.committed == set(NAMES)
    assert seen == [True] * 3
    assert fleet.have("gre-1") == set(NAMES)
    assert clean(fleet, journal)
    for name in NAMES:
        await fleet[name].reboot()
    assert fleet.have("gre-1") == set(NAMES)


async def test_removal(fleet: Any, journal: Journal, executor: Executor) -> None:
    await executor.run(edits())
    assert (await executor.run({"vmsr-1": edit("gre-1", "remove")})).decided
    assert fleet.have("gre-1") == {"ucpe-1", "ucpe-2"}


async def test_a_device_refuses_the_edit(fleet: Any, journal: Journal, executor: Executor) -> None:
    wrong = {**edits(), "ucpe-2": edit("gre-1").replace("ethernetCsmacd", "carrierPigeon")}
    outcome = await executor.run(wrong)
    assert not outcome.decided
    assert outcome.refused.keys() == {"ucpe-2"}
    assert "carrierPigeon" in outcome.reason
    assert not fleet.have("gre-1")
    assert clean(fleet, journal)
    assert not journal.fenced()


async def test_a_device_refuses_the_commit(fleet: Any, journal: Journal, executor: Executor) -> None:
    """The others have committed already: they go back."""
    fleet["vmsr-1"].system.refuse = "no memory left"
    outcome = await executor.run(edits())
    assert not outcome.decided
    assert "vmsr-1: operation-failed: no memory left" in outcome.reason
    assert not fleet.have("gre-1")
    assert clean(fleet, journal)
    assert fleet["ucpe-1"].system.applied[-1] == {}


@pytest.mark.parametrize("how", ["says", "raises", "hangs"])
async def test_the_probe_fails(fleet: Any, journal: Journal, how: str) -> None:
    async def probe() -> str | None:
        if how == "raises":
            raise RuntimeError("no ping")
        if how == "hangs":
            await asyncio.Event().wait()
        return "no ping"

    outcome = await Executor(journal, fleet.session, Timing(confirm=60, probe=0.2)).run(edits(), probe)
    assert not outcome.decided
    assert ("no result" if how == "hangs" else "no ping") in outcome.reason
    assert not fleet.have("gre-1")
    assert clean(fleet, journal)


async def test_not_connected(fleet: Any, journal: Journal, executor: Executor) -> None:
    """One unplugged branch blocks nobody; it is fenced."""
    fleet.vanish("ucpe-1")
    outcome = await executor.run(edits())
    assert outcome.committed == {"ucpe-2", "vmsr-1"}
    assert outcome.fenced == {"ucpe-1": "it is not connected"}
    assert journal.fenced() == outcome.fenced
    assert clean(fleet, journal)
    await fleet.connect("ucpe-1")
    assert await executor.settle("ucpe-1") is None
    assert (await executor.run({"ucpe-1": edit("gre-1")})).decided
    assert fleet.have("gre-1") == set(NAMES)


async def test_nobody_is_connected(fleet: Any, journal: Journal, executor: Executor) -> None:
    for name in NAMES:
        fleet.vanish(name)
    outcome = await executor.run(edits())
    assert not outcome.decided
    assert journal.fenced().keys() == set(NAMES)


STEPS = ("locked", "prepare", "begun", "commit", "probed", "decided", "confirm")


@pytest.mark.parametrize("reboots", [False, True], ids=["cable", "power"])
@pytest.mark.parametrize("step", STEPS)
async def test_one_vanishes(fleet: Any, journal: Journal, step: str, reboots: bool) -> None:
    """At any step: the rest get it, and the one that went gets it when it is back."""
    lost: list[asyncio.Task[None]] = []

    def vanish(now: str, device: str) -> None:
        if now == step and device in ("", "ucpe-2") and not lost:
            fleet.vanish("ucpe-2")
            lost.append(asyncio.create_task(fleet["ucpe-2"].reboot() if reboots else asyncio.sleep(0)))

    executor = Executor(journal, fleet.session, QUICK, vanish)
    outcome = await executor.run(edits())
    assert outcome.decided
    assert {"ucpe-1", "vmsr-1"} <= outcome.committed
    assert fleet.have("gre-1") >= {"ucpe-1", "vmsr-1"}
    await asyncio.gather(*lost)
    if step != "confirm":
        assert journal.fenced().keys() == {"ucpe-2"}
    await fleet.connect("ucpe-2")
    assert await executor.settle("ucpe-2") is None
    assert not fleet["ucpe-2"].pending
    assert not journal.debtors()
    assert (await executor.run({"ucpe-2": edit("gre-1")})).decided
    assert fleet.have("gre-1") == set(NAMES)
    assert clean(fleet, journal)


async def test_it_vanishes_while_it_commits(fleet: Any, journal: Journal, executor: Executor) -> None:
    """Nobody knows whether it did: after the decision it is confirmed when it is back."""

    def cut() -> None:
        fleet["ucpe-2"].system.during = None
        fleet.vanish("ucpe-2")

    fleet["ucpe-2"].system.during = cut
    outcome = await executor.run(edits())
    assert outcome.committed == {"ucpe-1", "vmsr-1"}
    assert journal.debtors() == {"ucpe-2"}
    assert fleet["ucpe-2"].pending
    await fleet.connect("ucpe-2")
    assert await executor.settle("ucpe-2") is None
    assert fleet.have("gre-1") == set(NAMES)
    assert clean(fleet, journal)


async def test_it_vanishes_while_another_refuses(fleet: Any, journal: Journal, executor: Executor) -> None:
    """Everything reverts, and the one that is away hears it before it takes part again."""
    fleet["vmsr-1"].system.refuse = "no"

    def cut() -> None:
        fleet["ucpe-2"].system.during = None
        fleet.vanish("ucpe-2")

    fleet["ucpe-2"].system.during = cut
    assert not (await executor.run(edits())).decided
    assert fleet.have("gre-1") == {"ucpe-2"}
    await fleet.connect("ucpe-2")
    fleet["vmsr-1"].system.refuse = None
    # The next transaction settles by itself: otherwise the pending commit would keep it out.
    assert (await executor.run(edits("gre-2"))).decided
    assert not fleet.have("gre-1")
    assert fleet.have("gre-2") == set(NAMES)
    assert clean(fleet, journal)


async def test_locked_by_a_foreigner(fleet: Any, journal: Journal, executor: Executor) -> None:
    """Waited for; refused with the reason when it lasts; nothing is left behind."""
    foreigner = await fleet["vmsr-1"].connect("admin")
    await foreigner.lock("candidate")
    outcome = await executor.run(edits())
    assert not outcome.decided
    assert "vmsr-1: its candidate could not be locked within 0.6 s" in outcome.reason
    assert fleet["ucpe-1"].stores.locks == {}
    loop = asyncio.get_running_loop()
    loop.call_later(0.2, lambda: asyncio.ensure_future(foreigner.unlock("candidate")))
    assert (await executor.run(edits())).decided
    assert clean(fleet, journal)


async def test_changes_of_a_foreigner_are_not_committed(fleet: Any, journal: Journal, executor: Executor) -> None:
    foreigner = await fleet["vmsr-1"].connect("admin")
    await foreigner.edit_config(edit("foreign"))
    outcome = await executor.run(edits())
    assert "neither committed nor discarded" in outcome.reason
    await foreigner.discard()
    assert (await executor.run(edits())).decided
    assert not fleet.have("foreign")


async def test_a_late_confirmation_commits_nothing_else(fleet: Any, journal: Journal, executor: Executor) -> None:
    """Somebody edits the candidate while a device waits for its last word."""
    fleet["ucpe-2"].system.during = lambda: fleet.vanish("ucpe-2") if "ucpe-2" in fleet.sessions else None
    assert (await executor.run(edits())).decided
    foreigner = await fleet["ucpe-2"].connect("admin")
    await foreigner.edit_config(edit("foreign"))
    fleet["ucpe-2"].system.during = None
    await fleet.connect("ucpe-2")
    problem = await executor.settle("ucpe-2")
    assert problem is not None
    assert "neither committed nor discarded" in problem
    assert (await executor.run(edits("gre-2"))).fenced.keys() == {"ucpe-2"}
    await foreigner.discard()
    assert await executor.settle("ucpe-2") is None
    assert "foreign" not in fleet["ucpe-2"].interfaces
    assert "gre-1" in fleet["ucpe-2"].interfaces


async def test_two_meet_in_one_controller(fleet: Any, journal: Journal, executor: Executor) -> None:
    """They wait for each other, whatever the order of their devices."""
    first, second = edits("gre-1"), dict(reversed(edits("gre-2").items()))
    outcomes = await asyncio.gather(executor.run(first), executor.run(second))
    assert all(outcome.decided for outcome in outcomes)
    assert fleet.have("gre-1") == fleet.have("gre-2") == set(NAMES)
    assert clean(fleet, journal)


async def test_two_controllers_meet(fleet: Any, journal: Journal, tmp_path: Path) -> None:
    """Each gives its locks back when it does not get all. Each has a journal of its own: what is open in it belongs to
    nobody who lives, and is settled."""
    database = Database(tmp_path / "other.sqlite", [MIGRATION])
    theirs = Journal(database)
    others = {name: await fleet[name].connect() for name in NAMES}
    timing = Timing(confirm=60, lock=10, probe=5)
    outcomes = await asyncio.gather(
        Executor(journal, fleet.session, timing).run(edits("gre-1")),
        Executor(theirs, others.get, timing).run(edits("gre-2")),
    )
    assert all(outcome.decided for outcome in outcomes)
    assert fleet.have("gre-1") == fleet.have("gre-2") == set(NAMES)
    assert clean(fleet, journal)
    assert clean(fleet, theirs)
    database.close()


async def test_a_pending_commit_of_a_foreigner(fleet: Any, journal: Journal, executor: Executor) -> None:
    """It is in the way, and it is not ours to cancel."""
    foreigner = await fleet["vmsr-1"].connect("admin")
    await foreigner.edit_config(edit("foreign"))
    await foreigner.commit(confirmed=True, confirm_timeout=60, persist="theirs")
    outcome = await executor.run(edits())
    assert not outcome.decided
    assert "in-use" in outcome.reason
    assert not fleet.have("gre-1")
    assert fleet["vmsr-1"].pending
    await foreigner.commit(persist_id="theirs")
    assert fleet.have("foreign") == {"vmsr-1"}


async def test_the_decision_cannot_be_written(
    fleet: Any, journal: Journal, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: the caller is told, and what the journal says counts."""

    def full(persist_id: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal, "decide", full)
    with pytest.raises(OSError, match="No space left"):
        await executor.run(edits())
    assert journal.debtors() == set(NAMES)
    for name in NAMES:
        assert await executor.settle(name) is None
    assert not fleet.have("gre-1")
    assert clean(fleet, journal)


async def test_a_last_word_that_the_device_cannot_carry_out_is_said_again(
    fleet: Any, journal: Journal, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its disk is full when it should confirm: the commit stays pending there, and the word stays owed."""
    commits = fleet["ucpe-1"].server.commits

    async def no_disk(*arguments: Any, **options: Any) -> None:
        raise RpcError("resource-denied", "the disk is full")

    def full(step: str, device: str) -> None:
        if step == "decided":
            monkeypatch.setattr(commits, "commit", no_disk)

    outcome = await Executor(journal, fleet.session, QUICK, full).run(edits())
    assert outcome.fenced.keys() == {"ucpe-1"}
    assert "the disk is full" in outcome.fenced["ucpe-1"]
    assert journal.debtors() == {"ucpe-1"}
    assert await executor.settle("ucpe-1") is not None
    monkeypatch.undo()
    assert await executor.settle("ucpe-1") is None
    assert clean(fleet, journal)


class TestABigEdit:
    """A POP that gets sixty sites at once takes its time, and is not gone."""

    @pytest.fixture
    def slow(self, request: pytest.FixtureRequest, fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        ordinary = fleet["vmsr-1"].system.apply

        async def apply(old: Any, new: Any) -> None:
            await asyncio.sleep(getattr(request, "param", 1.2))
            await ordinary(old, new)

        monkeypatch.setattr(fleet["vmsr-1"].system, "apply", apply)
        monkeypatch.setattr(patience, "DEADLINE", 0.5)

    async def test_has_as_long_as_its_size_asks_for(
        self, slow: None, fleet: Any, journal: Journal, executor: Executor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(patience, "OCTETS_A_SECOND", len(edit("gre-1")) / 2.5)
        seconds: list[int] = []

        async def probe() -> None:
            seconds.extend(device.server.commits.pending.timeout for device in fleet.devices.values())

        outcome = await executor.run(edits(), probe)
        assert outcome.committed == set(NAMES)
        assert seconds == [QUICK.confirm + 3] * 3, "nobody goes back while the slowest is at work"
        assert clean(fleet, journal)

    @pytest.mark.parametrize("slow", [2.5], indirect=True)
    async def test_on_a_machine_that_is_overloaded_has_longer(
        self, slow: None, fleet: Any, journal: Journal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The machine acknowledges what it is sent, so the work goes on; nobody else goes back meanwhile."""
        monkeypatch.setattr(patience, "OCTETS_A_SECOND", 1e9)
        ends: list[float] = []

        async def probe() -> None:
            ends.extend(device.server.commits.pending.timer.when() for device in fleet.devices.values())

        executor = Executor(journal, fleet.session, Timing(confirm=1, probe=0.4))
        outcome = await executor.run(edits(), probe)
        assert outcome.committed == set(NAMES)
        assert len(ends) == 3, "somebody has gone back while the slowest was at work"
        assert clean(fleet, journal)

    async def test_has_no_longer(
        self, slow: None, fleet: Any, executor: Executor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(patience, "OCTETS_A_SECOND", 1e9)
        monkeypatch.setattr(patience, "BUSY", 0.5)
        monkeypatch.setattr(patience, "OVERLOADED", 1)
        outcome = await executor.run(edits())
        assert outcome.fenced == {"vmsr-1": "it did not answer in time"}


def test_times_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="would revert before the decision"):
        Timing(confirm=30, probe=15)
