"""Two tenants cannot see each other through any operation of GRO's OpenAPI: what is another's is as if it never was.

Each operation has a rule here; one without (a new route) fails the test.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import pytest_asyncio
from gro import catalogue
from gro.api import create_app

from tests.unit.gro.conftest import OFFERS, ORDERING, Gro, authenticate, plugged_in, running

INVENTORY = "/tmf-api/serviceInventory/v4"
SITE = {"name": "branch-1", "device": "S1", "access": "routed", "gateway": "10.1.0.1/24"}


def add(site: dict[str, Any]) -> dict[str, Any]:
    given = [{"name": "site", "value": site}]
    return {
        "id": "1",
        "action": "add",
        "service": {"serviceSpecification": {"id": "site-to-internet"}, "serviceCharacteristic": given},
    }


@dataclass
class Owned:
    """What acme has; `rival` looks for it."""

    gro: Gro
    order: str
    service: str
    cancellation: str
    listeners: dict[str, str]

    @property
    def secrets(self) -> list[str]:
        """What must be in no answer to a rival who does not name it."""
        return ["acme", "branch-1", "S1", self.order, self.service, self.cancellation, *self.listeners.values()]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def owned(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Owned]:
    folder = tmp_path_factory.mktemp("tenants")
    async with running(folder, await plugged_in(folder)) as gro:
        listeners = {}
        for api in ("serviceOrdering", "serviceInventory", "serviceCatalogManagement"):
            made = await gro.call("POST", f"/tmf-api/{api}/v4/hub", {"callback": f"{gro.listener.url}/acme"})
            listeners[api] = made.json()["id"]
        order = await gro.finished(await gro.order(add(SITE)))
        (service,) = (await gro.call("GET", f"{INVENTORY}/service")).json()
        held = await gro.order(add({**SITE, "name": "b-9", "device": "S9", "gateway": "10.9.0.1/24"}))
        wish = {"serviceOrder": {"id": held.json()["id"]}}
        cancellation = (await gro.call("POST", f"{ORDERING}/cancelServiceOrder", wish)).json()["id"]
        await gro.finished(held)
        yield Owned(gro, order["id"], service["id"], cancellation, listeners)


def same(theirs: httpx.Response, none: httpx.Response, id_: str, never: str) -> None:
    """An answer about another's thing is that about a thing that never was."""
    assert (theirs.status_code, theirs.text.replace(id_, never)) == (none.status_code, none.text)


Rule = Callable[[Owned, str, str], Awaitable[None]]


def one(kind: Callable[[Owned], str]) -> Rule:
    """The path holds an id."""

    async def check(owned: Owned, method: str, path: str) -> None:
        id_, never = kind(owned), str(uuid.uuid4())
        body = {} if method == "PATCH" else None
        theirs = await owned.gro.call(method, path.replace("{id_}", id_), body, "rival")
        assert theirs.status_code == 404
        same(theirs, await owned.gro.call(method, path.replace("{id_}", never), body, "rival"), id_, never)

    return check


async def empty(owned: Owned, method: str, path: str) -> None:
    """A list of what is the caller's."""
    answer = await owned.gro.call(method, path, tenant="rival")
    assert (answer.status_code, answer.json(), answer.headers.get("x-total-count", "0")) == (200, [], "0")
    assert (await owned.gro.call(method, path)).json() != [], "acme itself sees something"


async def shared(owned: Owned, method: str, path: str) -> None:
    """The same for all."""
    ids = ("elasticlab", "network", "site-to-internet")
    answers = [await owned.gro.call(method, path.replace("{id_}", id_), tenant="rival") for id_ in ids]
    assert any(answer.status_code == 200 for answer in answers)
    assert not any(secret in answer.text for answer in answers for secret in owned.secrets)


async def ordered(owned: Owned, method: str, path: str) -> None:
    """A body that names another's site, device or service."""

    async def send(item: dict[str, Any]) -> httpx.Response:
        return await owned.gro.call(method, path, {"serviceOrderItem": [item]}, "rival")

    never = str(uuid.uuid4())
    deletes = [await send({"id": "1", "action": "delete", "service": {"id": id_}}) for id_ in (owned.service, never)]
    assert deletes[0].status_code == 400
    same(deletes[0], deletes[1], owned.service, never)
    names = [await send(add({"name": name})) for name in ("branch-1", "branch-8")]
    assert names[0].status_code == 400
    same(names[0], names[1], "branch-1", "branch-8")
    devices = [
        await send(add({**SITE, "name": f"new-{serial.lower()}", "device": serial, "gateway": f"10.{n}.0.1/24"}))
        for n, serial in enumerate(("S1", "S8"), 3)
    ]
    if path.endswith("orderPlan"):
        assert devices[0].status_code == 422
        assert devices[0].text.replace("S1", "S8").replace("new-s1", "new-s8") == devices[1].text
        return
    held = [(await owned.gro.until(answer, "held"))["milestone"][-1]["message"] for answer in devices]
    assert held[0].replace("S1", "S8").replace("new-s1", "new-s8") == held[1]
    for answer in devices:
        wish = {"serviceOrder": {"id": answer.json()["id"]}}
        await owned.gro.call("POST", f"{ORDERING}/cancelServiceOrder", wish, "rival")
        assert (await owned.gro.finished(answer, "rival"))["state"] == "cancelled"


async def cancels(owned: Owned, method: str, path: str) -> None:
    never = str(uuid.uuid4())
    answers = [
        await owned.gro.call(method, path, {"serviceOrder": {"id": id_}}, "rival") for id_ in (owned.order, never)
    ]
    assert answers[0].status_code == 400
    same(answers[0], answers[1], owned.order, never)


async def told(owned: Owned, method: str, path: str) -> None:
    """A listener hears of its own tenant only."""
    listener = owned.gro.listener
    subscribed = await owned.gro.call(method, path, {"callback": f"{listener.url}/rival"}, "rival")
    new = {**SITE, "name": "branch-2", "device": "S2", "gateway": "10.2.0.1/24"}
    order = await owned.gro.finished(await owned.gro.order(add(new)))
    end = {"id": "1", "action": "delete", "service": {"id": order["serviceOrderItem"][0]["service"]["id"]}}
    ended = await owned.gro.finished(await owned.gro.order(end))
    await listener.until("completed", ended["id"])
    assert {path for path, _ in listener.told} == {"/acme"}
    await owned.gro.call("DELETE", subscribed.headers["location"], tenant="rival")


async def silent(owned: Owned, method: str, path: str) -> None:
    """A stream of what is the caller's: other tenants' changes are not in it."""
    headers = {"x-tenant": "rival"}
    async with asyncio.timeout(20), owned.gro.client.stream(method, path, headers=headers) as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == ": still here"
        owned.gro.network.controller.site("acme.branch-1", "down")
        owned.gro.network.controller.site("acme.branch-1", "up")
        order = await owned.gro.order(add({**SITE, "device": "S7", "gateway": "10.7.0.1/24"}), tenant="rival")
        while not (line := await anext(lines)).startswith("data:"):
            pass
        assert json.loads(line[5:])["id"] == "rival.branch-1", "the first that it is told is its own"
        await owned.gro.call(
            "POST", f"{ORDERING}/cancelServiceOrder", {"serviceOrder": {"id": order.json()["id"]}}, None
        )
        await owned.gro.finished(order, None)


async def public(owned: Owned, method: str, path: str) -> None:
    answer = await owned.gro.call(method, path, tenant="rival")
    assert answer.json() == {"status": "ok"}


RULES: dict[str, Rule] = {
    "listServiceOrders": empty, "listCancelServiceOrders": empty, "listServices": empty, "listSites": empty,
    "readServiceOrder": one(lambda own: own.order), "changeServiceOrder": one(lambda own: own.order),
    "deleteServiceOrder": one(lambda own: own.order), "followServiceOrder": one(lambda own: own.order),
    "readCancelServiceOrder": one(lambda own: own.cancellation), "readService": one(lambda own: own.service),
    "unsubscribeOrdering": one(lambda own: own.listeners["serviceOrdering"]),
    "unsubscribeInventory": one(lambda own: own.listeners["serviceInventory"]),
    "unsubscribeCatalogue": one(lambda own: own.listeners["serviceCatalogManagement"]),
    "subscribeOrdering": told, "subscribeInventory": told, "subscribeCatalogue": told,
    "planServiceOrder": ordered, "followSites": silent, "cancelServiceOrder": cancels, "readHealth": public,
    "createServiceOrder": ordered,
    "listServiceSpecifications": shared, "listServiceCandidates": shared, "listServiceCategories": shared,
    "listServiceCatalogs": shared, "readServiceSpecification": shared, "readServiceCandidate": shared,
    "readServiceCategory": shared, "readServiceCatalog": shared,
}  # fmt: skip
# They leave something in the rival's own lists.
LAST = ("followSites", "createServiceOrder")


def operations() -> list[Any]:
    app = create_app(SimpleNamespace(catalogue=catalogue.load(OFFERS)), authenticate)  # type: ignore[arg-type]
    found = [
        pytest.param(operation["operationId"], method.upper(), path, id=operation["operationId"])
        for path, item in app.openapi()["paths"].items()
        for method, operation in item.items()
    ]
    return sorted(found, key=lambda one: LAST.index(one.id) if one.id in LAST else -1)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("operation", "method", "path"), operations())
async def test_a_rival_learns_nothing(owned: Owned, operation: str, method: str, path: str) -> None:
    assert operation in RULES, f"{method} {path} is new: say here what another tenant may learn by it"
    await RULES[operation](owned, method, path)
    still = await owned.gro.call("GET", f"{ORDERING}/serviceOrder/{owned.order}")
    assert still.json()["state"] == "completed", "what is acme's is as it was"
