"""Keeps the programs running that the LANs need, and tells DNS servers the names of stations with leases."""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from element.endurance import Endurance
from element.lan import dnsmasq
from element.lan.daemons import USER, Daemon, Folders, daemons, hosts_file, lease_list
from element.model import Config

log = logging.getLogger(__name__)

POLL = 0.25
"""Configuration, leases and ended programs are noticed this soon."""
RESTART = 1.0
_PROGRAMS = (b"dnsmasq", b"radvd")
PATIENCE = 3.0
"""After so many seconds a program that was asked to end is ended."""


class Servers:
    """Runs what the configuration asks for; ``config`` gives it, or None while it is not known."""

    def __init__(self, folders: Folders, config: Callable[[], Config | None]) -> None:
        self._folders = folders
        self._config = config
        self._running: dict[Daemon, asyncio.Task[None]] = {}
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self._hosts: dict[str, str] = {}

    async def run(self) -> None:
        """Never ends by itself."""
        self._end_strays()
        endurance = Endurance(log, "servers of LANs")
        try:
            while True:
                if (config := self._config()) is not None:
                    with endurance:
                        await self._follow(set(daemons(config, self._folders)))
                        self._names(config)
                await asyncio.sleep(POLL)
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _end_strays(self) -> None:
        """Programs of a former life that did not end with it."""
        ours = f"{self._folders.told}/".encode()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                program, *words = (entry / "cmdline").read_bytes().split(b"\0")
                if program in _PROGRAMS and any(ours in word for word in words):
                    os.kill(int(entry.name), signal.SIGKILL)
            except (OSError, ValueError):
                continue  # it has ended

    async def _follow(self, wanted: set[Daemon]) -> None:
        for daemon in self._running.keys() - wanted:
            task = self._running.pop(daemon)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for daemon in sorted(wanted - self._running.keys(), key=lambda d: d.name):
            self._running[daemon] = asyncio.create_task(self._supervise(daemon))
        for task in [task for task in self._running.values() if task.done()]:
            task.result()  # it never ends by itself: say why
        self._forget({daemon.given for daemon in wanted})

    def _forget(self, kept: set[Path | None]) -> None:
        """Leases of servers that are no longer wanted: who comes next does not inherit them."""
        for file in self._folders.given.glob("[!.]*"):
            if file not in kept:
                file.unlink(missing_ok=True)

    async def _supervise(self, daemon: Daemon) -> None:
        endurance = Endurance(log, daemon.name)
        while True:
            if (index := _index(daemon.interface)) is not None:
                with endurance:
                    await self._live(daemon, index)
            await asyncio.sleep(RESTART)

    async def _live(self, daemon: Daemon, index: int) -> None:
        """One life of a program, which ends with its interface."""
        self._prepare(daemon)
        quiet = asyncio.subprocess.DEVNULL
        child = await asyncio.create_subprocess_exec(*daemon.command, stdin=quiet, stdout=quiet, cwd="/")
        log.info("%s: started", daemon.name)
        self._children[daemon.name] = child
        try:
            while child.returncode is None and _index(daemon.interface) == index:
                try:
                    await asyncio.wait_for(child.wait(), RESTART)
                except TimeoutError:
                    continue
            if child.returncode is not None:
                log.warning("%s: ended with status %s; started again", daemon.name, child.returncode)
        finally:
            self._children.pop(daemon.name, None)
            await _end(child)

    def _prepare(self, daemon: Daemon) -> None:
        """What it reads is root's and readable; what it writes is its own."""
        self._folders.told.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._folders.told.chmod(0o755)
        daemon.file.write_text(daemon.text, encoding="ascii")
        daemon.file.chmod(0o644)
        self._folders.given.mkdir(mode=0o700, parents=True, exist_ok=True)
        user = pwd.getpwnam(USER)
        os.chown(self._folders.given, user.pw_uid, user.pw_gid)

    def _names(self, config: Config) -> None:
        for interface in config.interfaces:
            if interface.dns is None:
                continue
            given = lease_list(interface, self._folders)
            stations = [(lease.host_name, str(lease.address)) for lease in given if lease.host_name]
            text = dnsmasq.hosts(interface.dns, stations)
            if self._hosts.get(interface.name) != text:
                self._tell(interface.name, text)

    def _tell(self, interface: str, text: str) -> None:
        """The file is read again at SIGHUP (dnsmasq(8), NOTES)."""
        self._folders.told.mkdir(mode=0o755, parents=True, exist_ok=True)
        file = hosts_file(interface, self._folders)
        file.write_text(text, encoding="ascii")
        file.chmod(0o644)
        self._hosts[interface] = text
        child = self._children.get(f"{interface}: DNS")
        if child is not None and child.returncode is None:
            child.send_signal(signal.SIGHUP)


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is not None:
        return
    child.terminate()
    try:
        await asyncio.wait_for(child.wait(), PATIENCE)
    except TimeoutError:
        child.kill()
        await child.wait()


def _index(name: str) -> int | None:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None
