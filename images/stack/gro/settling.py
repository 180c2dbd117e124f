"""Whether the network is as an order wants it: pure functions of what the controller tells of sites and clouds.

Each gives evidence by name, or raises Held (not yet) or RefusedError (never).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stackkit.durable import Held

from gro.ordered import Service, Site
from gro.restconf import RefusedError
from gro.watch import of_device, of_site

Json = Any


@dataclass(frozen=True)
class Sites:
    """Names of the sites of an order."""

    known: Mapping[str, Site]
    """Those that are there, by name."""
    wanted: Sequence[str]
    """Those that shall be up: what the order brings or changes; undone, none."""
    gone: Sequence[str]
    """Those that no service uses any more."""
    staying: Sequence[str]
    """Others of services that the order changes or ends: they have what is theirs now, no more and no less. Whether
    they are up is not this order's affair."""
    before: Collection[str]
    """Those that were there, in whatever service of the order's."""

    @property
    def _concerned(self) -> list[Site]:
        return [self.known[name] for name in (*self.wanted, *self.gone, *self.staying)]

    @property
    def ids(self) -> set[str]:
        return {site.id for site in self._concerned}

    @property
    def subjects(self) -> set[str]:
        """Whose events may be what the order waits for."""
        sites = self._concerned
        return {*(of_site(one.id) for one in sites), *(of_device(one.device_name) for one in sites if one.device_name)}

    def failed(self, live: Mapping[str, Json]) -> list[Site]:
        sites = [self.known[name] for name in self.wanted]
        return [site for site in sites if live.get(site.id, {}).get("state") == "failed"]

    def evidence(self, live: Mapping[str, Json], blameless: Collection[Site] = ()) -> dict[str, Json]:
        """`live`: states by site id. `blameless`: failed sites that the POP does not blame, and whose own
        device has refused nothing."""
        found: dict[str, Json] = {}
        for name in self.wanted:
            site = self.known[name]
            state = live.get(site.id, {})
            found[name] = _up(f"site {name}", state, settled=name in self.before, final=site not in blameless)
        for name in self.gone:
            if (id_ := self.known[name].id) in live:
                raise Held(_still(f"site {name}", live[id_]))
            found[name] = {"state": "gone"}
        for name in self.staying:
            if live.get(self.known[name].id, {}).get("in-sync") is not True:
                raise Held(f"site {name} is being changed")
            found[name] = {"state": "changed"}
        return found


def refused(wanted: Collection[Service], live: Mapping[str, Json]) -> None:
    """Clouds that shall be up and that no POP takes: RefusedError."""
    for service in wanted:
        if live.get(service.id, {}).get("state") == "failed":
            _up(_cloud(service.id), live[service.id])


def clouds(
    new: Collection[Service], old: Collection[Service], wanted: Collection[Service], live: Mapping[str, Json]
) -> dict[str, Json]:
    """Of each cloud of the order: up if it is `wanted`, gone if it is no more; else as it is to be."""
    up, kept = {one.id for one in wanted}, {one.id for one in new}
    before = {one.id for one in old}
    found: dict[str, Json] = {}
    for id_ in sorted({one.id for one in (*new, *old) if one.cloud is not None}):
        what, state = _cloud(id_), live.get(id_, {})
        if id_ in up:
            found[f"cloud of {id_}"] = _up(what, state, settled=id_ in before)
        elif id_ not in kept and state:
            raise Held(_still(what, state))
        elif id_ in kept:
            if state.get("in-sync") is not True:
                raise Held(f"{what} is being changed")
            found[f"cloud of {id_}"] = {"state": "changed"}
    return found


def brought(new: Collection[Service], old: Collection[Service]) -> list[Service]:
    """Services whose cloud is new, or another than it was."""
    former = {one.id: (one.cloud, one.shared_key) for one in old}
    return [one for one in new if one.cloud is not None and former.get(one.id) != (one.cloud, one.shared_key)]


def _cloud(service: str) -> str:
    return f"the cloud of service {service}"


def _still(what: str, state: Json) -> str:
    """Of what shall be gone: how it is, and because of whom."""
    return f"{what} is {state.get('state', 'there')} still{_reason(state)}"


def _reason(state: Json) -> str:
    return f" ({state['reason']})" if state.get("reason") else ""


def _up(what: str, state: Json, *, settled: bool = False, final: bool = True) -> Json:
    """Evidence that a site or a cloud is up; that was there before: in what it is now, too."""
    if final and state.get("state") == "failed":
        raise RefusedError(f"{what}: {state.get('reason', 'failed')}")
    if state.get("state") != "up":
        raise Held(f"{what} is {state.get('state', 'not known to the controller yet')}{_reason(state)}")
    if settled and state.get("in-sync") is False:
        raise Held(f"{what} is being changed")
    return {key: state[key] for key in ("state", "since", "round-trip-time") if key in state}
