"""`labctl graph --live` beside a test."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

from harness.lab import Lab
from harness.paths import REPOSITORY

LABCTL = [sys.executable, "-P", "-m", "harness.cli"]


@contextlib.contextmanager
def live(lab: Lab) -> Iterator[str]:
    """The page's address."""
    # Whoever runs tests in the background has SIGINT ignored, and its children inherit that.
    argv = ["env", "--default-signal=INT", *LABCTL, "graph", "-l", lab.name, "--live", "--port", "0"]
    serving = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert serving.stdout is not None
    try:
        address = serving.stdout.readline().split()[0]
        assert urlsplit(address).hostname == "127.0.0.1"
        yield address
    finally:
        serving.send_signal(signal.SIGINT)
        serving.communicate(timeout=10)
    assert serving.returncode == 130
