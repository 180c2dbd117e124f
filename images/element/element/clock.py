"""A box's clock, which may be wrong: without a battery it starts in 1970, and certificates count by dates.

Two things are known without a clock. What the box has was signed in the past: it is later than the latest of these
dates (the *floor*). And whom it knows by the maker's anchor may say what time it is, over TLS that looks at everything
but dates (RFC 8572, section 9.1). Time that is told counts only where certificates make no sense by the own clock, and
never below the floor. NTP has no say: it is not authenticated.
"""

from __future__ import annotations

import logging
import subprocess
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from element.enrolment.errors import EnrolmentError

if TYPE_CHECKING:
    from element.enrolment.https import Https

log = logging.getLogger(__name__)

TOLERANCE = timedelta(minutes=5)


class ClockError(EnrolmentError):
    """The clock is wrong and stays so; the text says how wrong, why, and what to do."""


class Clock:
    """The system's clock. ``program`` sets it in the place of the kernel, where that is not ours to do."""

    def __init__(self, program: str | None = None) -> None:
        self._program = program

    @staticmethod
    def now() -> datetime:
        """What it says."""
        return datetime.now(UTC)

    def rise(self, floor: datetime) -> bool:
        """Is it before what is known to be past? Then it is put there; whether it was."""
        if self.now() >= floor:
            return False
        try:
            self._set(floor)
        except OSError as error:
            log.error("%s", _complaint(floor - self.now(), f"which is before {floor:%Y-%m-%d}", error))
            return False
        log.warning("the clock was before what this box has; it is %s now", floor)
        return True

    def correct(self, told: datetime, floor: datetime) -> bool:
        """Put it right if it is wrong by more than a little; whether it was. ``ClockError`` if it cannot be."""
        off = told - self.now()
        if abs(off) <= TOLERANCE:
            return False
        if told < floor:
            raise ClockError(f"the manager says that it is {told}, before what it has signed itself ({floor})")
        try:
            self._set(told)
        except OSError as error:
            raise ClockError(_complaint(off, "by the manager's", error)) from None
        log.warning("the clock was %s; it is %s now, as the manager says", describe(off), told)
        return True

    def _set(self, moment: datetime) -> None:
        if self._program is None:
            time.clock_settime(time.CLOCK_REALTIME, moment.timestamp())
            return
        done = subprocess.run([self._program, f"{moment.timestamp():.0f}"], check=False, timeout=10)
        if done.returncode != 0:
            raise OSError(f"{self._program} ended with status {done.returncode}")


def describe(off: timedelta) -> str:
    """How wrong, for people: ``off`` is what has to be added."""
    days, seconds = divmod(int(abs(off).total_seconds()), 86_400)
    amount = f"{days} days" if days else f"{seconds} s"
    return f"{amount} {'behind' if off > timedelta() else 'ahead'}"


def _complaint(off: timedelta, known: str, error: OSError) -> str:
    return f"the clock is {describe(off)} ({known}) and cannot be set ({error.strerror or error}): set it"


def floor(*folders: Path) -> datetime:
    """The latest moment that something in these folders was signed, as far as it can be read."""
    moments = [datetime.fromtimestamp(0, UTC)]
    for path in (path for folder in folders for path in sorted(folder.glob("*.pem"))):
        content = path.read_bytes()
        try:
            if b"X509 CRL" in content:
                moments.append(x509.load_pem_x509_crl(content).last_update_utc)
            elif b"CERTIFICATE" in content:
                moments += [one.not_valid_before_utc for one in x509.load_pem_x509_certificates(content)]
        except ValueError:
            log.warning("%s cannot be read", path)
    return max(moments)


def told(https: Https, server: str) -> datetime:
    """What time it is by a server (RFC 9110, section 6.6.1), known by all of its certificate but the dates."""
    answer = https.get(f"{server.rstrip('/')}/crl")
    try:
        moment = parsedate_to_datetime(answer.headers["Date"])
    except (TypeError, ValueError):
        raise EnrolmentError(f"{server} does not say what time it is") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
