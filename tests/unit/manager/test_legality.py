"""The decision as a table."""

from __future__ import annotations

import pytest
from manager.legality import PERMITTED, Asked, Known, Refusal, Registered, Status, Verdict, decide
from manager.limits import RateLimit

OURS = Registered(revoked=False)
BUSY = Known(Status.BOOTSTRAPPING, "k", "c")
COPIED = Verdict(Refusal.COPIED, quarantine=True)

CASES = {
    "unknown serial": (None, None, Asked("k"), Verdict(Refusal.UNKNOWN)),
    "unknown serial, known before": (None, BUSY, Asked("k", "c"), Verdict(Refusal.UNKNOWN)),
    "new": (OURS, None, Asked("k"), PERMITTED),
    "new with the key told": (Registered(False, "k"), None, Asked("k"), PERMITTED),
    "new with another key than told": (Registered(False, "t"), None, Asked("k"), Verdict(Refusal.WRONG_KEY)),
    "another key than pinned": (OURS, BUSY, Asked("x", "c"), Verdict(Refusal.WRONG_KEY)),
    "revoked": (Registered(True), None, Asked("k"), Verdict(Refusal.REVOKED)),
    "revoked, another key": (Registered(True), BUSY, Asked("x"), Verdict(Refusal.REVOKED)),
    "revoked on record": (OURS, Known(Status.REVOKED, "k"), Asked("k"), Verdict(Refusal.REVOKED)),
    "asks again": (OURS, BUSY, Asked("k", "c"), PERMITTED),
    "begins again": (OURS, BUSY, Asked("k"), PERMITTED),
    "request after first question": (OURS, Known(Status.BOOTSTRAPPING, "k"), Asked("k", "c"), PERMITTED),
    "copy at the same time": (OURS, BUSY, Asked("k", "other"), COPIED),
    "copy later": (OURS, Known(Status.MANAGED, "k", "c"), Asked("k", "other"), COPIED),
    "replay": (OURS, Known(Status.MANAGED, "k", "c"), Asked("k", "c"), COPIED),
    "managed, nothing holds any more": (
        OURS,
        Known(Status.MANAGED, "k", "c"),
        Asked("k", "new", holds=False),
        Verdict(Refusal.EXPIRED),
    ),
    "nothing holds, another key": (
        OURS,
        Known(Status.MANAGED, "k", "c"),
        Asked("x", holds=False),
        Verdict(Refusal.WRONG_KEY),
    ),
    "question of a managed one": (OURS, Known(Status.MANAGED, "k", "c"), Asked("k"), COPIED),
    "managed, another key": (OURS, Known(Status.MANAGED, "k", "c"), Asked("x"), Verdict(Refusal.WRONG_KEY)),
    "quarantined": (OURS, Known(Status.QUARANTINED, "k", "c"), Asked("k", "c"), Verdict(Refusal.QUARANTINED)),
    "released": (OURS, Known(Status.EXPECTED, "k"), Asked("k", "new"), PERMITTED),
    "released, another key": (OURS, Known(Status.EXPECTED, "k"), Asked("x"), Verdict(Refusal.WRONG_KEY)),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_decide(case):
    registered, known, asked, verdict = CASES[case]
    assert decide(registered, known, asked) == verdict


def test_a_peer_waits_after_its_burst_and_others_do_not():
    now = [0.0]
    limit = RateLimit(60, 2, lambda: now[0])
    assert [limit.wait("a"), limit.wait("a")] == [0, 0]
    assert limit.wait("a") == pytest.approx(1)
    assert limit.wait("b") == 0
    now[0] = 1.0
    assert limit.wait("a") == 0
