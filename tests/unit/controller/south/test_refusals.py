"""What a device refuses, and whose loss that is; what the controller refuses itself."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from yangkit.errors import RpcError

from tests.unit.controller.intent import conftest as orders
from tests.unit.controller.south.managed import NAMES, Controller, calls, two_on_a_box, until


async def test_one_that_refuses_does_not_hold_up_the_others(controller: Controller, devices: dict[str, Any]) -> None:
    devices["ucpe-2"].system.refuse = "no memory"
    calls(devices, controller, *NAMES)
    await until(lambda: controller.synced(*NAMES))
    await controller.stores.replace_running(orders.demo_order())
    await until(lambda: "gre-vmsr-1" in devices["ucpe-1"].interfaces)
    await until(lambda: controller.reconciler.status["ucpe-2"].sync == "failed")
    assert "no memory" in (controller.reconciler.status["ucpe-2"].problem or "")
    devices["ucpe-2"].system.refuse = None
    await until(lambda: controller.synced(*NAMES) and "vxlan-1020" in devices["ucpe-2"].interfaces)


async def test_a_site_that_a_box_refuses_is_nothing_to_its_neighbour(
    controller: Controller, devices: dict[str, Any]
) -> None:
    """The neighbour stays as it is wanted, on both of its devices; so do sites of other boxes."""
    calls(devices, controller, *NAMES)
    await controller.stores.replace_running(two_on_a_box(second=False))
    await until(lambda: "vxlan-1020" in devices["vmsr-1"].interfaces and controller.synced(*NAMES))
    devices["ucpe-2"].system.refuse = "no memory"
    await controller.stores.replace_running(two_on_a_box(second=True))
    await until(lambda: "second" in controller.reconciler.view.withheld)
    view = controller.reconciler.view
    assert (view.stale, dict(view.leaving)) == (frozenset(), {})
    assert "vxlan-1021" not in devices["vmsr-1"].interfaces
    devices["ucpe-2"].system.refuse = None
    await until(lambda: {"vxlan-1020", "vxlan-1021"} <= devices["ucpe-2"].interfaces and controller.synced(*NAMES))
    await until(lambda: not controller.reconciler.view.withheld and not controller.reconciler.view.stale)


async def test_a_site_that_the_pop_refuses_is_nothing_to_all_others(
    controller: Controller, devices: dict[str, Any]
) -> None:
    """The others are built, also at the same box; it hears why not, and is built when that is mended."""
    pop = devices["vmsr-1"]
    pop.system.taken = "vxlan-1020"
    calls(devices, controller, *NAMES)
    await controller.stores.replace_running(two_on_a_box(second=True))
    await until(lambda: {"vxlan-1021", "gre-ucpe-1"} <= pop.interfaces and "vxlan-1021" in devices["ucpe-2"].interfaces)
    await until(lambda: controller.reconciler.view.refused["first"].times >= 2)
    (refused,) = controller.reconciler.view.refused.values()
    assert refused.device == "vmsr-1"
    assert "link vxlan-1020 is there already" in refused.reason
    assert not any("vxlan-1020" in device.interfaces for device in devices.values()), "a part of it stays"
    pop.system.taken = None
    await until(lambda: "vxlan-1020" in pop.interfaces and controller.synced(*NAMES))
    await until(lambda: not controller.reconciler.view.refused and not controller.reconciler.view.stale)


async def test_what_a_pop_refuses_of_many_is_nobodys_alone(controller: Controller, devices: dict[str, Any]) -> None:
    """Neither of two sites that have an interface together, nor one that was there before."""
    pop = devices["vmsr-1"]
    pop.system.taken = "overlay"
    calls(devices, controller, *NAMES)
    await until(lambda: controller.synced(*NAMES))  # or whoever comes last is not among the many
    await controller.stores.replace_running(two_on_a_box(second=True))
    await until(lambda: "vmsr-1" in controller.reconciler.status)
    await until(lambda: controller.reconciler.status["vmsr-1"].sync == "failed")
    assert not controller.reconciler.view.refused
    pop.system.taken = None
    await until(lambda: controller.synced(*NAMES) and "vxlan-1021" in pop.interfaces)


async def test_a_refused_site_that_is_wanted_no_more_is_forgotten(
    controller: Controller, devices: dict[str, Any]
) -> None:
    devices["vmsr-1"].system.taken = "vxlan-1021"
    calls(devices, controller, *NAMES)
    await controller.stores.replace_running(two_on_a_box(second=True))
    await until(lambda: "second" in controller.reconciler.view.refused)
    await controller.stores.replace_running(two_on_a_box(second=False))
    await until(lambda: not controller.reconciler.view.refused)  # the others may have been right before, too
    await until(lambda: controller.reconciler.carried == {"far", "first"} and controller.synced(*NAMES))


async def test_what_cannot_be_is_refused_and_nothing_follows(controller: Controller, devices: dict[str, Any]) -> None:
    calls(devices, controller, *NAMES)
    await until(lambda: controller.synced(*NAMES))
    text = str(orders.demo_order()).replace("'ucpe-2'", "'vmsr-1'")
    with pytest.raises(RpcError, match="serves no site"):
        await controller.stores.replace_running(ast.literal_eval(text))
    assert controller.stores.running == {}
    assert all(device.interfaces == {"wan"} for device in devices.values())
