"""A node of a running lab."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.lab.lab import Lab


class CommandError(RuntimeError):
    """A command in a node ended with an exit status other than 0."""


@dataclass(frozen=True)
class Result:
    """What a command in a node said and how it ended."""

    node: str
    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.status == 0

    def check(self) -> Result:
        if not self.ok:
            said = (self.stderr or self.stdout).strip()
            raise CommandError(f"{self.node}: {' '.join(self.argv)}: exit status {self.status}: {said}")
        return self


@dataclass(frozen=True)
class Mark:
    """Something that a test says of a node: when (seconds since the epoch), what it is about, and what."""

    at: float
    node: str
    what: str
    text: str


class Power:
    """The plug of one node."""

    def __init__(self, lab: Lab, node: str) -> None:
        self._lab = lab
        self._node = node

    def off(self) -> None:
        """Cut the power: no process gets a chance to tidy up; neighbours lose carrier."""
        self._lab.engine.power_off(self._node)

    def on(self) -> None:
        """Give power; returns when the first process runs, not when the box is ready."""
        self._lab.engine.power_on(self._node)

    def cycle(self) -> None:
        self.off()
        self.on()


class Node:
    """One box of a lab: run commands in it, pull its plug."""

    def __init__(self, lab: Lab, description: dict[str, Any]) -> None:
        self._lab = lab
        self._description = description
        self.name: str = description["name"]
        self.power = Power(lab, self.name)

    def __repr__(self) -> str:
        return f"<node {self.name} of lab {self._lab.name}>"

    @property
    def management_address(self) -> str:
        """Its IPv4 address on the management network, without prefix length."""
        return str(self._description["management"].split("/")[0])

    def run(
        self, *argv: str, stdin: str | None = None, timeout: float = 30, env: dict[str, str] | None = None
    ) -> Result:
        """Run a program and return how it ended, whatever its exit status.

        Raises:
            AgentError: the node has no power, or the program did not end within `timeout` seconds.
        """
        done = self._lab.agent.call(
            "node.run", timeout + 10, node=self.name, argv=list(argv), stdin=stdin, timeout=timeout, env=env or {}
        )
        return Result(self.name, argv, done["status"], done["stdout"], done["stderr"])

    def exec(self, *argv: str, stdin: str | None = None, timeout: float = 30) -> str:
        """Run a program that must succeed; its standard output. Raises CommandError."""
        return self.run(*argv, stdin=stdin, timeout=timeout).check().stdout

    def sh(self, script: str, timeout: float = 30) -> str:
        """Run a shell script that must succeed; its standard output."""
        return self.exec("/bin/sh", "-euc", script, timeout=timeout)

    def reaches(self, address: str, *, within: float = 1.0, source: str | None = None) -> bool:
        """Whether one echo request to `address` (IPv4 or IPv6) is answered within seconds."""
        bound = ["-I", source] if source else []
        return self.run("ping", "-n", "-c1", f"-W{within:g}", *bound, address, timeout=within + 10).ok

    def must_reach(self, address: str, seconds: float = 10) -> None:
        """An echo request to `address` is answered before the deadline. Raises DeadlineError."""
        self._lab.wait_until(self.name, f"ping:{address}", seconds)

    def must_not_reach(self, address: str, seconds: float = 0.5) -> None:
        """No echo request to `address` is answered for that long. Raises AssertionError."""
        count = max(2, round(seconds / 0.1))
        done = self.run("ping", "-n", "-q", f"-c{count}", "-i0.1", "-W0.3", address, timeout=seconds + 10)
        if done.ok:
            raise AssertionError(f"{self.name} reaches {address}, which it must not: {done.stdout.strip()}")

    def mark(self, what: str, text: str) -> None:
        """Put a line on the test's timeline: `mark("load", "2000 packets/s to 10.2.0.10")`."""
        self._lab.marks.append(Mark(time.time(), self.name, what, text))

    @property
    def running(self) -> bool:
        return self._lab.engine.states()[self.name].running
