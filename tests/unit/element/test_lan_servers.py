"""The servers' keeper, with programs that do nothing: what it starts, and what it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from element.dhcp import client
from element.lan import servers as lan
from element.lan.daemons import Daemon, Folders, lease_file
from element.lan.servers import Servers
from element.model import Config


def keeper(tmp_path: Path, config: Callable[[], Config | None]) -> Servers:
    (tmp_path / "given").mkdir()
    return Servers(Folders(tmp_path / "told", tmp_path / "given", tmp_path / "behind"), config)


def test_tenants_and_interfaces_with_dots_share_no_leases(tmp_path: Path, pop: Config) -> None:
    folders = Folders(tmp_path, tmp_path, tmp_path)
    near = pop.interface("br-2")
    names = (("a.b", "c"), ("a", "b.c"))
    assert len({lease_file(replace(near, tenant=tenant, name=name), folders) for tenant, name in names}) == 2


async def test_leases_of_servers_that_are_not_wanted_go(tmp_path: Path, pop: Config) -> None:
    servers = keeper(tmp_path, lambda: pop)
    kept, gone, hidden = (tmp_path / "given" / name for name in ("acme:br-2", "acme:lan", ".lan.pid"))
    for file in (kept, gone, hidden):
        file.touch()
    servers._forget({kept})
    assert kept.exists()
    assert hidden.exists()
    assert not gone.exists()


class Fork:
    """The machine has no memory for another process, for a while."""

    def __init__(self, refused: int) -> None:
        self.refused, self.tried = refused, 0
        self.begun = asyncio.Event()

    async def __call__(self, *_: Any, **__: Any) -> Any:
        self.tried += 1
        if self.tried <= self.refused:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        self.begun.set()
        await asyncio.Event().wait()


async def test_a_server_that_cannot_be_started_is_started_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, wanted: Daemon
) -> None:
    fork = Fork(refused=2)
    servers = keeper(tmp_path, Config)
    monkeypatch.setattr(lan, "RESTART", 0.01)
    monkeypatch.setattr(lan, "daemons", lambda *_: {wanted})
    monkeypatch.setattr(lan.asyncio, "create_subprocess_exec", fork)
    monkeypatch.setattr(servers, "_prepare", lambda _: None)
    await _until(servers.run(), fork.begun)
    assert caplog.text.count("lo: DHCP: [Errno 11] Resource temporarily unavailable") == 1, "told once"


async def test_what_is_no_fault_of_the_machine_ends_the_keeper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: Daemon
) -> None:
    """Whoever runs it starts all anew, and it is told."""
    servers = keeper(tmp_path, Config)

    def prepare(_: Daemon) -> None:
        raise LookupError("no user dnsmasq")

    monkeypatch.setattr(lan, "daemons", lambda *_: {wanted})
    monkeypatch.setattr(servers, "_prepare", prepare)
    with pytest.raises(LookupError, match="no user dnsmasq"):
        async with asyncio.timeout(5):
            await servers.run()


async def test_a_client_that_cannot_be_started_is_started_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fork = Fork(refused=2)

    async def changed(_: object) -> None:
        pass

    clients = client.Clients(tmp_path / "leases", tmp_path / "script", lambda: frozenset({"wan"}), changed)
    monkeypatch.setattr(client, "POLL", 0.01)
    monkeypatch.setattr(client, "_cable", lambda _: (1, 1))
    monkeypatch.setattr(client.asyncio, "create_subprocess_exec", fork)
    await _until(clients.run(), fork.begun)
    assert caplog.text.count("Resource temporarily unavailable") == 1


async def test_a_folder_that_cannot_be_made_ends_no_supervision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told = asyncio.Event()

    async def changed(_: object) -> None:
        told.set()

    (tmp_path / "full").write_text("not a folder")
    clients = client.Clients(tmp_path / "full" / "leases", tmp_path, lambda: frozenset({"wan"}), changed)
    await _until(clients.run(), told)
    assert "leases: " in caplog.text


async def _until(work: Any, event: asyncio.Event) -> None:
    """Run until something has happened."""
    task = asyncio.create_task(work)
    async with asyncio.timeout(5):
        await event.wait()
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def wanted(tmp_path: Path) -> Daemon:
    """A program of an interface that there is."""
    return Daemon("lo: DHCP", "lo", ("true",), tmp_path / "file", "")
