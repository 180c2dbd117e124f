"""`labctl top`: what a running lab's nodes use, its links carry and its tunnels do, again and again."""

from __future__ import annotations

import contextlib
import signal
import time
from typing import NoReturn

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table

from harness import lab as labs
from harness.cli.graphing import tunnels_of
from harness.cli.options import JSON, LAB, console, print_json
from harness.cli.output import TopOut, TunnelOut
from harness.cli.status import tunnels_table
from harness.lab import Lab, LabError
from harness.lab.rates import Meter, Rates

_TUNNELS_EVERY = 3.0
_AROUND, _LEAST = 4, 5
"""Lines that are no node's and no end's, and how many of those are shown however small the terminal is."""
_UNITS = ("", "k", "M", "G", "T")


@click.command()
@LAB
@click.option("--once", is_flag=True, help="Show one look and end.")
@click.option(
    "--every", type=click.FloatRange(min=0.2), default=1, show_default=True, help="Seconds between two looks."
)
@JSON
def top(name: str, once: bool, every: float, as_json: bool) -> int:
    """Show what a lab's nodes use, its links carry and its tunnels do; Ctrl-C ends it.

    Processor is in percent of one. Without a terminal, and with --json, it looks once.

    \b
    labctl top
    labctl top -l second --every 5
    labctl top --once --json
    """
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.default_int_handler)
    with labs.attach(name) as lab:
        meter = Meter(lab)
        if once or as_json or not console.is_terminal:
            _pause(lab, every)
            told = _look(lab, meter.look(), None)
            if as_json:
                print_json(told)
            else:
                console.print(_shown(told))
            return 0
        with contextlib.suppress(KeyboardInterrupt):
            _watch(lab, meter, every)
    return 0


def _watch(lab: Lab, meter: Meter, every: float) -> NoReturn:
    tunnels: list[TunnelOut] | None = None
    asked = time.monotonic()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            _pause(lab, every)
            if time.monotonic() - asked > _TUNNELS_EVERY:
                tunnels, asked = None, time.monotonic()
            told = _look(lab, meter.look(), tunnels)
            tunnels = told["tunnels"]
            live.update(_shown(told, console.height), refresh=True)


def _pause(lab: Lab, seconds: float) -> None:
    if lab.agent.lost.wait(seconds):
        raise LabError(f"lab {lab.name} is gone")


def _look(lab: Lab, rates: Rates, tunnels: list[TunnelOut] | None) -> TopOut:
    """`tunnels` are those of an earlier look, if they are still good."""
    used = {node.node: node for node in rates.nodes}
    return {
        "lab": lab.name,
        "seconds": round(rates.seconds, 3),
        "nodes": [
            {
                "name": name,
                "running": name in used,
                "cpu": round(used[name].cpu, 1) if name in used else 0.0,
                "memory": used[name].memory if name in used else 0,
            }
            for name in lab.nodes
        ],
        "ends": [{"end": sent.end, "bits": round(sent.bits), "packets": round(sent.packets, 1)} for sent in rates.ends],
        "tunnels": tunnels_of(lab, set(used)) if tunnels is None else tunnels,
    }


def _shown(told: TopOut, height: int | None = None) -> Group:
    """As many nodes and ends as fit into so many lines, the busiest first; tunnels come last."""
    below = tunnels_table(told["tunnels"], []) if told["tunnels"] else None
    most = len(told["ends"]) + len(told["nodes"])
    if height is not None:
        most = max(_LEAST, height - _AROUND - (below.row_count + 2 if below else 0))
    nodes = Table("node", "CPU", "memory", box=None, pad_edge=False, header_style="bold")
    for node in sorted(told["nodes"], key=lambda node: -node["cpu"])[:most]:
        if node["running"]:
            nodes.add_row(node["name"], f"{node['cpu']:5.1f} %", f"{node['memory'] / 1e6:7.1f} MB")
        else:
            nodes.add_row(node["name"], "no power", "")
    if len(told["nodes"]) > most:
        nodes.add_row(f"and {len(told['nodes']) - most} more")
    ends = Table("end", "sends", "", box=None, pad_edge=False, header_style="bold")
    for end in sorted(told["ends"], key=lambda end: -end["bits"])[:most]:
        ends.add_row(end["end"], f"{scaled(end['bits'])}bit/s", f"{end['packets']:.0f} packets/s")
    if len(told["ends"]) > most:
        ends.add_row(f"and {len(told['ends']) - most} more")
    side = Table.grid(padding=(0, 4))
    side.add_row(nodes, ends)
    parts: list[RenderableType] = [f"lab {told['lab']}, the last {told['seconds']:.1f} s\n", side]
    if below:
        parts += ["", below]
    return Group(*parts)


def scaled(value: float) -> str:
    """A number with at most three digits before its unit's prefix."""
    step = 0
    while value >= 999.5 and step < len(_UNITS) - 1:
        value, step = value / 1000, step + 1
    return f"{value:.3g} {_UNITS[step]}"
