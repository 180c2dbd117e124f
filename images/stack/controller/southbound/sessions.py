"""The sessions with devices: they call home over TLS (RFC 8071, section 3.1; RFC 7589), one session a device."""

from __future__ import annotations

import asyncio
import logging
import ssl
from base64 import b64encode
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any

from yangkit import client_transport
from yangkit.client import NetconfClient
from yangkit.client_transport import Wire, WireListener
from yangkit.errors import RpcError

from controller.southbound import patience, steps
from controller.southbound.identity import Identity, NotBelieved, RevocationList, identity_of
from controller.southbound.quarantine import Clone, Quarantine
from controller.southbound.revocation import Revocation

log = logging.getLogger(__name__)
ELEMENT = "urn:elasticlab:yang:elasticlab-element"
#: Kinds of alarms that are raised here.
REFUSED, CLONED = "device-refused", "device-cloned"
#: Whom an alarm names when nobody can tell who called.
UNKNOWN = "unknown"
Alarm = Callable[[str, str, str], None]
"""Called with the device's name, the kind, and a text for people."""


@dataclass(frozen=True)
class Timing:
    """Seconds: between signs of life, until one must be there (of a device that is overloaded: of its machine,
    ``southbound.patience``), until a device has said hello."""

    keepalive: float = 10.0
    answer: float = 4.0
    hello: float = 15.0


@dataclass(frozen=True)
class Held:
    """A session that is up."""

    identity: Identity
    client: NetconfClient
    address: str
    since: datetime


class Sessions:
    """Takes calls, says who is there, and ends what must end.

    ``known`` returns why a caller with this name and serial number is refused, or None. ``on_change`` is told each
    coming (True) and going (False) of a device.
    """

    def __init__(
        self,
        revocation: Revocation,
        quarantine: Quarantine,
        *,
        known: Callable[[Identity], Awaitable[str | None]],
        alarm: Alarm,
        timing: Timing | None = None,
    ) -> None:
        self._revocation, self._quarantine = revocation, quarantine
        self._known, self._alarm = known, alarm
        self._timing = timing or Timing()
        self._held: dict[str, Held] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._wires: list[WireListener] = []
        self.on_change: list[Callable[[str, bool], None]] = []
        revocation.listeners.append(self._revoked)

    # -- life --------------------------------------------------------------------------------------------------------

    async def listen(self, host: str, port: int, *, cert: Path, key: Path, ca: Path) -> int:
        """Take calls; the bound port."""
        wires = await client_transport.listen_tls(host, port, cert=cert, key=key, ca=ca, on_stranger=self._stranger)
        self._wires.append(wires)
        self._start(self._take_calls(wires))
        return wires.port

    @property
    def port(self) -> int:
        """Where calls are taken."""
        return self._wires[0].port if self._wires else 0

    async def close(self) -> None:
        """End all sessions and take no more."""
        for wires in self._wires:
            await wires.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        held, self._held = list(self._held.values()), {}
        await asyncio.gather(*(one.client.close() for one in held))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task of the sessions failed", exc_info=error)

    # -- who is there ------------------------------------------------------------------------------------------------

    def session(self, name: str) -> NetconfClient | None:
        """A device's session, if there is one."""
        held = self._held.get(name)
        return held.client if held is not None else None

    def held(self) -> dict[str, Held]:
        """All sessions that are up."""
        return dict(self._held)

    def dismiss(self, name: str) -> None:
        """End a device's session, if it has one: it is ours no more."""
        held = self._held.get(name)
        if held is not None:
            self._end(held)

    # -- calls -------------------------------------------------------------------------------------------------------

    async def _take_calls(self, wires: WireListener) -> None:
        while True:
            self._start(self._take(await wires.queue.get()))

    def _stranger(self, address: str, error: ssl.SSLCertVerificationError) -> None:
        """Somebody whom the operational CA has not certified: TLS has refused him."""
        self._alarm(UNKNOWN, REFUSED, f"A call from {address} is refused: {error.verify_message}.")

    async def _take(self, wire: Wire) -> None:
        """A caller has proved that it has a key that the operational CA has certified: is it one of ours?"""
        name = UNKNOWN
        try:
            identity = identity_of(wire.peer_certificate)
            name = identity.name
            async with self._turns.setdefault(name, asyncio.Lock()):
                await self._admit(identity, wire)
        except NotBelieved as reason:
            log.warning("the call of %s from %s is refused: %s", name, wire.peer_address, reason)
            wire.abort()
            self._alarm(name, REFUSED, f"A call from {wire.peer_address} is refused: {reason}.")
        except (OSError, TimeoutError, RpcError) as error:
            log.info("the call of %s from %s came to nothing: %s", name, wire.peer_address, error)
            wire.abort()
        except BaseException:
            wire.abort()
            raise

    async def _admit(self, identity: Identity, wire: Wire) -> None:
        self._revocation.check(identity)
        refusal = self._quarantine.refusal(identity) or await self._known(identity)
        if refusal is not None:
            raise NotBelieved(refusal)
        await self._make_room(identity, wire.peer_address or "")
        client = await NetconfClient.start(wire, self._timing.hello)
        # Before anything else: what it configures next may depend on who is revoked. A newer list may come meanwhile.
        pushed: RevocationList | None = None
        while (current := self._revocation.current) is not None and current is not pushed:
            if not await self._push(identity.name, client, current):
                return  # it gets it when it calls again
            pushed = current
        self._revocation.check(identity)
        held = Held(identity, client, wire.peer_address or "", datetime.now(UTC))
        self._held[identity.name] = held
        log.info("%s is connected from %s", identity.name, held.address)
        self._start(self._watch(held))
        self._tell(identity.name, True)
        if self._quarantine.has(identity.name):
            await asyncio.to_thread(self._quarantine.remove, identity.name)

    async def _make_room(self, identity: Identity, address: str) -> None:
        """A device has one session. A new one from the same address takes the old one's place; from another address
        it does so only if the old one is dead: two that live have copies of one key, and nobody can tell whose it is.
        Neither is believed any more; what they have is for the manager to revoke (``southbound.report``)."""
        old = self._held.get(identity.name)
        if old is None:
            return
        if old.address != address and await self._lives(old.client):
            reason = (
                f"{identity.name} ({identity.serial}) is at {old.address} and at {address} at the same time: "
                "its key has been copied, both are out until it is released at the manager and reset"
            )
            used = frozenset((old.identity.certificate, identity.certificate))
            self._end(old)
            await asyncio.to_thread(self._quarantine.put, Clone(identity.name, identity.serial, used, reason))
            self._alarm(identity.name, CLONED, reason)
            raise NotBelieved(reason)
        self._end(old)

    async def _lives(self, client: NetconfClient) -> bool:
        try:
            await patience.answer(client, client.get_config(filter="", deadline=inf), self._timing.answer)
        except RpcError:
            pass  # an answer is a sign of life
        except (OSError, TimeoutError):
            return False
        return True

    # -- while it lasts ----------------------------------------------------------------------------------------------

    async def _watch(self, held: Held) -> None:
        """Until the session is over, seen at once when the connection breaks, else by the missing sign of life."""
        closed = asyncio.create_task(held.client.wait_closed())
        try:
            while not closed.done():
                # Whoever has spoken lately needs not be asked whether it lives.
                left = self._timing.keepalive - (asyncio.get_running_loop().time() - held.client.heard)
                if left <= 0 and await self._is_silent(held.client):
                    break
                await asyncio.wait([closed], timeout=left if left > 0 else self._timing.keepalive)
        finally:
            closed.cancel()
            self._end(held)

    async def _is_silent(self, client: NetconfClient) -> bool:
        """A commit that takes long is no silence: it has a deadline of its own, and ends the session then."""
        return client not in steps.engaged and not await self._lives(client) and client not in steps.engaged

    def _end(self, held: Held) -> None:
        held.client.abort()
        if self._held.get(held.identity.name) is held:
            del self._held[held.identity.name]
            log.info("%s is gone", held.identity.name)
            self._tell(held.identity.name, False)

    def _tell(self, name: str, connected: bool) -> None:
        for listener in self.on_change:
            listener(name, connected)

    # -- revocation --------------------------------------------------------------------------------------------------

    async def _revoked(self, revocations: RevocationList) -> None:
        """A new list: first whose certificate is on it goes, then everybody else gets it."""
        for held in list(self._held.values()):
            if revocations.revokes(held.identity):
                log.warning("%s is revoked", held.identity.name)
                self._end(held)
        rest = [self._start(self._pass_on(held, revocations)) for held in self._held.values()]
        if rest:  # nobody waits longer than that for one that is slow: the next list may be there
            await asyncio.wait(rest, timeout=self._timing.answer)

    async def _pass_on(self, held: Held, revocations: RevocationList) -> None:
        await self._push(held.identity.name, held.client, revocations)

    async def _push(self, name: str, client: NetconfClient, revocations: RevocationList) -> bool:
        """Have a device take the list; one that hangs or breaks loses its session, gets the list when it calls again,
        and this is False."""
        text = b64encode(revocations.der).decode()
        body = f'<install-crl xmlns="{ELEMENT}"><crl>{text}</crl></install-crl>'
        try:
            await patience.answer(client, client.rpc(body, inf), self._timing.answer)
        except RpcError as error:
            log.warning("%s refuses the revocation list: %s", name, error)
        except (OSError, TimeoutError) as error:
            log.warning("%s did not take the revocation list: %s", name, error or type(error).__name__)
            client.abort()
            return False
        return True
