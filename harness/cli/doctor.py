"""`labctl doctor`: what this machine can do, found out by trying."""

from __future__ import annotations

import os
import platform

from rich.console import Console
from rich.table import Table

from harness import build
from harness.build.store import cache_dir
from harness.cli.reporter import reporter
from harness.engine.engines import ENGINES, REQUIRES
from harness.host import choose
from harness.host.capabilities import local_capabilities
from harness.host.rootfs import HOST_IMAGE
from harness.paths import TOPOLOGIES, state_dir
from harness.topology import TopologyError, load


def examine(console: Console) -> int:
    """Show the machine, its kernel's capabilities, and the host each topology gets. 0 if labs can run."""
    uname = platform.uname()
    console.print(f"machine   {uname.machine}, {len(os.sched_getaffinity(0))} processors, Linux {uname.release}")
    console.print(f"cache     {cache_dir()}")
    console.print(f"labs      {state_dir()}\n")
    with reporter() as progress:
        build.ensure([HOST_IMAGE], progress)
    capabilities = local_capabilities(again=True)
    shown = Table("this kernel", "", "", box=None, pad_edge=False, header_style="bold")
    for name, problem in capabilities.items():
        shown.add_row(name, "no" if problem else "yes", problem.splitlines()[0] if problem else "")
    console.print(shown)
    console.print()
    for engine in ENGINES:
        kind, reason = choose(REQUIRES[engine], capabilities)
        said = reason.replace("all that the topology needs", "what it needs")
        console.print(f"engine {engine}: {kind} ({said})", soft_wrap=True)
    console.print()
    for folder in sorted(path for path in TOPOLOGIES.iterdir() if path.is_dir()):
        try:
            topology = load(folder)
        except TopologyError as error:
            console.print(f"{folder.name}: {error}")
            continue
        kind, reason = choose(topology.requires, capabilities)
        console.print(f"topology {folder.name}: {kind} ({reason})", soft_wrap=True)
    return 0
