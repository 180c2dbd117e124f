"""The element's backend as a process in a box without an orchestrator: it is told configurations (RFC 7951 JSON), keeps
the box so, and tells state. What is missing is NETCONF alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.lab import Node
from harness.wait import wait_for

Tree = dict[str, Any]

_PYTHON = "/opt/element/bin/python"
_SOCKET = "/run/living.socket"
_LOG = "/run/living.log"
_SERVE = """
import asyncio, json, logging
from pathlib import Path
from yangkit import ApplyError
from element.apply.ipsec import Charon
from element.apply.memory import Memory
from element.apply.system import System
from element.backend import ElementBackend
from element.factory import Identity
from element.lan.daemons import Folders
from element.revocation import Revocations

store = Path("/var/lib/element/identity/current")
revocations = Revocations(store / "ca.pem", store / "crl.pem", store.parent.parent / "crl.pem")
vici = Path("/run/charon.vici")
memory = Memory(Path("/run/element/charon.json"))
stations = Folders(Path("/run/element-servers"), Path("/var/lib/element-stations"), Path("/none"))  # no LAN has servers
backend = ElementBackend(System(Charon(vici, store, revocations, memory)), vici, Identity("S", "M", "P"), stations)

async def answer(reader, writer):
    asked = json.loads(await reader.readline())
    try:
        told = await (backend.state() if asked is None else backend.apply({}, asked))
        writer.write(json.dumps({"told": told}).encode())
    except ApplyError as error:
        writer.write(json.dumps({"refused": str(error), "path": error.path}).encode())
    writer.close()

async def main():
    server = await asyncio.start_unix_server(answer, "SOCKET", limit=2**22)
    await backend.run()

logging.basicConfig(level=logging.INFO)
asyncio.run(main())
""".replace("SOCKET", _SOCKET)
_ASK = f"""
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect("{_SOCKET}")
s.sendall(sys.stdin.buffer.read() + b"\\n")
while chunk := s.recv(65536):
    sys.stdout.buffer.write(chunk)
"""


class Refused(Exception):
    """The box does not take a configuration."""


class Living:
    """A box that is told and asked."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._process = ""

    def start(self) -> None:
        """Start the backend; a restart keeps what is configured in kernel and charon."""
        self.begin()
        self.wait()

    def begin(self) -> None:
        """Start the backend, and do not wait for it."""
        self.node.run("tee", "/run/living.py", stdin=_SERVE).check()
        script = f"rm -f {_SOCKET}; setsid {_PYTHON} /run/living.py </dev/null >>{_LOG} 2>&1 & echo $!"
        self._process = self.node.sh(script).strip()

    def wait(self) -> None:
        """Wait until it can be spoken to."""
        wait_for("the backend listens", lambda: self.node.run("test", "-S", _SOCKET).ok, 20)

    def stop(self) -> None:
        """Kill it."""
        self.node.run("kill", "-9", self._process)

    def configure(self, tree: Tree) -> None:
        """Make the box as the tree says, and keep it so."""
        answer = self._ask(tree)
        if "refused" in answer:
            raise Refused(answer["refused"])

    def connection(self, name: str) -> Tree:
        """State of an IPsec connection."""
        entries = self._ask(None)["told"]["elasticlab-ipsec:ipsec"]["conn-entry"]
        state: Tree = next(entry["state"] for entry in entries if entry["name"] == name)
        return state

    def established(self, name: str) -> bool:
        """Whether a connection has all its SAs."""
        return bool(self.connection(name)["established"])

    def log(self) -> str:
        """What it has said."""
        return self.node.exec("cat", _LOG)

    def _ask(self, what: Tree | None) -> Tree:
        done = self.node.run(_PYTHON, "-c", _ASK, stdin=json.dumps(what), timeout=60).check()
        answer: Tree = json.loads(done.stdout)
        return answer


@contextmanager
def living(*nodes: Node) -> Iterator[list[Living]]:
    """Boxes that live while the context lasts, and are bare after it."""
    boxes = [Living(node) for node in nodes]
    try:
        for box in boxes:
            box.begin()
        for box in boxes:
            box.wait()
        yield boxes
        for box in boxes:
            box.configure({})
    finally:
        for box in boxes:
            box.stop()
