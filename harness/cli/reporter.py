"""How long work is shown: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from harness.build.progress import Lines, Progress, Terminal
from harness.cli.options import terminal


@contextlib.contextmanager
def reporter() -> Iterator[Progress]:
    console = terminal(stderr=True)
    if console.is_terminal:
        with Terminal(console) as live:
            yield live
    else:
        yield Lines()
