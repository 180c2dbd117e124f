"""`labctl graph --live` beside a test."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any
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
    assert serving.returncode == 0


@contextlib.contextmanager
def page(lab: Lab) -> Iterator[http.client.HTTPConnection]:
    """A connection to the page's server."""
    with live(lab) as address:
        yield http.client.HTTPConnection("127.0.0.1", urlsplit(address).port, timeout=10)


def events(far: http.client.HTTPConnection) -> Iterator[dict[str, Any]]:
    """What the page is told every second."""
    far.request("GET", "/events")
    answer = far.getresponse()
    assert answer.headers["Content-Type"] == "text/event-stream"
    while line := answer.readline():
        if line.startswith(b"data: "):
            yield json.loads(line[6:])


def until(news: Iterator[dict[str, Any]], name: str, condition: Callable[[dict[str, Any]], bool]) -> None:
    """Until `condition` is true of the news: of the next 20."""
    told = None
    for told in islice(news, 20):
        if condition(told):
            return
    raise AssertionError(f"the page was not told of {name}; the last it heard: {told}")
