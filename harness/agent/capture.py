"""Captures on the patch panel's ports: tcpdump to a file that the user's machine sees too."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import threading
from pathlib import Path

from harness.agent.shell import ToolError, run
from harness.wait import DeadlineError, wait_for

_FRAME_START = re.compile(r"^(?=\d+\.\d{6} )", re.MULTILINE)
# libpcap gives each packet a slot as large as the largest: in 16 MiB 256 of any length, or 4096 of 4000 octets. No wire
# carries longer ones; what a kernel has not cut into segments yet is longer, and loses its end.
_KEPT = ("-s", "4000", "-B", "16384")
_READ_SECONDS = 5.0
_running: dict[str, subprocess.Popen[str]] = {}


def start(name: str, device: str, file: str, expression: str, rotate: tuple[int, int] | None = None) -> None:
    """Start and return when the kernel delivers packets (tcpdump says "listening on").

    `rotate` is how many MB a file may have and how many files there may be: `file` with numbers behind, in a ring.
    """
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    argv = ["tcpdump", "-i", device, "-n", "-p", "-U", "--immediate-mode", *_KEPT, "-Z", "root", "-w", file]
    argv += ["-C", str(rotate[0]), "-W", str(rotate[1])] if rotate else []
    process = subprocess.Popen(
        # setpriv: a capture whose agent was killed would fill the disk for nobody.
        ["setpriv", "--pdeathsig", "INT", "--", *argv, *([expression] if expression else [])],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line.strip())
        if "listening on" in line:
            break
    else:
        raise ToolError(f"tcpdump on {device}: {'; '.join(said)}")
    threading.Thread(target=process.stderr.read, daemon=True).start()
    _running[name] = process


def stop(name: str) -> None:
    """End a capture when all that passed until now is in its file."""
    process = _running.pop(name, None)
    if process is None:
        return
    _await_read(process.pid)
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _await_read(pid: int) -> None:
    """Until tcpdump has read what the kernel keeps for it: told to end, it ends at once and leaves that unread.

    It sleeps only while it waits for a packet (packet(7), poll), and each that comes wakes it before it is delivered
    to anybody else; so one look at it asleep is enough. A wire that never rests is given up on after a while: by then
    everything that was kept at the beginning is read.
    """
    with contextlib.suppress(DeadlineError):
        wait_for("tcpdump to have read all", lambda: _state(pid) in "SZ", _READ_SECONDS, interval=0.001)


def _state(pid: int) -> str:
    """What a process is doing, as one letter (proc_pid_stat(5)); the name in front may contain anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def read(file: str, expression: str) -> list[str]:
    """One line for each frame of a finished capture that matches, as tcpdump prints it, its time in front (s)."""
    said = run("tcpdump", "-n", "-e", "-tt", "-r", file, *([expression] if expression else []))
    # Frames inside of frames are on lines of their own, without a time.
    return [" / ".join(frame.splitlines()) for frame in _FRAME_START.split(said) if frame]
