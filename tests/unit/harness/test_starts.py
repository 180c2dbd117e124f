"""What is imported and compiled before anything is done: every session of tests and command of labctl waits for it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import execnet

from harness.paths import REPOSITORY

_LOOK = """
import sys
import harness.agent.server
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"pyroute2", "docker", "asyncio"}))
from harness.agent.netlink import opened, refused
with opened() as ip:
    try:
        ip.link("del", index=2**31 - 1)
    except refused() as error:
        print(error.code)
"""


def test_an_agent_imports_netlink_when_it_is_first_needed() -> None:
    command = [sys.executable, "-c", _LOOK]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    imported, code = done.stdout.split("\n")[:2]
    assert imported == ""
    assert code in ("1", "19")  # EPERM, or ENODEV


def test_the_environment_is_compiled_when_it_is_made() -> None:
    """Where Python is told to write no bytecode, nobody else would."""
    assert execnet.__file__ is not None
    assert Path(importlib.util.cache_from_source(execnet.__file__)).exists()
