"""`labctl validate`: what is wrong with topology files, or what they ask for."""

from __future__ import annotations

from rich.console import Console

from harness.cli.options import say
from harness.cli.output import ValidatedOut
from harness.engine.room import refuse_too_small
from harness.topology import TopologyError, load


def validated(name: str) -> ValidatedOut:
    """One file, by its path or name."""
    try:
        topology = load(name)
        refuse_too_small(topology)
    except TopologyError as error:
        return _refused(error)
    return {
        "file": str(topology.path),
        "valid": True,
        "name": topology.name,
        "nodes": len(topology.nodes),
        "links": len(topology.links),
        "requires": sorted(topology.requires),
        "problems": [],
    }


def _refused(error: TopologyError) -> ValidatedOut:
    return {
        "file": str(error.problems[0].file),
        "valid": False,
        "name": None,
        "nodes": 0,
        "links": 0,
        "requires": [],
        "problems": [
            {"line": problem.line, "column": problem.column, "message": problem.message, "remedy": problem.remedy}
            for problem in error.problems
        ],
    }


def show_validated(console: Console, checked: list[ValidatedOut]) -> None:
    for told in checked:
        if told["valid"]:
            needs = ", ".join(told["requires"]) or "nothing special"
            size = f"{told['nodes']} nodes, {told['links']} links"
            console.print(f"{told['file']}: {size}; its kernel needs {needs}", soft_wrap=True)
        for problem in told["problems"]:
            where = f"{told['file']}:{problem['line']}:{problem['column']}" if problem["line"] else told["file"]
            say(f"{where}: {problem['message']} ({problem['remedy']})")
