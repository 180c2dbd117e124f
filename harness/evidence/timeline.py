"""One page with all that happened while a test ran, on one clock: steps, calls, orders, load, faults, logs.

It needs no server. svlogd writes each line's time (UTC, 10 µs), and nodes have the lab host's clock. Where a fault set
one wrong, its lines are where they belong (`harness.evidence.clocks`).
"""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from harness.deeds import Deed
from harness.evidence.clocks import Clocks
from harness.evidence.failure import UNREACHABLE
from harness.evidence.orchestrated import News
from harness.evidence.steps import Step
from harness.host.channel import Call
from harness.lab import Lab, Node
from harness.lab.node import Mark

_STAMP = "%Y-%m-%d_%H:%M:%S"
_LINE = re.compile(r"/var/log/([^/]+)/current (\d{4}-\d\d-\d\d_\d\d:\d\d:\d\d\.\d+) (.*)")
# Only lines from the test's begin on, and not more than anybody reads; svlogd's times are in order as texts, too.
_SINCE = """
for file in $(find /var/log -name current | sort); do
  awk -v file="$file" -v since="$0" '$1 >= since { print file, $0 }' "$file" | tail -n "$1"
done
"""
_PLAIN = ("condition", "device", "expression", "what", "link", "name")
_WIDE = 300
_LONG = 1.0
"""Seconds from which on a call's own are told."""
_MOST = 5000
"""Lines of one service, and of one node: the last ones, if it said more."""
_ENDS = {("test", "began"), ("test", "ended"), ("test", "failed")}
_STEP = "step"
_BAD = re.compile(r"error|fail|refus|critical|traceback|unable|denied|lost", re.IGNORECASE)


@dataclass(frozen=True, order=True)
class Entry:
    """Something that happened: seconds since the epoch, a node or what else speaks, who there, what."""

    at: float
    where: str
    who: str
    text: str


def gather(lab: Lab, since: float) -> list[Entry]:
    """What the services of all nodes have said since."""
    clocks = Clocks.of(lab)
    with ThreadPoolExecutor(4) as pool:
        said = pool.map(lambda node: _said(node, since, clocks), lab.nodes.values())
        return [entry for found in said for entry in found]


def _said(node: Node, since: float, clocks: Clocks) -> list[Entry]:
    begin = datetime.fromtimestamp(clocks.earliest(node.name, since), UTC).strftime(_STAMP)
    try:
        lines = node.run("/bin/sh", "-c", _SINCE, begin, str(_MOST), timeout=20).stdout.splitlines()
    except UNREACHABLE as error:
        return [Entry(time.time(), node.name, "-", f"no answer: {error}")]
    matches = [match for line in lines if (match := _LINE.fullmatch(line))]
    found = []
    for service, own in groupby(matches, lambda match: match[1]):
        said = list(own)
        times = clocks.meant(node.name, [_seconds(match[2]) for match in said])
        found += [Entry(at, node.name, service, _short(match[3])) for at, match in zip(times, said, strict=True)]
    return sorted(entry for entry in found if entry.at >= int(since))[-_MOST:]


def _seconds(stamp: str) -> float:
    whole, _, fraction = stamp.partition(".")
    return datetime.strptime(whole, _STAMP).replace(tzinfo=UTC).timestamp() + float(f"0.{fraction}")


def _short(text: str) -> str:
    """Of a line that is JSON, its message and what else it has to say."""
    try:
        line = json.loads(text)
    except ValueError:
        return text
    if not isinstance(line, dict) or "message" not in line:
        return text
    more = {k: v for k, v in line.items() if k not in {"time", "level", "component", "logger", "message"} and v}
    level = f"{line['level']}: " if line.get("level") not in (None, "info", "debug") else ""
    return f"{level}{line['message']}" + "".join(f" {key}={value}" for key, value in more.items())


def of_calls(calls: Iterable[Call], since: float, until: float) -> Iterator[Entry]:
    """What the test did to the lab; what it asked again and again, with the same answer, is one entry."""
    before, times = None, 0
    for call in sorted((call for call in calls if since <= call.at <= until), key=lambda call: call.at):
        entry = Entry(call.at, "test", call.operation, _told(call))
        if before is not None and (entry.who, entry.text) == (before.who, before.text):
            times += 1
            continue
        if before is not None:
            yield _counted(before, times)
        before, times = entry, 1
    if before is not None:
        yield _counted(before, times)


def _counted(entry: Entry, times: int) -> Entry:
    return entry if times == 1 else replace(entry, text=f"{entry.text} ({times} times)")


def _told(call: Call) -> str:
    """Without what may be long or secret: input, environment, descriptions of nodes and links."""
    argv = " ".join(map(str, call.arguments.get("argv", ())))
    values = (
        f"{key} {value}" for key, value in call.arguments.items() if key in _PLAIN and isinstance(value, str | int)
    )
    node = call.arguments.get("node", "")
    name = node["name"] if isinstance(node, dict) else node
    what = " ".join(filter(None, [name, argv, *values]))
    if isinstance(call.outcome, Exception):
        end = f"{type(call.outcome).__name__}: {call.outcome}"
    elif isinstance(call.outcome, dict) and "status" in call.outcome:
        end = f"exit status {call.outcome['status']}"
    else:
        end = str(call.outcome) if isinstance(call.outcome, bool | int | str) else "done"
    took = f", {call.seconds:.1f} s" if call.seconds >= _LONG else ""
    return f"{what[:_WIDE]} → {end[:_WIDE]}{took}"


def of_steps(steps: Iterable[Step]) -> Iterator[Entry]:
    """Begins and ends of steps; one that is inside another is set in."""
    for step in steps:
        inset = "    " * step.depth
        yield Entry(step.begun, "test", _STEP, f"{inset}{step.title}")
        if step.ended is not None:
            how = "done" if step.error is None else f"left by {type(step.error).__name__}"
            yield Entry(step.ended, "test", "step ends", f"{inset}{step.title}: {how}, {step.ended - step.begun:.3f} s")


def of_deeds(deeds: Iterable[Deed]) -> Iterator[Entry]:
    """What the test waited for, and what it asked of the orchestrator."""
    return (Entry(deed.at, "test", deed.what, deed.text) for deed in deeds)


def of_orders(news: Iterable[News]) -> Iterator[Entry]:
    """What orders did."""
    return (Entry(one.at, "order", one.order, one.text) for one in news)


def of_marks(marks: Iterable[Mark], since: float) -> Iterator[Entry]:
    """What the test said of nodes, such as load that begins and ends."""
    return (Entry(mark.at, mark.node, mark.what, mark.text) for mark in marks if mark.at >= since)


def of_faults(records: Iterable[dict[str, Any]]) -> Iterator[Entry]:
    """Begins and ends of faults, from a record with right times."""
    for record in records:
        yield Entry(record["time"], "fault", record["event"], str(record.get("text") or record.get("why") or ""))


def page(title: str, entries: Sequence[Entry], begin: float) -> str:
    """The page. Times are seconds from `begin`; the clock's are shown when one points at them."""
    rows = "\n".join(_row(entry, begin) for entry in sorted(entries))
    places = sorted({entry.where for entry in entries})
    boxes = "".join(
        f'<label><input type="checkbox" checked value="{html.escape(place)}"> {html.escape(place)}</label>'
        for place in places
    )
    return _PAGE.format(title=html.escape(title), boxes=boxes, rows=rows, count=len(entries))


def _row(entry: Entry, begin: float) -> str:
    clock = datetime.fromtimestamp(entry.at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    marks = entry.where == "fault" or (entry.where, entry.who) in _ENDS
    steps = (entry.where, entry.who) == ("test", _STEP)
    load = entry.who == "load" or entry.where == "order"
    kind = "fault" if marks else "step" if steps else "load" if load else "bad" if _BAD.search(entry.text) else ""
    where, who, text = map(html.escape, (entry.where, entry.who, entry.text))
    when = f'<td title="{clock} UTC">{entry.at - begin:+.3f}</td>'
    return f'<tr class="{kind}" data-where="{where}">{when}<td>{where}</td><td>{who}</td><td>{text}</td></tr>'


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 13px/1.4 system-ui, sans-serif; margin: 1em; color: #222; background: #fff }}
nav {{ position: sticky; top: 0; background: #fff; padding: .5em 0; border-bottom: 1px solid #ccc }}
label {{ margin-right: 1em; white-space: nowrap }}
table {{ border-collapse: collapse; font-family: ui-monospace, monospace }}
td {{ padding: 0 .8em 0 0; vertical-align: top; white-space: pre-wrap; overflow-wrap: anywhere }}
td:first-child {{ text-align: right; white-space: nowrap }}
tr.bad {{ color: #a40000 }}
tr.fault {{ background: #fff0b3 }}
tr.step {{ background: #dbeafe; font-weight: bold }}
tr.load {{ background: #e7f5e4 }}
tr[hidden] {{ display: none }}
</style>
<h1>{title}</h1>
<nav><input id="find" type="search" placeholder="only lines with …" size="30"> {boxes}
<span id="shown">{count}</span> lines</nav>
<table><tbody>
{rows}
</tbody></table>
<script>
const rows = [...document.querySelectorAll("tr")], boxes = [...document.querySelectorAll("[type=checkbox]")];
const find = document.getElementById("find"), shown = document.getElementById("shown");
function filter() {{
  const on = new Set(boxes.filter(b => b.checked).map(b => b.value)), word = find.value.toLowerCase();
  let count = 0;
  for (const row of rows) {{
    row.hidden = !on.has(row.dataset.where) || !row.textContent.toLowerCase().includes(word);
    count += !row.hidden;
  }}
  shown.textContent = count;
}}
for (const box of boxes) box.addEventListener("change", filter);
find.addEventListener("input", filter);
</script>
</html>
"""
