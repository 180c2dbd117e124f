"""The verbs of `labctl`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from harness import lab as labs
from harness import topology as topologies
from harness.cli import doctor as doctoring
from harness.cli import exporting, ordering, testing
from harness.cli.benching import bench
from harness.cli.capturing import capture
from harness.cli.completing import completion
from harness.cli.faulting import fault
from harness.cli.graphing import graph
from harness.cli.options import DEFAULT, JSON, LAB, LabName, NodeName, TopologyName, console, print_json
from harness.cli.output import DownOut
from harness.cli.rendering import report
from harness.cli.reporter import reporter
from harness.cli.specifying import spec
from harness.cli.status import labs_out, show_labs, show_status, status_out
from harness.cli.topping import top
from harness.cli.validating import show_validated, validated
from harness.engine.engines import ENGINES
from harness.host import HOST_KINDS
from harness.lab.lifecycle import Timings
from harness.topology.clabernetes import GROUPS

_ENVIRONMENT = {"auto_envvar_prefix": "LABCTL", "help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(context_settings=_ENVIRONMENT)
@click.version_option(package_name="elasticlab")
def labctl() -> None:
    """Bring network labs to life, look at them, test them, and take them down without a trace.

    \b
    labctl up                     the demo: two branches and a POP, tunnels up
    labctl exec host-1 -- ping -c1 10.2.0.10
    labctl down
    labctl test                   prove all of it on packets
    """


@labctl.command()
@click.argument("topology", default=DEFAULT, type=TopologyName())
@click.option("--name", help="Name of the lab; several labs of one topology run side by side under their own names.")
@click.option(
    "--host", type=click.Choice(HOST_KINDS), help="Kind of lab host; without it this machine's kernel decides."
)
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    help="What makes the nodes: our own engine (native, the default) or the real containerlab with Docker.",
)
@click.option(
    "--no-orders", is_flag=True, help="Place no orders; with an orchestrator, end when every device is managed."
)
@JSON
def up(topology: str, name: str | None, host: str | None, engine: str | None, no_orders: bool, as_json: bool) -> None:
    """Bring a lab to life; ends when its tunnels are up and its probes pass.

    TOPOLOGY is the name of a folder in topologies/ or a containerlab file. On a running lab it repairs what is missing.
    With an orchestrator (a node of role `stack`) devices are registered, the orders in orders/ beside the file are
    placed, each once, and the orchestrator says when all sites are up.

    \b
    labctl up
    labctl up plain --host local
    labctl up --name second --engine containerlab
    labctl up ./my.clab.yml --name mine
    """
    loaded = topologies.load(topology)
    timings = Timings()
    with reporter() as progress:
        lab = labs.up(
            loaded, name=name, host=host, engine=engine, orders=not no_orders, progress=progress, timings=timings
        )
    with lab:
        told = status_out(lab, loaded)
        if as_json:
            return print_json(told)
        show_status(console, told)
        phases = ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in timings.phases.items())
        console.print(f"\nup in {timings.total:.1f} s ({phases})", soft_wrap=True)
    return None


@labctl.command()
@click.argument("name", default=DEFAULT, type=LabName())
@JSON
def down(name: str, as_json: bool) -> int:
    """Remove a lab and prove that nothing of it is left: no process, link, mount, namespace, cgroup or file.

    Exit status: 0 nothing is left, 4 something is.

    \b
    labctl down
    labctl down second
    """
    left = labs.down(name)
    if as_json:
        print_json(DownOut(lab=name, left=left))
    else:
        for line in left:
            console.print(f"left over: {line}", style="red")
        console.print(f"lab {name} is gone" if not left else f"lab {name} is down, but not without a trace")
    return 4 if left else 0


@labctl.command()
@click.argument("name", required=False, type=LabName())
@JSON
def status(name: str | None, as_json: bool) -> None:
    """Show one lab, or all of them.

    \b
    labctl status
    labctl status demo --json
    """
    if name is None:
        known = labs_out()
        return print_json(known) if as_json else show_labs(console, known)
    with labs.attach(name) as lab:
        told = status_out(lab, topologies.load(lab.record.topology))
    return print_json(told) if as_json else show_status(console, told)


@labctl.command("exec", context_settings={"ignore_unknown_options": True})
@LAB
@click.argument("node", type=NodeName())
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(name: str, node: str, command: tuple[str, ...]) -> int:
    """Run a command in a node; its input, output and exit status are passed through.

    \b
    labctl exec ucpe-1 -- ip -br link
    labctl exec vmsr-1 -- swanctl --list-sas
    """
    return subprocess.run(labs.attach(name).command(node, list(command)), check=False).returncode


@labctl.command()
@LAB
@click.argument("node", type=NodeName())
def shell(name: str, node: str) -> int:
    """Open a shell in a node.

    \b
    labctl shell ucpe-1
    labctl shell -l second host-1
    """
    if not sys.stdin.isatty():
        raise click.UsageError("shell needs a terminal; use `labctl exec NODE -- COMMAND` in scripts")
    return subprocess.run(labs.attach(name).command(node, ["/bin/bash", "-l"], terminal=True), check=False).returncode


@labctl.command()
@LAB
@click.argument("node", type=NodeName())
@click.option("--follow", "-f", is_flag=True, help="Go on as lines come.")
def logs(name: str, node: str, follow: bool) -> int:
    """Show what a node's services have said (files below its /var/log).

    \b
    labctl logs ucpe-1
    labctl logs stack --follow
    """
    find = "find /var/log -name current -o -name '*.log' | sort"
    script = f'files=$({find}); [ -n "$files" ] || exit 0; exec tail -n 200 {"-F" if follow else "-q"} $files'
    return subprocess.run(labs.attach(name).command(node, ["/bin/sh", "-c", script]), check=False).returncode


@labctl.command()
@LAB
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--plan", is_flag=True, help="Show every edit that the order would make; send nothing.")
@click.option("--follow", is_flag=True, help="Show its steps as they happen and wait for its end.")
@click.option("--timeout", type=click.FloatRange(min=0), default=120, show_default=True, help="Seconds for --follow.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan or the order as JSON.")
def order(name: str, file: Path, plan: bool, follow: bool, timeout: float, as_json: bool) -> int:
    """Send the order in FILE to the lab's orchestrator, unless it was sent before.

    FILE is {"tenant": NAME, "order": BODY} with the body of TMF641's POST serviceOrder. An order of the same content is
    sent again only after the other one failed, was cancelled, or what it brought was deleted. Exit status: 0 sent, or
    completed with --follow; 1 refused, failed or cancelled; 2 the file is wrong; 5 not ended in time (an order for a
    device that is not plugged in is `held`); it goes on, as it does after Ctrl-C: the same command follows it again.

    \b
    labctl order topologies/demo/orders/branches.json --plan
    labctl order topologies/demo/orders/branches.json --follow
    """
    if plan and follow:
        raise click.UsageError("--plan sends nothing that --follow could follow; choose one")
    with labs.attach(name) as lab:
        return ordering.order(
            lab, console, file, only_plan=plan, following=timeout if follow else None, as_json=as_json
        )


labctl.add_command(bench)
labctl.add_command(capture)
labctl.add_command(completion)
labctl.add_command(fault)
labctl.add_command(graph)
labctl.add_command(report)
labctl.add_command(spec)
labctl.add_command(top)


@labctl.command()
@click.argument("topology", nargs=-1, type=TopologyName())
@JSON
def validate(topology: tuple[str, ...], as_json: bool) -> int:
    """Check topology files; every problem is shown with its line and remedy, nothing is started.

    Exit status: 0 all can be used, 2 one cannot.

    \b
    labctl validate demo
    labctl validate ./my.clab.yml --json
    """
    checked = [validated(name) for name in topology or (DEFAULT,)]
    if as_json:
        print_json(checked)
    else:
        show_validated(console, checked)
    return 0 if all(told["valid"] for told in checked) else 2


@labctl.command()
@JSON
def doctor(as_json: bool) -> None:
    """Say what this machine can do, by trying it, and which lab host a topology would get.

    \b
    labctl doctor
    labctl doctor --json
    """
    told = doctoring.examine()
    return print_json(told) if as_json else doctoring.show(console, told)


@labctl.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--reuse", metavar="LAB", type=LabName(), help="Run on this running lab instead of making and removing one."
)
@click.option("--only", type=click.Choice(testing.PARTS), multiple=True, help="Only these parts (default: all).")
@click.option(
    "-n",
    "--jobs",
    type=click.IntRange(1, 64),
    default=testing.JOBS,
    show_default="one more than processors, at most 8",
    help="Tests at once; each has labs of its own.",
)
@click.option("--engine", type=click.Choice(ENGINES), help="What makes the labs' nodes (default: native).")
@click.option(
    "--results",
    default=testing.RESULTS,
    show_default="allure-results in the repository",
    help="Folder of Allure's results; those of an earlier run are replaced. Runs side by side have one each.",
    type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(
    reuse: str | None,
    only: tuple[str, ...],
    jobs: int,
    engine: str | None,
    results: Path,
    arguments: tuple[str, ...],
) -> int:
    """Prove it: lint, types, unit tests (also in the nodes' own Debian), then packets in labs made for the purpose.

    ARGUMENTS go to pytest.

    \b
    labctl test
    labctl test --only lab -- -k encrypted -x
    labctl test --only lab --reuse demo
    labctl test --only lab --engine containerlab
    labctl test -n 1 -- --pdb
    """
    if reuse:
        labs.attach(reuse).close()  # else each test would say by itself that there is none
    asked = testing.Run(reuse, jobs, list(arguments), engine, results)
    return testing.run(console, only or testing.PARTS, asked)


@labctl.group()
def image() -> None:
    """The root file systems that nodes have.

    \b
    labctl image export element endpoint --output images.tar
    """


@image.command("export")
@click.argument("name", nargs=-1, required=True)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The archive's file; without it NAME.tar in the current folder.",
)
@JSON
def export_image(name: tuple[str, ...], output: Path | None, as_json: bool) -> int:
    """Write images as an archive that `docker load` takes, and any tool that knows OCI image layouts.

    NAME is a folder of images/; built when it is missing. Several in one archive share their layers. Loaded, it is what
    topologies call it (elasticlab/NAME:latest), so that `containerlab deploy` takes our topology files as they are. The
    same content has the same digest; the date in it is $SOURCE_DATE_EPOCH, or always the same.

    \b
    labctl image export endpoint
    labctl image export element endpoint stack --output demo.tar
    """
    return exporting.export_images(console, name, output, as_json)


@labctl.command("export")
@click.argument("topology", default=DEFAULT)
@click.option("--clabernetes", is_flag=True, help="As Kubernetes manifests for Clabernetes.")
@click.option("--registry", metavar="HOST[/PATH]", help="Where the cluster pulls our images from.")
@click.option(
    "--api-group",
    type=click.Choice(GROUPS),
    default=GROUPS[0],
    show_default=True,
    help="Of the cluster's Clabernetes: c9s.run since its release 0.7.",
)
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="A file; else standard output.")
def export_topology(topology: str, clabernetes: bool, registry: str | None, api_group: str, output: Path | None) -> int:
    """Write a topology in another form.

    The manifests are a Topology, and a ConfigMap with the files that nodes bind. The cluster must have Clabernetes,
    hosts whose kernels have what the topology needs, and our images in its registry (`labctl image export`).

    \b
    labctl export --clabernetes --registry registry.example:5000 | kubectl apply -f -
    """
    if not clabernetes:
        raise click.UsageError("say in which form: --clabernetes")
    return exporting.export_topology(topologies.load(topology), registry, api_group, output)
