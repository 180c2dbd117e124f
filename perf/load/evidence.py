"""What a run comes to: a result as data; Locust's own report with what it does not know: promises, floor, machine."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from perf import conditions, plots
from perf.load import sla
from perf.load.scenario import Scenario
from perf.load.seen import FLOOR, Seen, summary
from perf.load.sla import Verdict

Json = Any


def result(
    scenario: Scenario, seen: Seen, verdicts: Sequence[Verdict], started: datetime, command: str, seed: str
) -> Json:
    """As it is kept. Accepted and applied are two figures: what was promised to be done, and what was."""
    durations = seen.durations()
    # What was never seen has no figure that a page could show; the run's own list has it.
    shown = {
        f"{one.what}: {one.limit}": {
            "median": one.seen,
            "bound": one.promised,
            "kept": one.kept,
            **({"at least": True} if one.limit == "least" else {}),
        }
        for one in verdicts
        if one.seen is not None
    }
    return {
        "benchmark": f"B5 load: {scenario.about}",
        "command": command,
        "started": started.astimezone(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "scenario": {**asdict(scenario), "shape": {"kind": type(scenario.shape).__name__, **asdict(scenario.shape)}},
        "subject": conditions.subject(),
        "weather": seen.skies,
        "void": seen.void,
        "milliseconds": {what: summary(values) for what, values in sorted(durations.items())},
        "ratio_to_floor": _ratios(seen),
        "failed": seen.errors(),
        "steps_seconds": {name: summary(values, 3) for name, values in seen.steps().items()},
        "generator": {
            "late_ms": summary(seen.late) if seen.late else None,
            "capacity": round(seen.capacity, 1),
            "headroom": None if seen.headroom is None else round(seen.headroom, 1),
        },
        "faults": seen.fired,
        "promises": [asdict(one) for one in verdicts],
        "comparisons": [],
        **shown,
    }


def judged(scenario: Scenario, seen: Seen) -> list[Verdict]:
    return sla.judge(scenario.sla, seen.durations(), seen.failures())


def _ratios(seen: Seen) -> dict[str, float]:
    """Medians, in medians of the floor."""
    durations = seen.durations()
    if FLOOR not in durations:
        return {}
    floor = summary(durations[FLOOR], 3)["median"]
    return {what: round(summary(values, 3)["median"] / floor, 1) for what, values in sorted(durations.items())}


def section(told: Json, seen: Seen) -> str:
    """What is added to Locust's report."""
    kept = all(one["kept"] for one in told["promises"])
    verdict = f"VOID: {told['void']}" if told["void"] else "every promise is kept" if kept else "a promise is MISSED"
    late = told["generator"]["late_ms"]
    lines = [
        f"<h2>{_text(told['benchmark'])}</h2><pre>{_text(told['command'])}</pre><p><b>{_text(verdict)}</b></p>",
        _table(
            "Promises", ("what", "limit", "promised", "seen", ""),
            [(one["what"], one["limit"], one["promised"], one["seen"], "kept" if one["kept"] else "MISSED")
             for one in told["promises"]],
        ),
        _table(
            "Milliseconds from the moment that was meant",
            ("what", "count", "median", "p95", "p99", "min", "max", "× floor"),
            [(what, one["count"], one["median"], one["p95"], one["p99"], one["min"], one["max"],
              told["ratio_to_floor"].get(what, "")) for what, one in told["milliseconds"].items()],
        ),
        _table(
            "Steps of orders, seconds", ("step", "count", "median", "p95", "max"),
            [(name, one["count"], one["median"], one["p95"], one["max"])
             for name, one in told["steps_seconds"].items()],
        ),
        _table("Failed", ("what", "times"), list(told["failed"].items())),
        _table("Faults", ("fired",), [(one,) for one in told["faults"]]),
        f"<p>Generator: {told['generator']['capacity']:g} requests/s of a server that does nothing, "
        f"{told['generator']['headroom']} × this load; begun late by {late['p99'] if late else '–'} ms (p99).</p>",
        f'<div style="display:flex;flex-wrap:wrap;gap:1em">{_machine(seen.skies)}{_applied(seen)}</div>',
    ]  # fmt: skip
    style = "font:14px/1.5 system-ui,sans-serif;margin:2em;background:#fff;color:#222"
    return f'<section id="elasticlab" style="{style}">{"".join(lines)}</section>'


def _machine(skies: Sequence[Json]) -> str:
    if len(skies) < 2:
        return ""
    labels = [str(sky["at"]) if number in (0, len(skies) - 1) else "" for number, sky in enumerate(skies)]
    steal = [float(sky["steal_ticks"] - skies[0]["steal_ticks"]) for sky in skies]
    return plots.plot(
        "The machine, by seconds", labels,
        [
            ("load", [sky["load"][0] for sky in skies], "ours"),
            ("waiting for a processor, %", [sky["pressure"]["cpu"] for sky in skies], "third"),
            ("ticks stolen", steal, "other"),
        ],
    )  # fmt: skip


def _applied(seen: Seen) -> str:
    durations = seen.durations()
    drawn = [(what, durations[what]) for what in ("order applied", "order accepted") if what in durations]
    if not drawn:
        return ""
    count = max(len(values) for _, values in drawn)
    lines: list[plots.Line] = [
        (what, [*values, *[None] * (count - len(values))], kind)
        for (what, values), kind in zip(drawn, ("ours", "other"), strict=False)
    ]
    return plots.plot("Orders, milliseconds, as they ended", [""] * count, lines)


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    if not rows:
        return ""
    cells = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    heads = "".join(f'<th style="text-align:left;padding-right:1em">{_text(one)}</th>' for one in head)
    return f"<h3>{_text(title)}</h3><table><thead><tr>{heads}</tr></thead><tbody>{cells}</tbody></table>"


def page(locusts: str, told: Json, seen: Seen) -> str:
    """Locust's report with our section at its end."""
    body, end, rest = locusts.rpartition("</body>")
    return f"{body}{section(told, seen)}{end}{rest}" if end else locusts + section(told, seen)


def write(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, encoding="utf-8")


def _text(value: object) -> str:
    return html.escape(str(value))
