"""What every kind of lab host is to the rest of the harness."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.host.channel import Agent


class HostError(RuntimeError):
    """A lab host could not be started, reached or removed; says which, why, and where its log is."""


@dataclass(frozen=True)
class LabPlace:
    """A lab's own folder on the user's machine; the lab host sees it as `/lab`."""

    name: str
    folder: Path

    @property
    def log(self) -> Path:
        return self.folder / "host.log"

    @property
    def captures(self) -> Path:
        return self.folder / "captures"


class LabHost(Protocol):
    """The kernel a lab runs on. It lives as long as its keeper process and dies with everything in it."""

    kind: str

    def start(self) -> None:
        """Bring it up, or find it running. Raises HostError."""

    def running(self) -> bool: ...

    def agent(self) -> Agent:
        """A new channel to a new agent process on it."""

    def command(self, *argv: str, terminal: bool = False) -> list[str]:
        """The command line for this machine that runs `argv` on the lab host, its streams and exit status kept."""

    def stop(self) -> None:
        """End it, whatever state it is in."""

    def leftovers(self) -> list[str]:
        """What is still on the user's machine after `stop`: one line each."""
