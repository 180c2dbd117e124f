"""Capturing on many links at once: one file in the order of time, which the boxes' keys make readable."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness import build
from harness.cli.output import CaptureOut
from harness.lab import Lab
from harness.paths import REPOSITORY

pytestmark = pytest.mark.topology("demo")
LABCTL = [sys.executable, "-P", "-m", "harness.cli"]


def tshark(folder: Path, *argv: str, keys: bool) -> list[str]:
    """What tshark reads of a capture, with the keys beside it or without."""
    env = {"WIRESHARK_CONFIG_DIR": "/in/wireshark"} if keys else {}
    said = folder / "said"
    with said.open("wb") as file:
        command = ["tshark", "-r", "/in/capture.pcapng", *argv]
        assert build.run_in_image("reader", command, binds=[build.Bind(folder, "/in")], env=env, stdout=file) == 0
    return said.read_text().splitlines()


def test_a_capture_of_many_links_is_decrypted_by_its_keys(lab: Lab, tmp_path: Path) -> None:
    ends = ["host-1:lan", "ucpe-1:wan", "vmsr-1:wan"]
    options = ["-l", lab.name, "--output", str(tmp_path), "--seconds", "3", "--rotate", "1:2", "--decrypt", "--json"]
    running = subprocess.Popen([*LABCTL, "capture", *ends, *options], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    while running.poll() is None:
        assert lab["host-1"].run("ping", "-c10", "-i0.05", "-p", "c0ffee", "10.2.0.10").ok
    told: CaptureOut = json.loads(running.communicate()[0])
    assert running.returncode == 0
    assert told["ends"] == ends
    assert told["packets"] > 0
    stamps = list(map(float, tshark(tmp_path, "-T", "fields", "-e", "frame.time_epoch", keys=False)))
    assert len(stamps) == told["packets"]
    assert stamps == sorted(stamps), "one clock, one order"
    inner = ["-Y", "esp && icmp.type == 8 && ip.dst == 10.2.0.10 && data contains c0:ff:ee"]
    assert tshark(tmp_path, *inner, keys=False) == [], "without the keys it must stay closed"
    assert tshark(tmp_path, *inner, keys=True)
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "wireshark").iterdir()} == {0o600}
