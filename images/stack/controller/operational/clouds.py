"""The state of a cloud access, from everything that is known of its tunnels: a pure function."""

from __future__ import annotations

from controller.drivers.peering import CloudEnd
from controller.operational.sites import SETTLING, Evidence, Judged, State, unbuilt, withheld
from controller.service.cloud import Cloud

#: What is worst is what the whole is.
_ORDER: tuple[State, ...] = ("failed", "down", "waiting-for-device", "configuring", "up", "removing")


def judge(cloud: Cloud, before: State | None, evidence: Evidence) -> Judged:
    """The state of a cloud access of the intent; ``before`` is what it was."""
    ends = [end for end in evidence.view.network.clouds.values() if end.cloud.key == cloud.key]
    if cloud.key in evidence.view.stale:
        return Judged("configuring", "ordered a moment ago")
    if cloud.key in evidence.view.network.barred:
        return Judged("failed", evidence.view.network.barred[cloud.key])
    if not ends:
        return Judged("waiting-for-device", "no site that may use it is at a POP yet")
    states = [_judge(end, before, evidence) for end in ends]
    return min(states, key=lambda judged: _ORDER.index(judged.state))


def _judge(end: CloudEnd, before: State | None, evidence: Evidence) -> Judged:
    view = evidence.view
    if end.key in view.withheld:
        return withheld(view.withheld[end.key], end.pop, evidence)
    if end.key in view.stale:
        return unbuilt((end.pop,), end.pop, "cloud access", evidence)
    reason = _fault(end, evidence)
    if reason is None:
        return Judged("up")
    if before != "up":
        fresh = evidence.now - evidence.built.get(end.key, evidence.now) < SETTLING
        return Judged("configuring" if fresh and before != "down" else "down", reason)
    # As with sites: a session that is lost says nothing of the tunnel.
    unknown = evidence.tunnels.get(end.pop.name) is None
    patient = evidence.now - evidence.lost[end.pop.name] < SETTLING
    return Judged("up" if unknown and patient else "down", reason)


def _fault(end: CloudEnd, evidence: Evidence) -> str | None:
    """What is wrong with a tunnel that is built; None when it works."""
    pop, gateway = end.pop.name, f"{end.cloud.identity} at {end.cloud.address}"
    tunnels = evidence.tunnels.get(pop)
    if tunnels is None:
        return f"{pop} has no session with the controller, so nobody knows of the tunnel with {gateway}"
    tunnel = tunnels.get(end.label)
    if tunnel is None or not tunnel.established:
        return f"the tunnel between {pop} and {gateway} is not established"
    return None
