"""Certificates have an end: a device that does not renew them is an alarm, and taken in again when it is released."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from manager.authority import Authority
from manager.enrolment import USE_LIMIT
from manager.expiry import judge

RELEASE = "/restconf/data/elasticlab-devices:devices/device=SN1/release"


async def until(world, kind, cleared=False):
    """The alarm of this kind, once it is there."""
    async with asyncio.timeout(15):
        while (found := (await world.alarms()).get(kind)) is None or found["is-cleared"] is not cleared:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return found


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        (0.1, None),
        (0.8, None),
        (0.85, "certificate-expiring"),
        (0.99, "certificate-expiring"),
        (1.01, "certificate-expired"),
    ],
)
def test_the_last_sixth_of_a_life_is_an_alarm_and_its_end_another(tmp_path, part, kind):
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    one = Authority(tmp_path / "ca").issue("box", "SN1", "example", "ike", key)
    life = one.not_valid_after_utc - one.not_valid_before_utc
    found = judge([one], one.not_valid_before_utc + part * life)
    assert (found and found[0]) == kind
    if found is not None:
        assert f"{one.serial_number:x}" in found[1]
        assert f"{one.not_valid_after_utc:%Y-%m-%d}" in found[1]


def test_the_one_that_ends_first_counts(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    lives = timedelta(days=10), timedelta(days=365)
    one, other = (Authority(tmp_path / "ca", life).issue("box", "SN1", "example", "ike", key) for life in lives)
    found = judge([other, one], one.not_valid_after_utc)
    assert found is not None
    assert f"{one.serial_number:x}" in found[1]
    assert judge([]) is None


async def test_who_did_not_renew_is_told_of_refused_without_quarantine_and_released(world):
    await world.halt()
    await world.start(certificate_life=4)
    await world.register("SN1")
    box = world.visitor("SN1")
    first = await box.join()
    ended = await until(world, "certificate-expired")
    assert "release it" in ended["alarm-text"]
    box.own = ec.generate_private_key(ec.SECP256R1())
    assert (await box.bootstrap()).status_code == 403
    assert (await world.device("SN1"))["status"] == "managed", "its key was not copied, its time was over"
    await world.halt()
    await world.start()
    async with world.operator() as client:
        assert (await client.post(RELEASE)).status_code == 204
    second = await box.join()
    assert second.serial_number != first.serial_number
    await until(world, "certificate-expired", cleared=True)


async def test_a_certificate_with_a_shorter_life_than_the_one_before_is_told_of_when_it_has_ended(world):
    """The operator wants shorter lives: the one before would be good for a year still, but nobody uses it."""
    await world.register("SN1")
    box = world.visitor("SN1")
    first = await box.join()
    await world.halt()
    await world.start(certificate_life=3)
    key = ec.generate_private_key(ec.SECP256R1())
    (second,) = world.certificates_of(await box.est("simplereenroll", world.request_for(key, first.subject)))
    ended = await until(world, "certificate-expired")
    assert f"{second.serial_number:x}" in ended["alarm-text"]
    async with world.operator() as client:
        assert (await client.post(RELEASE)).status_code == 204


async def test_a_renewed_certificate_stands_beside_the_old_one_until_both_are_revoked(world):
    await world.register("SN1")
    box = world.visitor("SN1")
    first = await box.join()
    key = ec.generate_private_key(ec.SECP256R1())
    answer = await box.est("simplereenroll", world.request_for(key, first.subject))
    (second,) = world.certificates_of(answer)
    numbers = {f"{one.serial_number:x}" for one in (first, second)}
    entries = (await world.device("SN1"))["certificate"]
    assert {one["serial-number"]: one["revoked"] for one in entries} == dict.fromkeys(numbers, False)
    assert {one["purpose"] for one in entries} == {"netconf"}
    async with world.operator() as client:
        refused = await client.post(RELEASE)
    assert "its certificates hold: there is nothing to release" in refused.text
    await world.register("SN1", **{"administrative-state": "revoked"})
    assert {f"{entry.serial_number:x}" for entry in await world.crl()} == numbers


async def test_a_device_that_says_a_wrong_time_is_an_alarm_until_it_says_the_right_one(world):
    await world.register("SN1")
    box = world.visitor("SN1")
    await box.join()
    async with world.client(world.anchor, box.operational, base_url=world.wan) as client:
        for off, alarmed in ((timedelta(days=-365), True), (timedelta(minutes=1), False)):
            date = format_datetime(datetime.now(UTC) + off, usegmt=True)
            assert (await client.get("/crl", headers={"Date": date})).status_code == 200
            found = (await world.alarms())["wrong-clock"]
            assert found["is-cleared"] is not alarmed
            assert "365 days" in found["alarm-text"]
        assert (await client.get("/crl", headers={"Date": "yesterday"})).status_code == 200
    assert (await world.alarms())["wrong-clock"]["is-cleared"]


async def test_whoever_renews_again_and_again_loses_the_oldest_and_never_the_newest(world):
    await world.register("SN1")
    box = world.visitor("SN1")
    made = [await box.join()]
    for _ in range(USE_LIMIT + 1):
        key = ec.generate_private_key(ec.SECP256R1())
        (one,) = world.certificates_of(await box.est("simplereenroll", world.request_for(key, made[-1].subject)))
        box.own = key
        made.append(box.keep(one))
    revoked = {entry.serial_number for entry in await world.crl()}
    assert revoked == {one.serial_number for one in made[:-USE_LIMIT]}
