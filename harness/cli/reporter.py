"""How long work is shown: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.console import Console

from harness.build.progress import Lines, Progress, Terminal


@contextlib.contextmanager
def reporter() -> Iterator[Progress]:
    console = Console(stderr=True)
    if console.is_terminal:
        with Terminal(console) as live:
            yield live
    else:
        yield Lines()
