"""The simulator's process, and what it says of itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from perf.devices.components import BOOTSTRAP, CALLS, Components
from perf.lab import BenchmarkError


class Boxes:
    """So many uCPEs and vMSRs that call the controller, until the end of the block."""

    def __init__(self, components: Components, devices: int, pops: int) -> None:
        self._log = (components.data / "simulator.log").open("ab")
        self.count = devices + pops
        command = [
            *(sys.executable, "-m", "perf.simulator", "--devices", str(devices), "--pops", str(pops)),
            *("--controller", CALLS, "--identities", str(components.data / "boxes"), "--bootstrap", BOOTSTRAP),
            *("--maker", str(components.maker), "--anchor", str(components.anchor)),
        ]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )

    def started(self) -> dict[str, Any]:
        """What it says when all are there, and call."""
        return self._hear("started")

    def ask(self, line: str, event: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self._hear(event)

    @property
    def state(self) -> dict[str, Any]:
        return self.ask("state", "state")

    def _hear(self, event: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told: dict[str, Any] = json.loads(line)
            if told["event"] == event:
                return told
        raise BenchmarkError(f"the simulator has ended: {Path(self._log.name).read_text()[-1000:]}")

    def stop(self) -> None:
        """At once: nobody waits for what it was still to answer, and a thousand boxes at work take a minute to end."""
        self.process.kill()
        self.process.wait(60)
        self._log.close()
