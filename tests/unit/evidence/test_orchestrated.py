"""An order's life on the clock of everything else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from harness.evidence.clocks import Clocks, Wrong
from harness.evidence.orchestrated import News, of_order, timed

ORDER: dict[str, Any] = {
    "id": "0a1b2c3d-0000-4000-8000-000000000000",
    "state": "failed",
    "orderDate": "2026-11-22T12:00:00.000Z",
    "completionDate": "2026-11-22T12:00:09.500Z",
    "errorMessage": [{"code": "notFulfilled", "reason": "ucpe-1 cannot be reached"}],
    "relatedParty": [{"id": "labctl", "role": "seller"}, {"id": "acme", "role": "customer"}],
    "serviceOrderItem": [
        {"action": "add", "service": {"serviceSpecification": {"id": "site-to-cloud"}, "sharedKey": "a secret"}},
        {"action": "delete", "service": {"id": "ffee0000-0000-4000-8000-000000000000"}},
    ],
    "milestone": [
        {
            "name": "commit",
            "status": "failed",
            "startDate": "2026-11-22T12:00:01.000Z",
            "endDate": "2026-11-22T12:00:08.000Z",
            "attempts": 3,
            "message": "no session",
        },
        {"name": "undo commit", "status": "running", "startDate": "2026-11-22T12:00:08.100Z", "attempts": 1},
    ],
}


def test_an_order_its_steps_and_its_end_are_told_each_at_its_time() -> None:
    begin = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
    assert [News(round(one.at - begin, 3), one.order, one.text) for one in of_order(ORDER)] == [
        News(0, "0a1b2c3d", "placed for acme: add site-to-cloud, delete ffee0000"),
        News(1, "0a1b2c3d", "step commit begins"),
        News(8, "0a1b2c3d", "step commit failed, attempt 3: no session"),
        News(8.1, "0a1b2c3d", "step undo commit begins"),
        News(9.5, "0a1b2c3d", "failed: ucpe-1 cannot be reached"),
    ]


def test_an_order_that_was_placed_and_done_by_a_wrong_clock_is_told_when_it_was() -> None:
    """All of it was an hour later, a step and the end after the clock had been put right."""
    hour_ago = {"orderDate": "2026-11-22T11:00:00.000Z"}
    first, second = ORDER["milestone"]
    steps = [{**first, "startDate": "2026-11-22T11:00:01.000Z", "endDate": "2026-11-22T11:00:05.000Z"}, second]
    begin = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
    clocks = Clocks([Wrong(begin - 1, begin + 7, -3600, 0, frozenset({"stack"}))], begin + 20)
    told = timed(of_order({**ORDER, **hour_ago, "milestone": steps}), clocks, "stack")
    assert [round(one.at - begin, 3) for one in told] == [0, 1, 5, 8.1, 9.5]
