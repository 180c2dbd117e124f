"""A controller that is killed at one step of a network-wide commit: crash_child.py SETTINGS.json (a child process)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from controller.southbound.executor import Executor, Timing
from controller.southbound.journal import MIGRATION, Journal
from stackkit.database import Database
from yangkit.client import NetconfClient, connect_tls


async def main(settings: dict) -> None:
    sessions: dict[str, NetconfClient] = {}
    for name, device in settings["devices"].items():
        sessions[name] = await connect_tls(
            "127.0.0.1",
            device["port"],
            cert=Path(settings["cert"]),
            key=Path(settings["key"]),
            ca=Path(settings["ca"]),
            server_name=f"{name}.elasticlab.example",
        )

    def die(step: str, device: str) -> None:
        if [step, device] == settings["die"]:
            os.kill(os.getpid(), signal.SIGKILL)

    async def probe() -> None:
        die("probe", "")

    journal = Journal(Database(Path(settings["database"]), [MIGRATION]))
    executor = Executor(journal, sessions.get, Timing(confirm=60, lock=5, probe=5), die)
    edits = {name: device["edit"] for name, device in settings["devices"].items()}
    outcome = await executor.run(edits, probe)
    sys.exit(0 if outcome.decided else 3)


asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
