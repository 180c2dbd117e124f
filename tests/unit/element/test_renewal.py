"""A box has its certificates renewed by a real server; whatever is refused or cut leaves a whole set, old or new."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs7
from element import clock, storage, validity
from element.clock import Clock, ClockError
from element.enrolment.errors import EnrolmentError
from element.enrolment.https import Https
from element.enrolment.renewal import NEXT, Renewal
from element.keeper import Keeper
from element.validity import Phase, Validity

from tests.unit.element.test_enrolment import Enrolment, Manager, anywhere, nobody, serving

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


class Est(Manager):
    """The same operator, asked for renewals."""

    later = 1
    start: datetime | None = None
    """When what it gives begins; an hour ago otherwise."""

    def answer(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        if path != "/.well-known/est/simplereenroll":
            return super().answer(path, body)
        csr = x509.load_der_x509_csr(base64.b64decode(body))
        self.requests.append((path, csr))
        certificate = self.longer(csr)
        bundle = pkcs7.serialize_certificates([certificate], Encoding.DER)
        return self.est_status, "application/pkcs7-mime; smime-type=certs-only", base64.encodebytes(bundle)

    def longer(self, csr: x509.CertificateSigningRequest) -> x509.Certificate:
        """Like the first, and later."""
        begins = self.start - datetime.now(UTC) if self.start else -HOUR
        self.ca.life = begins, HOUR + timedelta(minutes=self.later)
        issued: x509.Certificate = self.ca.issue(
            csr.subject, csr.public_key(), x509.DNSName("ucpe-1.elasticlab.example")
        )
        return issued


@pytest.fixture
def manager(authority: Callable[[str], Any], tmp_path: Path) -> Iterator[Est]:
    with serving(Est(authority, tmp_path)) as made:
        yield made


@pytest.fixture
def box(manager: Est, tmp_path: Path) -> Path:
    """The folder of a box that is enrolled."""
    Enrolment(manager.box(), tmp_path, tmp_path / "identity", anywhere).attempt(manager.url, nobody)
    return tmp_path / "identity" / "current"


def renewal(box: Path) -> Renewal:
    return Renewal(box.parent, box.parents[1] / "trust-anchor.pem", anywhere)


def numbers(box: Path) -> list[int]:
    return [one.serial_number for _, one in validity.read(box).certificates]


def whole(box: Path) -> bool:
    """Has each certificate its key?"""
    for name, certificate in validity.read(box).certificates:
        key: Any = load_pem_private_key((box / f"{name}.key").read_bytes(), None)
        if key.public_key() != certificate.public_key():
            return False
    return True


def test_each_certificate_is_new_and_has_a_new_key(box: Path, manager: Est) -> None:
    before = validity.read(box)
    others = {path.name: path.read_bytes() for path in box.iterdir() if path.stem not in validity.NAMES}
    renewal(box).renew()
    after = validity.read(box)
    for (_, old), (_, new) in zip(before.certificates, after.certificates, strict=True):
        assert old.serial_number != new.serial_number
        assert old.public_key() != new.public_key()
        assert old.subject == new.subject
    assert whole(box)
    assert {path.name: path.read_bytes() for path in box.iterdir() if path.stem not in validity.NAMES} == others
    assert not (box.parent / NEXT).exists()
    assert manager.peers[-1] == "ucpe-1", "it is the old certificate that asks (RFC 7030, section 3.3.2)"


def test_only_the_key_of_ike_asks_for_its_purpose(box: Path, manager: Est) -> None:
    renewal(box).renew()
    asked = [csr for path, csr in manager.requests if path.endswith("simplereenroll")]
    uses = [[e.oid.dotted_string for e in csr.extensions] for csr in asked]
    assert ["2.5.29.37" in oids for oids in uses] == [False, True]


def test_a_refusal_leaves_the_old_set(box: Path, manager: Est) -> None:
    before = numbers(box)
    manager.est_status = 403
    with pytest.raises(EnrolmentError, match="403"):
        renewal(box).renew()
    assert (numbers(box), whole(box)) == (before, True)


def test_a_certificate_that_ends_sooner_is_taken(box: Path, manager: Est) -> None:
    """The operator may want shorter lives from now on."""
    before = numbers(box)
    manager.later = -10
    renewal(box).renew()
    assert not set(before) & set(numbers(box))
    assert whole(box)


def test_a_certificate_that_has_ended_is_not_taken(box: Path, manager: Est) -> None:
    before = numbers(box)
    manager.later = -61
    with pytest.raises(EnrolmentError, match="ended already"):
        renewal(box).renew()
    assert (numbers(box), whole(box)) == (before, True)


def test_a_certificate_of_another_authority_is_not_taken(box: Path, manager: Est) -> None:
    manager.ca = manager.make("other")
    with pytest.raises(EnrolmentError, match="not signed by the operational CA"):
        renewal(box).renew()
    assert whole(box)


def test_a_box_asks_by_the_uplink_that_leads_somewhere_now(box: Path) -> None:
    """An uplink fails between two attempts of one life."""
    ways = iter(["no-such-uplink"])
    work = Renewal(box.parent, box.parents[1] / "trust-anchor.pem", lambda: next(ways, None))
    with pytest.raises(EnrolmentError, match=r"[Nn]o such device"):
        work.renew()
    work.renew()
    assert whole(box)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_box_that_is_cut_anywhere_has_a_whole_set_and_renews_with_the_same_keys(box: Path, manager: Est) -> None:
    """What is new ends before what is old, as it does where the operator wants shorter lives from now on."""
    first = validity.read(box).start
    for after in range(120):
        before = numbers(box)
        manager.later -= 1
        manager.start = first + timedelta(seconds=after + 1)
        manager.requests.clear()
        killed = _cut(renewal(box), after)
        assert whole(box)
        if numbers(box) == before:
            renewal(box).renew()
            assert whole(box)
        assert not set(numbers(box)) & set(before)
        assert validity.read(box).start == manager.start, "it went back to what it had before"
        keys = {csr.public_key().public_numbers() for path, csr in manager.requests if path.endswith("simplereenroll")}
        assert len(keys) <= 2, "it asked with other keys after the cut"
        if not killed:
            break
    else:
        pytest.fail("a renewal has more steps than were cut")
    assert after > 40


def _cut(work: Renewal, after: int) -> bool:
    """Renew in a process that is killed before its ``after``-th step that is durable or removes something; was it?"""
    child = os.fork()
    if child == 0:
        try:
            steps = iter(range(after))

            def counted(step: Callable[..., Any]) -> Callable[..., Any]:
                def take(*arguments: Any, **more: Any) -> Any:
                    if next(steps, None) is None:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return step(*arguments, **more)

                return take

            storage.sync = counted(storage.sync)
            storage.exchange = counted(storage.exchange)
            for name in ("unlink", "rmdir", "rename"):
                setattr(os, name, counted(getattr(os, name)))
            work.renew()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


class TestValidity:
    def test_they_are_due_after_a_part_of_their_life_a_little_spread(self, box: Path) -> None:
        found = validity.read(box)
        due = (found.due(66) - found.start) / (found.end - found.start)
        assert 0.61 <= due <= 0.71
        assert found.due(66) == found.due(66), "a restart does not draw again"
        assert found.due(20) < found.due(66) < found.due(95) < found.end

    def test_their_phases_follow_each_other(self, box: Path) -> None:
        found, second = validity.read(box), timedelta(seconds=1)
        moments = [found.start - second, found.start, found.due(66), found.end - second, found.end]
        expected = [Phase.EARLY, Phase.GOOD, Phase.DUE, Phase.DUE, Phase.ENDED]
        assert [found.phase(moment, 66) for moment in moments] == expected


class Set(Clock):
    """A clock that is off, and can be set or not."""

    def __init__(self, off: timedelta, refuses: bool = False) -> None:
        super().__init__()
        self.off, self.refuses = off, refuses

    def now(self) -> datetime:  # type: ignore[override]
        return datetime.now(UTC) + self.off

    def _set(self, moment: datetime) -> None:
        if self.refuses:
            raise PermissionError(1, "Operation not permitted")
        self.off = moment - datetime.now(UTC)


class TestClock:
    @pytest.mark.parametrize("off", [-365 * DAY, 365 * DAY])
    def test_a_clock_that_is_off_is_put_right(self, off: timedelta) -> None:
        mine, now = Set(off), datetime.now(UTC)
        assert mine.correct(now, now - DAY)
        assert abs(mine.off) < timedelta(seconds=5)
        assert not mine.correct(now, now - DAY), "and then it is right"

    def test_a_clock_that_is_nearly_right_is_left_alone(self) -> None:
        mine, now = Set(timedelta(minutes=1), refuses=True), datetime.now(UTC)
        assert not mine.correct(now, now - DAY)

    @pytest.mark.parametrize(("off", "said"), [(-365 * DAY, "36[45] days behind"), (365 * DAY, "36[45] days ahead")])
    def test_one_that_cannot_be_set_says_how_wrong_it_is(self, off: timedelta, said: str) -> None:
        now = datetime.now(UTC)
        with pytest.raises(ClockError, match=f"{said}.*not permitted.*set it"):
            Set(off, refuses=True).correct(now, now - DAY)

    def test_nobody_turns_it_back_behind_what_was_signed(self) -> None:
        mine, now = Set(timedelta()), datetime.now(UTC)
        with pytest.raises(ClockError, match="before what it has signed"):
            mine.correct(now - 30 * DAY, now - DAY)
        assert abs(mine.off) < timedelta(seconds=5)

    def test_it_rises_to_the_floor_and_never_falls_to_it(self) -> None:
        now = datetime.now(UTC)
        slow, right = Set(datetime.fromtimestamp(0, UTC) - now), Set(timedelta())
        assert slow.rise(now - DAY)
        assert abs(slow.off + DAY) < timedelta(seconds=5)
        assert not right.rise(now - DAY)
        assert not Set(-365 * DAY, refuses=True).rise(now)

    def test_the_floor_is_the_latest_signature(self, box: Path) -> None:
        floor = clock.floor(box, box.parent)
        crl = x509.load_pem_x509_crl((box / "crl.pem").read_bytes())
        assert floor == max(crl.last_update_utc, validity.read(box).start)
        assert clock.floor(box / "nothing") == datetime.fromtimestamp(0, UTC)

    def test_a_server_says_what_time_it_is_whatever_the_dates_of_its_certificate(
        self, box: Path, manager: Est, tmp_path: Path
    ) -> None:
        manager.anchor.life = -2 * HOUR, -HOUR
        with serving(manager):
            own = tmp_path / "trust-anchor.pem", box / "netconf.pem", box / "netconf.key", anywhere
            with pytest.raises(EnrolmentError, match="expired"):
                clock.told(Https(*own), manager.url)
            assert abs(clock.told(Https(*own, dates=False), manager.url) - datetime.now(UTC)) < timedelta(seconds=5)


class Life:
    """What a keeper does, in its order."""

    def __init__(
        self,
        box: Path,
        mine: Clock,
        *,
        percent: int = 66,
        fails: str = "",
        right: bool = True,
        doubt: bool = False,
        ask_time: Callable[[], bool] | None = None,
    ) -> None:
        self.did: list[str] = []
        self.fails, self.right, self.box = fails, right, box

        async def enrol() -> None:
            self._do("enrol")

        async def taken() -> None:
            self.did.append("taken")

        self.keeper = Keeper(
            self.look,
            mine,
            percent=lambda: percent,
            renew=lambda: self._do("renew"),
            ask_time=ask_time or (lambda: self._do("time") or not right),
            enrol=enrol,
            taken=taken,
            doubt=doubt,
        )

    def look(self) -> Validity:
        return validity.read(self.box)

    def _do(self, what: str) -> bool:
        self.did.append(what)
        if what == self.fails:
            raise EnrolmentError(f"{what} does not go")
        return False

    async def some(self) -> list[str]:
        task = asyncio.create_task(self.keeper.run())
        async with asyncio.timeout(10):
            while "taken" not in self.did and self.keeper.problem is None:  # noqa: ASYNC110 - another task's doing
                await asyncio.sleep(0.01)
        task.cancel()
        return self.did


class TestKeeper:
    def after(self, box: Path, part: float) -> Set:
        found = validity.read(box)
        return Set(found.start + (found.end - found.start) * part - datetime.now(UTC))

    async def test_what_is_due_is_renewed_and_taken_up(self, box: Path) -> None:
        assert (await Life(box, self.after(box, 0.8)).some()) == ["renew", "taken"]

    async def test_what_is_good_is_left_alone(self, box: Path) -> None:
        life = Life(box, self.after(box, 0.5))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await life.keeper.run()
        assert (life.did, life.keeper.problem) == ([], None)

    async def test_a_clock_that_was_lost_is_made_exact_though_certificates_are_good_by_it(self, box: Path) -> None:
        life = Life(box, self.after(box, 0.5), doubt=True)
        assert await life.some() == ["time", "taken"]
        assert not life.keeper.doubt

    async def test_it_stays_in_doubt_until_somebody_says_what_time_it_is(self, box: Path) -> None:
        life = Life(box, self.after(box, 0.5), doubt=True, fails="time")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await life.keeper.run()
        assert (life.did, life.keeper.doubt, life.keeper.problem) == (["time"], True, None)

    async def test_a_failure_is_told_with_its_reason(self, box: Path) -> None:
        life = Life(box, self.after(box, 0.8), fails="renew")
        assert await life.some() == ["renew"]
        state = life.keeper.state()["elasticlab-element:certificates"]
        assert "renew does not go" in state["problem"]
        assert [one["purpose"] for one in state["certificate"]] == ["netconf", "ike"]

    @pytest.mark.parametrize("part", [-0.5, 1.5])
    async def test_what_is_out_of_date_by_a_wrong_clock_is_taken_up_when_that_is_right(
        self, box: Path, part: float
    ) -> None:
        assert (await Life(box, self.after(box, part), right=False).some()) == ["time", "taken"]

    @pytest.mark.parametrize("part", [-0.5, 1.5])
    async def test_a_clock_that_is_put_right_by_hand_meanwhile_is_no_reason_either(
        self, box: Path, part: float, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With good certificates it would be a copy of itself, and all of them revoked."""
        monkeypatch.setattr("element.keeper.RESORT_LAST", 0.1)
        mine, exact = self.after(box, part), self.after(box, 0.5)

        def ask_time() -> bool:
            mine.off = exact.off
            return False

        life = Life(box, mine, ask_time=ask_time)
        assert await life.some() == ["taken"]
        assert not life.keeper.doubt

    async def test_what_has_ended_makes_the_box_ask_to_be_taken_in_anew(self, box: Path) -> None:
        assert (await Life(box, self.after(box, 1.5)).some()) == ["time", "enrol", "taken"]

    async def test_what_is_of_the_future_is_no_reason_to_be_taken_in_anew(self, box: Path) -> None:
        life = Life(box, self.after(box, -0.5))
        assert await life.some() == ["time"]
        assert "the clock is right" in str(life.keeper.problem)
