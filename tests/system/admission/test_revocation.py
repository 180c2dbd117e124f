"""A device that the operator takes back: within ten seconds its session and its tunnels are gone, and it stays out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from harness.factory.authority import new_key
from harness.lab import Lab
from harness.wait import Deadline, wait_for

from .conftest import INTERNET, Operator, Workbench, associations, of_name, of_serial, request, reset, serial_name

pytestmark = pytest.mark.topology("admission")

NAME, SERIAL, ADDRESS = "ucpe-1", "EL-UCPE-0001", "192.0.2.2"
SECONDS = 10


@pytest.fixture
def given_back(lab: Lab, operator: Operator) -> Iterator[None]:
    """Whatever becomes of the test, the device is legal and at work after it."""
    yield
    if operator.device(SERIAL)["status"] != "managed":
        operator.administer(SERIAL, "legal")
        reset(lab, NAME)
        operator.wait_until_back((NAME, SERIAL))


@pytest.mark.usefixtures("given_back")
def test_a_revoked_device_is_out_within_ten_seconds_and_comes_back_as_a_new_one(
    lab: Lab, operator: Operator, workbench: Workbench, record_property: Callable[[str, object], None]
) -> None:
    """Legal again, its old certificates stay revoked; with new ones it gets what is ordered, without a new order."""
    host, stolen, was = lab["host-1"], workbench.copied_operational(NAME), operator.certificates(SERIAL)
    factory = workbench.copied_idevid(NAME)
    host.must_reach(INTERNET)
    assert ADDRESS in associations(lab, "vmsr-1")
    refused = operator.alarmed("device-refused", of_name(NAME), "warning")
    with operator.gives_nothing(), operator.leaves_alone("vmsr-1", "ucpe-2"), refused:
        begun, deadline = time.monotonic(), Deadline(SECONDS)
        operator.administer(SERIAL, "revoked")
        gone: dict[str, float] = {}
        for what, condition in (
            ("session", lambda: not operator.connected(NAME)),
            ("tunnel at the POP", lambda: ADDRESS not in associations(lab, "vmsr-1")),
            ("traffic", lambda: not host.reaches(INTERNET, within=0.3)),
        ):
            wait_for(f"the {what} to end", condition, deadline)
            gone[what] = round(time.monotonic() - begun, 1)
        print("seconds from revocation to the end of:", gone)
        record_property("seconds", gone)
        assert operator.device(SERIAL)["status"] == "revoked"
        assert operator.certificates(SERIAL) == dict.fromkeys(was, True)

        with operator.alarmed("revoked-device", of_serial(SERIAL), "major"):
            for operation in ("simpleenroll", "simplereenroll"):
                assert workbench.enrol(stolen, operation, request(new_key(), stolen.subject)).status == 403
        with operator.alarmed("revoked-device", of_serial(SERIAL), "major"):
            assert workbench.bootstrap(factory, request(new_key(), serial_name(SERIAL))).status == 403
        host.must_not_reach(INTERNET)
        assert ADDRESS not in associations(lab, "vmsr-1"), "it came back by IKE"

    old, ordered = operator.certificates(SERIAL), operator.intent()
    operator.administer(SERIAL, "legal")
    assert operator.device(SERIAL)["status"] == "expected"
    assert operator.certificates(SERIAL) == old
    assert not operator.active("revoked-device", of_serial(SERIAL))
    assert operator.active("device-refused", of_name(NAME)), "what it has left is worth nothing"
    reset(lab, NAME)
    operator.wait_until_back((NAME, SERIAL))
    assert [revoked for number, revoked in operator.certificates(SERIAL).items() if number not in old] == [False, False]
    assert all(operator.certificates(SERIAL)[number] for number in old)
    assert operator.intent() == ordered
    wait_for("the end of the alarm", lambda: not operator.active("device-refused", of_name(NAME)), 10)
