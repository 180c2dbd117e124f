"""Carries network-wide commits out on NETCONF sessions, with the journal as its memory.

A crash at any moment leaves either no trace, or rows in the journal that ``settle`` works off when a device is there
again. The order that makes it so: begin (durable) → confirmed commits → probe → decide (durable) → confirms → settle.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from math import ceil
from random import uniform

from yangkit.client import NetconfClient

from controller.southbound import patience, steps
from controller.southbound.journal import Journal
from controller.southbound.steps import Report
from controller.southbound.transaction import Answer, Outcome, Phase, Transaction

log = logging.getLogger(__name__)
Probe = Callable[[], Awaitable[str | None]]
Step = Callable[[NetconfClient], Awaitable[None]]


@dataclass(frozen=True)
class Timing:
    """Seconds. ``confirm`` outlives a restart of the controller and the devices' calls after it."""

    confirm: int = 120
    lock: float = 15.0
    #: From the first confirmed commit to the decision: well before the devices give up by themselves.
    probe: float = 60.0

    def __post_init__(self) -> None:
        if self.probe + patience.DEADLINE >= self.confirm:
            raise ValueError(
                f"probe ({self.probe} s) and a device's answer ({patience.DEADLINE} s) do not fit into confirm"
                f" ({self.confirm} s): devices would revert before the decision"
            )


class Executor:
    """Runs transactions; those that share a device wait for each other."""

    def __init__(
        self,
        journal: Journal,
        session: Callable[[str], NetconfClient | None],
        timing: Timing | None = None,
        on_step: Callable[[str, str], None] | None = None,
    ) -> None:
        """``session`` gives a device's session, if there is one; ``on_step`` is told each step that is over."""
        self._journal = journal
        self._session = session
        self._timing = timing or Timing()
        self._on_step = on_step or (lambda step, device: None)
        self._turns: dict[str, asyncio.Lock] = {}

    # -- a transaction -----------------------------------------------------------------------------------------------

    async def run(self, edits: Mapping[str, str], probe: Probe | None = None) -> Outcome:
        """Commit edits (the inside of a <config>, by device) on all devices or none; those not connected are fenced.

        The probe returns None when the network is as it should be, else what is wrong.
        """
        async with self._turn(edits):
            present, blocked = await self._present(edits)
            transaction = Transaction(edits, set(edits) - present.keys())
            transaction.fenced.update(blocked)
            work = _Work(transaction, secrets.token_hex(16), dict(edits), present)
            try:
                await self._carry_out(work, probe)
            finally:
                await self._unlock(present, work.locked)
            return transaction.outcome()

    async def _present(self, devices: Iterable[str]) -> tuple[dict[str, NetconfClient], dict[str, str]]:
        """The sessions of devices that can take part now, and why others, though connected, cannot."""
        present: dict[str, NetconfClient] = {}
        blocked: dict[str, str] = {}
        for device in sorted(devices):
            client = self._session(device)
            if client is None:
                continue
            problem = await self._settle(device, client)
            if problem is None:
                present[device] = client
            else:
                blocked[device] = problem
        return present, blocked

    async def _carry_out(self, work: _Work, probe: Probe | None) -> None:
        transaction = work.transaction
        while transaction.phase is not Phase.END:
            phase = transaction.phase
            if phase is Phase.PREPARE:
                await self._prepare(work)
            elif phase is Phase.COMMIT:
                await self._write(self._journal.begin, work.persist_id, transaction.members)
                self._on_step("begun", "")
                seconds = self._timing.confirm + work.longer
                commit = partial(steps.commit_confirmed, persist_id=work.persist_id, seconds=seconds)
                extend = partial(steps.extend, persist_id=work.persist_id, seconds=seconds)
                async with self._extended(work, extend, seconds / 2):
                    await self._all(work, commit)
            elif phase is Phase.PROBE:
                transaction.probed(await self._ask(probe))
                self._on_step("probed", "")
            elif phase is Phase.DECIDE:
                await self._write(self._journal.decide, work.persist_id)
                transaction.recorded()
                self._on_step("decided", "")
            elif phase is Phase.CONFIRM:
                await self._all(work, partial(steps.confirm, persist_id=work.persist_id))
            else:
                await self._all(work, partial(steps.cancel, persist_id=work.persist_id))
        heard = set(work.present) - transaction.owed
        await self._write(self._journal.settle, work.persist_id, heard, transaction.fenced)
        self._on_step("settled", "")

    async def _ask(self, probe: Probe | None) -> str | None:
        if probe is None:
            return None
        try:
            async with asyncio.timeout(self._timing.probe):
                return await probe()
        except TimeoutError:
            return f"the probe had no result within {self._timing.probe:g} s"
        except Exception as error:
            # The network carries what nobody has seen working: back, whatever it is.
            log.exception("the probe failed")
            return f"the probe failed: {error!r}"

    async def _all(self, work: _Work, step: Step) -> None:
        """One step on all devices at once, told to the state machine when all have done it."""
        phase = work.transaction.phase
        waiting = work.transaction.waiting
        last_word = phase in (Phase.CONFIRM, Phase.REVERT)

        async def one(device: str) -> tuple[str, Report]:
            seconds = patience.of_edit(work.edits[device])
            report = await steps.ask(work.present[device], step, seconds=seconds, last_word=last_word)
            if phase is Phase.COMMIT and report == steps.DONE:
                work.waiting.add(device)
            self._on_step(phase, device)
            return device, report

        reports = await asyncio.gather(*(one(device) for device in sorted(waiting)))
        for device, report in reports:
            if report.answer is not Answer.DONE:
                log.warning("%s: %s: %s: %s", phase, device, report.answer, report.reason)
            work.transaction.report(device, *report)

    @asynccontextmanager
    async def _extended(self, work: _Work, extend: Step, every: float) -> AsyncIterator[None]:
        """While it lasts nobody goes back who has committed, however long the slowest takes.

        Whoever cannot be told goes back at its time, and is found out when it is to confirm.
        """

        async def run() -> None:
            while True:
                await asyncio.sleep(every)
                await asyncio.gather(*(steps.ask(work.present[device], extend) for device in sorted(work.waiting)))

        running = asyncio.create_task(run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    # -- candidate locks ---------------------------------------------------------------------------------------------

    async def _prepare(self, work: _Work) -> None:
        """Lock and edit all candidates. Who cannot have all locks gives back those it has, so that nobody starves."""
        denied = await self._lock_all(work)
        devices = sorted(work.transaction.waiting)
        if denied:
            for device in devices:
                if device in denied:
                    work.transaction.report(device, Answer.REFUSED, denied[device])
                else:
                    work.transaction.report(device, *work.gone.get(device, steps.DONE))
            return
        self._on_step("locked", "")

        async def one(device: str) -> Report:
            if device in work.gone:
                return work.gone[device]
            config = work.edits[device]
            seconds = patience.of_edit(config)
            report = await steps.ask(work.present[device], partial(steps.edit, config=config), seconds=seconds)
            self._on_step(Phase.PREPARE, device)
            return report

        reports = await asyncio.gather(*(one(device) for device in devices))
        for device, report in zip(devices, reports, strict=True):
            work.transaction.report(device, *report)

    async def _lock_all(self, work: _Work) -> dict[str, str]:
        """Lock every candidate; the devices that deny it to the end, with their reason."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._timing.lock
        while True:
            wanted = sorted(work.transaction.waiting - work.gone.keys())
            reports = await asyncio.gather(*(steps.ask(work.present[device], steps.lock) for device in wanted))
            denied: dict[str, str] = {}
            for device, report in zip(wanted, reports, strict=True):
                if report.answer is Answer.DONE:
                    work.locked.add(device)
                elif report.answer is Answer.GONE:
                    work.gone[device] = report
                else:
                    denied[device] = report.reason
            if not denied:
                return {}
            await self._unlock(work.present, work.locked)
            if loop.time() >= end:
                hint = f"its candidate could not be locked within {self._timing.lock:g} s"
                return {device: f"{hint} ({reason})" for device, reason in denied.items()}
            await asyncio.sleep(uniform(0.05, 0.3))  # noqa: S311 - no secret: two that meet must not meet again

    async def _unlock(self, present: Mapping[str, NetconfClient], locked: set[str]) -> None:
        """Give locks back (it discards what was not committed); a session that is gone has lost them already."""
        await asyncio.gather(*(steps.ask(present[device], steps.unlock) for device in locked))
        locked.clear()

    # -- devices that come back --------------------------------------------------------------------------------------

    async def settle(self, device: str) -> str | None:
        """Tell a device that came (back) the last words that it has missed; None, or why that is not done.

        Call it when a device connects, before anything else is configured: a commit that waits to be confirmed
        keeps everybody else out (RFC 6241, section 8.4.1).
        """
        async with self._turn([device]):
            client = self._session(device)
            return "it is not connected" if client is None else await self._settle(device, client)

    async def _settle(self, device: str, client: NetconfClient) -> str | None:
        if not self._journal.owes(device):
            return None
        for owed in await asyncio.to_thread(self._journal.owed, device):
            if owed.decided:
                step = partial(steps.confirm_late, persist_id=owed.persist_id)
            else:
                step = partial(steps.cancel, persist_id=owed.persist_id)
            answer, reason, _ = await steps.ask(client, step, last_word=True)
            if answer is Answer.GONE:
                return f"the last word of transaction {owed.persist_id} could not be told: {reason}"
            fence = {}
            if owed.decided and answer is Answer.REFUSED:
                # It confirmed and we did not live to note it, or it went back by itself: a comparison will tell.
                fence = {device: f"no commit waits to be confirmed, what it has must be compared: {reason}"}
            await self._write(self._journal.settle, owed.persist_id, [device], fence)
            self._on_step("late", device)
        return None

    # -- turns -------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _turn(self, devices: Iterable[str]) -> AsyncIterator[None]:
        """This process's transactions take turns on a device; in the order of names nobody waits in a circle."""
        taken: list[asyncio.Lock] = []
        try:
            for device in sorted(devices):
                turn = self._turns.setdefault(device, asyncio.Lock())
                await turn.acquire()
                taken.append(turn)
            yield
        finally:
            for turn in taken:
                turn.release()

    async def _write(self, write: Callable[..., None], *arguments: object) -> None:
        await asyncio.to_thread(write, *arguments)


@dataclass
class _Work:
    """A transaction while it is carried out."""

    transaction: Transaction
    persist_id: str
    edits: dict[str, str]
    present: dict[str, NetconfClient]

    def __post_init__(self) -> None:
        self.locked: set[str] = set()
        self.gone: dict[str, Report] = {}
        #: Devices that have committed, and wait for our word.
        self.waiting: set[str] = set()

    @property
    def longer(self) -> int:
        """Seconds more than usual that the slowest of the edits may take: so much later is the decision."""
        return ceil(max(map(patience.of_edit, self.edits.values()), default=patience.DEADLINE) - patience.DEADLINE)
