"""The controller has seen one operational key at two places: the device is locked out until it is released."""

from __future__ import annotations

import pytest


async def renew(world, box):
    request = world.request_for(world.visitor(box.serial).own)
    return await box.est("simpleenroll", request)


async def test_all_certificates_are_revoked_and_the_registry_says_so(world):
    await world.register("SN1")
    box = world.visitor("SN1")
    first = await box.join()
    (ike,) = world.certificates_of(await renew(world, box))
    answer = await world.quarantine("SN1", certificate=[f"{first.serial_number:x}"])
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await world.device("SN1"))["status"] == "quarantined"
    assert {entry.serial_number for entry in await world.crl()} == {first.serial_number, ike.serial_number}
    alarm = (await world.alarms())["copied-device-key"]
    assert (alarm["alarm-text"], alarm["perceived-severity"], alarm["is-cleared"]) == ("seen twice", "critical", False)
    assert (await renew(world, box)).status_code == 403
    assert (await box.bootstrap()).status_code == 403


async def test_told_again_it_stays_as_it_is(world):
    await world.register("SN1")
    await world.visitor("SN1").join()
    assert (await world.quarantine("SN1", "admin")).status_code == 204
    before = await world.device("SN1"), await world.alarms(), await world.crl()
    assert (await world.quarantine("SN1", reason="seen thrice")).status_code == 204
    assert (await world.device("SN1"), await world.alarms(), await world.crl()) == before


async def test_what_is_told_late_does_not_hit_what_the_device_has_got_since(world):
    await world.register("SN1")
    box = world.visitor("SN1")
    first = await box.join()
    told = {"certificate": [f"{first.serial_number:x}"]}
    await world.quarantine("SN1", **told)
    async with world.operator() as client:
        path = "/restconf/data/elasticlab-devices:devices/device=SN1/release"
        assert (await client.post(path)).status_code == 204
    assert (await world.quarantine("SN1", **told)).status_code == 204
    assert (await world.device("SN1"))["status"] == "expected"
    second = await box.join()
    assert second.serial_number != first.serial_number
    assert (await world.quarantine("SN1", **told)).status_code == 204
    assert (await world.device("SN1"))["status"] == "managed"
    assert (await world.alarms())["copied-device-key"]["is-cleared"]
    both = [f"{one.serial_number:x}" for one in (first, second)]
    assert (await world.quarantine("SN1", certificate=both)).status_code == 204
    assert (await world.device("SN1"))["status"] == "quarantined"


async def test_a_revoked_device_stays_revoked(world):
    await world.register("SN1")
    await world.visitor("SN1").join()
    await world.register("SN1", **{"administrative-state": "revoked"})
    assert (await world.quarantine("SN1")).status_code == 204
    assert (await world.device("SN1"))["status"] == "revoked"
    assert "copied-device-key" not in await world.alarms()


@pytest.mark.parametrize("role", ["service", "service:gro", "service:portal", "tenant"])
async def test_others_may_not(world, role):
    await world.register("SN1")
    await world.visitor("SN1").join()
    answer = await world.quarantine("SN1", role)
    assert answer.status_code == 403
    assert answer.json()["ietf-restconf:errors"]["error"][0]["error-tag"] == "access-denied"
    assert (await world.device("SN1"))["status"] == "managed"


async def test_the_controller_may_not_release(world):
    await world.register("SN1")
    async with world.operator("service:controller") as client:
        path = "/restconf/data/elasticlab-devices:devices/device=SN1/release"
        assert (await client.post(path)).status_code == 403


async def test_what_cannot_be_understood_is_refused(world):
    await world.register("SN1")
    assert (await world.quarantine("SN2")).status_code == 404
    for given in ({"reason": ""}, {"reason": 1}, {"certificate": ["xyz"]}, {"certificate": "aa"}, {"more": "x"}):
        answer = await world.quarantine("SN1", **given)
        assert answer.status_code == 400, given
    async with world.operator() as client:
        path = "/restconf/data/elasticlab-devices:devices/device=SN1/quarantine"
        answer = await client.post(path)
    assert answer.status_code == 400
    assert (await world.device("SN1"))["status"] == "expected"
