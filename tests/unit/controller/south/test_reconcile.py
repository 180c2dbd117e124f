"""Devices follow the intent: real NETCONF servers call home, and get, keep and lose what is ordered."""

from __future__ import annotations

from typing import Any

import pytest
from yangkit.errors import RpcError

from tests.unit.controller.intent import conftest as orders
from tests.unit.controller.south.managed import NAMES, Controller, calls, day0, two_on_a_box, until


async def test_ordered_and_taken_back(controller: Controller, devices: dict[str, Any]) -> None:
    """All devices get their part; when nothing is ordered any more each is as it came."""
    calls(devices, controller, *NAMES)
    await until(lambda: controller.synced(*NAMES))
    await controller.stores.replace_running(orders.demo_order())
    await until(lambda: "gre-ucpe-1" in devices["vmsr-1"].interfaces and controller.synced(*NAMES))
    assert {"wan", "overlay", "gre-vmsr-1", "ipsec-vmsr-1"} <= devices["ucpe-1"].interfaces
    assert {"wan", "vxlan-1020", "gre-ucpe-1"} <= devices["vmsr-1"].interfaces
    assert "vxlan-1020" in devices["ucpe-2"].interfaces
    assert not any(device.pending for device in devices.values())
    await controller.stores.replace_running({})
    await until(lambda: all(device.interfaces == {"wan"} for device in devices.values()))
    await until(lambda: controller.synced(*NAMES))
    for name in NAMES:
        assert devices[name].stores.running == day0(name)


async def test_a_device_that_asks_for_its_address_is_known_by_its_lease(
    controller: Controller, devices: dict[str, Any]
) -> None:
    """A POP router, too: its sites' tunnels follow when it is given another address."""
    pop = devices["vmsr-1"]
    lease = {"address": "203.0.113.2", "prefix-length": 30, "router": "203.0.113.1"}
    pop.system.wan = {"elasticlab-interface:dhcp": {"lease": lease}}
    wan = {"name": "wan", "type": "iana-if-type:ethernetCsmacd", "elasticlab-interface:dhcp": {}}
    await pop.stores.replace_running({"ietf-interfaces:interfaces": {"interface": [wan]}})
    calls(devices, controller, *NAMES)
    await controller.stores.replace_running(orders.demo_order())
    await until(lambda: "vxlan-1020" in pop.interfaces and controller.synced(*NAMES))
    assert "'address': '203.0.113.2'" in str(devices["ucpe-1"].stores.running["elasticlab-ipsec:ipsec"])
    lease["address"] = "203.0.113.77"
    await until(lambda: "203.0.113.77" in str(devices["ucpe-1"].stores.running["elasticlab-ipsec:ipsec"]))


async def test_a_leased_ipv6_address_is_known_and_followed(controller: Controller, devices: dict[str, Any]) -> None:
    """RFC 9915: the address by DHCPv6, the router by its advertisements."""
    box = devices["ucpe-1"]
    lease = {"address": "2001:db8:1::2"}
    box.system.wan = {"elasticlab-interface:dhcp6": {"lease": lease, "router": "fe80::1"}}
    wan = {
        "name": "wan",
        "type": "iana-if-type:ethernetCsmacd",
        "ietf-ip:ipv6": {},
        "elasticlab-interface:dhcp6": {},
    }
    await box.stores.replace_running({"ietf-interfaces:interfaces": {"interface": [wan]}})
    calls(devices, controller, "ucpe-1")
    await until(lambda: "ucpe-1" in controller.inventory.facts)

    def known() -> tuple[str, str]:
        facts = controller.inventory.facts["ucpe-1"]
        return facts.wan6_address, facts.wan6_gateway

    assert known() == ("2001:db8:1::2", "fe80::1")
    lease["address"] = "2001:db8:2::2"
    await until(lambda: known() == ("2001:db8:2::2", "fe80::1"))


async def test_who_comes_later_is_brought_up_to_date(controller: Controller, devices: dict[str, Any]) -> None:
    """Over a restart of the controller, too."""
    await controller.stores.replace_running(orders.demo_order())
    calls(devices, controller, "vmsr-1", "ucpe-1")
    await until(lambda: "gre-vmsr-1" in devices["ucpe-1"].interfaces)
    assert "vxlan-1020" not in devices["vmsr-1"].interfaces
    await controller.stop()
    await controller.start()
    calls(devices, controller, "ucpe-2")
    await until(lambda: "vxlan-1020" in devices["vmsr-1"].interfaces and "vxlan-1020" in devices["ucpe-2"].interfaces)


async def test_what_others_change_is_put_back_and_theirs_is_left(
    controller: Controller, devices: dict[str, Any]
) -> None:
    calls(devices, controller, *NAMES)
    await controller.stores.replace_running(orders.demo_order())
    await until(lambda: "gre-vmsr-1" in devices["ucpe-1"].interfaces and controller.synced(*NAMES))
    seen: list[tuple[str, str]] = []
    controller.reconciler.on_change.append(lambda name, status: seen.append((name, status.sync)))
    tree = devices["ucpe-1"].stores.running
    entries = tree["ietf-interfaces:interfaces"]["interface"]
    next(one for one in entries if one["name"] == "overlay")["description"] = "mine"
    entries.append({"name": "lan7", "type": "iana-if-type:ethernetCsmacd"})
    await devices["ucpe-1"].stores.replace_running(tree)
    await until(lambda: seen[-1:] == [("ucpe-1", "in-sync")])
    assert ("ucpe-1", "drifted") in seen
    assert "mine" not in str(devices["ucpe-1"].stores.running)
    assert "lan7" in devices["ucpe-1"].interfaces


async def test_who_tells_the_same_again_is_looked_at_when_it_does_not(
    controller: Controller, devices: dict[str, Any]
) -> None:
    """What a device has told is not read again while it tells the same; what somebody changes then is seen."""
    calls(devices, controller, *NAMES)
    await controller.stores.replace_running(orders.demo_order())
    await until(lambda: controller.synced(*NAMES) and "lan" in devices["ucpe-1"].interfaces)

    def settled() -> bool:
        status = controller.reconciler.status["ucpe-1"]
        return status.seen is not None and status.seen[3] is status.written is status.has

    await until(settled)
    compared = controller.reconciler.status["ucpe-1"].compared
    await until(lambda: controller.reconciler.status["ucpe-1"].compared > compared)
    tree = devices["ucpe-1"].stores.running
    for interface in tree["ietf-interfaces:interfaces"]["interface"]:
        if interface["name"] == "lan":
            interface["enabled"] = False
    await devices["ucpe-1"].stores.replace_running(tree)
    await until(lambda: "'enabled': False" not in str(devices["ucpe-1"].stores.running) and controller.synced(*NAMES))


async def test_a_box_without_a_driver_is_taken_in_and_left_alone(
    controller: Controller, devices: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A gateway that the cloud platform configures: no edit, no complaint, and nobody waits for it."""
    gateway = devices["ucpe-2"]
    gateway.system.model = "vpcgw-x86"
    calls(devices, controller, *NAMES)
    await until(lambda: controller.synced("ucpe-1", "vmsr-1"))
    await until(lambda: controller.reconciler.status["ucpe-2"].sync == "unmanaged")
    before = gateway.stores.running
    with pytest.raises(RpcError, match="no driver for model 'vpcgw-x86'"):
        await controller.stores.replace_running(orders.demo_order())
    assert controller.reconciler.status["ucpe-2"].problem is None
    assert gateway.stores.running == before
    assert "ucpe-2: " not in caplog.text


async def test_one_that_is_silent_does_not_hold_up_the_others(controller: Controller, devices: dict[str, Any]) -> None:
    """Its machine lives, and says so to TCP: it would be waited for for minutes."""
    devices["ucpe-2"].system.talks.clear()
    calls(devices, controller, *NAMES)
    await until(lambda: controller.synced("ucpe-1", "vmsr-1"))
    await controller.stores.replace_running(orders.demo_order())
    await until(lambda: "gre-vmsr-1" in devices["ucpe-1"].interfaces and controller.synced("ucpe-1", "vmsr-1"))
    # Its own site is on neither of its devices.
    assert "vxlan-1020" not in devices["vmsr-1"].interfaces
    devices["ucpe-2"].system.talks.set()
    await until(lambda: controller.synced(*NAMES) and "vxlan-1020" in devices["ucpe-2"].interfaces)
    assert "vxlan-1020" in devices["vmsr-1"].interfaces
    # One that was met before, too.
    devices["ucpe-2"].system.talks.clear()
    await until(lambda: "ucpe-2" in controller.reconciler.slow)
    await controller.stores.replace_running({})
    await until(lambda: devices["ucpe-1"].interfaces == {"wan"})
    devices["ucpe-2"].system.talks.set()
    await until(lambda: devices["ucpe-2"].interfaces == {"wan"})


async def test_a_site_leaves_its_neighbour_on_the_box(controller: Controller, devices: dict[str, Any]) -> None:
    """And is gone only when the box has given it up."""
    calls(devices, controller, *NAMES)
    await controller.stores.replace_running(two_on_a_box(second=True))
    await until(lambda: "vxlan-1021" in devices["ucpe-2"].interfaces and controller.synced(*NAMES))
    devices["ucpe-2"].system.refuse = "not now"
    await controller.stores.replace_running(two_on_a_box(second=False))
    await until(lambda: controller.reconciler.view.leaving.get("second") == "ucpe-2")
    assert not controller.reconciler.view.lacking("first")
    assert "second" in controller.reconciler.carried
    devices["ucpe-2"].system.refuse = None
    await until(lambda: controller.reconciler.carried == {"far", "first"})
    assert devices["ucpe-2"].interfaces == {"wan", "overlay", "ipsec-vmsr-1", "br-lan", "lan", "vxlan-1020"}
    assert {"vxlan-1020"} == {name for name in devices["vmsr-1"].interfaces if name.startswith("vxlan-")}


async def test_a_device_tells_its_addresses_of_both_families(controller: Controller, devices: dict[str, Any]) -> None:
    """The link-local one is nobody's to call."""
    tree = day0("vmsr-1")
    wan = tree["ietf-interfaces:interfaces"]["interface"][0]
    wan["ietf-ip:ipv6"] = {
        "address": [{"ip": "fe80::1", "prefix-length": 64}, {"ip": "2001:db8:1::2", "prefix-length": 64}]
    }
    (underlay,) = tree["ietf-routing:routing"]["control-plane-protocols"]["control-plane-protocol"]
    route = {"destination-prefix": "::/0", "next-hop": {"next-hop-address": "2001:db8:1::1"}}
    underlay["static-routes"]["ietf-ipv6-unicast-routing:ipv6"] = {"route": [route]}
    await devices["vmsr-1"].stores.replace_running(tree)
    calls(devices, controller, "vmsr-1")
    await until(lambda: "vmsr-1" in controller.inventory.facts)
    facts = controller.inventory.facts["vmsr-1"]
    assert (facts.wan6_address, facts.wan6_gateway) == ("2001:db8:1::2", "2001:db8:1::1")
    await controller.stop()
    await controller.start()
    assert controller.inventory.facts["vmsr-1"] == facts
