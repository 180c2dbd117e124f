"""`labctl spec`: what the tests prove, in their own words, as one page that opens without a server."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from html import escape
from pathlib import Path

import click

from harness.cli.options import JSON, print_json
from harness.cli.output import SpecOut
from harness.paths import REPOSITORY

_ID = re.compile(r"\b(?:EV|PC|LAB|CTL|GRO)-\d{2}\b")
_STYLE = """
body { font: 15px/1.5 Helvetica, Arial, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #1f2328 }
h2 { border-bottom: 1px solid #d0d7de; margin-top: 2em } h3 { margin-bottom: .2em }
code { color: #57606a; font-size: 85% } pre { white-space: pre-wrap; font: inherit; margin: .2em 0 .6em }
nav a { margin-right: 1em } li { margin: .2em 0 }
"""


@click.command()
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), default="specification.html", show_default=True,
    help="The page.",
)  # fmt: skip
@JSON
def spec(output: Path, as_json: bool) -> None:
    """Write the tests' specification: what each proves, from its name, docstrings and steps, as one HTML page.

    Tests that name a requirement (EV-18, LAB-05…) stand under it, all others under their folder.

    \b
    labctl spec
    labctl spec --output /tmp/spec.html
    labctl spec --json
    """
    told = specified(REPOSITORY / "tests")
    if as_json:
        return print_json(told)
    output.write_text(page(told), encoding="utf-8")
    return click.echo(f"{len(told)} tests in {output}")


def specified(folder: Path) -> list[SpecOut]:
    """Every test below a folder; read, never imported, so that no test's needs have to be met."""
    return [told for file in sorted(folder.rglob("test_*.py")) for told in _of_file(folder, file)]


def _of_file(folder: Path, file: Path) -> Iterator[SpecOut]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    about = ast.get_docstring(tree) or ""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            own = ast.get_docstring(node) or ""
            place = file.relative_to(folder)
            named = _ID.findall(f"{own} {about}")
            named += [f"EV-{number}" for number in re.findall(r"_ev(\d{2})_", f"_{file.stem}_")]
            yield {
                "file": str(Path("tests") / place),
                "line": node.lineno,
                "group": str(place.parent),
                "topic": about,
                "test": node.name.removeprefix("test_").replace("_", " "),
                "about": own,
                "steps": list(_steps(node)),
                "requirements": list(dict.fromkeys(named)),
            }


def _steps(test: ast.AST) -> Iterator[str]:
    """What is written in `with step("…")` or `allure.step("…")`, in the order of the file."""
    calls = (node for node in ast.walk(test) if isinstance(node, ast.Call))
    for node in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        if node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name == "step" and isinstance(node.args[0].value, str):
                yield node.args[0].value


def page(told: list[SpecOut]) -> str:
    chapters: dict[str, list[SpecOut]] = defaultdict(list)
    for test in told:
        for chapter in test["requirements"] or [f"tests/{test['group']}"]:
            chapters[chapter].append(test)
    # Requirements first, then folders.
    names = sorted(chapters, key=lambda name: (name.startswith("tests/"), name))
    links = "".join(f'<a href="#{escape(name)}">{escape(name)}</a> ' for name in names)
    body = "".join(f'<h2 id="{escape(name)}">{escape(name)}</h2>{_chapter(chapters[name])}' for name in names)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>What the tests prove</title>'
        f"<style>{_STYLE}</style></head><body><h1>What the tests prove</h1><nav>{links}</nav>{body}</body></html>\n"
    )


def _chapter(tests: list[SpecOut]) -> str:
    topics: dict[tuple[str, str], list[SpecOut]] = defaultdict(list)
    for test in tests:
        topics[test["file"], test["topic"]].append(test)
    return "".join(
        f"<h3><code>{escape(file)}</code></h3><pre>{escape(topic)}</pre><ul>{''.join(map(_test, found))}</ul>"
        for (file, topic), found in topics.items()
    )


def _test(told: SpecOut) -> str:
    about = f"<pre>{escape(told['about'])}</pre>" if told["about"] else ""
    steps = "".join(f"<li>{escape(step)}</li>" for step in told["steps"])
    return f"<li>{escape(told['test'])}{about}{f'<ol>{steps}</ol>' if steps else ''}</li>"
