"""Agents that listen for SSH, all in one process: the simulator's boxes, or their floor, echoes on the same library.

`python3 -m perf.devices.agents box|echo COUNT FOLDER` makes keys in the folder, says as a JSON line when all listen, on
ports one after the other, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from pathlib import Path

import asyncssh

from harness.paths import REPOSITORY
from perf.simulator.boxes import Box, Model, Place, schema_of
from perf.simulator.fleet import address

HOST, FIRST_PORT = "127.0.0.1", 21_000
USER, SUBSYSTEM = "admin", "netconf"
HOST_KEY, CLIENT_KEY = "host", "client"
MODEL = "ucpe-100"
_KIND = "ssh-ed25519"


def make_room() -> None:
    """As many open files as this process may have: each agent is a listener and a connection."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def make_keys(folder: Path) -> None:
    """One of all hosts, and one of the client."""
    for name in (HOST_KEY, CLIENT_KEY):
        key = asyncssh.generate_private_key(_KIND)
        key.write_private_key(str(folder / name))
        key.write_public_key(str(folder / f"{name}.pub"))


class _Echo(asyncssh.SSHServerSession[bytes]):
    """A subsystem that sends back what it is sent."""

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = chan

    def subsystem_requested(self, subsystem: str) -> bool:
        return subsystem == SUBSYSTEM

    def data_received(self, data: bytes, _datatype: asyncssh.DataType) -> None:
        self._channel.write(data)


class _Echoes(asyncssh.SSHServer):
    def session_requested(self) -> _Echo:
        return _Echo()


async def echoes(count: int, folder: Path) -> None:
    for port in range(FIRST_PORT, FIRST_PORT + count):
        await asyncssh.listen(
            HOST, port, server_factory=_Echoes, server_host_keys=[str(folder / HOST_KEY)], encoding=None,
            authorized_client_keys=str(folder / f"{CLIENT_KEY}.pub"), password_auth=False, kbdint_auth=False,
            gss_host=None, compression_algs=None, config=None, line_editor=False, allow_pty=False,
        )  # fmt: skip


async def boxes(count: int, folder: Path) -> None:
    """Their startup files are nowhere, as an echo's are not."""
    model = Model.named(MODEL)
    schema = schema_of([REPOSITORY / "models/yang"], REPOSITORY / "images/element/element/personalities", model)
    for number in range(count):
        box = Box(f"ucpe-{number:04d}", MODEL, schema, address(number), Place(folder, folder, folder, None))
        await box.start()
        await box.server.listen_ssh(
            HOST, FIRST_PORT + number, host_key=folder / HOST_KEY,
            authorized_keys={USER: folder / f"{CLIENT_KEY}.pub"},
        )  # fmt: skip


async def serve(kind: str, count: int, folder: Path) -> None:
    make_room()
    make_keys(folder)
    begun = time.monotonic()
    await {"box": boxes, "echo": echoes}[kind](count, folder)
    print(json.dumps({"seconds": time.monotonic() - begun}), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
