"""A supervised udhcpc for each interface that has its address from DHCP, udhcpc6 where that is of IPv6."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from element import storage
from element.dhcp.lease import LARGEST, Lease, LeaseError, parse, parse6
from element.endurance import Endurance

log = logging.getLogger(__name__)

POLL = 0.25
"""Offers, and the end of leases, are noticed this soon."""
RESTART = 1.0
AGAIN = 5.0
"""After a lease that is not taken another is asked for, without waiting for the refused one's end."""

LINKS = Path("/sys/class/net")

Leases = Mapping[str, Lease]
Cable = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Family:
    """How a version of IP does it."""

    program: str
    options: tuple[str, ...]
    parse: Callable[[bytes], Lease]
    mark: str = ""
    """What names of files end in."""

    def command(self, interface: str, script: Path) -> tuple[str, ...]:
        """It asks for what is used and nothing else, never gives up, and dies with the element, however that ends."""
        options = [word for name in self.options for word in ("-O", name)]
        patience = ("-t", "4", "-T", "1", "-A", "3")
        udhcpc = ("busybox", self.program, "-f", "-o", *options, *patience, "-i", interface, "-s", str(script))
        return ("setpriv", "--pdeathsig", "TERM", *udhcpc)


V4 = Family("udhcpc", ("subnet", "router", "lease", "143"), parse)
V6 = Family("udhcpc6", (), parse6, "6")
"""One address (IA_NA, RFC 9915)."""


class Clients:
    """Runs the clients of the interfaces that ``wanted`` names, and tells ``changed`` what they were given."""

    def __init__(
        self,
        folder: Path,
        script: Path,
        wanted: Callable[[], frozenset[str]],
        changed: Callable[[Leases], Awaitable[None]],
        family: Family = V4,
    ) -> None:
        self._family = family
        self._folder = folder
        self._script = script
        self._wanted = wanted
        self._changed = changed
        self._running: dict[str, asyncio.Task[None]] = {}
        self._refused: set[str] = set()

    def held(self) -> dict[str, Lease]:
        """The leases that were taken and are not over, also by a former life of the process."""
        names = sorted(path.stem for path in self._folder.glob(f"*.lease{self._family.mark}"))
        return {name: lease for name in names if (lease := self._current(name))}

    async def run(self) -> None:
        """Never ends by itself."""
        told: dict[str, Lease] | None = None
        endurance = Endurance(log, "leases")
        try:
            while True:
                wanted = self._wanted()
                with endurance:
                    if wanted:
                        storage.folder(self._folder)
                    await self._follow(wanted)
                    for name in wanted:
                        self._take(name)
                if (now := self.held()) != told:
                    await self._changed(now)
                told = now
                await asyncio.sleep(POLL)
        finally:
            await self._follow(frozenset())

    async def _follow(self, wanted: frozenset[str]) -> None:
        for name in self._running.keys() - wanted:
            task = self._running.pop(name)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for name in wanted - self._running.keys():
            self._running[name] = asyncio.create_task(self._supervise(name))
        for task in [task for task in self._running.values() if task.done()]:
            task.result()  # it never ends by itself: say why

    async def _supervise(self, name: str) -> None:
        endurance = Endurance(log, f"{name}: asking for a lease")
        while True:
            cable = _cable(name)
            if cable is not None:
                with endurance:
                    await self._child(name, cable)
            if name in self._refused:
                await asyncio.sleep(AGAIN)
                self._refused.discard(name)
            # What was plugged in anew may lead to another network, or to a router that knows no leases any more: it is
            # asked at once, and the lease that was stays until there is an answer (RFC 2131, sections 3.7 and 4.4.2).
            await asyncio.sleep(POLL)

    async def _child(self, name: str, cable: Cable) -> None:
        """One life of udhcpc, which ends with its interface, and when that has been plugged in anew."""
        environment = os.environ | {"ELEMENT_LEASES": str(self._folder), "ELEMENT_FAMILY": self._family.mark}
        quiet = asyncio.subprocess.DEVNULL
        child = await asyncio.create_subprocess_exec(
            *self._family.command(name, self._script), env=environment, stdin=quiet, stdout=quiet, stderr=quiet
        )
        log.info("%s: asking for a lease", name)
        try:
            while child.returncode is None and _cable(name) in (cable, None) and name not in self._refused:
                try:
                    await asyncio.wait_for(child.wait(), RESTART)
                except TimeoutError:
                    continue
            if child.returncode is not None:
                program = self._family.program
                log.warning("%s: %s ended with status %s; started again", name, program, child.returncode)
                await asyncio.sleep(RESTART)
        finally:
            if child.returncode is None:
                child.terminate()
                await child.wait()

    def _take(self, name: str) -> None:
        """An offer becomes the lease, or is told and forgotten: what was before stays."""
        offer, taken = (self._folder / f"{name}.{what}{self._family.mark}" for what in ("offer", "lease"))
        if not offer.exists():
            return
        try:
            lease = self._family.parse(_read(offer))
            offer.replace(taken)
            log.debug("%s: lease of %s", name, lease.address)
        except LeaseError as error:
            log.error("%s: the lease is not taken: %s", name, error)
            offer.unlink(missing_ok=True)
            self._refused.add(name)
        except FileNotFoundError:
            log.debug("%s: the offer is taken back", name)

    def _current(self, name: str) -> Lease | None:
        try:
            lease = self._family.parse(_read(self._folder / f"{name}.lease{self._family.mark}"))
        except (OSError, LeaseError):
            return None
        over = lease.ends is not None and time.clock_gettime(time.CLOCK_BOOTTIME) >= lease.ends
        return None if over else lease


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LARGEST + 1)


def _cable(name: str) -> Cable | None:
    """What an interface is plugged into: its index, and how often it had a carrier; None while it has none."""
    link = LINKS / name
    try:
        if (link / "carrier").read_text().strip() != "1":
            return None
        return int((link / "ifindex").read_text()), int((link / "carrier_up_count").read_text())
    except (OSError, ValueError):  # it is not there, or down
        return None
