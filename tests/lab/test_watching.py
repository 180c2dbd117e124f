"""Looking at a running lab from outside: the live page, the rates, the dashboard on a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path

import pyte
import pytest

from harness.cli import live
from harness.faults import Power
from harness.host.channel import AgentError
from harness.lab import Lab
from harness.lab.rates import Meter, Rates
from harness.paths import REPOSITORY
from harness.wait import wait_for
from tests.live import LABCTL, events, page, until

pytestmark = pytest.mark.topology("plain")
HOST_2 = "10.2.0.10"


def test_the_live_page_shows_rates_and_keeps_to_itself(lab: Lab) -> None:
    with page(lab) as far:
        far.request("GET", "/")
        shown = far.getresponse()
        assert "default-src 'none'" in shown.headers["Content-Security-Policy"]
        assert 'data-end="host-1:lan"' in shown.read().decode()
        far.request("GET", "/", headers={"Host": "evil.example"})
        refused = far.getresponse()
        assert refused.status == 421
        assert b"host-1" not in refused.read()
        news = events(far)
        next(news)
        assert lab["host-1"].run("ping", "-c50", "-i0.01", "-s1000", HOST_2).ok
        until(
            news, "what both send", lambda told: min(told["sent"][end] for end in ("host-1:lan", "router:lan-2")) > 1e5
        )


def test_the_live_page_goes_on_after_a_look_that_failed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[bool] = []
    look = Meter.look

    def fails_once(meter: Meter) -> Rates:
        looks.append(True)
        if len(looks) == 1:
            raise AgentError("meters", "OSError", "on purpose")
        return look(meter)

    monkeypatch.setattr(Meter, "look", fails_once)
    monkeypatch.setattr(live, "_EVERY", 0.05)
    watched = live.Watched(lab)
    try:
        assert json.loads(watched.next(0)[1])["running"] == sorted(lab.nodes)
    finally:
        watched.end()


_PROCESS = "sleep 60 >/dev/null 2>&1 & ln -s /proc/$!/ns/net /run/netns/dying\n"
_DYING = {
    "native": f"{_PROCESS} mkdir /run/elasticlab/nodes/dying; echo $! >/run/elasticlab/nodes/dying/pid",
    "containerlab": f"{_PROCESS} docker create --name dying elasticlab/endpoint:latest true",
}
_DEAD = {"native": "rm -r /run/elasticlab/nodes/dying", "containerlab": "docker rm dying"}
_END = "kill $(readlink /run/netns/dying | cut -d/ -f3); rm /run/netns/dying"


@pytest.mark.topology("breakable")  # its lab host has control groups
def test_what_a_lab_uses_is_told_while_a_node_loses_its_power(lab: Lab) -> None:
    """A process that is there yet, and a control group that is there no more."""
    subprocess.run(lab.host.command("sh", "-ec", _DYING[lab.record.engine]), check=True)
    try:
        assert lab.agent.call("node.states")["dying"]["pid"]
        assert sorted(lab.agent.call("meters")["nodes"]) == sorted(lab.nodes)
    finally:
        subprocess.run(lab.host.command("sh", "-c", f"{_END}; {_DEAD[lab.record.engine]}"), check=True)


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


ALTERNATE_SCREEN = 1049 << 5  # as pyte keeps private modes (xterm's control sequences, DECSET)


def test_a_capture_that_a_terminal_interrupts_is_kept(lab: Lab, tmp_path: Path) -> None:
    options = ["-l", lab.name, "--output", str(tmp_path), "--filter", "icmp"]
    capturing = Terminal([*LABCTL, "capture", "host-1:lan", "host-2:lan", *options])
    try:
        wait_for("the capture to begin", lambda: capturing.line("capturing on"), 20)
        assert lab["host-1"].run("ping", "-c5", "-i0.01", HOST_2).ok
        capturing.type(b"\x03")  # which all of its processes get, those that hold the channel among them
        wait_for("the capture to end", lambda: capturing.process.poll() is not None, 20)
        assert capturing.process.returncode == 0, "\n".join(capturing.lines())
        assert capturing.line("20 packets in "), "\n".join(capturing.lines())
    finally:
        capturing.close()


class Terminal:
    """A terminal of 110 columns on which a command runs, and what can be read on it."""

    def __init__(self, argv: list[str]) -> None:
        self._screen = pyte.Screen(110, 30)
        self._stream = pyte.ByteStream(self._screen)
        self._own, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 110, 0, 0))
        # Ctrl-C is for the processes of whoever has the terminal for its own.
        command = ["setsid", "--ctty", "env", "--default-signal=INT", "TERM=xterm-256color", *argv]
        self.process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, cwd=REPOSITORY)
        os.close(its)

    def lines(self) -> list[str]:
        """What is there by now."""
        while select.select([self._own], [], [], 0)[0]:
            try:
                self._stream.feed(os.read(self._own, 65536))
            except OSError:  # nobody has it open any more
                break
        return [line.rstrip() for line in self._screen.display]

    def line(self, start: str) -> str:
        """The first that has a word which begins so, from there on."""
        found = (line[line.index(start) :] for line in self.lines() if start in line)
        return next(found, "")

    @property
    def is_its_own(self) -> bool:
        """Whether a program has taken it over: another screen, no cursor."""
        self.lines()
        return ALTERNATE_SCREEN in self._screen.mode or self._screen.cursor.hidden

    def type(self, keys: bytes) -> None:
        os.write(self._own, keys)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._own)


@pytest.fixture
def top(lab: Lab) -> Iterator[Terminal]:
    terminal = Terminal([*LABCTL, "top", "-l", lab.name, "--every", "0.5"])
    yield terminal
    terminal.close()


def test_top_is_a_dashboard_that_changes_and_leaves_the_terminal_as_it_was(lab: Lab, top: Terminal) -> None:
    wait_for("the first look", lambda: f"lab {lab.name}, the last" in top.lines()[0], 20)
    assert top.is_its_own
    for node in lab.nodes:
        assert re.match(rf"{node} +[\d.]+ % +[\d.]+ MB", top.line(f"{node} ")), "\n".join(top.lines())
    nothing = r"host-1:lan +0 bit/s +0 packets/s"
    wait_for("nothing to be sent", lambda: re.match(nothing, top.line("host-1:lan ")), 10)
    lab["host-1"].sh(f"timeout 20 ping -q -i0.002 -s1200 {HOST_2} >/dev/null 2>&1 &")
    much = r"host-1:lan +[\d.]+ [kM]bit/s +\d\d+ packets/s"
    wait_for("much to be sent", lambda: re.match(much, top.line("host-1:lan ")), 10)
    lab["host-1"].sh("pkill ping")
    wait_for("nothing to be sent again", lambda: re.match(nothing, top.line("host-1:lan ")), 10)
    with lab.fault(Power("host-2")):
        wait_for("a node without power", lambda: top.line("host-2 ").startswith("host-2  no power"), 10)
    wait_for("it to have power again", lambda: re.match(r"host-2 +[\d.]+ %", top.line("host-2 ")), 10)
    top.type(b"\x03")
    wait_for("top to end", lambda: top.process.poll() is not None, 10)
    assert (top.process.returncode, top.is_its_own) == (0, False)
