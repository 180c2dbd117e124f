"""What there is of a lab that did not come up, before it is removed."""

from __future__ import annotations

import time

from harness.evidence import failure, orchestrated, timeline
from harness.evidence.failure import Exhibit, guarded
from harness.host import HostError
from harness.lab import Lab, LabError, attach
from harness.lab.record import place_of


def look(name: str, since: float, error: BaseException) -> list[Exhibit]:
    """Faults, what host, nodes and orchestrator say, and what they have said since `up` began; of a lab whose host does
    not run, what it said last. Nothing where there never was any.
    """
    try:
        lab = attach(name)
    except (LabError, HostError, *failure.UNREACHABLE):
        return failure.logs(place_of(name))
    with lab:
        return [
            *guarded("faults", lambda: _faults(lab)),
            *guarded("the lab", lambda: failure.look(lab)),
            *guarded("timeline", lambda: [_timeline(lab, since, error)]),
        ]


def _faults(lab: Lab) -> list[Exhibit]:
    """A test that died may have left some a moment ago, and somebody may break what another brings up."""
    found = "".join(f"on purpose: {fault['what']['text']}\n" for fault in lab.faults_in_effect())
    return [Exhibit("faults", found)] if found else []


def _timeline(lab: Lab, since: float, error: BaseException) -> Exhibit:
    entries = [
        timeline.Entry(since, "test", "began", f"up of {lab.topology.name}"),
        *timeline.of_orders(orchestrated.orders(lab, since)),
        timeline.Entry(time.time(), "test", "failed", f"{type(error).__name__}: {error}"),
        *timeline.gather(lab, since),
    ]
    return Exhibit("timeline", timeline.page(f"up of {lab.topology.name}", entries, since), "html")
