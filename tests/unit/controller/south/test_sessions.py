"""Devices call home: who is believed, who is not, and what ends a session."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import socket
import struct
import termios
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from controller.southbound import patience, steps
from controller.southbound.identity import Identity, identity_of
from controller.southbound.quarantine import MIGRATION, Clone, Quarantine
from controller.southbound.revocation import Revocation
from controller.southbound.sessions import CLONED, REFUSED, Sessions, Timing
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from stackkit.database import Database

QUICK = Timing(keepalive=0.2, answer=1.0, hello=5)
URL = "https://manager.test/crl"
SO_ATTACH_FILTER = 26


class Post:
    """The manager's /crl, as an ASGI application behind a real HTTP client."""

    def __init__(self, authority: Any) -> None:
        self.authority = authority
        self.content = authority.crl()
        self.status, self.asked, self.unchanged = 200, 0, 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        etag = f'"{hash(self.content)}"'.encode()
        same = dict(scope["headers"]).get(b"if-none-match") == etag
        self.unchanged += same
        status = 304 if same else self.status
        await send({"type": "http.response.start", "status": status, "headers": [(b"etag", etag)]})
        await send({"type": "http.response.body", "body": b"" if same else self.content})


class Relay:
    """A way to the controller with a source address of its own.

    ``frozen`` loses everything, as a dead NAT does; what is ``held`` arrives, and nobody reads it until it is let go.
    """

    def __init__(self, source: str) -> None:
        self.source, self.frozen = source, False
        self.writers: list[asyncio.StreamWriter] = []
        self._free = asyncio.Event()
        self._free.set()

    async def freeze(self) -> None:
        # What is on its way would be sent again and again, and be heard of.
        await until(lambda: not any(on_the_way(writer) for writer in self.writers))
        self.frozen = True
        nothing = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # bpf(2): take 0 octets of a packet
        program = struct.pack("HL", 1, ctypes.addressof(nothing))
        for writer in self.writers:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)

    def hold(self, held: bool) -> None:
        (self._free.clear if held else self._free.set)()

    async def start(self, target: int) -> int:
        self.target = target
        self.server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            other = await asyncio.open_connection("127.0.0.1", self.target, local_addr=(self.source, 0))
        except OSError:
            writer.close()
            return
        self.writers += [writer, other[1]]
        if self.frozen:
            return
        await asyncio.gather(self._pipe(reader, other[1]), self._pipe(other[0], writer))

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._free.wait()
                writer.write(data)
        if not self.frozen:
            writer.close()

    def close(self) -> None:
        self.server.close()
        for writer in self.writers:
            writer.close()


class Base:
    """The controller's listener, and what it tells."""

    def __init__(self, authority: Any, directory: Path) -> None:
        self.authority, self.directory = authority, directory
        self.post = Post(authority)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.post))
        self.alarms: list[tuple[str, str]] = []
        self.changes: list[tuple[str, bool]] = []
        self.unknown: set[str] = set()
        self.relays: list[Relay] = []

    async def start(self, *, fetch: bool = True) -> None:
        self.database = Database(self.directory / "controller.sqlite", [MIGRATION])
        ca = x509.load_pem_x509_certificate(self.authority.ca.read_bytes())
        self.revocation = Revocation(ca, self.directory / "crl.der")
        self.quarantine = Quarantine(self.database)
        self.sessions = Sessions(self.revocation, self.quarantine, known=self._known, alarm=self._alarm, timing=QUICK)
        self.sessions.on_change.append(lambda name, up: self.changes.append((name, up)))
        if fetch:
            await self.fetch()
        self.port = await self.sessions.listen(
            "127.0.0.1", 0, **self.authority.issue("controller"), ca=self.authority.ca
        )

    async def fetch(self) -> None:
        await self.revocation.fetch(self.http, URL)

    async def _known(self, identity: Identity) -> str | None:
        return "no such device in the registry" if identity.serial in self.unknown else None

    def _alarm(self, name: str, kind: str, text: str) -> None:
        self.alarms.append((name, kind))

    async def relay(self, source: str) -> tuple[Relay, int]:
        relay = Relay(source)
        self.relays.append(relay)
        return relay, await relay.start(self.port)

    async def stop(self) -> None:
        await self.sessions.close()
        for relay in self.relays:
            relay.close()
        self.database.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "DEAF", 2.5)


@pytest.fixture
async def base(authority: Any, tmp_path: Path) -> AsyncIterator[Base]:
    # What one test revokes the next must not find.
    authority.revoked.clear()
    made = Base(authority, tmp_path)
    await made.start()
    yield made
    await made.stop()


def on_the_way(writer: asyncio.StreamWriter) -> bool:
    """Is something not acknowledged that was sent (tcp(7), SIOCOUTQ)?"""
    count = fcntl.ioctl(writer.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    return any(count)


def _der(path: Path) -> bytes:
    return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)


async def until(condition: Any, seconds: float = 6.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


async def test_a_device_calls(base: Base, fleet: Any) -> None:
    """It is who its certificate says, has the revocation list first, and is told to whoever listens."""
    fleet["ucpe-1"].call(base.port)
    await until(lambda: base.sessions.session("ucpe-1"))
    held = base.sessions.held()["ucpe-1"]
    assert (held.identity.name, held.identity.serial, held.address) == ("ucpe-1", "SN-ucpe-1", "127.0.0.1")
    assert fleet["ucpe-1"].lists == [base.post.content]
    assert base.changes == [("ucpe-1", True)]
    assert base.sessions.session("ucpe-2") is None
    assert await held.client.get_config() is not None


async def test_it_goes(base: Base, fleet: Any) -> None:
    """Seen at once; it comes again by itself."""
    fleet["ucpe-1"].call(base.port)
    await until(lambda: base.changes == [("ucpe-1", True)])
    for session in list(fleet["ucpe-1"].server.sessions.values()):
        session.end("other")
    await until(lambda: len(base.changes) >= 3)
    assert base.changes[:3] == [("ucpe-1", True), ("ucpe-1", False), ("ucpe-1", True)]
    assert not base.alarms


async def test_it_dies_in_silence(base: Base, fleet: Any) -> None:
    """Nothing is closed, nothing answers: the missing sign of life ends it."""
    relay, port = await base.relay("127.0.0.1")
    fleet["ucpe-1"].call(port)
    await until(lambda: base.sessions.session("ucpe-1"))
    await relay.freeze()
    await until(lambda: base.sessions.session("ucpe-1") is None)


async def test_one_that_is_busy_with_a_commit_is_not_taken_for_dead(base: Any, fleet: Any) -> None:
    """It answers in the order of questions: the commit's own deadline says when it has taken too long."""
    relay, port = await base.relay("127.0.0.1")
    fleet["ucpe-1"].call(port)
    await until(lambda: base.sessions.session("ucpe-1"))
    client = base.sessions.session("ucpe-1")
    done = asyncio.Event()

    async def commit(_: Any) -> None:
        await done.wait()

    at_work = asyncio.create_task(steps.ask(client, commit))
    await until(lambda: client in steps.engaged)
    await relay.freeze()
    # Several signs of life are due meanwhile.
    with pytest.raises(TimeoutError):
        await until(lambda: base.sessions.session("ucpe-1") is None, 4 * (QUICK.keepalive + QUICK.answer))
    done.set()
    await at_work
    await until(lambda: base.sessions.session("ucpe-1") is None)


async def test_one_that_is_slow_is_not_taken_for_dead(base: Base, fleet: Any) -> None:
    """Its machine acknowledges what it is asked, and its program has no time to answer: its session stays."""
    relay, port = await base.relay("127.0.0.1")
    fleet["ucpe-1"].call(port)
    await until(lambda: base.sessions.session("ucpe-1"))
    client = base.sessions.session("ucpe-1")
    relay.hold(True)
    with pytest.raises(TimeoutError):
        await until(lambda: base.sessions.session("ucpe-1") is not client, 3 * (QUICK.keepalive + QUICK.answer))
    relay.hold(False)
    assert await client.get_config(deadline=5) is not None
    assert base.changes == [("ucpe-1", True)]


async def test_one_that_hangs_is(base: Base, fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "BUSY", 1.5)
    monkeypatch.setattr(patience, "OVERLOADED", 1.5)
    relay, port = await base.relay("127.0.0.1")
    fleet["ucpe-1"].call(port)
    await until(lambda: base.sessions.session("ucpe-1"))
    relay.hold(True)
    await until(lambda: base.sessions.session("ucpe-1") is None)


async def test_one_that_is_slow_to_take_the_list_holds_up_nobody(
    base: Base, fleet: Any, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps its session and gets the list; the next list is in force meanwhile."""
    for name in ("ucpe-1", "ucpe-2"):
        fleet[name].call(base.port)
    await until(lambda: len(base.sessions.held()) == 2)
    go_on, ordinary = asyncio.Event(), fleet["ucpe-1"].rpcs["elasticlab-element:install-crl"]

    async def slow(call: Any) -> Any:
        await go_on.wait()
        return await ordinary(call)

    monkeypatch.setitem(fleet["ucpe-1"].server.rpcs, "elasticlab-element:install-crl", slow)
    lists = []
    for age in (30, 20):
        base.post.content = authority.crl(age=age)
        lists.append(base.post.content)
        await base.fetch()
        assert base.revocation.current.der == lists[-1]
    assert fleet["ucpe-2"].lists[1:] == lists
    go_on.set()
    await until(lambda: fleet["ucpe-1"].lists[1:] == lists)
    assert sorted(base.changes) == [("ucpe-1", True), ("ucpe-2", True)]


async def test_nobody_without_a_list(authority: Any, fleet: Any, tmp_path: Path) -> None:
    """Until the manager was asked once, nobody can be told from a revoked one."""
    base = Base(authority, tmp_path)
    await base.start(fetch=False)
    fleet["ucpe-1"].call(base.port)
    await until(lambda: base.alarms)
    assert base.sessions.session("ucpe-1") is None
    await base.fetch()
    await until(lambda: base.sessions.session("ucpe-1"))
    await base.stop()
    # The next life knows the list without asking.
    again = Base(authority, tmp_path)
    await again.start(fetch=False)
    assert again.revocation.current is not None
    await again.stop()


async def test_revoked(base: Base, fleet: Any, authority: Any) -> None:
    """The session ends with the list that says so, it does not come back, and the others get the list."""
    for name in ("ucpe-1", "vmsr-1"):
        fleet[name].call(base.port)
        await until(lambda name=name: base.sessions.session(name))
    authority.revoke(fleet["ucpe-1"].identity["cert"])
    base.post.content = authority.crl()
    await base.fetch()
    assert base.sessions.session("ucpe-1") is None
    assert fleet["vmsr-1"].lists[-1] == base.post.content
    await until(lambda: ("ucpe-1", REFUSED) in base.alarms)
    assert base.sessions.session("ucpe-1") is None
    assert base.sessions.session("vmsr-1") is not None


async def test_unknown_to_the_registry(base: Base, fleet: Any) -> None:
    base.unknown.add("SN-ucpe-1")
    fleet["ucpe-1"].call(base.port)
    await until(lambda: ("ucpe-1", REFUSED) in base.alarms)
    assert not base.changes


async def test_of_another_authority(base: Base, fleet: Any, tmp_path: Path) -> None:
    """The handshake fails: no session, no name to believe."""
    stranger = type(base.authority)(tmp_path / "strange", "operational")
    fleet["ucpe-1"].identity = stranger.issue("ucpe-1", "SN-ucpe-1")
    fleet["ucpe-1"].call(base.port)
    await until(lambda: fleet["ucpe-1"].home.attempts > 1)
    assert set(base.alarms) == {("unknown", REFUSED)}
    assert not base.changes


async def test_whoever_knocks_and_says_nothing_is_no_alarm(base: Base) -> None:
    for said in (b"", b"GET / HTTP/1.0\r\n\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", base.port)
        writer.write(said)
        writer.write_eof()
        await reader.read()
        writer.close()
    assert not base.alarms


@pytest.mark.parametrize(("name", "serial"), [("ucpe-1", None), ("UCPE-1", "SN-1"), ("a_b", "SN-1")])
async def test_a_subject_that_names_no_device(base: Base, fleet: Any, name: str, serial: str | None) -> None:
    fleet["ucpe-1"].identity = base.authority.issue(name, serial)
    fleet["ucpe-1"].call(base.port)
    await until(lambda: ("unknown", REFUSED) in base.alarms)
    assert not base.changes


async def test_a_copied_key_used_at_the_same_time(base: Base, fleet: Any) -> None:
    """Two live: alarm, both go, both stay out; nobody else comes by that name until the manager has been told."""
    _, home = await base.relay("127.0.0.2")
    fleet["ucpe-1"].call(home)
    await until(lambda: base.sessions.session("ucpe-1"))
    fleet["ucpe-2"].identity = fleet["ucpe-1"].identity
    _, elsewhere = await base.relay("127.0.0.3")
    fleet["ucpe-2"].call(elsewhere)
    await until(lambda: ("ucpe-1", CLONED) in base.alarms)
    assert base.sessions.session("ucpe-1") is None
    calls = len(base.alarms)
    await until(lambda: len(base.alarms) >= calls + 2)
    assert base.sessions.session("ucpe-1") is None
    await fleet["ucpe-2"].home.stop()
    (clone,) = Quarantine(base.database).clones
    certificate = x509.load_pem_x509_certificate(fleet["ucpe-1"].identity["cert"].read_bytes())
    assert clone == base.quarantine.clones[0]
    assert (clone.device, clone.serial, clone.told) == ("ucpe-1", "SN-ucpe-1", False)
    assert clone.certificates == {certificate.serial_number}
    assert "127.0.0.2" in clone.reason
    assert "127.0.0.3" in clone.reason


async def test_after_the_manager_was_told_another_certificate_counts(base: Base, fleet: Any) -> None:
    """Before, whoever copied the key may have renewed it; the copied one never counts again. All over a restart."""
    identity = identity_of(_der(fleet["ucpe-1"].identity["cert"]))
    base.quarantine.put(Clone("ucpe-1", identity.serial, frozenset({identity.certificate}), "seen twice"))
    other = base.authority.issue("ucpe-1", "SN-ucpe-1")
    renewed = identity_of(_der(other["cert"]))
    for quarantine in (base.quarantine, Quarantine(base.database)):
        assert quarantine.refusal(identity) == quarantine.refusal(renewed) == "seen twice"
    base.quarantine.told(base.quarantine.clones[0])
    for quarantine in (base.quarantine, Quarantine(base.database)):
        assert quarantine.refusal(identity) == "seen twice"
        assert quarantine.refusal(renewed) is None
    fleet["ucpe-1"].call(base.port)
    await until(lambda: ("ucpe-1", REFUSED) in base.alarms)
    assert base.sessions.session("ucpe-1") is None
    await fleet["ucpe-1"].home.stop()
    fleet["ucpe-1"].identity = other
    fleet["ucpe-1"].call(base.port)
    await until(lambda: base.sessions.session("ucpe-1"))
    await until(lambda: not base.quarantine.clones)
    assert not Quarantine(base.database).clones


async def test_a_device_that_moves_is_no_clone(base: Base, fleet: Any) -> None:
    """Its old session is dead, though nothing has closed it: the new one takes its place."""
    relay, home = await base.relay("127.0.0.2")
    fleet["ucpe-1"].call(home)
    await until(lambda: base.sessions.session("ucpe-1"))
    await relay.freeze()
    _, elsewhere = await base.relay("127.0.0.3")
    fleet["ucpe-1"].call(elsewhere)
    await until(lambda: base.sessions.held().get("ucpe-1") and base.sessions.held()["ucpe-1"].address == "127.0.0.3")
    assert not base.alarms


async def test_the_same_device_calls_twice(base: Base, fleet: Any) -> None:
    """From the same address the newer session takes the place of the older."""
    fleet["ucpe-1"].call(base.port)
    await until(lambda: base.sessions.session("ucpe-1"))
    first = base.sessions.session("ucpe-1")
    await fleet["ucpe-1"].home.stop()
    fleet["ucpe-1"].call(base.port)
    await until(lambda: base.sessions.session("ucpe-1") not in (None, first))
    assert not base.alarms


async def test_the_list_is_asked_for_politely(base: Base) -> None:
    await base.fetch()
    assert (base.post.asked, base.post.unchanged) == (2, 1)
    assert base.revocation.problem is None


@pytest.mark.parametrize("what", ["garbage", "foreign", "older", "status"])
async def test_a_list_that_is_not_taken(base: Base, authority: Any, tmp_path: Path, what: str) -> None:
    good = base.revocation.current
    assert good is not None
    if what == "garbage":
        base.post.content = b"no list"
    elif what == "foreign":
        base.post.content = type(authority)(tmp_path / "strange", "operational").crl()
    elif what == "status":
        base.post.content, base.post.status = authority.crl() + b"x", 500
    else:
        base.post.content = authority.crl(age=3600)
    await base.fetch()
    assert base.revocation.problem is not None
    assert base.revocation.current is good


async def test_a_list_that_has_ended(base: Base, authority: Any, fleet: Any) -> None:
    """It says nothing any more: nobody new comes in."""
    base.post.content = authority.crl(age=30, life=10)
    await base.fetch()
    assert base.revocation.problem is None
    fleet["ucpe-1"].call(base.port)
    await until(lambda: ("ucpe-1", REFUSED) in base.alarms)
    assert base.sessions.session("ucpe-1") is None
