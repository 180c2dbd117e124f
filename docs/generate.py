"""Makes the pages of docs/reference that come from the code: the command line, what it prints as JSON, the YANG trees;
and bounds.md and the README's figures, from the results in perf/results.

    .venv/bin/python docs/generate.py             # writes the pages
    .venv/bin/python docs/generate.py --check     # exit status 1 when one of them is stale

A unit test does the same check (`tests/unit/docs`).
"""

from __future__ import annotations

import difflib
import subprocess
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click

from harness.cli import output
from harness.cli.benching import benchmarks
from harness.cli.commands import labctl
from perf import bounds, figures, record

REPOSITORY = Path(__file__).resolve().parent.parent
REFERENCE = REPOSITORY / "docs" / "reference"
README = REPOSITORY / "README.md"
FIGURES_BEGIN = "<!-- Made by docs/generate.py from perf/results; do not edit. -->"
FIGURES_END = "<!-- End of what is made. -->"
MODELS = REPOSITORY / "models" / "yang"
WIDTH = 100
MARK = "<!-- Made by docs/generate.py; do not edit. -->"

# Variables that our code reads beside those of click's options; a unit test compares the names with the sources.
VARIABLES = {
    "ELASTICLAB_CACHE": "Folder of images, kernel, `uv` and build logs. Default `$XDG_CACHE_HOME/elasticlab`, "
    "else `~/.cache/elasticlab`.",
    "ELASTICLAB_RESULTS": "Folder of what `labctl bench` measured. Default `perf/results`.",
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
    "2": "Wrong usage, or a topology, order or fault file that is refused (`validate`: one of the files).",
    "3": "Before any verb starts: this machine cannot be used or prepared.",
    "4": "`down`: something was left over.",
    "5": "`order --follow`: the order has not ended in time; it goes on.",
    "6": "`bench --against`: it is void, and says nothing.",
    "130": "Interrupted by Ctrl-C; the same command again goes on where it stopped (`fault run`: all is undone). Where "
    "Ctrl-C is the way to end, it is 0: `capture`, `top`, `graph --live`, `fault run` of what has no end.",
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


def json_page() -> str:
    """What each verb prints with `--json`, and each object's keys."""
    about = (
        "What `--json` prints, verb by verb. Keys stay: one may be added, none changes its name or meaning. Addresses "
        "and times are text as programs write them; seconds, octets and percent are numbers.\n\n"
        "`labctl order --json` prints the orchestrator's own answer ([TMF641](../../images/stack/gro/README.md)). "
        "`labctl fault run --json` prints an object a line, one an event: `event` is `scenario`, then `begin` and "
        "`end` with `after` (seconds), `text`, `kind` and `seed`, then `over`."
    )
    rows = [(verb, " or ".join(map(_type_name, kinds))) for verb, kinds in output.OUTPUTS.items()]
    parts = ["# JSON", MARK, about, "| verb | prints |\n|---|---|\n" + _rows(rows)]
    for kind in _objects(kind for kinds in output.OUTPUTS.values() for kind in kinds):
        parts += [f"## {_object_name(kind)}", *_told(kind)]
    return "\n\n".join(parts) + "\n"


def _objects(kinds: Iterable[object]) -> list[type]:
    """Every kind of object in there, in the order in which it is met."""
    found: dict[type, None] = {}

    def meet(kind: object) -> None:
        for part in typing.get_args(kind):
            meet(part)
        if typing.is_typeddict(kind) and kind not in found:
            assert isinstance(kind, type)
            found[kind] = None
            for hint in typing.get_type_hints(kind).values():
                meet(hint)

    for kind in kinds:
        meet(kind)
    return list(found)


def _told(kind: type) -> Iterator[str]:
    if kind.__doc__:
        yield kind.__doc__
    rows = []
    for key, hint in typing.get_type_hints(kind, include_extras=True).items():
        value, meaning = typing.get_args(hint)
        rows.append(f"| `{key}` | {_type_name(value)} | {meaning} |")
    yield "| key | value | meaning |\n|---|---|---|\n" + "\n".join(rows)


_JSON_NAMES: dict[object, str] = {str: "text", int: "integer", float: "number", bool: "boolean", dict: "object"}


def _object_name(kind: type) -> str:
    return kind.__name__.removesuffix("Out")


def _type_name(kind: object) -> str:
    if typing.is_typeddict(kind):
        assert isinstance(kind, type)
        return f"[{_object_name(kind)}](#{_object_name(kind).lower()})"
    if typing.get_origin(kind) is list:
        return f"list of {_type_name(typing.get_args(kind)[0])}"
    if isinstance(kind, types.UnionType):
        return " or ".join(map(_type_name, typing.get_args(kind)))
    if kind is types.NoneType:
        return "null"
    return _JSON_NAMES[typing.get_origin(kind) or kind]


def readme_page() -> str:
    """The README as it is, with the figures of the newest results between the marks."""
    text = README.read_text(encoding="utf-8")
    head, begin, rest = text.partition(FIGURES_BEGIN)
    _, end, tail = rest.partition(FIGURES_END)
    if not begin or not end:
        raise ValueError(f"{README} has no place for figures: write {FIGURES_BEGIN} and {FIGURES_END} into it")
    return f"{head}{begin}\n\n{figures.table(record.read_all())}\n{end}{tail}"


def bounds_page() -> str:
    """What is promised of each benchmark's figures, and whether it holds."""
    about = (
        "What each benchmark holds its figures against, from the results in `perf/results`: of each figure the newest "
        "run that is not void. Bounds with × are ratios to what stands beside it in the same run. "
        "[How it is measured](../how-to/measure.md); `labctl bench --report` shows the rounds."
    )
    return "\n\n".join(["# Bounds", MARK, about, bounds.page(record.read_all(), benchmarks())])


PAGES: dict[str, Callable[[], str]] = {
    "bounds.md": bounds_page,
    "json.md": json_page,
    "labctl.md": command_page,
    "yang.md": yang_page,
    "../../README.md": readme_page,
}


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
        print("\n".join(differences) or "docs/reference and the README's figures are up to date")
        return 1 if differences else 0
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
