"""What is ordered and carried by devices: sites, and ends of clouds."""

from __future__ import annotations

from controller.drivers.peering import CloudEnd
from controller.drivers.work import Attachment
from controller.service.network import Network
from controller.southbound.attached import Place

Ordered = Attachment | CloudEnd


def everything(network: Network) -> dict[str, Ordered]:
    """Sites and ends of clouds by their ids, which never clash."""
    return {**network.attachments, **network.clouds}


def place_of(one: Ordered) -> Place:
    """The devices that carry it."""
    if isinstance(one, CloudEnd):
        return Place(one.key, one.pop.name, one.pop.name)
    return Place(one.site.id, one.branch.name, one.pop.name)


def by_device(network: Network) -> dict[str, dict[str, Ordered]]:
    """What each device has a part in."""
    found: dict[str, dict[str, Ordered]] = {}
    for id_, one in everything(network).items():
        for name in place_of(one).devices:
            found.setdefault(name, {})[id_] = one
    return found
