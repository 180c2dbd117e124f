"""What `up` and `status` show of a lab."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from harness.cli.faulting import faults_table
from harness.cli.ordering import show_orchestrator
from harness.engine.engines import NATIVE
from harness.host import open_host
from harness.lab import Lab, known_labs
from harness.lab.orchestration import is_orchestrated
from harness.topology import Topology


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, pad_edge=False, header_style="bold")


def show_labs(console: Console) -> None:
    """One line for each lab of this user."""
    shown = _table("lab", "topology", "host", "engine", "state")
    for known in known_labs():
        alive = open_host(known.place).running() if (known.place.folder / "host.json").exists() else False
        state = ("up" if known.complete else "not complete: `labctl up` again") if alive else "host is gone"
        shown.add_row(known.name, known.topology, known.host, known.engine, state)
    if shown.row_count:
        console.print(shown)
    else:
        console.print("no labs; `labctl up` makes the demo")


def show_status(console: Console, lab: Lab, topology: Topology) -> None:
    """Nodes with their states, tunnels with their counters, and what to try next."""
    made = "" if lab.record.engine == NATIVE else f", made by {lab.record.engine}"
    console.print(f"lab [bold]{lab.name}[/] on a {lab.record.host} host ({lab.record.reason}){made}\n", soft_wrap=True)
    states = lab.engine.states()
    shown = _table("site", "node", "role", "management", "state")
    for node in sorted(topology.nodes.values(), key=lambda node: (node.site or "", node.name)):
        state = "running" if states[node.name].running else "no power"
        shown.add_row(node.site or "", node.name, node.role or "", lab[node.name].management_address, state)
    console.print(shown)
    _show_lines(console, lab, topology)
    if is_orchestrated(topology):
        show_orchestrator(console, lab)
    _show_tunnels(console, lab, [n for n, node in topology.nodes.items() if node.personality and states[n].running])
    option = "" if lab.name == topology.name == "demo" else f"-l {lab.name} "
    hosts = [node.name for node in topology.nodes.values() if node.role == "host"]
    if hosts:
        console.print(f"\ntry   labctl exec {option}{hosts[0]} -- ip -br address")
        console.print(f"      labctl shell {option}{hosts[0]}")
        console.print(f"      labctl down {lab.name}")


def _show_lines(console: Console, lab: Lab, topology: Topology) -> None:
    """Lines that are bad by themselves, and what is broken on purpose."""
    shown = _table("line", "toward", "by itself")
    for link in topology.links:
        for end, impaired in zip(link.endpoints, link.impaired, strict=True):
            if impaired.values:
                shown.add_row(str(link), str(end), str(impaired))
    faults = lab.faults_in_effect()
    for table in ([shown] if shown.row_count else []) + ([faults_table(faults)] if faults else []):
        console.print()
        console.print(table)


def _show_tunnels(console: Console, lab: Lab, boxes: list[str]) -> None:
    if not boxes:
        return
    from harness.lab.tunnels import Silent, tunnels  # noqa: PLC0415 (its SSH stack is slow to import)

    shown = _table("box", "tunnel", "state", "peer", "sent", "received", "")
    for tunnel in tunnels(lab, boxes):
        if isinstance(tunnel, Silent):
            shown.add_row(tunnel.box, "", "no answer", "", "", "", tunnel.reason)
            continue
        shown.add_row(
            tunnel.box,
            tunnel.name,
            "up" if tunnel.established else "down",
            tunnel.remote_address,
            f"{tunnel.packets_out} packets",
            f"{tunnel.packets_in} packets",
            "ESP in UDP" if tunnel.encapsulated else "ESP" if tunnel.established else "",
        )
    console.print()
    console.print(shown)
