"""`labctl graph`: a topology's picture; of a running lab with its tunnels, and live in a browser."""

from __future__ import annotations

from pathlib import Path

import click

from harness import lab as labs
from harness import topology as topologies
from harness.cli.options import DEFAULT, JSON, LabName, TopologyName, print_json
from harness.cli.output import GraphOut, TunnelOut
from harness.cli.status import tunnels_out
from harness.graph import tunnels
from harness.graph.svg import Drawn, picture
from harness.lab import Lab
from harness.topology import Topology


@click.command()
@click.argument("topology", required=False, type=TopologyName())
@click.option("--lab", "-l", "name", type=LabName(), is_eager=True, help="This running lab, with its tunnels.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for the SVG; else it goes to standard output.",
)
@click.option("--live", is_flag=True, help="Serve a page on this machine that shows tunnels and rates, until Ctrl-C.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="For --live; 0: any.")
@JSON
def graph(topology: str | None, name: str | None, output: Path | None, live: bool, port: int, as_json: bool) -> int:
    """Draw a topology as SVG: sites, nodes, links with their interfaces; of a running lab its tunnels too.

    --live needs a running lab (the demo if none is named). Its page is for this machine only: http://127.0.0.1:PORT/.

    \b
    labctl graph demo --output demo.svg
    labctl graph -l demo > now.svg
    labctl graph -l demo --json
    labctl graph --live --port 8080
    """
    if live:
        if topology or output or as_json:
            raise click.UsageError("--live shows a running lab in a browser; name it with --lab and nothing else")
        from harness.cli.live import serve  # noqa: PLC0415 (a server, for this alone)

        serve(name or DEFAULT, port)
        return 0
    if topology and name:
        raise click.UsageError("a topology or --lab; the lab has one already")
    if name is None:
        _put(topologies.load(topology or DEFAULT), [], [], set(), output, as_json)
        return 0
    with labs.attach(name) as lab:
        running = {node for node, state in lab.engine.states().items() if state.running}
        told, off = tunnels_of(lab, running), {node for node in lab.nodes if node not in running}
        _put(lab.topology, drawn(lab.topology, told), told, off, output, as_json)
    return 0


def tunnels_of(lab: Lab, running: set[str]) -> list[TunnelOut]:
    return tunnels_out(
        lab, [name for name, node in lab.topology.nodes.items() if node.personality and name in running]
    )[0]


def drawn(topology: Topology, told: list[TunnelOut]) -> list[Drawn]:
    return tunnels.drawn(topology, [(tunnel["box"], tunnel["name"], tunnel["up"]) for tunnel in told])


def _put(
    topology: Topology, ends: list[Drawn], told: list[TunnelOut], off: set[str], output: Path | None, as_json: bool
) -> None:
    if as_json:
        return print_json(graph_out(topology, told))
    svg = picture(topology, ends, off)
    if output is None:
        return click.echo(svg, nl=False)
    output.write_text(svg, encoding="utf-8")
    return None


def graph_out(topology: Topology, told: list[TunnelOut]) -> GraphOut:
    return {
        "topology": topology.name,
        "nodes": [{"name": node.name, "site": node.site, "role": node.role} for node in topology.nodes.values()],
        "links": [{"a": str(link.a), "b": str(link.b), "mtu": link.mtu} for link in topology.links],
        "tunnels": told,
    }
