"""Looking at a running lab from outside: the live page, the rates."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from harness.lab import Lab
from harness.paths import REPOSITORY

pytestmark = pytest.mark.topology("plain")
LABCTL = [sys.executable, "-P", "-m", "harness.cli"]
HOST_2 = "10.2.0.10"


@contextlib.contextmanager
def live(lab: Lab) -> Iterator[http.client.HTTPConnection]:
    # Whoever runs tests in the background has SIGINT ignored, and its children inherit that.
    argv = ["env", "--default-signal=INT", *LABCTL, "graph", "-l", lab.name, "--live", "--port", "0"]
    serving = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert serving.stdout is not None
    try:
        address = urlsplit(serving.stdout.readline().split()[0])
        assert address.hostname == "127.0.0.1"
        yield http.client.HTTPConnection("127.0.0.1", address.port, timeout=10)
    finally:
        serving.send_signal(signal.SIGINT)
        serving.communicate(timeout=10)
    assert serving.returncode == 130


def events(far: http.client.HTTPConnection) -> Iterator[dict[str, dict[str, float]]]:
    far.request("GET", "/events")
    answer = far.getresponse()
    assert answer.headers["Content-Type"] == "text/event-stream"
    while line := answer.readline():
        if line.startswith(b"data: "):
            yield json.loads(line[6:])


def test_the_live_page_shows_rates_and_keeps_to_itself(lab: Lab) -> None:
    with live(lab) as far:
        far.request("GET", "/")
        page = far.getresponse()
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert 'data-end="host-1:lan"' in page.read().decode()
        far.request("GET", "/", headers={"Host": "evil.example"})
        refused = far.getresponse()
        assert refused.status == 421
        assert b"host-1" not in refused.read()
        news = events(far)
        next(news)
        assert lab["host-1"].run("ping", "-c50", "-i0.01", "-s1000", HOST_2).ok
        sent = next(told["sent"] for told in news if told["sent"]["host-1:lan"] > 100_000)
        assert sent["router:lan-2"] > 100_000


def test_top_tells_what_a_lab_uses_and_carries(lab: Lab) -> None:
    looking = subprocess.Popen(
        [*LABCTL, "top", "-l", lab.name, "--json", "--every", "2"], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    lab["host-1"].sh("timeout 6 sh -c 'while :; do :; done' >/dev/null 2>&1 &")
    while looking.poll() is None:
        assert lab["host-1"].run("ping", "-c10", "-i0.01", "-s1000", HOST_2).ok
    told = json.loads(looking.communicate()[0])
    assert looking.returncode == 0
    nodes = {node["name"]: node for node in told["nodes"]}
    assert nodes["host-1"]["cpu"] > 10 > nodes["host-2"]["cpu"]
    assert all(node["running"] and node["memory"] > 100_000 for node in nodes.values())
    sent = {end["end"]: end["bits"] for end in told["ends"]}
    assert sent["host-1:lan"] > 20_000
    assert sent["router:lan-2"] == pytest.approx(sent["host-1:lan"], rel=0.2)
