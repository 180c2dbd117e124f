"""Certificates that are over or not yet good, and clocks that are wrong ("Keys": expired and future certificates,
clock off by a year): refused with the reason and the remedy, nobody else is touched, and it heals within seconds when
the clock or the certificate is right.

    host-1 ── ucpe-1 ── NAT ── internet ── vmsr-1
    host-2 ── ucpe-2 ─────────────┘             (ucpe-2 is the one in trouble)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.lab import Lab
from harness.wait import wait_for
from tests.scenarios.clocks import DAY, clock_of
from tests.scenarios.keys import SERIALS, administer, alarms, problem, registered
from tests.scenarios.stream import carried, streams

pytestmark = pytest.mark.topology("demo")

BOX, SERIAL = "ucpe-2", SERIALS["ucpe-2"]
HOST_1, SERVER = "10.1.0.10", "198.51.100.80"
YEAR = 366 * DAY
HEAL = 40


@contextmanager
def others_untouched(lab: Lab) -> Iterator[None]:
    """Within the block branch 1 loses nothing on its way through the POP."""
    with streams(lab, ("host-1", "internet", SERVER), rate=200) as ways:
        carried(0.5)
        yield
        carried(0.5)
    assert (ways[0].lost, ways[0].doubled) == (0, []), str(ways[0])


@pytest.fixture
def healed(lab: Lab) -> Iterator[None]:
    """Whatever becomes of the test, both branches reach each other after it."""
    yield
    lab["host-2"].must_reach(HOST_1, HEAL)


def log(lab: Lab, box: str, service: str) -> str:
    return lab[box].exec("tail", "-n", "300", f"/var/log/{service}/current")


@pytest.mark.usefixtures("healed")
@pytest.mark.parametrize(("offset", "said"), [(YEAR, "ahead"), (-YEAR, "behind")], ids=["ahead", "behind"])
def test_a_box_whose_clock_is_a_year_off_says_so_and_heals_when_it_is_right(lab: Lab, offset: int, said: str) -> None:
    with others_untouched(lab), clock_of(lab, BOX, offset) as clock:
        wait_for("the box to say what is wrong", lambda: problem(lab, BOX), 90, retry_on=(OSError,))
        found = problem(lab, BOX)
        assert re.search(rf"36[56] days {said} .*cannot be set .*: set it$", found), found
        assert f"days {said}" in log(lab, BOX, "element")
        assert f"{said} " in raised(lab)["wrong-clock"]
        lab["host-2"].must_not_reach(HOST_1)
        clock.show(0)
        lab["host-2"].must_reach(HOST_1, HEAL)
        wait_for("the box to be content", lambda: problem(lab, BOX) == "", 90, retry_on=(OSError,))
        wait_for("the alarm to be over", lambda: "wrong-clock" not in raised(lab), 10)


@pytest.mark.usefixtures("healed")
@pytest.mark.parametrize("offset", [YEAR, -YEAR], ids=["ahead", "behind"])
def test_a_box_that_may_puts_its_clock_right_by_itself(lab: Lab, offset: int) -> None:
    with others_untouched(lab), clock_of(lab, BOX, offset, settable=True) as clock:
        lab["host-2"].must_reach(HOST_1, HEAL)
        wait_for("the clock to be right", lambda: abs(clock.offset) < 10, 20)
        assert problem(lab, BOX) == ""


@pytest.mark.usefixtures("healed")
def test_a_box_without_a_battery_comes_up_in_1970_with_what_it_holds(lab: Lab) -> None:
    with clock_of(lab, BOX, since_1970(lab), settable=True) as clock:
        lab["host-2"].must_reach(HOST_1, HEAL)
        assert "the clock was before what this box has" in log(lab, BOX, "element")
        wait_for("the clock to be right", lambda: abs(clock.offset) < 10, 20)


@pytest.mark.usefixtures("healed")
def test_a_new_box_without_a_battery_is_taken_in(lab: Lab) -> None:
    """From the factory, in 1970: the bootstrap server says what time it is."""
    before = registered(lab, BOX)
    with clock_of(lab, BOX, since_1970(lab), settable=True) as clock:
        administer(lab, BOX, "revoked")
        administer(lab, BOX, "legal")
        lab[BOX].sh("sv -w 10 force-stop element || true; rm -rf /var/lib/element/*")
        clock.show(since_1970(lab))
        lab[BOX].sh("sv start element")
        lab["host-2"].must_reach(HOST_1, 60)
        wait_for("the clock to be right", lambda: abs(clock.offset) < 10, 20)
    assert len([number for number, revoked in registered(lab, BOX).items() if not revoked]) == 2
    assert all(registered(lab, BOX)[number] for number in before)


def since_1970(lab: Lab) -> int:
    return 1000 - int(lab[BOX].exec("date", "+%s"))


def raised(lab: Lab) -> dict[str, str]:
    """The manager's alarms about the box, by kind."""
    mine = [one for one in alarms(lab, "manager") if SERIAL in one["resource"]]
    return {one["alarm-type-id"].rpartition(":")[2]: one["alarm-text"] for one in mine}
