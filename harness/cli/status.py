"""What `up` and `status` show of a lab."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from harness.host import open_host
from harness.lab import Lab, known_labs
from harness.topology import Topology


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, pad_edge=False, header_style="bold")


def show_labs(console: Console) -> None:
    """One line for each lab of this user."""
    shown = _table("lab", "topology", "host", "state")
    for known in known_labs():
        alive = open_host(known.place).running() if (known.place.folder / "host.json").exists() else False
        state = ("up" if known.complete else "not complete: `labctl up` again") if alive else "host is gone"
        shown.add_row(known.name, known.topology, known.host, state)
    if shown.row_count:
        console.print(shown)
    else:
        console.print("no labs; `labctl up` makes the demo")


def show_status(console: Console, lab: Lab, topology: Topology) -> None:
    """Nodes with their states, tunnels with their counters, and what to try next."""
    console.print(f"lab [bold]{lab.name}[/] on a {lab.record.host} host ({lab.record.reason})\n")
    states = lab.engine.states()
    shown = _table("site", "node", "role", "management", "state")
    for node in sorted(topology.nodes.values(), key=lambda node: (node.site or "", node.name)):
        state = "running" if states[node.name].running else "no power"
        shown.add_row(node.site or "", node.name, node.role or "", lab[node.name].management_address, state)
    console.print(shown)
    option = "" if lab.name == topology.name == "demo" else f"-l {lab.name} "
    hosts = [node.name for node in topology.nodes.values() if node.role == "host"]
    if hosts:
        console.print(f"\ntry   labctl exec {option}{hosts[0]} -- ip -br address")
        console.print(f"      labctl shell {option}{hosts[0]}")
        console.print(f"      labctl down {lab.name}")
