"""`labctl order`, and what of the orchestrator `up` and `status` show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from harness.cli.options import say
from harness.cli.output import OrchestratorOut, SiteOut
from harness.lab import Lab
from harness.orchestrator import OrchestratorError
from harness.wait import Deadline, DeadlineError

if TYPE_CHECKING:
    from harness.orchestrator.client import Orchestrator
    from harness.orchestrator.orderfile import OrderFile

Json = Any
FAILED, NOT_ENDED = 1, 5


def order(lab: Lab, console: Console, path: Path, *, only_plan: bool, following: float | None, as_json: bool) -> int:
    """Send the order of a file; the exit status. `following` is how many seconds its end is waited for.

    Raises:
        OrderFileError, OrchestratorError: it is wrong, refused, or nobody answers.
    """
    from harness.orchestrator import ordering  # noqa: PLC0415 (other verbs do without, and start sooner)
    from harness.orchestrator.client import Orchestrator  # noqa: PLC0415 (see above)
    from harness.orchestrator.orderfile import load_order  # noqa: PLC0415 (see above)

    wanted = load_order(path)
    far = Orchestrator.of(lab)
    if only_plan:
        show_plan(console, ordering.plan(far, wanted), as_json)
        return 0
    placed = ordering.place(far, wanted, lab.place.folder / "orders.lock")
    if not as_json:
        console.print(f"order {placed.id} " + ("is placed" if placed.fresh else f"was placed before: {placed.state}"))
    if following is None:
        if as_json:
            console.print_json(data=ordering.read(far, placed.id))
        return 0
    return _follow(console, far, wanted, placed.id, following, as_json)


def _follow(
    console: Console, far: Orchestrator, wanted: OrderFile, order_id: str, seconds: float, as_json: bool
) -> int:
    from harness.orchestrator import ordering  # noqa: PLC0415 (see `order`)

    try:
        ended = ordering.follow(
            far, order_id, Deadline(seconds), (lambda *_: None) if as_json else lambda *news: _tell(console, *news)
        )
    except DeadlineError as error:
        say(f"{wanted.path}: {error}")
        if as_json:
            console.print_json(data=ordering.read(far, order_id))
        return NOT_ENDED
    if as_json:
        console.print_json(data=ended)
    else:
        console.print(f"order {order_id} is {ordering.standing(ended)}", soft_wrap=True)
    return 0 if ended["state"] == "completed" else FAILED


def _tell(console: Console, kind: str, news: dict[str, Json]) -> None:
    if kind == "step":
        when = str(news.get("endDate") or news.get("startDate", ""))[11:23]
        line = f"{when:<12}  {news['name']:<14} {news['status']:<9} {news.get('message', '')}"
    else:
        line = f"{'':<12}  order {news['state']}"
    console.print(line.rstrip(), soft_wrap=True)


def show_plan(console: Console, plan: dict[str, Json], as_json: bool) -> None:
    if as_json:
        console.print_json(data=plan)
        return
    shown = _table("device", "", "what", "where")
    for edit in plan.get("edit", []):
        target = edit.get("target", "")
        shown.add_row(edit.get("device", ""), edit.get("operation", ""), edit.get("description", ""), target)
    console.print(shown if shown.row_count else "the order would change nothing on any device")
    for note in plan.get("note", []):
        ends = f"{note.get('site', '')} – {note.get('peer', '')}"
        console.print(f"note  {ends}: {note.get('text', '')}", soft_wrap=True)


def orchestrator_out(lab: Lab) -> OrchestratorOut:
    """Sites with the state that the orchestrator gives them, the portal, and who can log in."""
    from harness.orchestrator import ordering, plug  # noqa: PLC0415 (see `order`)
    from harness.orchestrator.client import Orchestrator  # noqa: PLC0415 (see above)

    far = Orchestrator.of(lab)
    sites: list[dict[str, Json]] = []
    problem = None
    try:
        sites = ordering.sites(far)
    except OrchestratorError as error:
        problem = str(error)
    logins = plug.logins(lab.factory, plug.wiring(lab.topology, lab.factory), far.node)
    return {
        "portal": far.portal,
        "certified_by": str(lab.factory.service_ca),
        "logins": [
            {"user": login.user, "tenant": login.tenant, "password_file": str(login.password_file)} for login in logins
        ],
        "sites": [_site(site) for site in sites],
        "error": problem,
    }


def _site(told: dict[str, Json]) -> SiteOut:
    return {
        "tenant": told["tenant"],
        "name": told["name"],
        "access": told["access"],
        "vlan": told.get("vlan") or None,
        "gateway": told["gateway"],
        "state": told["state"],
        "reason": told.get("reason", ""),
    }


def show_orchestrator(console: Console, told: OrchestratorOut) -> None:
    console.print()
    if told["error"]:
        console.print(f"no state of sites: {told['error']}", soft_wrap=True)
    else:
        _show_sites(console, told["sites"])
    console.print(f"\nportal  {told['portal']}   (certified by {told['certified_by']})", soft_wrap=True)
    for login in told["logins"]:
        whose = f"tenant {login['tenant']}" if login["tenant"] else "administrator"
        console.print(f"log-in  {login['user']} ({whose}), password in {login['password_file']}", soft_wrap=True)


def _show_sites(console: Console, sites: list[SiteOut]) -> None:
    shown = _table("tenant", "site", "access", "gateway", "state", "")
    for site in sites:
        place = f"VLAN {site['vlan']}" if site["vlan"] else ""
        access = " ".join(filter(None, (site["access"], place)))
        shown.add_row(site["tenant"], site["name"], access, site["gateway"], site["state"], site["reason"])
    console.print(shown if shown.row_count else "no sites are ordered; `labctl order FILE` orders one")


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, pad_edge=False, header_style="bold")
