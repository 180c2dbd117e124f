"""The backend behind the datastores: configuration goes to the machine as a whole or not at all, and stays true.

Links come and go, charon restarts, certificates are revoked, somebody changes a route by hand: each is noticed, and
the machine is made again what the configuration says. Only what differs is touched.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from yangkit import ApplyError, Tree
from yangkit.backend import Wanted

from element import state
from element.apply import nft
from element.apply.daemon import CharonError, CharonGoneError, Daemon
from element.apply.libnftables import NftError
from element.apply.system import OperationError, System
from element.dhcp.lease import Lease, asking, granted
from element.endurance import Endurance
from element.factory import Identity
from element.lan.daemons import Folders
from element.model import Config, read
from element.neighbours import Inquiries
from element.news import News
from element.plan import uplinks
from element.plan.desired import desired
from element.plan.resources import FlowTable, Table
from element.unsupported import UnsupportedError
from element.worker import Worker

log = logging.getLogger(__name__)

TICK = 2.0
"""How often sites see to it that their tunnels are there, and credentials are looked at."""
FIRST_TRY = 0.1
"""How soon after a change they see to it first; then each time half as often, until there is nothing to start. Both
boxes of a site are changed at once, and who is done first calls somebody who does not know it yet."""
SETTLE = 0.1
"""Events come in swarms; this long after the first the machine is compared."""
LONGEST_REST = 5.0
"""After a comparison the box rests for as long as that has taken, and for no longer than this."""
AUDIT = 30.0
"""The machine is compared this often even if nothing was announced."""
RECONNECT = 0.2
RENEW_AFTER = 66
"""Default of ``renew-after`` (elasticlab-element)."""

CHARON_NEWS = (b"ike-updown", b"child-updown")
EVENT_REGISTER = 3


def _registration(event: bytes) -> bytes:
    """A packet of charon's vici protocol: its length, EVENT_REGISTER, and the event's name with its length."""
    packet = bytes([EVENT_REGISTER, len(event)]) + event
    return len(packet).to_bytes(4, "big") + packet


class ElementBackend:
    """Implements ``yangkit.Backend``."""

    def __init__(self, system: System, vici: Path, identity: Identity, stations: Folders) -> None:
        self._system = system
        self._vici = vici
        self._identity = identity
        self._stations = stations
        self._config = Config()
        self._uplinks: tuple[str, ...] = ()
        self._wanted: Table | None = None
        self._waiting: set[str] = set()
        self._contacts: tuple[tuple[str, int], ...] = ()
        self._leases: dict[int, dict[str, Lease]] = {4: {}, 6: {}}
        """By version of IP."""
        self._failed: frozenset[str] = frozenset()
        self._lock = asyncio.Lock()
        self._news = News()
        self._ways_out = {4: asyncio.Event(), 6: asyncio.Event()}
        """By version of IP."""
        self._associated = asyncio.Event()
        self._changed = asyncio.Event()
        self.on_credentials: Callable[[], None] = lambda: None
        """Called when files of the credentials, or the revocation list in force, have changed."""
        self.more_state: Callable[[], Tree] = dict
        """State that is not the machine's."""
        self.renew_after = RENEW_AFTER
        """Per cent of a certificate's life."""
        self._worker = Worker()
        # Beside it: whoever asks how things are does not wait for a change.
        self._reporter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="state")
        self._reported = Daemon(vici)

    async def apply(self, old: Tree, new: Tree) -> None:
        """Make the machine be ``new``; on failure it is made again what it was."""
        del old  # what was wanted last is known here, also while the datastores start
        async with self._lock:  # what is known besides may change while this waits
            try:
                config = self._known(read(new))
                wanted = desired(config)
            except UnsupportedError as error:
                raise ApplyError(str(error), error.path, error.tag) from error
            try:
                if self._wanted in (None, wanted):
                    await self._begin_with(config, wanted)
                else:
                    await self._change_to(wanted)
            except OperationError as error:
                raise ApplyError(str(error), error.path) from error
            self._want(config, wanted)
            self._changed.set()
            self.renew_after = int(new.get("elasticlab-element:certificates", {}).get("renew-after", RENEW_AFTER))

    async def _begin_with(self, config: Config, wanted: Table) -> None:
        """What the box starts with is wanted, also while it cannot be had, and of it what can."""
        self._want(config, wanted)
        try:
            await self._converge(wanted)
        except OperationError:
            self._news.tell()
            raise

    async def _change_to(self, wanted: Table) -> None:
        """All of it, or what was wanted before."""
        try:
            await self._converge(wanted, as_a_whole=True)
        except OperationError:
            try:
                await self._converge(self._wanted or {})
            except OperationError:
                log.exception("the way back failed; tried again soon")
                self._news.tell()
            raise

    async def _converge(self, wanted: Table, *, as_a_whole: bool = False) -> None:
        keys = await self._worker.do(
            partial(
                self._system.converge, wanted, as_far_as_possible=not as_a_whole,
                between=self._worker.pause, looking=self._news.look,
            )
        )  # fmt: skip
        self._news.looked()
        waiting = {" ".join(str(part) for part in key) for key in keys}
        if waiting != self._waiting:
            log.info("waiting for links or charon: %s", ", ".join(sorted(waiting)) or "nothing")
        self._waiting = waiting

    async def state(self, wanted: Wanted = None) -> Tree:
        """Operational data: interfaces, security associations, counters, what hardware this is."""
        known = (self._config, self._identity, self._leases, self._stations)
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._reporter, state.collect, wanted, self._reported, *known)
        return found | self.more_state()

    async def admit(self, contacts: Sequence[tuple[str, int]]) -> None:
        """Let answers in from those whom the box calls itself, instead of those before."""
        async with self._lock:
            self._contacts = tuple(contacts)
            await self._learn()

    async def lease(self, version: int, leases: Mapping[str, Lease]) -> None:
        """Interfaces have the addresses of this version of IP that they were given, and those alone."""
        async with self._lock:
            self._leases = self._leases | {version: dict(leases)}
            await self._learn()

    async def fail(self, names: frozenset[str]) -> None:
        """These uplinks lead nowhere now, and those alone: use others, if there are."""
        async with self._lock:
            self._failed = names
            await self._learn()

    @property
    def uplinks(self) -> tuple[str, ...]:
        """The uplinks, the one that is used now first."""
        return self._uplinks

    @property
    def peers(self) -> tuple[str, ...]:
        """Addresses of those with whom connections are to be there."""
        return tuple(sorted({c.remote_address for c in self._config.connections if c.start and c.remote_address}))

    @property
    def known(self) -> Config | None:
        """The configuration in force; None until there is one."""
        return self._config if self._wanted is not None else None

    def asking(self, version: int) -> frozenset[str]:
        """The interfaces that have their addresses of this version of IP from DHCP."""
        return asking(self._config, version)

    def bootstrap_servers(self) -> tuple[str, ...] | None:
        """Those that the leases name (RFC 8572, section 4.2); None without a lease."""
        taken = [self._leases[4][grant.interface] for grant in self._config.granted if grant.version == 4]
        if not taken:
            return None
        return tuple(url for lease in taken for url in lease.servers)

    async def way_out(self, version: int) -> None:
        """Wait until there is an uplink in this version of IP, or every interface that is given addresses has one."""
        await self._ways_out[version].wait()

    def _want(self, config: Config, wanted: Table) -> None:
        self._config, self._wanted, self._uplinks = config, wanted, uplinks.order(config)
        there = {4: bool(self.uplinks), 6: any(i.slaac for i in config.interfaces)}
        for version, way_out in self._ways_out.items():
            given = {grant.interface for grant in config.granted if grant.version == version}
            if there[version] or given == asking(config, version):
                way_out.set()
            else:
                way_out.clear()

    def _known(self, config: Config) -> Config:
        """A configuration with what is known besides: whom the box calls, and what it was given."""
        given = tuple(grant for leases in self._leases.values() for grant in granted(config, leases))
        return replace(config, contacts=self._contacts, granted=given, failed=self._failed)

    async def _learn(self) -> None:
        config = self._known(self._config)
        if self._wanted is None or config == self._config:
            return
        self._want(config, desired(config))
        try:
            await self._converge(self._wanted)
        except OperationError as error:
            log.error("%s; tried again soon", error)
            self._news.tell()

    async def renew_credentials(self) -> str | None:
        """Take up changed credentials now. What keeps something from being so is told, and tried again soon."""
        async with self._lock:
            if self._wanted is None:
                return None
            try:
                await self._converge(self._wanted)
            except OperationError as error:
                self._news.tell()
                return str(error)
        return None

    async def take_up_lists(self) -> str | None:
        """Take up changed revocation lists now: SAs of revoked peers are ended when this returns, if charon is there.

        This waits for no other change, not even for one under way: to compare the whole machine can take seconds, and
        comes afterwards. What keeps a list from being in force is told, and tried again soon.
        """
        try:
            await self._worker.do_soon(self._system.charon.take_up_lists)
        except CharonGoneError:
            log.info("the list comes into force with charon")
        except (CharonError, OSError, ValueError) as error:
            return str(error)
        finally:
            self._news.tell()
        return None

    async def run(self) -> None:
        """Keep the machine true, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._news.listen())
            tasks.create_task(self._watch_charon())
            tasks.create_task(self._tend())
            tasks.create_task(Inquiries(self._fast_links, self._empty_fast_path).run())
            tasks.create_task(self._line_up())
            tasks.create_task(self._repair())

    async def _repair(self) -> None:
        loop, took = asyncio.get_running_loop(), 0.0
        while True:
            try:
                async with asyncio.timeout(AUDIT):
                    await self._news.come()
                audit = False
            except TimeoutError:
                audit = True
            # A comparison costs as much as there is: where that is much it may not be all that the box does.
            await asyncio.sleep(min(max(SETTLE, took), LONGEST_REST))
            async with self._lock:
                due = self._news.take() or audit
                if self._wanted is None or not due:
                    continue
                begun = loop.time()
                try:
                    await self._converge(self._wanted)
                except OperationError as error:
                    log.error("%s; tried again soon", error)
                    loop.call_later(TICK, self._news.tell)
                took = loop.time() - begun

    async def _watch_charon(self) -> None:
        """News of SAs are a reason to compare, for routes may wait for them; so is the end of charon itself."""
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self._vici)
            except OSError:
                await asyncio.sleep(RECONNECT)
                continue
            log.info("charon is there")
            self._news.tell()
            try:
                writer.write(b"".join(_registration(event) for event in CHARON_NEWS))
                while await reader.read(65536):  # what it says in detail is asked for
                    self._associated.set()
                    self._news.tell()
            except OSError:
                pass
            finally:
                writer.close()
            log.warning("charon is gone")
            self._news.tell()
            await asyncio.sleep(RECONNECT)

    async def _line_up(self) -> None:
        """Beside all that is done about new SAs: the next may come at any moment."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await self._associated.wait()
            self._associated.clear()
            try:
                await asyncio.to_thread(self._system.charon.line_up)
            except (CharonGoneError, CharonError, OSError) as error:
                log.debug("tunnels cannot be lined up: %s", error)

    def _fast_links(self) -> tuple[str, ...]:
        """Where the fast path begins and ends."""
        return next((r.devices for r in (self._wanted or {}).values() if isinstance(r, FlowTable)), ())

    async def _empty_fast_path(self) -> None:
        """Raises ``OSError``."""
        try:
            await self._worker.do_soon(nft.renew)
        except NftError as error:
            raise OSError(f"the fast path is not emptied: {error}") from error

    async def _tend(self) -> None:
        """Tunnels that are ours to start are started again; new credentials are taken up."""
        seen: object = None
        endurance = Endurance(log, "credentials")
        pause = TICK
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            if self._changed.is_set():
                self._changed.clear()
                pause = FIRST_TRY
                continue
            with endurance:
                now = await self._worker.do(self._system.charon.store_version)
                if seen is not None and now != seen:
                    self.on_credentials()
                    self._news.tell()
                seen = now
            starting = False
            async with self._lock:
                try:
                    starting = await self._worker.do(self._system.charon.keep)
                except (CharonGoneError, CharonError, OSError) as error:
                    log.debug("tunnels cannot be kept: %s", error)
            pause = min(2 * pause, TICK) if starting else TICK
