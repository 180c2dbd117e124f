"""An order's life on the clock of everything else."""

from __future__ import annotations

from datetime import UTC, datetime

from harness.evidence.orchestrated import News, of_order

ORDER = {
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
