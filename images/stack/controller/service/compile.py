"""From intent to a configuration for each device, by its driver."""

from __future__ import annotations

from collections.abc import Mapping

from yangkit import Tree

from controller import drivers
from controller.drivers.peering import CloudEnd
from controller.drivers.work import Attachment, Work
from controller.service.allocation import Allocations
from controller.service.facts import DeviceFacts
from controller.service.intent import DOMAIN, Intent
from controller.service.network import Network, join


def compile(
    intent: Intent, inventory: Mapping[str, DeviceFacts], allocations: Allocations, domain: str = DOMAIN
) -> dict[str, Tree]:
    """A tree for every known device, empty where nothing is wanted; sites whose devices are unknown wait."""
    return compile_network(join(intent, inventory, allocations, domain), inventory, domain)


def compile_network(network: Network, inventory: Mapping[str, DeviceFacts], domain: str = DOMAIN) -> dict[str, Tree]:
    """The same from sites that are joined already."""
    return Compiler()(network, inventory, domain)


class Compiler:
    """Compiles again and again: a device whose work is as it was the last time has the same tree, be it a thousand
    others that something has changed for."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Work, Tree]] = {}

    def __call__(self, network: Network, inventory: Mapping[str, DeviceFacts], domain: str = DOMAIN) -> dict[str, Tree]:
        """A tree for every known device, which nobody may change."""
        by_device: dict[str, list[Attachment]] = {}
        for attachment in network.attachments.values():
            for end in (attachment.branch, attachment.pop):
                by_device.setdefault(end.name, []).append(attachment)
        clouds: dict[str, list[CloudEnd]] = {}
        for cloud in network.clouds.values():
            clouds.setdefault(cloud.pop.name, []).append(cloud)
        known: dict[str, tuple[Work, Tree]] = {}
        trees: dict[str, Tree] = {}
        for name, facts in sorted(inventory.items()):
            attachments = by_device.get(name)
            driver = drivers.find(facts.model, facts.personality) if attachments else None
            if attachments is None or driver is None:
                # No driver, no configuration: join has let no site through to it.
                trees[name] = {}
                continue
            own = tuple(clouds.get(name, ()))
            work = Work(facts, tuple(attachments), domain, own, network.links.get(name, ()))
            before = self._known.get(name)
            known[name] = before if before is not None and before[0] == work else (work, driver.build(work))
            trees[name] = known[name][1]
        self._known = known
        return trees
