"""The client of the orchestrator against a server on a socket that answers as a test wants it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness import deeds
from harness.cli.ordering import show_plan
from harness.deeds import Deed
from harness.factory import Factory
from harness.orchestrator import RefusedError, UnavailableError, ordering, registry
from harness.orchestrator.client import Orchestrator
from harness.orchestrator.errors import Fault, faults
from harness.orchestrator.orderfile import OrderFile
from harness.orchestrator.registry import Device
from harness.wait import Deadline, DeadlineError

from .conftest import Answer, Server


@pytest.fixture
def order(tmp_path: Path) -> OrderFile:
    return OrderFile(tmp_path / "branch.json", "acme", {"serviceOrderItem": [{"id": "1", "action": "add"}]})


class TestErrorBodies:
    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (
                {"title": "Invalid order", "detail": "x", "errors": [{"detail": "no", "pointer": "/a/0"}]},
                [Fault("no", "/a/0")],
            ),
            ({"detail": "no", "errors": [{"detail": "a number", "parameter": "limit"}]}, [Fault("a number", "limit")]),
            ({"title": "Not Found", "status": 404}, [Fault("Not Found")]),
            (
                {"ietf-restconf:errors": {"error": [{"error-tag": "invalid-value", "error-message": "no label",
                                                     "error-path": "/d:devices"}]}},
                [Fault("no label", "/d:devices")],
            ),
            (
                {"ietf-yang-patch:yang-patch-status": {"edit-status": {"edit": [
                    {"edit-id": "1", "ietf-restconf:errors": {"error": [{"error-tag": "data-missing"}]}}]}}},
                [Fault("data-missing")],
            ),
            ({"schemas": ["…Error"], "status": "400", "scimType": "invalidValue", "detail": "name"}, [Fault("name")]),
            ({"error": "invalid_client", "error_description": "who?"}, [Fault("who?")]),
            ({"error": "invalid_client"}, [Fault("invalid_client")]),
        ],
    )  # fmt: skip
    def test_each_kind_is_understood(self, body: Any, expected: list[Fault]) -> None:
        assert list(faults(json.dumps(body).encode())) == expected

    @pytest.mark.parametrize("content", [b"", b"<html>\x1b[2J", b"[1]", b"{}", b"\xff", b'{"errors": [3]}'])
    def test_what_is_none_of_them_is_told_as_it_is(self, content: bytes) -> None:
        (fault,) = faults(content)
        assert str(fault)
        assert fault.text.isprintable()


class TestCalls:
    def test_one_token_serves_many_calls(self, far: Orchestrator, server: Server) -> None:
        server.answers["GET", "/sites"] = [(200, [])]
        assert ordering.sites(far) == ordering.sites(far) == []
        assert server.tokens == 1

    def test_questions_share_a_connection_that_the_server_may_end(self, far: Orchestrator, server: Server) -> None:
        server.answers["GET", "/sites"] = [(200, [])]
        for _ in range(3):
            ordering.sites(far)
        assert server.connections == 1, "the token is asked for at the same port here"
        server.hang_up = True
        for _ in range(3):
            assert ordering.sites(far) == []

    def test_what_changes_something_is_never_sent_twice(self, far: Orchestrator, server: Server) -> None:
        """On a connection that was idle nobody knows whether it arrived."""
        server.answers["POST", "/x"] = [(201, {})]
        far.call("gro", "POST", "/x", {})
        before = server.connections
        far.call("gro", "POST", "/x", {})
        assert server.connections == before + 1
        assert [method for method, _, _ in server.asked] == ["POST", "POST"]

    def test_a_token_that_is_refused_is_replaced_once(self, far: Orchestrator, server: Server) -> None:
        server.answers["GET", "/sites"] = [(401, {}), (200, [])]
        assert ordering.sites(far) == []
        assert server.tokens == 2
        server.answers["GET", "/sites"] = [(401, {"detail": "never"})]
        with pytest.raises(RefusedError, match="never"):
            ordering.sites(far)

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_what_may_pass_is_told_apart_from_a_no(self, far: Orchestrator, server: Server, status: int) -> None:
        server.answers["GET", "/sites"] = [(status, {"detail": "the controller does not answer"})]
        with pytest.raises(UnavailableError, match=f"gro cannot do it now \\({status}\\): the controller does not"):
            ordering.sites(far)

    def test_nobody_there_is_told_with_the_place(self, factory: Factory) -> None:
        secret = factory.directory / "stacks" / "stack" / "labctl-secret"
        with pytest.raises(UnavailableError, match=r"identity at https://127\.0\.0\.9:8441 does not answer"):
            ordering.sites(Orchestrator("127.0.0.9", factory.service_ca, secret))

    def test_a_server_of_another_lab_is_not_told_the_secret(self, server: Server, tmp_path: Path) -> None:
        stranger = Factory.open(tmp_path / "other")
        (tmp_path / "secret").write_text("a secret")
        with pytest.raises(UnavailableError, match="not whom the lab's service CA certified"):
            ordering.sites(Orchestrator("127.0.0.1", stranger.service_ca, tmp_path / "secret"))
        assert server.tokens == 0


class TestRegistry:
    PLACE = f"{registry.DEVICES}/device=EL-1"
    DEVICE = Device("EL-1", "ucpe-1", "ucpe-100", "acme")

    def known(self, **changed: str) -> Answer:
        entry = {"serial": "EL-1", "name": "ucpe-1", "model": "ucpe-100", "owner": "acme", **changed}
        return 200, {registry.LIST: [entry]}

    @pytest.mark.parametrize(
        ("known", "expected"),
        [
            (None, "PUT"),
            ({"administrative-state": "revoked"}, None),
            ({"owner": "globex", "administrative-state": "revoked"}, "PATCH"),
        ],
        ids=["new", "as wanted", "another's"],
    )
    def test_it_writes_what_is_missing_and_never_lifts_a_revocation(
        self, far: Orchestrator, server: Server, known: dict[str, str] | None, expected: str | None
    ) -> None:
        if known is not None:
            server.answers["GET", self.PLACE] = [self.known(**known)]
        for method in ("PUT", "PATCH"):
            server.answers[method, self.PLACE] = [(204, {})]
        registry.register(far, self.DEVICE)
        written = [(method, body) for method, _, body in server.asked if method != "GET"]
        assert [method for method, _ in written] == ([expected] if expected else [])
        assert all("administrative-state" not in json.dumps(body) for _, body in written)


class TestPlacing:
    COLLECTION = f"{ordering.ORDERING}/serviceOrder"

    def listed(self, state: str, service: str, tenant: str = "acme") -> Answer:
        item = {"action": "add", "service": {"state": service}}
        party = [{"role": "customer", "id": tenant}]
        return 200, [{"id": "old", "state": state, "serviceOrderItem": [item], "relatedParty": party}]

    @pytest.mark.parametrize(
        ("state", "service", "tenant", "again"),
        [
            ("held", "reserved", "acme", False),
            ("completed", "active", "acme", False),
            ("completed", "terminated", "acme", True),
            ("failed", "terminated", "acme", True),
            ("cancelled", "terminated", "acme", True),
            ("completed", "active", "globex", True),
        ],
    )
    def test_what_stands_is_not_ordered_again(
        self, far: Orchestrator, server: Server, order: OrderFile, tmp_path: Path,
        state: str, service: str, tenant: str, again: bool,
    ) -> None:  # fmt: skip
        server.answers["GET", self.COLLECTION] = [self.listed(state, service, tenant)]
        server.answers["POST", self.COLLECTION] = [(201, {"id": "new", "state": "acknowledged"})]
        placed = ordering.place(far, order, tmp_path / "lock")
        assert (placed.fresh, placed.id) == (again, "new" if again else "old")
        assert sum(method == "POST" for method, _, _ in server.asked) == again

    def test_a_refusal_names_file_and_field(
        self, far: Orchestrator, server: Server, order: OrderFile, tmp_path: Path
    ) -> None:
        problem = {"title": "Invalid order", "errors": [{"detail": "is missing", "pointer": "/serviceOrderItem/0/id"}]}
        server.answers["GET", self.COLLECTION] = [(200, [])]
        server.answers["POST", self.COLLECTION] = [(400, problem)]
        with pytest.raises(ordering.OrderRefusedError) as refusal:
            ordering.place(far, order, tmp_path / "lock")
        expected = f"{order.path}: gro refuses it (400): /order/serviceOrderItem/0/id: is missing"
        assert str(refusal.value) == expected

    def test_a_plan_that_nobody_can_make_now_names_the_file(
        self, far: Orchestrator, server: Server, order: OrderFile
    ) -> None:
        server.answers["POST", f"{ordering.ORDERING}/orderPlan"] = [(503, {"detail": "no controller"})]
        with pytest.raises(UnavailableError, match=r"branch\.json: gro cannot do it now \(503\): no controller"):
            ordering.plan(far, order)


def test_a_plan_is_shown_with_its_notes() -> None:
    edit = {"device": "ucpe-1", "operation": "create", "target": "/x", "description": "an edit"}
    note = {"site": "acme.b1", "peer": "acme.b2", "text": "both behind NAT: relayed by the POP"}
    said = io.StringIO()
    show_plan(Console(file=said, width=100), {"edit": [edit], "note": [note]}, as_json=False)
    assert "an edit" in said.getvalue()
    assert "note  acme.b1 – acme.b2: both behind NAT: relayed by the POP" in said.getvalue()


def stream(*events: tuple[str, dict[str, Any]]) -> bytes:
    return b"".join(f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode() for kind, data in events)


class TestFollowing:
    EVENTS = f"{ordering.ORDERING}/serviceOrder/7/events"
    RESERVE = ("step", {"id": "1", "name": "reserve", "status": "done"})
    HELD = ("step", {"id": "2", "name": "devices", "status": "held", "message": "plug it in"})

    def test_a_lost_connection_tells_nothing_twice(self, far: Orchestrator, server: Server) -> None:
        halfway = stream(self.RESERVE, self.HELD, ("state", {"state": "held"}))
        whole = halfway + stream(("state", {"state": "completed"}))
        server.answers["GET", self.EVENTS] = [(200, halfway), (503, {}), (200, whole)]
        server.answers["GET", self.EVENTS.removesuffix("/events")] = [(200, {"id": "7", "state": "completed"})]
        told: list[str] = []
        ended = ordering.follow(
            far, "7", Deadline(10), lambda _, news: told.append(news.get("name", news.get("state")))
        )
        assert ended["state"] == "completed"
        assert told == ["reserve", "devices", "held", "completed"]

    def test_time_that_is_over_tells_where_it_stands(self, far: Orchestrator, server: Server) -> None:
        server.answers["GET", self.EVENTS] = [(200, stream(self.HELD, ("state", {"state": "held"})))]
        document = {"state": "held", "milestone": [self.HELD[1]]}
        server.answers["GET", self.EVENTS.removesuffix("/events")] = [(200, document)]
        with pytest.raises(DeadlineError, match="goes on without us: held at devices: plug it in"):
            ordering.follow(far, "7", Deadline(0.5))

    def test_an_order_that_is_not_there(self, far: Orchestrator, server: Server) -> None:
        with pytest.raises(RefusedError, match="nothing"):
            ordering.follow(far, "nowhere", Deadline(5))

    def test_who_listens_may_fail_for_its_own_reasons(self, far: Orchestrator, server: Server) -> None:
        server.answers["GET", self.EVENTS] = [(200, stream(self.RESERVE))]

        def gone(*_: Any) -> None:
            raise BrokenPipeError("nobody reads this any more")

        listener: Callable[..., None] = gone
        with pytest.raises(BrokenPipeError):
            ordering.follow(far, "7", Deadline(5), listener)


def test_who_listens_is_told_of_requests_that_change_something_and_of_no_other(
    far: Orchestrator, server: Server
) -> None:
    server.answers["POST", "/x"] = [(201, {})]
    server.answers["GET", "/x"] = [(200, {})]
    heard: list[Deed] = []
    with deeds.heard(heard.append):
        far.call("gro", "GET", "/x")
        far.call("gro", "POST", "/x", {"a": "secret"})
    assert [(deed.what, deed.text) for deed in heard] == [("request", "POST /x (gro) → 201")]
