"""All results as one page that opens anywhere: each figure with its ratios, its verdict, and the command that made it.

    labctl bench --report [--output FILE]

Of each benchmark the newest run is told in full, with a plot of its rounds; of the runs before, the ratio over time.
What is void is shown as that, with the reason, and never left out.
"""

from __future__ import annotations

import argparse
import html
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from perf import plots, record
from perf.record import Result

Json = Any
HEAD = ("figure", "unit", "measured: median (min – max)", "beside it: median (min – max)", "ratio", "peer", "bound", "")
_BOUNDS = (("bound", "≤ {:g} {unit}"), ("most_ratio", "ratio ≤ {:g}"), ("least_ratio", "ratio ≥ {:g}"))
_SHORT = 12
"""Characters of a commit."""


def page(results: Sequence[Result]) -> str:
    """The page. `results` are those of `record.read_all`."""
    groups = [list(runs) for _, runs in groupby(results, key=lambda one: one.module)]
    contents = "".join(
        f'<li><a href="#{runs[-1].module}">{_text(runs[-1].content["benchmark"])}</a></li>' for runs in groups
    )
    return _PAGE.format(contents=contents, sections="".join(map(_section, groups)))


def _section(runs: Sequence[Result]) -> str:
    newest = runs[-1]
    rows = [_row(one) for one in newest.comparisons] + [_promise(*one) for one in newest.promises.items()]
    head = "".join(f"<th>{_text(name)}</th>" for name in HEAD)
    drawn = "".join(_rounds(one) + _over_time(one["name"], runs) for one in newest.comparisons)
    drawn += "".join(_series(one) for one in newest.content.get("series", []))
    void = f'<p class="void">VOID: {_text(newest.content["void"])}</p>\n' if newest.content.get("void") else ""
    return (
        f'<section id="{newest.module}"><h2>{_text(newest.content["benchmark"])}</h2>\n'
        f"<pre>{_text(newest.command)}</pre>\n<p>{_told(newest)}</p>\n{void}"
        f"<table><thead><tr>{head}</tr></thead><tbody>\n{''.join(rows)}</tbody></table>\n"
        f'<div class="plots">{drawn}</div>\n{_earlier(runs[:-1])}</section>\n'
    )


def verdict(one: Json) -> str:
    """`VOID` with its reason, `missed`, `kept`, or nothing where nothing was promised."""
    if one.get("void"):
        return f"VOID: {one['void']}"
    return {True: "kept", False: "MISSED", None: ""}[one.get("kept")]


def _kind(said: str) -> str:
    return said.partition(":")[0].lower() or "none"


def _row(one: Json) -> str:
    unit, said = str(one.get("unit", "s")), verdict(one)
    beside = f"{one.get('against', 'floor')}: {spread(one['floor'])}"
    peer = f"{one['peer_ratio']:.3g} × ({spread(one['peer'])})" if "peer" in one else ""
    cells = [
        one["name"], unit, f"{one.get('measured', 'ours')}: {spread(one['ours'])}", beside, f"{one['ratio']:.3g} ×",
        peer, within(one, unit), said,
    ]  # fmt: skip
    return _cells(cells, _kind(said))


def _promise(name: str, one: Json) -> str:
    said = verdict(one)
    share = f"{one['median'] / one['bound']:.3g} × bound" if one["bound"] else ""
    return _cells(
        [
            name.replace("_", " "),
            "",
            f"ours: {spread(one)}",
            "",
            share,
            "",
            promised(one),
            said,
        ],
        _kind(said),
    )


def _cells(cells: Iterable[str], kind: str) -> str:
    return f'<tr class="{kind}">' + "".join(f"<td>{_text(cell)}</td>" for cell in cells) + "</tr>\n"


def within(one: Json, unit: str) -> str:
    """The bounds of a comparison."""
    return ", ".join(form.format(one[name], unit=unit) for name, form in _BOUNDS if one.get(name) is not None)


def promised(one: Json) -> str:
    """The bound of what is held against that alone."""
    return f"{'≥' if one.get('at least') else '≤'} {one['bound']:g}"


def spread(series: Json) -> str:
    """Median, least and most, where it has them."""
    if "min" not in series:
        return _number(series["median"])
    return f"{_number(series['median'])} ({_number(series['min'])} – {_number(series['max'])})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _told(run: Result) -> str:
    """When, of what, and in which weather."""
    subject = run.content.get("subject", {})
    commit = str(subject.get("commit", ""))[:_SHORT] + (" with changes" if subject.get("changed") else "")
    skies = run.content.get("weather", [])
    loads = [sky["load"][0] for sky in skies if "load" in sky]
    waits = [sky["pressure"]["cpu"] for sky in skies if sky.get("pressure", {}).get("cpu") is not None]
    ticks = [sky["steal_ticks"] for sky in skies if "steal_ticks" in sky]
    parts = [f"{run.started:%Y-%m-%d %H:%M} UTC", f"commit {commit}" if commit else ""]
    parts.append(f"{subject['processors']} processors, kernel {subject['kernel']}" if "kernel" in subject else "")
    parts.append(f"lab kernel {subject['lab_kernel']}" if "lab_kernel" in subject else "")
    parts.append(", ".join(f"{name} {version}" for name, version in subject.get("programs", {}).items()))
    parts.append(f"load {min(loads):g} – {max(loads):g}" if loads else "")
    parts.append(f"waiting for a processor {min(waits):g} – {max(waits):g} %" if waits else "")
    parts.append(f"{ticks[-1] - ticks[0]} ticks stolen" if ticks else "")
    return _text("; ".join(filter(None, parts)))


def _rounds(one: Json) -> str:
    lines: list[plots.Line] = [
        (str(one.get("measured", "ours")), one["ours"]["rounds"], "ours"),
        (str(one.get("against", "floor")), one["floor"]["rounds"], "other"),
    ]
    if "peer" in one:
        lines.append(("peer", one["peer"]["rounds"], "third"))
    labels = [str(number) for number, _ in enumerate(one["ours"]["rounds"], 1)]
    return _figure(f"{one['name']}: rounds, {one.get('unit', 's')}", labels, lines, one.get("void", ""))


def _series(one: Json) -> str:
    """What a run has seen over its time; the first and the last label are enough to read it."""
    ends = (0, len(one["labels"]) - 1)
    labels = [label if number in ends else "" for number, label in enumerate(one["labels"])]
    kinds = ("ours", "other", "third")
    lines: list[plots.Line] = [
        (name, values, kind) for (name, values), kind in zip(one["lines"].items(), kinds, strict=False)
    ]
    return _figure(one["name"], labels, lines, "")


def _over_time(name: str, runs: Sequence[Result]) -> str:
    """The ratio of one comparison in all runs that have it; nothing of a single one."""
    found = [(run, one) for run in runs for one in run.comparisons if one["name"] == name]
    if len(found) < 2:
        return ""
    labels = [
        f"{run.started:%m-%d %H:%M}" if number in (0, len(found) - 1) else "" for number, (run, _) in enumerate(found)
    ]
    counts = [None if one["void"] else one["ratio"] for _, one in found]
    voids = [one["ratio"] if one["void"] else None for _, one in found]
    lines: list[plots.Line] = [("ratio", counts, "ours"), ("VOID", voids, "void")]
    for key in ("most_ratio", "least_ratio"):
        if (bound := found[-1][1].get(key)) is not None:
            lines.append(("bound", [bound] * len(found), "bound"))
    return _figure(f"{name}: ratio over {len(found)} runs", labels, lines, "")


def _figure(title: str, labels: Sequence[str], lines: Sequence[plots.Line], void: str) -> str:
    note = f"<figcaption>VOID: {_text(void)}</figcaption>" if void else ""
    return f"<figure{' class=void' if void else ''}>{plots.plot(title, labels, lines)}{note}</figure>"


def _earlier(runs: Sequence[Result]) -> str:
    """All runs before, each with its command and what was said of its figures."""
    if not runs:
        return ""
    rows = "".join(
        _cells(
            [f"{run.started:%Y-%m-%d %H:%M}", one["name"], spread(one["ours"]), spread(one["floor"]),
             f"{one['ratio']:.3g} ×", verdict(one), run.command],
            _kind(verdict(one)),
        )
        for run in reversed(runs)
        for one in run.comparisons
    )  # fmt: skip
    return f"<details><summary>{len(runs)} runs before</summary><table><tbody>\n{rows}</tbody></table></details>\n"


def _text(value: object) -> str:
    return html.escape(str(value))


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>How fast it is</title>
<style>
body {{ font: 14px/1.5 system-ui, sans-serif; margin: 1em; color: #222; background: #fff }}
td, th {{ padding: 0 1.2em .2em 0; text-align: left; vertical-align: top; white-space: nowrap }}
td:last-child {{ white-space: normal }}
pre {{ background: #f6f8fa; padding: .5em }}
tr.void td {{ color: #57606a }} tr.void td:last-child, .void figcaption, p.void {{ color: #b91c1c }}
tr.missed td:last-child {{ color: #b91c1c; font-weight: bold }} tr.kept td:last-child {{ color: #15803d }}
.plots {{ display: flex; flex-wrap: wrap; gap: 1em }} figure {{ margin: 0; width: 460px }}
figure.void svg {{ opacity: .45 }}
</style>
<h1>How fast it is</h1>
<p>Each figure is the median of rounds in which what is measured and what stands beside it took turns; the ratio is the
median of the rounds' ratios. VOID says nothing: the machine moved, or
something failed. Nothing was run again for it.</p>
<ul>{contents}</ul>
{sections}</html>
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="labctl bench --report", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--output", type=Path, default=Path("bench-report.html"))
    parser.add_argument("--results", type=Path, default=record.RESULTS)
    asked = parser.parse_args()
    try:
        results = record.read_all(asked.results)
    except record.ResultError as error:
        print(error, file=sys.stderr)
        return 1
    asked.output.write_text(page(results), encoding="utf-8")
    print(f"{len(results)} runs in {asked.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
