"""`labctl fault`: break a running lab on purpose, see what is broken, put it right."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import threading
import time
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.table import Table
from rich.text import Text

from harness import lab as labs
from harness.cli.options import INTERRUPTED, JSON, LAB, FaultTarget, ScenarioName, console, print_json
from harness.cli.output import FaultOut
from harness.faults import KINDS, Fault
from harness.faults.plan import Step
from harness.faults.scenario import PLACED, Scenario, Timed, load, names
from harness.host import HostError
from harness.host.channel import AgentLost
from harness.lab import Lab, LabError
from harness.lab.faults import Injection, carried_out, prepared
from harness.lab.record import read
from harness.wait import wait_for

_HEARD_SECONDS = 1.0
_UNDO_SECONDS = 60


@click.group("fault")
def fault() -> None:
    """Break a running lab on purpose; everything is undone by itself.

    A scenario is a file of faults with times (faults/*.yaml, or faults/ beside the lab's topology). What it broke is
    put right when it is over, on Ctrl-C, and when this command is killed.

    \b
    labctl fault list
    labctl fault run loss-5 --on ucpe-1:wan --for 30
    labctl fault run ./mine.yaml --seed 7
    labctl fault status
    labctl fault clear
    """


def _folders(name: str) -> list[Path]:
    """Where the lab's own scenarios are, if there is such a lab."""
    known = read(name)
    return [Path(known.topology).parent / "faults"] if known else []


@fault.command("list")
@LAB
@JSON
def list_scenarios(name: str, as_json: bool) -> None:
    """Name the scenarios: ours, and those of the lab's topology.

    \b
    labctl fault list
    labctl fault list --json
    """
    found = [load(file) for file in names(_folders(name))]
    if as_json:
        return print_json([_told(scenario) for scenario in found])
    shown = _table("scenario", "where", "about")
    for scenario in found:
        shown.add_row(scenario.name, _where(scenario), scenario.about)
    console.print(shown)
    return None


def _where(scenario: Scenario) -> str:
    targets = dict.fromkeys(target for timed in scenario.faults for target in timed.fault.targets)
    unplaced = {timed.fault.where for timed in scenario.faults if not timed.fault.targets}
    lab = ["lab or --on"] if "lab or nodes" in unplaced else []
    return ", ".join([*targets, *lab, *(["--on"] if unplaced & set(PLACED) else [])])


@fault.command("show")
@LAB
@JSON
@click.argument("scenario", metavar="FILE_OR_NAME", type=ScenarioName(kinds=True))
def show_scenario(name: str, as_json: bool, scenario: str) -> None:
    """Explain a scenario, or a kind of fault: what happens when, and what may be written.

    \b
    labctl fault show bad-line
    labctl fault show loss
    """
    if scenario in KINDS:
        return _show_kind(KINDS[scenario], as_json)
    found = load(scenario, _folders(name))
    if as_json:
        return print_json(_told(found))
    console.print(Text.assemble((found.name, "bold"), f"  {found.path}\n{found.about}\n"), soft_wrap=True)
    shown = _table("at", "for", "fault", "seed")
    for timed in found.faults:
        lasts = "" if timed.fault.instant else "--for" if timed.seconds is None else f"{timed.seconds:g} s"
        shown.add_row(f"{timed.at:g} s", lasts, str(timed.fault), "" if timed.seed is None else str(timed.seed))
    console.print(shown)
    return None


def _show_kind(kind: type[Fault], as_json: bool) -> None:
    defaults = {entry.name: entry.default for entry in fields(kind) if entry.name != "on"}
    if as_json:
        return print_json({"kind": kind.kind, "on": kind.where, "about": kind.__doc__, "defaults": defaults})
    about = f"  (on {kind.where})\n{' '.join((kind.__doc__ or '').split())}\n"
    console.print(Text.assemble((kind.kind, "bold"), about), soft_wrap=True)
    shown = _table("field", "default")
    for field, default in {"on": "", **defaults, "at": 0, "for": "", "seed": ""}.items():
        shown.add_row(field, str(default))
    console.print(shown)
    return None


@fault.command("run")
@LAB
@JSON
@click.option(
    "--on",
    "targets",
    type=FaultTarget(),
    multiple=True,
    help="Place of the faults that name none; repeat it for several.",
)
@click.option("--for", "seconds", type=click.FloatRange(0), help="Seconds for the faults that do not say how long.")
@click.option("--seed", type=click.IntRange(0), help="Repeat what is random; a run without it says what it drew.")
@click.argument("scenario", metavar="FILE_OR_NAME", type=ScenarioName())
def run_scenario(
    name: str, as_json: bool, targets: tuple[str, ...], seconds: float | None, seed: int | None, scenario: str
) -> int:
    """Carry out a scenario and undo it. Faults without an end last until Ctrl-C.

    A place is NODE:INTERFACE (a cable's end), NODE, "site SITE" or lab. Exit status: 0 all happened and is undone;
    1 something could not be, and all else is undone; 2 the file is wrong; 130 interrupted before its end, all is
    undone.

    \b
    labctl fault run partition --on "site branch-1"
    labctl fault run line-deaf --on nat-1:wan
    labctl fault run swizzle --seed 7 --json
    """
    on = (targets[0] if len(targets) == 1 else targets) if targets else None
    wanted = load(scenario, _folders(name)).on(on).lasting(seconds)
    interrupted = _interrupts()
    tell = _Teller(as_json)
    endless = False
    with labs.attach(name) as lab:
        try:
            injection = prepared(lab, wanted, seed, tell.news)
            tell.of(wanted, injection)
            with carried_out(injection):
                injection.wait()
                if endless := injection.lasts is None:
                    injection.wait_for_ever()
        except KeyboardInterrupt:
            interrupted.set()
        except AgentLost:
            if not _comes(interrupted):
                _leave_to_the_next(name, tell.texts)
    if interrupted.is_set():
        # The interrupt may have ended the channel too; then it is the agent that undoes.
        with labs.attach(name) as lab:
            _await_undone(lab, tell.texts)
    early = interrupted.is_set() and not endless
    tell.over(early)
    return INTERRUPTED if early else 0


def _interrupts() -> threading.Event:
    """Is set by SIGINT and SIGTERM, which also interrupt."""
    came = threading.Event()

    def interrupt(*_: object) -> None:
        came.set()
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    return came


def _comes(interrupt: threading.Event) -> bool:
    """Whether Ctrl-C ended the channel: the process that holds it may have heard of it before this one."""
    with contextlib.suppress(KeyboardInterrupt):
        interrupt.wait(_HEARD_SECONDS)
    return interrupt.is_set()


def _leave_to_the_next(name: str, ours: Iterable[str]) -> NoReturn:
    """The agent is gone. If the lab is not, its next agent undoes what that one had begun."""
    try:
        with labs.attach(name) as lab:
            _await_undone(lab, ours)
    except (AgentLost, HostError, LabError) as error:
        raise LabError(f"lab {name} is gone, and its faults with it") from error
    raise LabError(f"the agent of lab {name} ended before the scenario did; all is undone")


def _await_undone(lab: Lab, ours: Iterable[str]) -> None:
    def undone() -> bool:
        return not {entry["what"]["text"] for entry in lab.faults_in_effect()} & set(ours)

    wait_for("the faults to be undone", undone, _UNDO_SECONDS)


class _Teller:
    """Says what happens when, as lines for people or as lines of JSON."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._start: float | None = None
        self.texts: set[str] = set()

    def of(self, scenario: Scenario, injection: Injection) -> None:
        if self._as_json:
            self._line(event="scenario", name=scenario.name, seed=injection.seed, lasts=injection.lasts)
        else:
            lasts = "until Ctrl-C" if injection.lasts is None else f"{injection.lasts:g} s"
            console.print(f"{scenario.name}: {lasts}, seed {injection.seed}")

    def news(self, event: str, step: Step) -> None:
        self.texts.add(step.text)
        self._start = self._start or time.monotonic()
        after = time.monotonic() - self._start
        if self._as_json:
            self._line(event=event, after=round(after, 3), text=step.text, kind=step.fault.kind, seed=step.seed)
        else:
            console.print(f"{after:7.1f} s  {event:<5}  {step.text}", soft_wrap=True)

    def over(self, interrupted: bool) -> None:
        if self._as_json:
            self._line(event="over", interrupted=interrupted)
        else:
            console.print("interrupted; all is undone" if interrupted else "over; all is undone")

    def _line(self, **values: Any) -> None:
        click.echo(json.dumps(values))


@fault.command("status")
@LAB
@JSON
def show_faults(name: str, as_json: bool) -> None:
    """Show what is in effect on a lab, whoever began it.

    \b
    labctl fault status
    labctl fault status -l second --json
    """
    with labs.attach(name) as lab:
        entries = lab.faults_in_effect()
    if as_json:
        return print_json([fault_out(entry) for entry in entries])
    if not entries:
        console.print(f"lab {name}: nothing is broken on purpose")
        return None
    console.print(faults_table([fault_out(entry) for entry in entries]))
    return None


def fault_out(entry: dict[str, Any]) -> FaultOut:
    """What the agent says of a fault in effect, for programs."""
    what = entry["what"]
    return {
        "id": entry["id"],
        "seconds": entry["age"],
        "text": what["text"],
        "kind": what["kind"],
        "for": what.get("for"),
        "seed": what.get("seed"),
    }


def faults_table(faults: Iterable[FaultOut]) -> Table:
    """Faults in effect, a line each."""
    shown = _table("fault", "since", "to go", "seed")
    for fault in faults:
        lasts, since, seed = fault["for"], fault["seconds"], fault["seed"]
        to_go = "until it is ended" if lasts is None else f"{max(0, math.ceil(lasts - since))} s"
        shown.add_row(fault["text"], f"{since:.0f} s", to_go, "" if seed is None else str(seed))
    return shown


@fault.command("clear")
@LAB
@JSON
def clear_faults(name: str, as_json: bool) -> None:
    """Undo every fault of a lab now, whoever began it; scenarios that run go on with what they have not begun yet.

    \b
    labctl fault clear
    labctl fault clear -l second
    """
    with labs.attach(name) as lab:
        ended = lab.clear_faults()
    if as_json:
        return print_json(ended)
    for text in ended:
        console.print(f"undone: {text}")
    if not ended:
        console.print("nothing was in effect")
    return None


def _told(scenario: Scenario) -> dict[str, Any]:
    return {
        "name": scenario.name,
        "path": str(scenario.path),
        "about": scenario.about,
        "faults": [_told_fault(timed) for timed in scenario.faults],
    }


def _told_fault(timed: Timed) -> dict[str, Any]:
    return {
        "fault": timed.fault.kind,
        "on": list(timed.fault.targets),
        **timed.fault.values,
        "at": timed.at,
        "for": timed.seconds,
        "seed": timed.seed,
    }


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, pad_edge=False, header_style="bold")
