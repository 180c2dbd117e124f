"""Every bound that a benchmark holds its figures against: kept, missed or void, and of what is missed why.

`docs/generate.py` writes them into `docs/reference/bounds.md`, and a unit test says when that is stale, or when
something is missed of which nobody says why. Of each figure the newest run that is not void is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from perf.record import Result
from perf.report import promised, spread, within

Json = Any
HEAD = "| figure | bound | measured: median (min – max) | | on |\n|---|---|---|---|---|\n"
REASONS = (
    (
        "lab",
        "(up|down) (demo|plain)",
        "A floor is links and containers alone; beside that `labctl` and an agent start, and for the demo an "
        "orchestrator and boxes, on the lab kernel's one processor ([what starts cost](../why/starting.md)).",
    ),
    (
        "engines",
        "(up|down) .*",
        "The floor is one program with one batch; ours starts Python, and makes cgroups, devices and "
        "cables that can be cut besides. What `labctl up` asks, an agent that runs, is the row *started for it* "
        "([what starts cost](../why/starting.md)).",
    ),
    (
        "forwarding",
        "MRR.*",
        "Frames of 1518 octets are cut, and fragments pass the tenants' rules "
        "([what is left](../why/fast-path.md)). Why shorter ones miss it, no profile says yet: that of "
        "TCP differs by 1 %.",
    ),
    (
        "soak",
        ".*memory.*",
        "No agent holds more than it did: what refers to itself was looked for too rarely, what a thread had freed "
        "stayed that thread's, and in each box a table doubled once (0.95 MiB). The first two are mended since that "
        "run; an hour with that is not measured yet.",
    ),
)
"""Of a benchmark's figures, by a pattern of their names: why they are short of their bound."""


def page(results: Sequence[Result], benchmarks: Mapping[str, str]) -> str:
    """In Markdown. `results` are those of `record.read_all`, `benchmarks` what each is about."""
    return "\n".join(_section(name, about, results) for name, about in benchmarks.items())


def missed(results: Sequence[Result]) -> Iterator[tuple[str, str, str]]:
    """Benchmark, figure, why (empty: nobody says)."""
    for run, one, _ in _newest(results):
        if one["kept"] is False and not one.get("void"):
            yield run.module, one["name"], _why(run.module, one["name"])


def _section(module: str, about: str, results: Sequence[Result]) -> str:
    of_it = [one for one in results if one.module == module]
    rows = [_row(*one) for one in _newest(of_it)]
    without = "Nothing it measured is held against a bound.\n" if of_it else "Not measured yet.\n"
    whys = {_why(name, figure): None for name, figure, _ in missed(of_it)}
    said = "".join(f"\n*Missed:* {why}\n" for why in whys)
    return f"## {module}\n\n{about}\n\n{HEAD + ''.join(rows) if rows else without}{said}"


def _newest(results: Iterable[Result]) -> list[tuple[Result, Json, Json]]:
    """Each figure with a bound, of the newest run that counts, or of the newest of all where none does; and the same
    figure of the newest run.
    """
    found: dict[tuple[str, str], tuple[Result, Json, Json]] = {}
    for run in results:
        for one in _told(run):
            if one["kept"] is None:
                continue
            before = found.get((run.module, one["name"]))
            if before is None or before[1].get("void") or not one.get("void"):
                found[run.module, one["name"]] = run, one, one
            else:
                found[run.module, one["name"]] = *before[:2], one
    return list(found.values())


def _told(run: Result) -> Iterator[Json]:
    """Its comparisons and promises. Scenarios of load promise the same things, each its own."""
    scenario = run.content.get("scenario")
    of = f"{scenario['name']}, " if scenario else ""
    yield from run.comparisons
    yield from ({"name": f"{of}{name}{_among(value)}", **value} for name, value in run.promises.items())


def _among(growth: Json) -> str:
    """From how many to how many something grows: two runs that asked for others tell of other things."""
    steps = growth.get("steps")
    return f", {steps[0]['from']} to {steps[-1]['to']}" if steps else ""


def _row(run: Result, one: Json, newest: Json) -> str:
    if "ours" in one:
        unit = one.get("unit", "s")
        bound, value = within(one, unit), f"{_figure(one)}: {spread(one['ours'])} {unit}"
    else:
        bound, value = promised(one), spread(one)
    said = "void" if one.get("void") else "kept" if one["kept"] else "**missed**"
    if newest is not one:
        said += f"; since then void, and {'kept' if newest['kept'] else f'**missed** ({_figure(newest)})'}"
    return f"| {one['name'].replace('_', ' ')} | {bound} | {value} | {said} | {run.started:%Y-%m-%d} |\n"


def _figure(one: Json) -> str:
    return f"{one['ratio']:.3g} ×" if "ours" in one else f"{one['median']:.4g}"


def _why(module: str, name: str) -> str:
    return next((why for of, names, why in REASONS if of == module and re.fullmatch(names, name)), "")
