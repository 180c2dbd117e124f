"""From intent to a configuration for each device, by its driver."""

from __future__ import annotations

from collections.abc import Mapping

from yangkit import Tree

from controller import drivers
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
    by_device: dict[str, list[Attachment]] = {}
    for attachment in network.attachments.values():
        for end in (attachment.branch, attachment.pop):
            by_device.setdefault(end.name, []).append(attachment)
    trees: dict[str, Tree] = {}
    for name, facts in sorted(inventory.items()):
        driver = drivers.find(facts.model, facts.personality)
        attachments = by_device.get(name, [])
        # No driver, no configuration: join has let no site through to it.
        empty = driver is None or not attachments
        clouds = tuple(end for end in network.clouds.values() if end.pop.name == name)
        work = Work(facts, tuple(attachments), domain, clouds, network.links.get(name, ()))
        trees[name] = {} if empty or driver is None else driver.build(work)
    return trees
