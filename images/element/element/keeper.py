"""The box sees to it that its certificates are good: it renews them in time, and when asked (RFC 7030, section 4.2.2).

Where they are not good by the clock, the clock may be wrong: the manager is asked what time it is. If the clock is
right and they have ended, the box asks to be taken in anew, which is the operator's decision.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from random import uniform
from typing import Any

from element.clock import Clock, ClockError
from element.enrolment.errors import EnrolmentError
from element.validity import Phase, Validity

log = logging.getLogger(__name__)

LOOK = 2.0
"""Seconds between two looks at the clock: it may be put right at any time."""
FIRST, LAST = 1.0, 3600.0
"""Seconds between attempts to renew; no longer than a tenth of what is left."""
RESORT_LAST = 5.0
"""Seconds between attempts when certificates are of no use: the box has nothing else to do."""
Failures = (EnrolmentError, OSError, ValueError)


class Keeper:
    """``renew`` and ``enrol`` block and put new credentials into place; ``taken`` makes everybody use them."""

    def __init__(
        self,
        look: Callable[[], Validity],
        clock: Clock,
        *,
        percent: Callable[[], int],
        renew: Callable[[], None],
        ask_time: Callable[[], bool],
        enrol: Callable[[], Awaitable[None]],
        taken: Callable[[], Awaitable[None]],
        doubt: bool = False,
    ) -> None:
        self._look, self._clock, self._percent = look, clock, percent
        self._renew, self._ask_time, self._enrol, self._taken = renew, ask_time, enrol, taken
        self._turn = asyncio.Lock()
        #: Why certificates are not as they should be; None when they are.
        self.problem: str | None = None
        #: Whether the clock may be wrong though certificates are good by it.
        self.doubt = doubt

    async def run(self) -> None:
        """Never ends by itself."""
        wait = FIRST
        while True:
            found = self._look()
            phase = found.phase(self._clock.now(), self._percent())
            if phase is Phase.GOOD:
                if self.doubt:
                    await self._settle(found)
                wait = FIRST
                await asyncio.sleep(LOOK)
                continue
            try:
                await (self.renew() if phase is Phase.DUE else self._resort(phase, found))
            except Failures as error:
                self._complain(phase, found, str(error))
            last = self._longest(phase, found)
            wait = min(wait, last)
            await asyncio.sleep(uniform(wait / 2, wait))  # noqa: S311 - no secret
            wait = min(2 * wait, last)

    async def renew(self) -> Validity:
        """New keys and certificates now; raises what went wrong."""
        async with self._turn:
            await asyncio.to_thread(self._renew)
            found = self._look()
            log.info("new certificates: %s, good until %s", _numbers(found), found.end)
            self.problem = None
            await self._taken()
            return found

    async def _settle(self, found: Validity) -> None:
        """All is well (again): the clock is made exact, and who was told that it is wrong hears that it is right."""
        if self.problem is not None:
            log.info("the certificates are good until %s", found.end)
        self.problem = None
        try:
            if await asyncio.to_thread(self._ask_time):
                await asyncio.to_thread(self._ask_time)
        except Failures as error:
            log.debug("nobody says what time it is: %s", error)
            return
        self.doubt = False
        await self._taken()

    async def _resort(self, phase: Phase, found: Validity) -> None:
        if await asyncio.to_thread(self._ask_time):
            self.doubt = True
            await self._taken()
            return
        # By a clock that is right. Somebody may have put it right only now, and who asks to be taken in anew while its
        # certificates are good is taken for a copy of itself.
        if found.phase(self._clock.now(), self._percent()) is not phase:
            self.doubt = True
        elif phase is Phase.ENDED:
            async with self._turn:
                await self._enrol()
                await self._taken()
        else:
            raise ClockError(f"they begin on {found.start}, and the clock is right: wait, or have them made anew")

    def _longest(self, phase: Phase, found: Validity) -> float:
        if phase is not Phase.DUE:
            return RESORT_LAST
        left: timedelta = found.end - self._clock.now()
        return max(FIRST, min(LAST, left.total_seconds() / 10))

    def _complain(self, phase: Phase, found: Validity, reason: str) -> None:
        text = f"the certificates {phase.value} ({found.start} to {found.end}, the clock says {self._clock.now()})"
        said = f"{text}: {reason}"
        if self.problem is None or self.problem.rpartition(": ")[2] != reason.rpartition(": ")[2]:
            log.log(logging.WARNING if phase is Phase.DUE else logging.ERROR, "%s", said)
        self.problem, self.doubt = said, True

    def state(self) -> dict[str, Any]:
        """For <get>."""
        found = self._look()
        tree: dict[str, Any] = {
            "certificate": [
                {
                    "purpose": name,
                    "serial-number": f"{one.serial_number:x}",
                    "not-before": _stamp(one.not_valid_before_utc),
                    "not-after": _stamp(one.not_valid_after_utc),
                }
                for name, one in found.certificates
            ],
            "next-renewal": _stamp(found.due(self._percent())),
        }
        if self.problem is not None:
            tree["problem"] = self.problem
        return {"elasticlab-element:certificates": tree}


def _numbers(found: Validity) -> str:
    return ", ".join(f"{name} {one.serial_number:x}" for name, one in found.certificates)


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
