"""Commits over a network that are broken off: a session that is lost, a key that is half written, kill -9."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from yangkit import Schema

from tests.unit.controller.intent import conftest as orders
from tests.unit.controller.south.managed import NAMES, Controller, calls, until

ROOT = Path(__file__).parents[4]
FIRST, SECOND = "the-first-of-two-shared-keys", "the-second-of-two-shared-keys"


async def test_a_commit_that_cuts_a_device_off_is_taken_back(controller: Controller, devices: dict[str, Any]) -> None:
    """On the others at once; that device goes back by itself (RFC 6241, section 8.4)."""
    steps: list[tuple[str, str]] = []

    def cut(step: str, device: str) -> None:
        steps.append((step, device))
        if steps.count(("commit", "ucpe-1")) == 1:
            stopping.append(asyncio.ensure_future(devices["ucpe-1"].home.stop()))
            controller.sessions.dismiss("ucpe-1")

    stopping: list[Any] = []
    await controller.stop()
    controller.on_step = cut
    await controller.start()
    calls(devices, controller, *NAMES)
    await until(lambda: controller.synced(*NAMES))
    await controller.stores.replace_running(orders.demo_order())
    await until(lambda: ("revert", "vmsr-1") in steps)
    # Branch 2 is built without it, branch 1 on neither of its devices.
    await until(lambda: "vxlan-1020" in devices["vmsr-1"].interfaces)
    assert "gre-ucpe-1" not in devices["vmsr-1"].interfaces
    await asyncio.gather(*stopping)


def with_key(key: str) -> Any:
    """The demo, and a cloud with this shared key."""
    tree = orders.demo_order()
    gateway = {
        "address": "198.51.100.9",
        "identity": "gateway.cloud.example",
        "remote-prefix": ["172.16.0.0/16"],
        "shared-key": key,
    }
    root = tree["ietf-l3vpn-svc:l3vpn-svc"]
    access = {"cloud-identifier": "vpc", "elasticlab-access:gateway": gateway}
    root["vpn-services"]["vpn-service"][2]["cloud-accesses"] = {"cloud-access": [access]}
    root["vpn-profiles"]["valid-provider-identifiers"]["cloud-identifier"].append({"id": "vpc"})
    return tree


def keys_of(device: Any) -> list[str]:
    """The shared keys that a device has."""
    pad = device.stores.running.get("elasticlab-ipsec:ipsec", {}).get("pad", {}).get("pad-entry", [])
    return [entry["pre-shared"]["secret"] for entry in pad if "pre-shared" in entry]


async def test_a_key_that_was_written_on_the_way_is_known_not_to_be_the_old_one(
    controller: Controller, devices: dict[str, Any]
) -> None:
    """The session breaks between the decision and the confirm, and the new key is taken back meanwhile."""
    stopping: list[Any] = []

    def cut(step: str, device: str) -> None:
        if armed and step == "decided" and not stopping:
            stopping.append(asyncio.ensure_future(devices["vmsr-1"].home.stop()))
            controller.sessions.dismiss("vmsr-1")

    armed = False
    await controller.stop()
    controller.on_step = cut
    await controller.start()
    calls(devices, controller, *NAMES)
    await until(lambda: controller.synced(*NAMES))
    await controller.stores.replace_running(with_key(FIRST))
    await until(lambda: keys_of(devices["vmsr-1"]) == [FIRST] and controller.synced(*NAMES))
    armed = True
    await controller.stores.replace_running(with_key(SECOND))
    status = controller.reconciler.status
    await until(lambda: stopping and status["vmsr-1"].problem is not None and not status["vmsr-1"].connected)
    assert keys_of(devices["vmsr-1"]) == [SECOND]
    await controller.stores.replace_running(with_key(FIRST))
    await asyncio.gather(*stopping)
    calls(devices, controller, "vmsr-1")
    await until(lambda: controller.synced("vmsr-1"))
    assert keys_of(devices["vmsr-1"]) == [FIRST]


@pytest.mark.parametrize("die", ["prepare", "commit", "decided", "confirm"])
async def test_killed_on_the_way(
    authority: Any, service_schema: Schema, devices: dict[str, Any], tmp_path: Path, die: str
) -> None:
    """What was acknowledged arrives in the controller's next life; what it wrote in its first it can still take off."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "crl.in").write_bytes(authority.crl())
    settings = {
        "directory": str(tmp_path),
        "port": port,
        "ca": str(authority.ca),
        "crl": str(tmp_path / "crl.in"),
        "die": die,
        "order": orders.demo_order(),
        **{kind: str(path) for kind, path in authority.issue("controller").items()},
    }
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    for device in devices.values():
        device.call(port)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.unit.controller.south.reconcile_child", str(tmp_path / "settings.json"), cwd=ROOT
    )
    async with asyncio.timeout(30):
        assert await child.wait() == -signal.SIGKILL
    controller = Controller(tmp_path, authority, service_schema)
    controller.port = port
    await controller.start()
    try:
        await until(lambda: "vxlan-1020" in devices["vmsr-1"].interfaces and controller.synced(*NAMES))
        assert "vxlan-1020" in devices["ucpe-2"].interfaces
        assert not any(device.pending for device in devices.values())
        await controller.stores.replace_running({})
        await until(lambda: all(device.interfaces == {"wan"} for device in devices.values()))
    finally:
        await controller.stop()
