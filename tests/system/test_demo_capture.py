"""Capturing on many links at once: one file in the order of time, which the boxes' keys make readable."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness import build
from harness.cli.output import CaptureOut
from harness.evidence import captured
from harness.lab import Lab, keys
from harness.paths import REPOSITORY
from harness.wait import wait_for

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


def test_what_a_test_that_fails_has_captured_is_told_decrypted(lab: Lab) -> None:
    with lab.capture("ucpe-1:wan") as capture:
        assert lab["host-1"].run("ping", "-c2", "-i0.05", "10.2.0.10").ok
        known = keys.esp_keys(lab)  # as `Witness` does when it sees the error
    (told,) = captured.exhibits([capture.file], known)
    assert told.name == f"{capture.file.name}, decrypted"
    echoes = [line for line in told.text.splitlines() if "10.1.0.10 → 10.2.0.10" in line]
    assert len([line for line in echoes if "Echo (ping) request" in line]) == 2, told.text
    assert not [key for key in known if key.key.removeprefix("0x") in told.text]


def charons_log(lab: Lab, box: str) -> str:
    """Where it would tell keys, and what it is configured by."""
    return lab[box].run("/bin/sh", "-c", "ls -A /run/ike-keys 2>&1; grep -c ike-keys /etc/strongswan.conf").stdout


def renewed(lab: Lab, box: str, *how: str) -> None:
    """Another IKE association with the POP takes the place of the one that is there."""
    before = associations(lab, box)
    lab[box].exec("swanctl", "--rekey", "--ike", "vmsr-1", *how)
    wait_for(f"another association of {box}", lambda: len(associations(lab, box) - before) == 1, 20)
    wait_for(f"the old one of {box} to go", lambda: not associations(lab, box) & before, 20)


def associations(lab: Lab, box: str) -> set[str]:
    return set(re.findall(r"([0-9a-f]{16})_i", lab[box].exec("swanctl", "--list-sas", "--ike", "vmsr-1")))


def test_ike_is_decrypted_by_its_keys_and_boxes_keep_none(lab: Lab, tmp_path: Path) -> None:
    untouched = charons_log(lab, "ucpe-1")
    assert "No such file" in untouched
    assert untouched.endswith("\n0\n")
    options = ["-l", lab.name, "--output", str(tmp_path), "--filter", "udp port 500 or udp port 4500", "--decrypt"]
    # Whoever runs tests in the background has SIGINT ignored, and its children inherit that.
    running = subprocess.Popen(
        ["env", "--default-signal=INT", *LABCTL, "capture", "ucpe-1:wan", *options],
        stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, start_new_session=True,
    )  # fmt: skip
    assert running.stdout is not None
    assert running.stdout.readline().startswith("capturing on")
    renewed(lab, "ucpe-1", "--reauth")
    renewed(lab, "ucpe-1")
    # As a terminal does it: to all of the command's processes, those that hold the channel among them.
    os.killpg(running.pid, signal.SIGINT)
    running.communicate(timeout=30)
    assert running.returncode == 0
    for exchange in (35, 36):  # IKE_AUTH, CREATE_CHILD_SA (RFC 7296, section 3.1)
        of_it = f"isakmp.exchangetype == {exchange}"
        assert tshark(tmp_path, "-Y", of_it, keys=False)
        # A nonce or an authentication: what is in no header.
        inside = ["-Y", f"{of_it} && (isakmp.nonce || isakmp.auth.data)"]
        assert tshark(tmp_path, *inside, keys=False) == [], "without the keys it must stay closed"
        assert tshark(tmp_path, *inside, keys=True)
    assert charons_log(lab, "ucpe-1") == untouched


def test_a_capture_that_is_killed_leaves_no_keys_in_boxes(lab: Lab, tmp_path: Path) -> None:
    untouched = charons_log(lab, "ucpe-1")
    running = subprocess.Popen(
        [*LABCTL, "capture", "ucpe-1:wan", "-l", lab.name, "--output", str(tmp_path), "--decrypt"],
        stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
    )  # fmt: skip
    assert running.stdout is not None
    running.stdout.readline()
    assert "log" in charons_log(lab, "ucpe-1")
    running.kill()
    running.communicate()
    wait_for("the agent to have given back", lambda: charons_log(lab, "ucpe-1") == untouched, 10)
