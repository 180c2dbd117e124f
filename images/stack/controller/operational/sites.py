"""The state of a site, from everything that is known of it: a pure function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from controller.drivers.work import Attachment, End
from controller.operational.tunnels import Tunnel
from controller.southbound.status import Status, View

State = Literal["waiting-for-device", "configuring", "up", "down", "failed", "removing"]
#: A device that refuses so often in a row means it; before that it may be busy.
PATIENCE = 3
#: Seconds that a tunnel and the first probe may take, and that a device may be without a session before we give up
#: saying what we last knew.
SETTLING = 20.0


@dataclass(frozen=True)
class Probe:
    """The last question through a site's tunnel: milliseconds, or None for silence; at the loop's time."""

    at: float
    milliseconds: float | None


@dataclass(frozen=True)
class Judged:
    """A state and why."""

    state: State
    reason: str | None = None
    round_trip_time: float | None = None
    refused_by: str | None = None
    """The POP router that refuses what is this site's alone, which nothing else will mend."""


@dataclass(frozen=True)
class Evidence:
    """What is known, at ``now`` (the loop's time)."""

    view: View
    status: Mapping[str, Status]
    tunnels: Mapping[str, Mapping[str, Tunnel]]
    """Of each device with a session, by the connection's name."""
    probes: Mapping[str, Probe]
    built: Mapping[str, float]
    """Since when sites are on their devices."""
    lost: Mapping[str, float]
    """Since when devices have no session; those that have one, too."""
    now: float


def judge(site: str, before: State | None, evidence: Evidence) -> Judged:
    """The state of a site of the intent; ``before`` is what it was."""
    view = evidence.view
    if site in view.network.waiting:
        return Judged("waiting-for-device", view.network.waiting[site])
    attachment = view.network.attachments.get(site)
    if attachment is None:
        return Judged("configuring", "ordered a moment ago")
    if (refusal := view.refused.get(site)) is not None:
        state: State = "failed" if refusal.times >= PATIENCE else "configuring"
        return Judged(state, f"{refusal.device}: {refusal.reason}", refused_by=refusal.device)
    if site in view.withheld:
        return withheld(view.withheld[site], attachment.pop, evidence)
    if site in view.stale:
        return unbuilt((attachment.branch, attachment.pop), attachment.pop, "site", evidence)
    return _built(attachment, before, evidence)


def withheld(device: str, pop: End, evidence: Evidence) -> Judged:
    """It waits for one of its devices, of which one is this POP router."""
    status = evidence.status.get(device)
    if status is None or not status.connected:
        return Judged("waiting-for-device", f"device {device} is not connected")
    return _trouble(device, pop, status)


def _trouble(device: str, pop: End, status: Status) -> Judged:
    if status.problem is None:
        reason = f"{device} is being prepared"
    elif device == pop.name:
        # Many have a part in it: what it says may be of somebody else's. Operators read all of it at the device.
        reason = f"POP router {device} has not taken its configuration"
    else:
        reason = f"{device}: {status.problem}"
    return Judged("failed" if status.failures >= PATIENCE else "configuring", reason)


def unbuilt(ends: Iterable[End], pop: End, what: str, evidence: Evidence) -> Judged:
    """It is not, or not as it is wanted, on one of these, of which one is this POP router."""
    for end in ends:
        status = evidence.status.get(end.name)
        if status is None or not status.connected:
            patient = evidence.now - evidence.lost[end.name] < SETTLING
            reason = f"{end.name} is not connected, so nobody knows whether it has the {what} as it is wanted"
            return Judged("configuring" if patient else "down", reason)
        if status.problem is not None:
            return _trouble(end.name, pop, status)
    return Judged("configuring", "its devices are being configured")


def _built(attachment: Attachment, before: State | None, evidence: Evidence) -> Judged:
    site = attachment.site.id
    reason = _fault(attachment, evidence)
    probe = evidence.probes.get(site)
    if reason is None:
        return Judged("up", None, probe.milliseconds if probe else None)
    if before != "up":
        fresh = evidence.now - evidence.built.get(site, evidence.now) < SETTLING
        return Judged("configuring" if fresh and before != "down" else "down", reason)
    # It worked. A session that is lost says nothing of the tunnel; a tunnel or a probe that fails does.
    unknown = _pop_tunnel(attachment, evidence) is None
    patient = evidence.now - evidence.lost[attachment.pop.name] < SETTLING
    return Judged("up" if unknown and patient else "down", reason)


def _pop_tunnel(attachment: Attachment, evidence: Evidence) -> Tunnel | None:
    """What the POP says; None when it says nothing."""
    tunnels = evidence.tunnels.get(attachment.pop.name)
    if tunnels is None:
        return None
    return tunnels.get(attachment.branch.label, Tunnel(attachment.branch.label, False))


def _fault(attachment: Attachment, evidence: Evidence) -> str | None:
    """What is wrong with a site that is built; None when it works."""
    pop, branch = attachment.pop.name, attachment.branch.name
    tunnel, flow = _pop_tunnel(attachment, evidence), attachment.pop_flow
    way = "tunnel" if flow is not None else "private line"
    if tunnel is None:
        return f"{pop} has no session with the controller, so nobody knows of the {way} with {branch}"
    if flow is not None and not tunnel.carries(flow):
        return f"the tunnel between {branch} and {pop} is not established"
    probe = evidence.probes.get(attachment.site.id)
    if probe is None:
        done = "established" if flow is not None else "configured"
        return f"the {way} between {branch} and {pop} is {done} and not probed yet"
    if probe.milliseconds is None:
        return f"{branch} does not answer through its {way} with {pop}"
    return None
