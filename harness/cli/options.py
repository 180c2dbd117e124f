"""What the verbs have in common: the lab they are for, JSON, where they print, and what the shell completes."""

from __future__ import annotations

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem
from rich.console import Console
from rich.text import Text

from harness import lab as labs
from harness.faults import KINDS
from harness.faults.scenario import names as scenario_names
from harness.lab.lab import Lab
from harness.lab.record import read
from harness.paths import TOPOLOGIES

DEFAULT = "demo"
INTERRUPTED = 130
"""Exit status after Ctrl-C, unless that is the way to end."""
_WIDE = 160
"""Columns where nobody looks: a table that is cut to a terminal's width is of no use to a program."""


def terminal(*, stderr: bool = False) -> Console:
    """What is printed is printed as it is: `[lan]` is no style, and `2001:db8:a:b::1` has no emoji in it."""
    wide = not stderr and not sys.stdout.isatty()
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=_WIDE if wide else None)


console = terminal()


def say(message: str) -> None:
    """What went wrong, for people."""
    terminal(stderr=True).print(Text.assemble(("labctl:", "bold red"), f" {message}"), soft_wrap=True)


def print_json(content: object) -> None:
    """For programs: one document, the same on a terminal and in a pipe."""
    click.echo(json.dumps(content, indent=2))


def _items(known: Iterable[str], begun: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in known if name.startswith(begun)]


def _lab_of(context: click.Context) -> Lab | None:
    """The lab that the words so far are about, if it can be known; completion never complains."""
    try:
        return labs.attach(str(context.params.get("name") or DEFAULT))
    except (labs.LabError, OSError, ValueError):
        return None


def _is_path(begun: str) -> bool:
    return "/" in begun or begun.startswith(".")


class _Named(click.ParamType[str], ABC):
    """A text with names to complete. Whether it names anything is for whoever uses it to say."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    @abstractmethod
    def known(self, context: click.Context) -> Iterable[str]:
        """The names that there are."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return _items(self.known(ctx), incomplete)


class LabName(_Named):
    def known(self, context: click.Context) -> Iterable[str]:
        return (entry.name for entry in labs.known_labs())


class NodeName(_Named):
    def known(self, context: click.Context) -> Iterable[str]:
        lab = _lab_of(context)
        return lab.nodes if lab else ()


class LinkEnd(_Named):
    def known(self, context: click.Context) -> Iterable[str]:
        lab = _lab_of(context)
        return sorted(end for link in lab.links for end in link.ends) if lab else ()


class TopologyName(_Named):
    def known(self, context: click.Context) -> Iterable[str]:
        return sorted(folder.name for folder in TOPOLOGIES.iterdir() if any(folder.glob("*.clab.yml")))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")] if _is_path(incomplete) else self._named(ctx, incomplete)

    def _named(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        return _items(self.known(context), incomplete)


class ScenarioName(TopologyName):
    """Scenarios of faults; with `kinds`, their kinds too."""

    def __init__(self, *, kinds: bool = False) -> None:
        self._kinds = kinds

    def known(self, context: click.Context) -> Iterable[str]:
        record = read(str(context.params.get("name") or DEFAULT))
        own = [Path(record.topology).parent / "faults"] if record else []
        return [*(path.stem for path in scenario_names(own)), *(sorted(KINDS) if self._kinds else [])]


class FaultTarget(LinkEnd):
    """Where a fault can be: an end of a link, a node, a site, the lab."""

    def known(self, context: click.Context) -> Iterable[str]:
        lab = _lab_of(context)
        if lab is None:
            return ["lab"]
        sites = sorted({f"site {node.site}" for node in lab.topology.nodes.values() if node.site})
        return [*super().known(context), *lab.nodes, *sites, "lab"]


LAB = click.option(
    "--lab", "-l", "name", type=LabName(), default=DEFAULT, show_default=True, envvar="LABCTL_LAB",
    is_eager=True, help="The lab ($LABCTL_LAB).",
)  # fmt: skip
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
