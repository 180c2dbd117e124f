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
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from harness.lab import Lab
from harness.wait import time_scale, wait_for
from tests.scenarios.clocks import DAY, clock_of
from tests.scenarios.keys import (
    ESP,
    IKE_AUTH,
    administer,
    certificates_live,
    own_certificate,
    problem,
    put_certificate,
    raised,
    registered,
    release,
    renew,
    tunnelled,
)
from tests.scenarios.stream import carried, streams

pytestmark = pytest.mark.topology("demo")

BOX, WAN, POP = "ucpe-2", "192.0.2.6", "vmsr-1"
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
    lab[BOX].sh("sv start charon element")
    if "certificate-expired" in raised(lab, BOX):
        release(lab, BOX)
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
        assert f"{said} " in raised(lab, BOX)["wrong-clock"]
        lab["host-2"].must_not_reach(HOST_1)
        clock.show(0)
        lab["host-2"].must_reach(HOST_1, HEAL)
        wait_for("the box to be content", lambda: problem(lab, BOX) == "", 90, retry_on=(OSError,))
        wait_for("the alarm to be over", lambda: "wrong-clock" not in raised(lab, BOX), 10)


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


@contextmanager
def refused_by_the_pop(lab: Lab, shown: x509.Certificate) -> Iterator[None]:
    """Within the block the box calls with this certificate. The POP says why it is no good, and not one packet of a
    tunnel is on the wire."""
    dates = " to ".join(f"{one:%b %d %H:%M:%S %Y}" for one in (shown.not_valid_before_utc, shown.not_valid_after_utc))
    lab[BOX].sh("sv -w 30 stop element charon >/dev/null", timeout=70)
    with lab.capture(f"{POP}:wan", f"host {WAN}") as wire:
        lab[BOX].sh("sv -w 30 start charon element", timeout=70)
        wait_for(
            "the POP to refuse",
            lambda: f"subject certificate invalid (valid from {dates})" in log(lab, POP, "charon"),
            60,
        )
        yield
        lab["host-2"].must_not_reach(HOST_1)
        assert not tunnelled(lab, POP, BOX)
    assert wire.count(IKE_AUTH) > 0, "the box did not call"
    assert wire.count(ESP) == 0, wire.frames(ESP)


@pytest.mark.usefixtures("healed")
def test_a_box_with_a_certificate_of_tomorrow_is_refused_until_it_has_another(lab: Lab) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    with others_untouched(lab):
        shown = put_certificate(lab, BOX, tomorrow, tomorrow + timedelta(days=1))
        try:
            with refused_by_the_pop(lab, shown):
                wait_for("the box to say what is wrong", lambda: problem(lab, BOX), 60, retry_on=(OSError,))
                assert re.search(r"are not valid yet .* the clock is right: wait, ", problem(lab, BOX))
        finally:
            renew(lab, BOX)
        lab["host-2"].must_reach(HOST_1, HEAL)
        wait_for("the box to be content", lambda: problem(lab, BOX) == "", 20)


@pytest.mark.usefixtures("healed")
def test_a_box_whose_certificates_have_ended_is_refused_until_it_is_released(lab: Lab) -> None:
    """It was in a drawer meanwhile. The manager takes it for nobody's copy: it keeps its certificates unrevoked."""
    with others_untouched(lab):
        with certificates_live(lab, round(15 * time_scale())):
            renew(lab, BOX)
            shown, known = own_certificate(lab, BOX), registered(lab, BOX)
            lab[BOX].sh("sv -w 30 stop element charon", timeout=70)
        # The second that is named is one of the valid ones (RFC 5280, section 4.1.2.5).
        last = shown.not_valid_after_utc + timedelta(seconds=1)
        wait_for("its certificates to have ended", lambda: datetime.now(UTC) >= last, 20)
        with refused_by_the_pop(lab, shown):
            wait_for("the operator to be told", lambda: "certificate-expired" in raised(lab, BOX), 60)
            wait_for("the box to say what is wrong", lambda: problem(lab, BOX), 60, retry_on=(OSError,))
            assert re.search(r"have ended .* refuses: ", problem(lab, BOX)), problem(lab, BOX)
            assert registered(lab, BOX) == known
        assert release(lab, BOX) == 204
        lab["host-2"].must_reach(HOST_1, HEAL)
        wait_for("the box to be content", lambda: problem(lab, BOX) == "", 20, retry_on=(OSError,))
    assert "certificate-expired" not in raised(lab, BOX)
    assert len(registered(lab, BOX)) == len(known) + 2
