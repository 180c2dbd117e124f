"""Orders (TMF641) and what came of them: placed once, followed to their end; plans and sites (GRO's own additions)."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.orchestrator.client import Orchestrator
from harness.orchestrator.errors import Fault, OrchestratorError, RefusedError, UnavailableError
from harness.orchestrator.orderfile import OrderFile
from harness.wait import Deadline, DeadlineError

Json = Any
ORDERING = "/tmf-api/serviceOrdering/v4"
ENDED = ("completed", "failed", "cancelled")
_SILENCE = 10.0
"""Seconds without an event after which we look at our own deadline: before GRO says (every 15 s) that it is there."""
_AGAIN = 0.2


@dataclass(frozen=True)
class Placed:
    """An order that GRO has. `fresh` is false when it had it before."""

    id: str
    state: str
    fresh: bool


class OrderRefusedError(OrchestratorError):
    """An order that is not carried out; names the file and the field that is to blame."""


def place(orchestrator: Orchestrator, wanted: OrderFile, lock: Path) -> Placed:
    """Send an order unless it was sent before; `lock` is a file that keeps two of us from doing it at once.

    Raises:
        OrderRefusedError: GRO says what is wrong with it.
    """
    with _alone(lock), _naming(wanted):
        if known := find(orchestrator, wanted):
            return Placed(known["id"], known["state"], fresh=False)
        made = orchestrator.call("gro", "POST", f"{ORDERING}/serviceOrder", wanted.body())
        document = _found(made.status, made.content, made.json, "order")
        return Placed(document["id"], document["state"], fresh=True)


def find(orchestrator: Orchestrator, wanted: OrderFile) -> dict[str, Json] | None:
    """The order of this file that stands: on its way, or carried out and not undone since."""
    query = f"externalId={quote(wanted.external_id, safe='')}"
    answer = orchestrator.call("gro", "GET", f"{ORDERING}/serviceOrder?{query}")
    found: list[dict[str, Json]] = _found(answer.status, answer.content, answer.json, "orders")
    mine = [one for one in found if _customer(one) == wanted.tenant and _stands(one)]
    return mine[-1] if mine else None


def _customer(order: dict[str, Json]) -> str | None:
    return next((str(one["id"]) for one in order.get("relatedParty", []) if one.get("role") == "customer"), None)


def _stands(order: dict[str, Json]) -> bool:
    if order["state"] in ("failed", "cancelled"):
        return False
    added = [item for item in order["serviceOrderItem"] if item.get("action") == "add"]
    ended = [item for item in added if item.get("service", {}).get("state") == "terminated"]
    return not added or len(ended) < len(added)


def plan(orchestrator: Orchestrator, wanted: OrderFile) -> dict[str, Json]:
    """Every edit of every device that the order would make; nothing is written."""
    with _naming(wanted):
        answer = orchestrator.call("gro", "POST", f"{ORDERING}/orderPlan", wanted.body())
        document: dict[str, Json] = _found(answer.status, answer.content, answer.json, "plan")
        return document


def read(orchestrator: Orchestrator, order: str) -> dict[str, Json]:
    """The order as it is now."""
    answer = orchestrator.call("gro", "GET", f"{ORDERING}/serviceOrder/{quote(order, safe='')}")
    document: dict[str, Json] = _found(answer.status, answer.content, answer.json, f"order {order}")
    return document


def sites(orchestrator: Orchestrator) -> list[dict[str, Json]]:
    """All tenants' sites with their state."""
    answer = orchestrator.call("gro", "GET", "/sites")
    found: list[dict[str, Json]] = _found(answer.status, answer.content, answer.json, "sites")
    return found


def follow(
    orchestrator: Orchestrator, order: str, deadline: Deadline, tell: Callable[[str, Json], None] = lambda *_: None
) -> dict[str, Json]:
    """The order as it ended. `tell` gets each `step` and `state` once, also over a lost connection.

    Raises:
        DeadlineError: it has not ended; says where it stands. It goes on without us.
    """
    news = _News(tell)
    last: str = "nothing was heard of it"
    path = f"{ORDERING}/serviceOrder/{quote(order, safe='')}/events"
    while not deadline.expired:
        try:
            with orchestrator.events("gro", path, max(0.1, min(_SILENCE, deadline.remaining))) as events:
                for kind, content in events:
                    news.take(kind, content)
                    if kind == "state" and content["state"] in ENDED:
                        return read(orchestrator, order)
                    if deadline.expired:
                        break
        except UnavailableError as error:  # a component that restarts, or a long silence: look again
            last = str(error)
        time.sleep(min(_AGAIN, deadline.remaining))
    with contextlib.suppress(UnavailableError):
        last = standing(read(orchestrator, order))
    raise DeadlineError(f"order {order} has not ended within {deadline.limit:g} s and goes on without us: {last}")


@dataclass
class _News:
    """Passes on what is new: a connection that was made again begins with what was told already."""

    tell: Callable[[str, Json], None]
    steps: dict[str, Json] = field(default_factory=dict)
    state: Json = None

    def take(self, kind: str, content: Json) -> None:
        if kind == "step" and self.steps.get(content["id"]) != content:
            self.steps[content["id"]] = content
            self.tell(kind, content)
        elif kind == "state" and content != self.state:
            self.state = content
            self.tell(kind, content)


def standing(order: dict[str, Json]) -> str:
    """Where an order stands, in a few words: its state, and what its newest step says."""
    steps = order.get("milestone", [])
    newest = steps[-1] if steps else {}
    said = newest.get("message") or next((one["reason"] for one in order.get("errorMessage", [])), "")
    at = f" at {newest['name']}" if newest and order["state"] != "completed" else ""
    return f"{order['state']}{at}" + (f": {said}" if said and order["state"] != "completed" else "")


def _found(status: int, content: bytes, read_json: Callable[[], Json], what: str) -> Json:
    if status == 404 or not content:
        raise RefusedError("gro", status, (Fault(f"it has no {what}"),))
    return read_json()


@contextlib.contextmanager
def _naming(wanted: OrderFile) -> Iterator[None]:
    """What GRO says of a body, said of the file: its pointers begin at the member `order`."""
    try:
        yield
    except RefusedError as error:
        said = "; ".join(
            f"/order{fault.field}: {fault.text}" if fault.field.startswith("/") else str(fault)
            for fault in error.faults
        )
        raise OrderRefusedError(f"{wanted.path}: gro refuses it ({error.status}): {said}") from error
    except UnavailableError as error:
        raise UnavailableError(f"{wanted.path}: {error}") from error


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
