"""Two use one operational key: the controller sees it, the manager takes from the device all that it has."""

from __future__ import annotations

from typing import Any

from cryptography import x509

from .conftest import BOXES, Lab, manager_world

NAME, SERIAL = "ucpe-1", BOXES["ucpe-1"]
ALARM = ("device-cloned", f"/elasticlab-network:network/device[name='{NAME}']")


async def cloned(lab: Lab, wanted: bool) -> bool:
    found = (await lab.alarms()).get(ALARM)
    return found is not None and found["is-cleared"] is not wanted


async def connected(lab: Lab) -> bool:
    devices = (await lab.network()).get("device", [])
    return any(one["name"] == NAME and one["connected"] for one in devices)


async def seen_twice(lab: Lab) -> x509.Certificate:
    """A box whose key is copied and used; its certificate."""
    device = await lab.box(NAME, await lab.way("127.0.0.2"))
    await lab.until(lambda: connected(lab))
    async with lab.copy(NAME, await lab.way("127.0.0.3")):
        await lab.until(lambda: cloned(lab, True))
    return x509.load_pem_x509_certificate(device.identity["cert"].read_bytes())


async def locked_out(lab: Lab) -> bool:
    """The manager knows, and the controller knows that it does."""
    device = await lab.manager.device(SERIAL)
    told = all(one.told for one in lab.clones)
    return bool(device["status"] == "quarantined") and told


async def test_the_manager_locks_the_device_out(lab: Lab) -> None:
    certificate = await seen_twice(lab)
    await lab.until(lambda: locked_out(lab))
    (one,) = lab.clones
    assert one.certificates == {certificate.serial_number}
    assert (await lab.manager.crl()).get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
    assert all(one["revoked"] for one in (await lab.manager.device(SERIAL))["certificate"])
    alarm = (await lab.manager.alarms())["copied-device-key"]
    assert alarm["is-cleared"] is False
    assert "127.0.0.2" in alarm["alarm-text"]
    assert "127.0.0.3" in alarm["alarm-text"]
    # Whoever has the key cannot renew it, and is not believed though the box is alone again.
    renewed = await lab.visitors[NAME].est("simplereenroll", lab.manager.request_for(lab.visitors[NAME].own))
    assert renewed.status_code == 403
    assert not await connected(lab)


async def test_a_manager_that_is_away_is_told_when_it_is_back(lab: Lab) -> None:
    """Also by the next process; until then no certificate of that name counts."""
    device = await lab.box(NAME, await lab.way("127.0.0.2"))
    await lab.until(lambda: connected(lab))
    await lab.manager.halt()
    async with lab.copy(NAME, await lab.way("127.0.0.3")):
        await lab.until(lambda: cloned(lab, True))
    assert [one.told for one in lab.clones] == [False]
    await lab.stop()
    await lab.start()
    assert [one.told for one in lab.clones] == [False]
    assert not await connected(lab)
    await lab.manager.start()
    await lab.until(lambda: locked_out(lab))
    certificate = x509.load_pem_x509_certificate(device.identity["cert"].read_bytes())
    assert (await lab.manager.crl()).get_revoked_certificate_by_serial_number(certificate.serial_number) is not None


async def test_released_and_taken_in_anew_it_is_believed(lab: Lab) -> None:
    old = await seen_twice(lab)
    await lab.until(lambda: locked_out(lab))
    async with lab.manager.operator() as client:
        assert (await client.post(f"{manager_world.REGISTRY}/device={SERIAL}/release")).status_code == 204
    device, visitor = lab.boxes[NAME], lab.visitors[NAME]
    await device.home.stop()
    visitor.own = manager_world.ec.generate_private_key(manager_world.ec.SECP256R1())
    stolen = {kind: path.rename(path.with_name(f"stolen-{path.name}")) for kind, path in device.identity.items()}
    fresh = await visitor.join()
    assert fresh.serial_number != old.serial_number
    device.call(lab.wan_port)
    await lab.until(lambda: connected(lab))
    await lab.until(lambda: cloned(lab, False))
    assert not lab.clones
    # The copy is worth nothing, and no reason to suspect the box again.
    device.identity = stolen
    since = await held_since(lab)
    async with lab.copy(NAME, await lab.way("127.0.0.3")):
        await lab.until(lambda: refused(lab))
    assert await held_since(lab) == since
    assert await cloned(lab, False)
    assert (await lab.manager.device(SERIAL))["status"] == "managed"


async def test_one_that_leaves_the_registry_leaves_quarantine(lab: Lab) -> None:
    await seen_twice(lab)
    await lab.until(lambda: locked_out(lab))
    async with lab.manager.operator() as client:
        assert (await client.delete(f"{manager_world.REGISTRY}/device={SERIAL}")).status_code == 204
    await lab.until(lambda: cloned(lab, False))
    assert not lab.clones


async def held_since(lab: Lab) -> Any:
    (device,) = (await lab.network())["device"]
    return device["since"] if device["connected"] else None


async def refused(lab: Lab) -> bool:
    found = (await lab.alarms()).get(("device-refused", ALARM[1]))
    return found is not None and "is revoked" in found["alarm-text"] and not found["is-cleared"]
