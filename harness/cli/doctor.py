"""`labctl doctor`: what this machine can do, found out by trying."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness import build
from harness.build.store import cache_dir
from harness.cli.output import DoctorOut, EngineOut, PlacedOut
from harness.cli.reporter import reporter
from harness.engine.engines import ENGINES, REQUIRES
from harness.host import choose
from harness.host.capabilities import local_capabilities
from harness.host.rootfs import HOST_IMAGE
from harness.paths import TOPOLOGIES, state_dir
from harness.topology import TopologyError, load


def examine() -> DoctorOut:
    """The machine, its kernel's capabilities, and the host each topology gets."""
    uname = platform.uname()
    with reporter() as progress:
        build.ensure([HOST_IMAGE], progress)
    capabilities = local_capabilities(again=True)
    return {
        "machine": uname.machine,
        "processors": len(os.sched_getaffinity(0)),
        "kernel": uname.release,
        "cache": str(cache_dir()),
        "labs": str(state_dir()),
        "capabilities": [
            {"name": name, "available": not problem, "problem": problem or ""} for name, problem in capabilities.items()
        ],
        "engines": [_engine(name, capabilities) for name in ENGINES],
        "topologies": [
            _placed(folder, capabilities) for folder in sorted(path for path in TOPOLOGIES.iterdir() if path.is_dir())
        ],
    }


def _engine(name: str, capabilities: dict[str, str]) -> EngineOut:
    host, reason = choose(REQUIRES[name], capabilities)
    return {"engine": name, "host": host, "reason": reason.replace("all that the topology needs", "what it needs")}


def _placed(folder: Path, capabilities: dict[str, str]) -> PlacedOut:
    try:
        host, reason = choose(load(folder).requires, capabilities)
    except TopologyError as error:
        return {"topology": folder.name, "host": None, "reason": str(error)}
    return {"topology": folder.name, "host": host, "reason": reason}


def show(console: Console, told: DoctorOut) -> None:
    console.print(f"machine   {told['machine']}, {told['processors']} processors, Linux {told['kernel']}")
    console.print(f"cache     {told['cache']}")
    console.print(f"labs      {told['labs']}\n")
    shown = Table("this kernel", "", "", box=None, pad_edge=False, header_style="bold")
    for capability in told["capabilities"]:
        said = capability["problem"].splitlines()[:1]
        shown.add_row(capability["name"], "yes" if capability["available"] else "no", *said)
    console.print(shown)
    console.print()
    for engine in told["engines"]:
        console.print(f"engine {engine['engine']}: {engine['host']} ({engine['reason']})", soft_wrap=True)
    console.print()
    for placed in told["topologies"]:
        where = f"{placed['host']} ({placed['reason']})" if placed["host"] else placed["reason"]
        console.print(f"topology {placed['topology']}: {where}", soft_wrap=True)
