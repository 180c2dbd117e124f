"""What `up` and `status` tell of a lab: gathered once, then shown to people or to programs."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.cli.faulting import fault_out, faults_table
from harness.cli.ordering import orchestrator_out, show_orchestrator
from harness.cli.output import LabOut, LineOut, NodeOut, SilentOut, StatusOut, TunnelOut
from harness.engine.engines import NATIVE
from harness.host import open_host
from harness.lab import Lab, known_labs
from harness.lab.orchestration import is_orchestrated
from harness.topology import Topology

_STATES = {"up": "up", "incomplete": "not complete: `labctl up` again", "lost": "host is gone"}


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, pad_edge=False, header_style="bold")


def labs_out() -> list[LabOut]:
    """One entry for each lab of this user."""
    found: list[LabOut] = []
    for known in known_labs():
        alive = open_host(known.place).running() if (known.place.folder / "host.json").exists() else False
        state = ("up" if known.complete else "incomplete") if alive else "lost"
        found.append(
            {"name": known.name, "topology": known.topology, "host": known.host, "engine": known.engine, "state": state}
        )
    return found


def show_labs(console: Console, labs: list[LabOut]) -> None:
    shown = _table("lab", "topology", "host", "engine", "state")
    for lab in labs:
        shown.add_row(lab["name"], lab["topology"], lab["host"], lab["engine"], _STATES[lab["state"]])
    if shown.row_count:
        console.print(shown)
    else:
        console.print("no labs; `labctl up` makes the demo")


def status_out(lab: Lab, topology: Topology) -> StatusOut:
    """Nodes with their states, what is wrong on purpose, sites, and tunnels with their counters."""
    states = lab.engine.states()
    nodes: list[NodeOut] = [
        {
            "name": node.name,
            "site": node.site,
            "role": node.role,
            "management": lab[node.name].management_address,
            "running": states[node.name].running,
        }
        for node in sorted(topology.nodes.values(), key=lambda node: (node.site or "", node.name))
    ]
    up, silent = tunnels_out(
        lab, [name for name, node in topology.nodes.items() if node.personality and states[name].running]
    )
    return {
        "lab": lab.name,
        "topology": lab.record.topology,
        "host": lab.record.host,
        "reason": lab.record.reason,
        "engine": lab.record.engine,
        "nodes": nodes,
        "lines": _lines(topology),
        "faults": [fault_out(entry) for entry in lab.faults_in_effect()],
        "tunnels": up,
        "silent": silent,
        "orchestrator": orchestrator_out(lab) if is_orchestrated(topology) else None,
    }


def _lines(topology: Topology) -> list[LineOut]:
    return [
        {"line": str(link), "toward": str(end), "impaired": str(impaired)}
        for link in topology.links
        for end, impaired in zip(link.endpoints, link.impaired, strict=True)
        if impaired.values
    ]


def tunnels_out(lab: Lab, boxes: list[str]) -> tuple[list[TunnelOut], list[SilentOut]]:
    """What the boxes say of their tunnels, and who says nothing."""
    if not boxes:
        return [], []
    from harness.lab.tunnels import Silent, tunnels  # noqa: PLC0415 (its SSH stack is slow to import)

    told: list[TunnelOut] = []
    silent: list[SilentOut] = []
    for tunnel in tunnels(lab, boxes):
        if isinstance(tunnel, Silent):
            silent.append({"box": tunnel.box, "reason": tunnel.reason})
        else:
            told.append({
                "box": tunnel.box,
                "name": tunnel.name,
                "up": tunnel.established,
                "remote_address": tunnel.remote_address,
                "encapsulated": tunnel.encapsulated,
                "packets_in": tunnel.packets_in,
                "packets_out": tunnel.packets_out,
            })  # fmt: skip
    return told, silent


def show_status(console: Console, told: StatusOut) -> None:
    """The same for people, and what to try next."""
    made = "" if told["engine"] == NATIVE else f", made by {told['engine']}"
    where = f" on a {told['host']} host ({told['reason']}){made}\n"
    console.print(Text.assemble("lab ", (told["lab"], "bold"), where), soft_wrap=True)
    shown = _table("site", "node", "role", "management", "state")
    for node in told["nodes"]:
        state = "running" if node["running"] else "no power"
        shown.add_row(node["site"] or "", node["name"], node["role"] or "", node["management"], state)
    console.print(shown)
    _show_wrong(console, told)
    if told["orchestrator"]:
        show_orchestrator(console, told["orchestrator"])
    if told["tunnels"] or told["silent"]:
        console.print()
        console.print(tunnels_table(told["tunnels"], told["silent"]))
    option = "" if told["lab"] == "demo" else f"-l {told['lab']} "
    hosts = [node["name"] for node in told["nodes"] if node["role"] == "host"]
    if hosts:
        console.print(f"\ntry   labctl exec {option}{hosts[0]} -- ip -br address")
        console.print(f"      labctl shell {option}{hosts[0]}")
        console.print(f"      labctl down {told['lab']}")


def _show_wrong(console: Console, told: StatusOut) -> None:
    """Lines that are bad by themselves, and what is broken on purpose."""
    shown = _table("line", "toward", "by itself")
    for line in told["lines"]:
        shown.add_row(line["line"], line["toward"], line["impaired"])
    for table in [*([shown] if told["lines"] else []), *([faults_table(told["faults"])] if told["faults"] else [])]:
        console.print()
        console.print(table)


def tunnels_table(tunnels: list[TunnelOut], silent: list[SilentOut]) -> Table:
    shown = _table("box", "tunnel", "state", "peer", "sent", "received", "")
    for tunnel in tunnels:
        shown.add_row(
            tunnel["box"],
            tunnel["name"],
            "up" if tunnel["up"] else "down",
            tunnel["remote_address"],
            f"{tunnel['packets_out']} packets",
            f"{tunnel['packets_in']} packets",
            "ESP in UDP" if tunnel["encapsulated"] else "ESP" if tunnel["up"] else "",
        )
    for box in silent:
        shown.add_row(box["box"], "", "no answer", "", "", "", box["reason"])
    return shown
