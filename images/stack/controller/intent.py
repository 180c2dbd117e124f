"""The door to the controller's heart: pure functions from ordered services to devices' configurations.

::

    intent = read(tree)                                  # RFC 8299 tree -> Intent; ApplyError: place and remedy
    check_devices(before, intent, inventory)             # ApplyError where a known device cannot do what is new in it
    numbers = allocate(intent, pops(inventory), store.load().table)      # Allocations; ApplyError when a pool is empty
    network = join(intent, inventory, numbers)           # Network: attachments (device, interfaces), what waits
    trees = compile_network(network, inventory)          # {device: Tree}; compile(intent, inventory, numbers) does both
    driver = find_driver(facts.model, facts.personality) # driver.schema(Path("models/yang")) reads the device's XML
    config = edit(owned, trees[name], schema)            # <config> for edit-config; remember Wanted(tree, schema).keys
    drift(actual, trees[name], schema)                   # [Difference]; defaults written out are no drift
    plan(old_trees, new_trees, schema_of)                # [Edit] for the rpc plan; edit.tree() is its list entry

On commit: read, check_devices, allocate and join must succeed; then the numbers and the intent are stored, before the
commit is acknowledged. Devices follow. A site whose device is unknown is accepted: it is in ``network.waiting``. What
is accepted stays so, whatever comes later: it is parsed again (``parse``), and not checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from controller.drivers import Driver
from controller.drivers import find as find_driver
from controller.drivers.work import Attachment, End
from controller.service.allocation import Allocations, allocate
from controller.service.checks import check, check_devices
from controller.service.compile import compile, compile_network
from controller.service.entries import Difference, Keys, drift, edit
from controller.service.facts import DeviceFacts
from controller.service.intent import DOMAIN, MODULES, Intent, Internet, Parser, Vpn, changed_sites, parse
from controller.service.network import Network, join, pops
from controller.service.plan import Edit, plan
from controller.service.site import Mode, Site
from controller.service.store import MIGRATION, AllocationStore

__all__ = [
    "DOMAIN",
    "MIGRATION",
    "MODULES",
    "AllocationStore",
    "Allocations",
    "Attachment",
    "DeviceFacts",
    "Difference",
    "Driver",
    "Edit",
    "End",
    "Intent",
    "Internet",
    "Keys",
    "Mode",
    "Network",
    "Parser",
    "Site",
    "Vpn",
    "allocate",
    "changed_sites",
    "check_devices",
    "compile",
    "compile_network",
    "drift",
    "edit",
    "find_driver",
    "join",
    "parse",
    "plan",
    "pops",
    "read",
]


def read(
    tree: Mapping[str, Any], before: Intent | None = None, parse: Callable[[Mapping[str, Any]], Intent] = parse
) -> Intent:
    """The intent in a data tree, parsed and checked; ApplyError says where and why not (``checks.check``)."""
    intent = parse(tree)
    check(intent, before)
    return intent
