"""Whose a POP's refusal is. Many have a part in its configuration: a new site that alone makes it refuse is left out,
and hears the POP's words; the others do not wait for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from controller.drivers.work import Attachment
from controller.service.network import Network, without

_INTERFACE = re.compile(r"""/(?:[\w.-]+:)?interface\[(?:[\w.-]+:)?name=(['"])(.+?)\1\]""")
FIRST_WAIT, LAST_WAIT = 1.0, 60.0

Interfaces = Callable[[Network], frozenset[str]]
"""Names of the interfaces that a device has for a network."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a POP says of what is one site's alone."""

    wanted: Attachment
    device: str
    reason: str
    times: int
    not_before: float
    """Then it is tried again: somebody may have mended it."""


class Blame:
    """The refusals that are known, by site. Of a site that is wanted otherwise nothing is known."""

    def __init__(self) -> None:
        self._refusals: dict[str, Refusal] = {}

    def look(self, network: Network) -> Mapping[str, Refusal]:
        """Those of sites that are wanted still, and as they were."""
        kept = {id_: one for id_, one in self._refusals.items() if network.attachments.get(id_) == one.wanted}
        self._refusals = kept
        return dict(kept)

    def held(self, now: float) -> dict[str, str]:
        """Sites that are left out now, and the devices that refuse them."""
        return {id_: one.device for id_, one in self._refusals.items() if now < one.not_before}

    @property
    def times(self) -> list[float]:
        """When they are tried again."""
        return [one.not_before for one in self._refusals.values()]

    def take(
        self,
        device: str,
        said: tuple[str, str],
        building: Network,
        new: Iterable[str],
        interfaces: Interfaces,
        now: float,
    ) -> bool:
        """A device has refused (the reason, and where in its configuration): is that one of these new sites' alone?"""
        reason, path = said
        found = _INTERFACE.search(path)
        if found is None:
            return False
        blamed = [id_ for id_ in new if _needs(found[2], id_, building, interfaces)]
        for id_ in blamed:
            before = self._refusals.get(id_)
            times = before.times + 1 if before else 1
            wait = min(LAST_WAIT, FIRST_WAIT * 2 ** min(times - 1, 10))
            self._refusals[id_] = Refusal(building.attachments[id_], device, reason, times, now + wait)
        return bool(blamed)

    def forgive(self, devices: Iterable[str], building: Network) -> None:
        """These devices have taken what was built for them."""
        taken = set(devices)
        kept = {i: one for i, one in self._refusals.items() if one.device not in taken or i not in building.attachments}
        self._refusals = kept


def _needs(name: str, site: str, building: Network, interfaces: Interfaces) -> bool:
    """Does a device have this interface for that site, and for no other?"""
    alone = replace(building, attachments={site: building.attachments[site]}, clouds={}, links={})
    return name in interfaces(alone) and name not in interfaces(without(building, {site}))
