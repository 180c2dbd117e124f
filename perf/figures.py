"""The five figures that matter, as the README states them: each beside its peer and its floor, from the kept results.

`docs/generate.py` writes them there, and a unit test says when they are stale. Of each comparison the newest run that
is not void is told; where there is none, that is said in its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from perf.record import Result

Json = Any


@dataclass(frozen=True)
class Source:
    """A comparison of a benchmark, by a pattern of its name; `told` is how it is said."""

    module: str
    name: str
    told: str


@dataclass(frozen=True)
class Figure:
    about: str
    peer: Source
    floor: Source


FIGURES = (
    Figure(
        "make a lab",
        Source("engines", "up 20", "containerlab takes {ratio} times as long for 20 nodes ({ours} s, ours {floor} s)"),
        Source("lab", "up demo", "the demo until it is healthy: {ratio} × links and containers alone ({ours} s)"),
    ),
    Figure(
        "from an order to packets",
        Source(
            "tunnels",
            "tunnel up",
            "a tunnel until its SAs are there: {ratio} × one by hand and a commit ({ours} and {floor} s)",
        ),
        Source("orders", "order applied, 0 services", "{ratio} × an edit and its commit on a box ({ours} s)"),
    ),
    Figure(
        "forward through GRE in IPsec",
        Source(
            "forwarding",
            "MRR: GRE in ESP, imix, both",
            "IMIX: {ratio} × the same made by hand ({ours} and {floor} {unit})",
        ),
        Source(
            "forwarding", "MRR: GRE in ESP, imix, both, of plain", "IMIX: {ratio} × plain forwarding ({ours} {unit})"
        ),
    ),
    Figure(
        "1,000 boxes on one controller",
        Source("devices", "memory", "{ratio} × the memory of OpenDaylight's netconf-testtool"),
        Source("devices", "restart", "managed again {ratio} s after the controller was killed"),
    ),
    Figure(
        "tests and their report",
        Source("reports", "report of 10000 results", "a report of 10,000 results: {ratio} × Allure alone ({ours} s)"),
        Source("harness", "200 tests", "200 empty tests on a live lab: {ratio} × pytest alone ({ours} s)"),
    ),
)


def table(results: Sequence[Result]) -> str:
    """In Markdown. `results` are those of `record.read_all`."""
    rows = [_row(one, results) for one in FIGURES]
    return "\n".join(["| what | beside its peer | beside its floor | made by |", "|---|---|---|---|", *rows]) + "\n"


def _row(figure: Figure, results: Sequence[Result]) -> str:
    cells, commands = [], []
    for source in (figure.peer, figure.floor):
        text, command = _cell(source, results)
        cells.append(text)
        commands.append(f"`{command}`")
    return f"| {figure.about} | {' | '.join(cells)} | {', '.join(dict.fromkeys(commands))} |"


def _cell(source: Source, results: Sequence[Result]) -> tuple[str, str]:
    found = [(run, one) for run in results if run.module == source.module for one in _of(run, source.name)]
    valid = [(run, one) for run, one in found if not one.get("void")]
    if valid:
        run, one = valid[-1]
        missed = "; **bound missed**" if one.get("kept") is False else ""
        since = f"; void since: {found[-1][1]['void']}" if found[-1][0] is not run else ""
        return f"{source.told.format(**_told(one))}{missed}{since}", run.command
    if found:
        run, one = found[-1]
        return f"void: {one['void']}", run.command
    return "not measured yet", f"labctl bench {source.module}"


def _of(run: Result, name: str) -> Iterable[Json]:
    """What of a run a source means: a comparison, or what was promised without one."""
    void = run.content.get("void", "")
    promises = [{"void": void, **one, "name": of} for of, one in run.promises.items()]
    return (one for one in (*run.comparisons, *promises) if re.fullmatch(name, one["name"]))


def _told(one: Json) -> dict[str, str]:
    if "ours" not in one:  # a promise is its own figure
        return {"ratio": f"{one['median']:.3g}"}
    ours, floor = one["ours"]["median"], one["floor"]["median"]
    return {"ratio": f"{one['ratio']:.3g}", "ours": _figure(ours), "floor": _figure(floor), "unit": one["unit"]}


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
