"""Captures of a failed test: those that it leaves, and what was inside of their ESP, as text.

The keys stay here: a report that had them would tell everything to everybody who gets it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from harness import build
from harness.evidence.failure import Exhibit, guarded
from harness.lab import keys, reader
from harness.lab.keys import EspKey

LIMIT = 64 * 1024 * 1024
"""Octets of one that are attached at most."""
_LINES = 2000
"""Of one's text: the last."""


def files(folder: Path) -> set[Path]:
    """All captures there, also those that rotate (`x.pcap0`, `x.pcap1`…)."""
    return set(folder.glob("*.pcap*"))


def fitting(captures: Iterable[Path]) -> list[Path]:
    return [file for file in captures if file.stat().st_size <= LIMIT]


def exhibits(captures: Sequence[Path], esp: Collection[EspKey]) -> list[Exhibit]:
    """What there is to be said of captures: which are left out, and what those with ESP hid."""
    found = _left_out(captures)
    if esp:
        found += guarded("captures, decrypted", lambda: list(_decrypted(fitting(captures), esp)))
    return found


def _left_out(captures: Sequence[Path]) -> list[Exhibit]:
    large = sorted(set(captures) - set(fitting(captures)))
    if not large:
        return []
    text = "".join(f"{file} ({file.stat().st_size / 2**20:.0f} MiB)\n" for file in large)
    return [
        Exhibit(
            "captures left out",
            f"{text}They have more than {LIMIT // 2**20} MiB, and are there until the lab is removed. "
            'With an expression (lab.capture(end, "esp")) or rotate=(10, 4) they fit.\n',
        )
    ]


def _decrypted(captures: Sequence[Path], esp: Collection[EspKey]) -> Iterator[Exhibit]:
    """A line for each frame with ESP, by UTC. Associations that were gone when the test failed stay closed."""
    with TemporaryDirectory() as folder:
        keys.write(esp, (), Path(folder))
        for file in captures:
            binds = [build.Bind(file.parent, "/in"), build.Bind(Path(folder), "/keys")]
            argv = ["tshark", "-n", "-t", "ud", "-r", f"/in/{file.name}", "-Y", "esp"]
            lines = reader.said(argv, binds, {"WIRESHARK_CONFIG_DIR": "/keys"}).splitlines(keepends=True)
            if lines:
                more = [f"… {len(lines) - _LINES} lines before\n"] if len(lines) > _LINES else []
                yield Exhibit(f"{file.name}, decrypted", "".join([*more, *lines[-_LINES:]]))
