"""What holds for every operation of GRO's OpenAPI: tokens, methods, media types, errors, bodies that are no good."""

from types import SimpleNamespace
from typing import Any

import pytest
from gro import catalogue
from gro.api import create_app

from tests.unit.gro.conftest import OFFERS, ORDERING, authenticate

DOCUMENT = create_app(SimpleNamespace(catalogue=catalogue.load(OFFERS)), authenticate).openapi()  # type: ignore[arg-type]
OPERATIONS = [
    (method.upper(), path, operation) for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
]
METHODS = {"GET", "POST", "PATCH", "DELETE", "PUT"}
PROBLEM = "application/problem+json"


def fill(path: str) -> str:
    return path.replace("{id_}", "none")


async def test_without_a_token_nothing_but_health_answers(gro: Any) -> None:
    for method, path, operation in OPERATIONS:
        answer = await gro.client.request(method, fill(path), content=b"{", headers={"content-type": "text/plain"})
        open_ = operation.get("security") == []
        assert answer.status_code == (200 if open_ else 401), (method, path)
        assert open_ == (path == "/health")
        assert open_ or answer.headers["www-authenticate"].startswith("Bearer")


async def test_other_methods_are_refused_with_those_that_are_possible(gro: Any) -> None:
    for path, item in DOCUMENT["paths"].items():
        possible = {method.upper() for method in item}
        for method in METHODS - possible:
            answer = await gro.call(method, fill(path))
            assert (answer.status_code, answer.headers["content-type"]) == (405, PROBLEM), (method, path)
            assert set(answer.headers["allow"].split(", ")) == possible, path


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{}", "text/plain", 415),
        (b"{}", "application/xml", 415),
        (b"{}", "", 415),
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"a": 1e999}', "application/json", 400),
        (b'{"a": NaN}', "application/json", 400),
        (b'{"description": "\\ud800"}', "application/json", 400),
        (b'{"a": ' + b"9" * 5000 + b"}", "application/json", 400),
        (b'{"description": "' + b"x" * 1_000_000 + b'"}', "application/json", 413),
    ],
)
async def test_bodies_that_cannot_be_are_refused_by_every_operation(
    gro: Any, content: bytes, kind: str, status: int
) -> None:
    headers = {"x-tenant": "acme", **({"content-type": kind} if kind else {})}
    for method, path, operation in OPERATIONS:
        if "requestBody" in operation:
            answer = await gro.client.request(method, fill(path), content=content, headers=headers)
            assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), (method, path)
            assert str(status) in operation["responses"]


def test_every_operation_says_what_it_answers_and_how_it_fails() -> None:
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(ids) == len(set(ids))
    for method, path, operation in OPERATIONS:
        statuses = set(operation["responses"])
        assert "422" not in statuses or path.endswith("orderPlan"), "FastAPI's own 422 is none of our answers"
        if operation.get("security") != []:
            assert {"401", "403", "503"} <= statuses, (method, path)
        for status, answer in operation["responses"].items():
            assert status == "204" or answer["content"], (method, path, status)
            assert int(status) < 400 or set(answer["content"]) == {PROBLEM}
        assert (method in ("POST", "PATCH")) == ("requestBody" in operation)
    assert DOCUMENT["openapi"] == "3.1.0"
    assert DOCUMENT["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_every_reference_leads_somewhere() -> None:
    schemas = DOCUMENT["components"]["schemas"]

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                assert node["$ref"].removeprefix("#/components/schemas/") in schemas
            for one in node.values():
                walk(one)
        elif isinstance(node, list):
            for one in node:
                walk(one)

    walk(DOCUMENT)


def test_an_offer_is_the_schema_that_its_order_is_checked_with() -> None:
    for offer in catalogue.load(OFFERS):
        schema = DOCUMENT["components"]["schemas"][f"ServiceAdd.{offer.id}"]
        each = schema["properties"]["serviceCharacteristic"]["items"]
        shown = {
            one["allOf"][1]["properties"]["name"]["const"]: one["allOf"][1]["properties"]["value"]
            for one in each.get("anyOf", [each])
        }
        assert shown == {name: one["valueSchema"] for name, one in offer.characteristics.items()}


S = "/serviceOrderItem/0/service"
GOOD: dict[str, Any] = {"id": "1", "action": "add", "service": {"serviceSpecification": {"id": "site-to-internet"}}}


@pytest.mark.parametrize(
    ("body", "pointer", "text"),
    [
        ({"serviceOrderItem": [GOOD], "descripton": "x"}, "/descripton", "the member 'descripton' is not known here"),
        ({"serviceOrderItem": [GOOD], "id": "x"}, "/id", "the member 'id' is set by the server"),
        ({"serviceOrderItem": [GOOD], "description": 7}, "/description", "a string is expected"),
        ({"serviceOrderItem": [GOOD], "description": None}, "/description", "a string is expected"),
        ({"serviceOrderItem": [GOOD], "note": "x"}, "/note", "an array is expected"),
        ({"serviceOrderItem": [GOOD], "note": [{}]}, "/note/0/text", "the member 'text' is missing"),
        ({"serviceOrderItem": [GOOD], "requestedStartDate": "tomorrow"}, "/requestedStartDate", "RFC 3339"),
        ({"serviceOrderItem": [GOOD], "description": "a\x07"}, "/description", "control characters"),
        ({"serviceOrderItem": [7]}, "/serviceOrderItem/0", "an object is expected"),
        ({"serviceOrderItem": [{}]}, "/serviceOrderItem/0/action", "the member 'action' is missing"),
        (
            {"serviceOrderItem": [{**GOOD, "action": []}]},
            "/serviceOrderItem/0/action",
            "add, modify and delete are possible",
        ),
        ({"serviceOrderItem": [{**GOOD, "quantity": 2}]}, "/serviceOrderItem/0/quantity", "item of its own"),
        ({"serviceOrderItem": [{**GOOD, "quantity": True}]}, "/serviceOrderItem/0/quantity", "item of its own"),
        ({"serviceOrderItem": [{**GOOD, "service": {"id": "x"}}]}, f"{S}/serviceSpecification", "specification"),
        ({"serviceOrderItem": [GOOD] * 101}, "/serviceOrderItem", "at most 100"),
        ({"serviceOrderItem": [GOOD], "a/b~c": 1}, "/a~1b~0c", "not known here"),
    ],
)
async def test_what_is_wrong_is_said_with_its_place(gro: Any, body: Any, pointer: str, text: str) -> None:
    answer = await gro.call("POST", f"{ORDERING}/serviceOrder", body)
    assert answer.status_code == 400
    first = answer.json()["errors"][0]
    assert (first["pointer"], text in first["detail"]) == (pointer, True), answer.text


async def test_all_that_is_wrong_is_said_at_once(gro: Any) -> None:
    answer = await gro.call("POST", f"{ORDERING}/serviceOrder", {"serviceOrderItem": [], "a": 1, "description": 1})
    assert {one["pointer"] for one in answer.json()["errors"]} == {"/serviceOrderItem", "/a", "/description"}


async def test_a_page_says_which_it_is(gro: Any) -> None:
    path = "/tmf-api/serviceCatalogManagement/v4/serviceSpecification"
    whole = await gro.call("GET", path)
    assert (whole.status_code, "content-range" in whole.headers) == (200, False)
    part = await gro.call("GET", f"{path}?offset=1&limit=1")
    assert (part.status_code, part.headers["content-range"]) == (206, f"items 1-1/{len(whole.json())}")
    none = await gro.call("GET", f"{path}?offset=7")
    assert (none.status_code, none.headers["content-range"], none.json()) == (206, f"items */{len(whole.json())}", [])
    for wrong in ("offset=-1", "limit=x", "limit=", "offset=9999999999999"):
        answer = await gro.call("GET", f"{path}?{wrong}")
        assert (answer.status_code, answer.json()["errors"][0]["in"]) == (400, "query"), wrong


async def test_a_member_is_removed_by_null(gro: Any) -> None:
    await gro.network.unplug_all()
    site = {"name": "branch-1", "device": "S1", "access": "routed", "gateway": "10.1.0.1/24"}
    service = {**GOOD["service"], "serviceCharacteristic": [{"name": "site", "value": site}]}
    order = await gro.order({**GOOD, "service": service})
    href = order.json()["href"]
    both = {"description": "urgent", "externalId": "7"}
    assert both.items() <= (await gro.call("PATCH", href, both)).json().items()
    found = (await gro.call("PATCH", href, {"description": None})).json()
    assert ("description" in found, found["externalId"]) == (False, "7")
