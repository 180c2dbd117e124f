"""Makes the pages of docs/reference that come from the code: the command line and the YANG trees.

    .venv/bin/python docs/generate.py             # writes the pages
    .venv/bin/python docs/generate.py --check     # exit status 1 when one of them is stale

A unit test does the same check (`tests/unit/docs`).
"""

from __future__ import annotations

import difflib
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click

from harness.cli.commands import labctl

REPOSITORY = Path(__file__).resolve().parent.parent
REFERENCE = REPOSITORY / "docs" / "reference"
MODELS = REPOSITORY / "models" / "yang"
WIDTH = 100
MARK = "<!-- Made by docs/generate.py; do not edit. -->"

# Variables that our code reads beside those of click's options; a unit test compares the names with the sources.
VARIABLES = {
    "ELASTICLAB_CACHE": "Folder of images, kernel, `uv` and build logs. Default `$XDG_CACHE_HOME/elasticlab`, "
    "else `~/.cache/elasticlab`.",
    "ELASTICLAB_STATE": "Folder of the running labs. Default `$XDG_STATE_HOME/elasticlab`, "
    "else `~/.local/state/elasticlab`.",
    "ELASTICLAB_TIME_SCALE": "Factor on every deadline; set it above 1 on a slow machine. Default 1.",
    "ELASTICLAB_DEBIAN_MIRROR": "Debian mirror that images are built from. Default: the one in this machine's apt "
    "sources.",
    "ELASTICLAB_KERNEL": "A User-Mode Linux binary of your own in place of the one that is built.",
    "ELASTICLAB_UV": "A static `uv` of your own for the environments inside images.",
}
EXIT_STATUSES = {
    "0": "Done.",
    "1": "It failed; the message says what and where the log is. `test`: a part failed.",
    "2": "Wrong usage, or a topology, order or fault file that is refused.",
    "3": "Before any verb starts: this machine cannot be used or prepared.",
    "4": "`down`: something was left over.",
    "5": "`order --follow`: the order has not ended in time; it goes on.",
    "130": "Interrupted; the same command again goes on where it stopped.",
    "any": "`exec`, `shell` and `logs` pass on the status of the command in the node.",
}


def command_page() -> str:
    """Every verb's help as click prints it, then environment variables and exit statuses."""
    with _context(labctl, "labctl", None) as top:
        parts = ["# Command line", MARK, _help(labctl, top)]
        options: list[tuple[str, str]] = []
        for verb, inner in _verbs(labctl, top):
            parts += [f"## {inner.command_path}", _help(verb, inner)]
            options += _variables(verb, inner)
    parts += ["## Environment", "| variable | meaning |\n|---|---|\n" + _rows(VARIABLES.items())]
    parts += ["Each option can be given by a variable too:", "| variable | option |\n|---|---|\n" + _rows(options)]
    parts += ["## Exit statuses", "| status | meaning |\n|---|---|\n" + _rows(EXIT_STATUSES.items())]
    return "\n\n".join(parts) + "\n"


def _verbs(group: click.Group, above: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """Those of a group by name; in place of a group, those that are in it."""
    for name in sorted(group.commands):
        verb = group.commands[name]
        with _context(verb, name, above) as inner:
            if isinstance(verb, click.Group):
                yield from _verbs(verb, inner)
            else:
                yield verb, inner


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    settings = {**command.context_settings, "terminal_width": WIDTH}
    return click.Context(command, info_name=name, parent=parent, **settings)


def _help(command: click.Command, context: click.Context) -> str:
    return f"```text\n{command.get_help(context)}\n```"


def _variables(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name:
            own = f"{context.auto_envvar_prefix}_{parameter.name.upper()}"
            variable = parameter.envvar if isinstance(parameter.envvar, str) else own
            path = context.command_path.partition(" ")[2]
            yield variable, f"`{path} {parameter.opts[0]}`"


def _rows(pairs: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"| `{left}` | {right} |" for left, right in pairs)


def yang_page() -> str:
    """The tree of each module of ours (RFC 8340), by pyang."""
    about = (
        "The modules of `models/yang`, as trees (RFC 8340). They augment the IETF's modules or stand in our own "
        "namespace, `urn:elasticlab:yang:MODULE`. Which modules a box implements is in "
        "[its personality](../../images/element/element/personalities)."
    )
    parts = ["# YANG modules", MARK, about]
    for module in sorted(MODELS.glob("*.yang")):
        parts += [f"## {module.stem}", f"```text\n{_tree(module)}\n```"]
    return "\n\n".join(parts) + "\n"


def _tree(module: Path) -> str:
    command = [sys.executable, "-m", "pyang.scripts.pyang_tool", "-f", "tree", "--path", str(MODELS), str(module)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"pyang cannot read {module.name}: {done.stderr.strip()}")
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


PAGES: dict[str, Callable[[], str]] = {"labctl.md": command_page, "yang.md": yang_page}


def stale(name: str) -> str:
    """How a committed page differs from what the code says now; empty when it does not."""
    path = REFERENCE / name
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    new = PAGES[name]()
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), f"committed {name}", f"generated {name}", n=1)
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        differences = [difference for name in PAGES if (difference := stale(name))]
        print("\n".join(differences) or "docs/reference is up to date")
        return 1 if differences else 0
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
