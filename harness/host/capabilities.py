"""What this machine's own kernel can do, tried once per boot and remembered."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from harness.build import digest
from harness.host import keeper
from harness.host.base import LabPlace
from harness.host.select import make_host
from harness.paths import labs_dir, state_dir

_TRIAL = ".probe."
"""Folders of trials begin so; the process that makes the trial follows."""
_PROBE = Path(__file__).parents[1] / "agent" / "probe.py"


def _boot() -> str:
    """What the outcome depends on: this boot of this kernel, and what is tried."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {os.uname().release} {digest.file(_PROBE)}"


def local_capabilities(*, again: bool = False) -> dict[str, str]:
    """Capability → empty string if it works here, else why not (see `harness.agent.probe`)."""
    _sweep()
    memory = state_dir() / "capabilities.json"
    if not again and memory.exists():
        known = json.loads(memory.read_text())
        if known.get("boot") == _boot():
            found: dict[str, str] = known["capabilities"]
            return found
    outcome = _probe()
    memory.parent.mkdir(parents=True, exist_ok=True)
    fresh = memory.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps({"boot": _boot(), "capabilities": outcome}, indent=1))
    fresh.rename(memory)
    return outcome


def _sweep() -> None:
    """End the trials of those that were killed in the middle, also when somebody else's has told all meanwhile."""
    for folder in labs_dir().glob(f"{_TRIAL}*"):
        if not Path("/proc", folder.name.removeprefix(_TRIAL)).exists():
            keeper.kill(folder)
            shutil.rmtree(folder, ignore_errors=True)


def _probe() -> dict[str, str]:
    """Try in a lab host of this kernel that exists for the moment of the trial."""
    host = make_host("local", LabPlace("probe", labs_dir() / f"{_TRIAL}{os.getpid()}"))
    try:
        host.start()
        agent = host.agent()
        try:
            outcome: dict[str, str] = agent.call("probe")
            return outcome
        finally:
            agent.close()
    finally:
        host.remove()
