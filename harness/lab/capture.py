"""Captures: what passed an end of a link, read with tcpdump's own expressions (pcap-filter(7))."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.lab.lab import Lab


class CaptureError(RuntimeError):
    """A capture could not be read."""


class Capture:
    """A pcap file; complete once its `with` block has ended."""

    def __init__(self, lab: Lab, end: str, file: Path, seen: str) -> None:
        self._lab = lab
        self._seen = seen
        self.end = end
        self.file = file

    def __repr__(self) -> str:
        return f"<capture of {self.end} in {self.file}>"

    @property
    def files(self) -> list[Path]:
        """The one file, or those of a capture that rotates."""
        return sorted(self.file.parent.glob(f"{self.file.name}*"))

    def frames(self, expression: str = "") -> list[str]:
        """One line, as tcpdump prints it (`-n -e -tt`), for each frame that matches, in the order of time."""
        folder = self._seen.rpartition("/")[0]
        lines: list[str] = []
        for file in self.files:
            seen = f"{folder}/{file.name}"
            lines += self._lab.agent.call("capture.read", file=seen, expression=expression)
        # A ring begins again at its first file.
        return lines if len(self.files) == 1 else sorted(lines, key=lambda line: float(line.split()[0]))

    def count(self, expression: str = "") -> int:
        return len(self.frames(expression))

    def contains(self, payload: bytes) -> bool:
        """Whether these bytes travelled anywhere in any frame, readable by whoever listens."""
        return any(payload in file.read_bytes() for file in self.files)
