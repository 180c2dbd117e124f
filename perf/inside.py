"""A part of a benchmark that runs in an image, in a network namespace of its own, on the loopback."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from harness import build
from harness.build.chroot import PATH, Bind
from harness.build.progress import Lines
from perf.lab import BenchmarkError

IMAGE = "java"
"""It has the stack, its tests' tools, and Java for peers."""


def run(module: str, words: Sequence[str], disk: Path, binds: Sequence[Bind] = ()) -> dict[str, float]:
    """What `python3 -m MODULE WORDS --disk DISK --result FILE` writes into that file."""
    result = disk / "result.json"
    command = ["python3", "-m", module, *words, "--disk", str(disk), "--result", str(result)]
    code = disk / "code"  # compiled once, as in an image
    env = {"PATH": f"/opt/tools/bin:{PATH}", "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(code)}
    alone = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    seen = [Bind(disk, str(disk), writable=True), *binds]
    status = build.run_in_image(IMAGE, [*alone, *command], binds=seen, env=env, progress=Lines())
    if status != 0:
        raise BenchmarkError(f"{module} {' '.join(words)} failed: exit status {status}")
    found: dict[str, float] = json.loads(result.read_text())
    return found
