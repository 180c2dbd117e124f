"""Captures on the patch panel's ports: tcpdump to a file that the user's machine sees too."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
from pathlib import Path

from harness.agent.shell import ToolError, run

_FRAME_START = re.compile(r"^(?=\d+\.\d{6} )", re.MULTILINE)
_running: dict[str, subprocess.Popen[str]] = {}


def start(name: str, device: str, file: str, expression: str) -> None:
    """Start and return when the kernel delivers packets (tcpdump says "listening on")."""
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    argv = ["tcpdump", "-i", device, "-n", "-p", "-U", "--immediate-mode", "-B", "16384", "-Z", "root", "-w", file]
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
    process = _running.pop(name, None)
    if process is None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def read(file: str, expression: str) -> list[str]:
    """One line for each frame of a finished capture that matches, as tcpdump prints it, its time in front (s)."""
    said = run("tcpdump", "-n", "-e", "-tt", "-r", file, *([expression] if expression else []))
    # Frames inside of frames are on lines of their own, without a time.
    return [" / ".join(frame.splitlines()) for frame in _FRAME_START.split(said) if frame]
