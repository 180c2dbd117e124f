"""Watches the network: asks devices for their tunnels, probes sites, and tells who listens what has changed."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from yangkit.errors import RpcError

from controller.drivers.work import Attachment
from controller.operational import tunnels
from controller.operational.clouds import judge as judge_cloud
from controller.operational.sites import Evidence, Judged, Probe, State, judge
from controller.operational.tunnels import Tunnel, Way, way
from controller.service import peerings
from controller.service.cloud import SEPARATOR
from controller.service.intent import Intent
from controller.southbound.reconcile import Reconciler
from controller.southbound.sessions import Held, Sessions

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Timing:
    """Seconds: between two looks while something settles, and otherwise; for how long a site is said to settle; between
    two probes of a site that answers; between two looks at the tunnels of devices that no site's state depends on; for
    which a look waits for devices that are slow."""

    soon: float = 0.2
    calm: float = 2.0
    settling: float = 60.0
    probe: float = 10.0
    others: float = 10.0
    slow: float = 1.0


#: Devices that are looked at in a second, at most, while all is calm: more of them are looked at less often.
LOOKS = 50.0
#: Telling its tunnels takes a device at most this share of its time: one with many is asked less often.
TELLING = 0.25
#: Judging all sites anew takes at most this share of the time, however many devices come and go.
SHARE = 0.1
#: Probes that a device answers at the same time (it refuses more than eight, over all its clients).
PROBES = 4


@dataclass(frozen=True)
class SiteState:
    """How a site is, since when, which VPNs it is in, and whether its devices have it as it is wanted."""

    judged: Judged
    since: datetime
    vpns: tuple[str, ...] = ()
    in_sync: bool = False


@dataclass(frozen=True)
class CloudState:
    """How a cloud access is, since when, and whether its POPs have it as it is wanted."""

    vpn: str
    identifier: str
    judged: Judged
    since: datetime
    in_sync: bool = False


def pause(timing: Timing, devices: int, took: float, *, is_pop: bool) -> float:
    """Seconds between two looks at a device that took so long to tell its tunnels: a POP is asked whenever something
    may have changed, as long as it has time for other things; others, of so many devices, now and then."""
    others = max(timing.others, devices / LOOKS)
    return min(others, took / TELLING) if is_pop else others


class Watcher:
    """The states of sites and clouds. ``on_site`` and ``on_cloud`` are told each change; None is one that is gone."""

    def __init__(self, reconciler: Reconciler, sessions: Sessions, timing: Timing | None = None) -> None:
        self._reconciler, self._sessions = reconciler, sessions
        self._timing = timing or Timing()
        self._tunnels: dict[str, Mapping[str, Tunnel]] = {}
        self._read_at: dict[str, float] = {}
        #: Seconds that a device took to tell them.
        self._took: dict[str, float] = {}
        self._probes: dict[str, Probe] = {}
        self._built: dict[str, float] = {}
        #: Questions that devices have not answered yet, by what they are about.
        self._asked: dict[object, asyncio.Task[None]] = {}
        self._rooms: dict[str, asyncio.Semaphore] = {}
        begun = asyncio.get_running_loop().time()
        self._lost: dict[str, float] = defaultdict(lambda: begun)
        self._wake = asyncio.Event()
        self._later: asyncio.TimerHandle | None = None
        self._not_before = 0.0
        self.sites: dict[str, SiteState] = {}
        self.on_site: list[Callable[[str, SiteState | None], None]] = []
        #: By key.
        self.clouds: dict[str, CloudState] = {}
        self.on_cloud: list[Callable[[str, str, CloudState | None], None]] = []
        reconciler.on_view.append(self._changed)
        sessions.on_change.append(self._came_or_went)

    def tunnels(self, device: str) -> Mapping[str, Tunnel]:
        """What a device last said of its tunnels."""
        return self._tunnels.get(device, {})

    async def run(self) -> None:
        """For ever. A defect of ours must not end it: what one look leaves, the next finds."""
        try:
            while True:
                self._wake.clear()
                try:
                    await self._look()
                    self.refresh()
                except Exception:
                    log.exception("a look at the network failed")
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._timing.soon if self._settling() else self._timing.calm):
                        await self._wake.wait()
        finally:
            for task in list(self._asked.values()):
                task.cancel()

    def _settling(self) -> bool:
        """Will something soon be other than it is? What has not come up for long may stay so."""
        now = datetime.now(UTC)
        states: list[SiteState | CloudState] = [*self.sites.values(), *self.clouds.values()]
        return any(
            state.judged.state == "configuring" and (now - state.since).total_seconds() < self._timing.settling
            for state in states
        )

    # -- asking ------------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        held = self._sessions.held()
        view = self._reconciler.view
        pops = {attachment.pop.name for attachment in view.network.attachments.values()}
        now = asyncio.get_running_loop().time()
        due = [
            one
            for name, one in held.items()
            if name not in self._read_at
            or now - self._read_at[name] >= pause(self._timing, len(held), self._took[name], is_pop=name in pops)
        ]
        await self._told([self._ask(one.identity.name, partial(self._read, one)) for one in due])
        by_way: dict[tuple[str, Way], list[Attachment]] = defaultdict(list)
        for attachment in view.network.attachments.values():
            site, pop = attachment.site.id, attachment.pop.name
            if site not in view.withheld and site not in view.stale and pop in held and self._wants_probe(attachment):
                by_way[pop, way(attachment)].append(attachment)
        await self._told(
            [self._ask(key, partial(self._probe, held[key[0]], key[1], sites)) for key, sites in by_way.items()]
        )

    def _ask(self, about: object, question: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None] | None:
        """Begin to ask a device; None while it has not answered that yet: who is slow gets no more to do for it."""
        if about in self._asked:
            return None
        task = self._asked[about] = asyncio.create_task(question())
        task.add_done_callback(lambda _: self._asked.pop(about, None))
        return task

    async def _told(self, questions: Iterable[asyncio.Task[None] | None]) -> None:
        """Answers to questions; nobody waits for who is slow, whose answer counts when it comes."""
        begun = [task for task in questions if task is not None]
        if begun:
            done, _ = await asyncio.wait(begun, timeout=self._timing.slow)
            for task in done:
                task.result()

    async def _read(self, held: Held) -> None:
        name = held.identity.name
        begun = asyncio.get_running_loop().time()
        try:
            found = await tunnels.read(held.client)
        except (RpcError, OSError, TimeoutError) as error:
            log.info("%s does not tell its tunnels: %s", name, error or type(error).__name__)
            return
        if self._sessions.held().get(name) is held:
            self._tunnels[name] = found
            self._read_at[name] = now = asyncio.get_running_loop().time()
            self._took[name] = now - begun

    def _wants_probe(self, attachment: Attachment) -> bool:
        """A tunnel that is there, and a line, are asked until they answer, and then now and again."""
        flow = attachment.pop_flow
        if flow is not None:
            tunnel = self.tunnels(attachment.pop.name).get(attachment.branch.label)
            if tunnel is None or not tunnel.carries(flow):
                return False
        last = self._probes.get(attachment.site.id)
        if last is None or last.milliseconds is None:
            return True
        return asyncio.get_running_loop().time() - last.at >= self._timing.probe

    async def _probe(self, held: Held, by: Way, sites: Iterable[Attachment]) -> None:
        name = held.identity.name
        async with self._rooms.setdefault(name, asyncio.Semaphore(PROBES)):
            try:
                answer = await tunnels.probe(held.client, by)
            except (RpcError, OSError, TimeoutError) as error:
                log.info("%s cannot probe %s: %s", name, by.target, error or type(error).__name__)
                return
        view = self._reconciler.view
        for one in sites:  # those that are as they were when we asked
            if view.network.attachments.get(one.site.id) == one and not view.lacking(one.site.id):
                self._probes[one.site.id] = Probe(asyncio.get_running_loop().time(), answer)

    # -- telling -----------------------------------------------------------------------------------------------------

    def _came_or_went(self, name: str, connected: bool) -> None:
        if not connected:
            self._tunnels.pop(name, None)
            self._read_at.pop(name, None)
            self._took.pop(name, None)
            self._lost[name] = asyncio.get_running_loop().time()
        self._changed()

    def _changed(self) -> None:
        """Judge now, or soon: when a thousand devices come, not all sites are judged a thousand times."""
        loop = asyncio.get_running_loop()
        if loop.time() >= self._not_before:
            self.refresh()
        elif self._later is None:
            self._later = loop.call_at(self._not_before, self.refresh)
        self._wake.set()

    def refresh(self) -> None:
        """Judge every site anew from what is known, and tell what has changed."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        begun = asyncio.get_running_loop().time()
        intent = self._reconciler.intent
        if intent is not None:
            self._judge_all(intent)
        now = asyncio.get_running_loop().time()
        self._not_before = now + (now - begun) / SHARE

    def _judge_all(self, intent: Intent) -> None:
        view = self._reconciler.view
        now = asyncio.get_running_loop().time()
        for id_ in view.withheld.keys() | view.stale:
            # What was seen of the site as it was says nothing of the site as it will be.
            self._probes.pop(id_, None)
            self._built[id_] = now
        for id_ in (*view.network.attachments, *view.network.clouds):
            # It was there before we came, and gets the same time to come up.
            self._built.setdefault(id_, now)
        evidence = Evidence(view, self._reconciler.status, self._tunnels, self._probes, self._built, self._lost, now)
        wanted = {site.id: site for site in intent.sites}
        for id_, site in wanted.items():
            before = self.sites.get(id_)
            judged = judge(id_, before.judged.state if before else None, evidence)
            self._note(id_, judged, site.vpns, in_sync=id_ in view.network.attachments and not view.lacking(id_))
        self._judge_clouds(intent, evidence)
        leaving = {id_ for id_ in self._reconciler.carried if SEPARATOR not in id_} - wanted.keys()
        for id_ in leaving:
            device = view.leaving.get(id_)
            self._note(id_, Judged("removing", f"{device} may still have it" if device else None))
        for id_ in self.sites.keys() - wanted.keys() - leaving:
            self._gone(id_)

    def _note(self, site: str, judged: Judged, vpns: tuple[str, ...] = (), *, in_sync: bool = False) -> None:
        before = self.sites.get(site)
        state: State = judged.state
        changed = before is None or before.judged.state != state
        since = datetime.now(UTC) if before is None or changed else before.since
        self.sites[site] = now = SiteState(judged, since, vpns, in_sync)
        if changed or before is None or (before.judged.reason, before.in_sync) != (judged.reason, in_sync):
            for listener in self.on_site:
                listener(site, now)

    def _judge_clouds(self, intent: Intent, evidence: Evidence) -> None:
        view = evidence.view
        found: dict[str, Judged] = {}
        for cloud in peerings.clouds(intent):
            before = self.clouds.get(cloud.key)
            found[cloud.key] = judge_cloud(cloud, before.judged.state if before else None, evidence)
        for id_ in sorted(id_ for id_ in self._reconciler.carried if SEPARATOR in id_):
            device = view.leaving.get(id_)
            key = id_.rpartition(SEPARATOR)[0]
            found.setdefault(key, Judged("removing", f"{device} may still have it" if device else None))
        for key, judged in found.items():
            own = [end.key for end in view.network.clouds.values() if end.cloud.key == key]
            in_sync = bool(own) and not any(view.lacking(one) for one in (key, *own))
            self._note_cloud(key, judged, in_sync=in_sync)
        for key in self.clouds.keys() - found.keys():
            gone = self.clouds.pop(key)
            for listener in self.on_cloud:
                listener(gone.vpn, gone.identifier, None)

    def _note_cloud(self, key: str, judged: Judged, *, in_sync: bool) -> None:
        before = self.clouds.get(key)
        changed = before is None or before.judged.state != judged.state
        since = datetime.now(UTC) if before is None or changed else before.since
        vpn, _, identifier = key.partition(SEPARATOR)
        self.clouds[key] = now = CloudState(vpn, identifier, judged, since, in_sync)
        if before is None or (before.judged, before.in_sync) != (judged, in_sync):
            for listener in self.on_cloud:
                listener(vpn, identifier, now)

    def _gone(self, site: str) -> None:
        del self.sites[site]
        for known in (self._probes, self._built):
            known.pop(site, None)
        for listener in self.on_site:
            listener(site, None)
