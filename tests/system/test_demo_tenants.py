"""Two tenants on the same POP: neither learns of the other by any interface, and no packet finds its way (EV-18)."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness.lab import Lab
from harness.orchestrator import RefusedError, accounts, ordering, plug, registry
from harness.orchestrator.client import Orchestrator
from tests.system.lifecycle import HOSTS, SERVER, Life
from tests.system.traces import INTENT, NETWORK, Json

pytestmark = pytest.mark.topology("demo", orders=False)

YANG = "application/yang-data+json"
SITES: dict[str, dict[str, Json]] = {
    "acme": {"name": "home-of-acme", "device": "EL-UCPE-0001", "access": "routed", "gateway": "10.1.0.1/24"},
    "umbrella": {
        "name": "home-of-umbrella", "device": "EL-UCPE-0002", "access": "bridged", "vlan": 20, "gateway": "10.2.0.1/24",
    },
}  # fmt: skip
HOST_OF = {"acme": "host-1", "umbrella": "host-2"}


@dataclass(frozen=True)
class Tenant:
    """One of two, with a program of its own, and what only it may know."""

    name: str
    far: Orchestrator
    order: str
    service: str
    cancellation: str

    @property
    def secrets(self) -> tuple[str, ...]:
        # Not its device, which the other has had, and knows from its own orders.
        return self.order, self.service, self.cancellation, str(SITES[self.name]["name"]), f'"{self.name}"'

    def ask(self, component: str, method: str, path: str, body: Any = None, media: str = "application/json") -> Any:
        """Status and text of an answer."""
        try:
            answer = self.far.call(component, method, path, body, media=media)
        except RefusedError as error:
            return error.status, str(error)
        return answer.status, answer.content.decode()


def item(tenant: str, **changed: Json) -> Json:
    service = {
        "serviceSpecification": {"id": "site-to-internet"},
        "serviceCharacteristic": [{"name": "site", "value": {**SITES[tenant], **changed}}],
    }
    return {"id": "1", "action": "add", "service": service}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("programs")


@pytest.fixture
def tenants(life: Life, nothing: dict[str, Json], folder: Path) -> Iterator[tuple[Tenant, Tenant]]:
    """Both with a site on the Internet, and an order that was cancelled."""
    devices = {one.serial: one for one in plug.wiring(life.lab.topology, life.lab.factory).devices}
    borrowed = devices["EL-UCPE-0002"]
    registry.register(life.far, replace(borrowed, owner="umbrella"))
    made = []
    for name in SITES:
        far = program(life, name, folder)
        far_order = far.call(
            "gro", "POST", f"{ordering.ORDERING}/serviceOrder", {"serviceOrderItem": [item(name)]}
        ).json()
        service = life.completed(far_order["id"])["serviceOrderItem"][0]["service"]["id"]
        other = [item(name, name="nowhere", device="EL-NOT-THERE", gateway="10.99.0.1/24")]
        wish = far.call("gro", "POST", f"{ordering.ORDERING}/serviceOrder", {"serviceOrderItem": other}).json()["id"]
        cancelled = far.call(
            "gro", "POST", f"{ordering.ORDERING}/cancelServiceOrder", {"serviceOrder": {"id": wish}}
        ).json()
        life.ended(wish)
        made.append(Tenant(name, far, far_order["id"], service, cancelled["id"]))
    yield made[0], made[1]
    life.clear()
    registry.register(life.far, borrowed)


def program(life: Life, tenant: str, folder: Path) -> Orchestrator:
    """A tenant's program with a token of its own."""
    accounts.ensure_tenant(life.far, tenant)
    secret = folder / f"{tenant}-{life.lab.name}"
    name = f"{tenant}-{secrets.token_hex(4)}"
    secret.write_text(secrets.token_urlsafe(32))
    accounts.ensure_program(life.far, name, secret.read_text(), tenant)
    return Orchestrator(life.far.address, life.lab.factory.service_ca, secret, program=name)


def routes(far: Orchestrator) -> list[tuple[str, str]]:
    """Every method and path that GRO says it has."""
    described = far.call("gro", "GET", "/openapi.json").json()["paths"]
    return [(method.upper(), path) for path, methods in described.items() for method in methods]


def test_neither_sees_the_other(life: Life, tenants: tuple[Tenant, Tenant], lab: Lab) -> None:
    """One test, for what it takes to have two tenants: interfaces first, packets after."""
    first, second = tenants
    for one, other in ((first, second), (second, first)):
        nothing_of_the_other_is_told(one, other)
        nothing_of_the_other_is_touched(one, other)
        the_operators_components_are_closed(one, other)
    for host in HOST_OF.values():
        lab[host].must_reach(SERVER)
    for source, target in (("host-1", "host-2"), ("host-2", "host-1")):
        with lab.capture(f"{target}:lan") as capture:
            lab[source].must_not_reach(HOSTS[target])
        assert capture.count(f"host {HOSTS[source]}") == 0
        assert capture.count(f"vlan and host {HOSTS[source]}") == 0


def nothing_of_the_other_is_told(one: Tenant, other: Tenant) -> None:
    """Every list and every resource of GRO."""
    ids = {"serviceOrder": other.order, "cancelServiceOrder": other.cancellation, "service": other.service}
    read = [path for method, path in routes(one.far) if method == "GET"]
    assert len(read) > 8
    for path in read:
        if path.endswith("/sites/events"):
            continue  # no end: what it tells is what /sites tells
        kind = re.search(r"/(\w+)/\{", path)
        if kind is None:
            text = everything(one, path)
            assert not [secret for secret in other.secrets if secret in text], path
        elif kind[1] in ids:
            theirs, own = (re.sub(r"\{\w+\}", id_, path) for id_ in (ids[kind[1]], own_id(one, kind[1])))
            assert one.ask("gro", "GET", theirs)[0] == 404, theirs
            if not path.endswith("/events"):
                assert one.ask("gro", "GET", own)[0] == 200, own


def everything(one: Tenant, path: str) -> str:
    """All pages of a list (TMF630: 206 is a part, and a page after the last is empty)."""
    said, offset = "", 0
    while True:
        status, text = one.ask("gro", "GET", f"{path}?limit=100&offset={offset}" if "tmf-api" in path else path)
        assert status in (200, 206), (path, text)
        said, offset = said + text, offset + 100
        if status == 200 or json.loads(text) == []:
            return said


def own_id(one: Tenant, kind: str) -> str:
    return {"serviceOrder": one.order, "cancelServiceOrder": one.cancellation, "service": one.service}[kind]


def nothing_of_the_other_is_touched(one: Tenant, other: Tenant) -> None:
    orders = f"{ordering.ORDERING}/serviceOrder"
    media = "application/merge-patch+json"
    assert one.ask("gro", "PATCH", f"{orders}/{other.order}", {"description": "mine"}, media)[0] == 404
    assert one.ask("gro", "DELETE", f"{orders}/{other.order}")[0] == 404
    wish = {"serviceOrder": {"id": other.order}}
    assert one.ask("gro", "POST", f"{ordering.ORDERING}/cancelServiceOrder", wish)[0] == 400
    end = {"serviceOrderItem": [{"id": "1", "action": "delete", "service": {"id": other.service}}]}
    for path in (orders, f"{ordering.ORDERING}/orderPlan"):
        assert one.ask("gro", "POST", path, end)[0] == 400
        named = {**end, "relatedParty": [{"role": "customer", "id": other.name}]}
        assert one.ask("gro", "POST", path, named)[0] == 400

    # Another's device is as unknown as one that nobody has.
    def planned(serial: str) -> tuple[int, str]:
        body = {"serviceOrderItem": [item(one.name, name="new", device=serial, gateway="10.98.0.1/24")]}
        status, text = one.ask("gro", "POST", f"{ordering.ORDERING}/orderPlan", body)
        return status, text.replace(serial, "SERIAL")

    assert planned(str(SITES[other.name]["device"])) == planned("EL-NOT-THERE")
    assert planned("EL-NOT-THERE")[0] == 422
    callback = {"callback": "https://192.0.0.9/"}  # RFC 7723's anycast address: public, and nobody's here
    listener = other.far.call("gro", "POST", f"{ordering.ORDERING}/hub", callback).json()
    place = f"{ordering.ORDERING}/hub/{listener['id']}"
    assert one.ask("gro", "DELETE", place)[0] == 404
    assert other.ask("gro", "DELETE", place)[0] == 204


def the_operators_components_are_closed(one: Tenant, other: Tenant) -> None:
    """Tenants have GRO, and nothing behind it."""
    plan = {"elasticlab-network:input": {"intent": {"ietf-l3vpn-svc:l3vpn-svc": {}}, "operation": "merge"}}
    for component, method, path, body in (
        ("controller", "GET", "/restconf/data", None),
        ("controller", "GET", NETWORK, None),
        ("controller", "GET", f"{INTENT}/vpn-services/vpn-service={other.service}", None),
        ("controller", "DELETE", f"{INTENT}/vpn-services/vpn-service={other.service}", None),
        ("controller", "GET", "/restconf/data/ietf-alarms:alarms", None),
        ("controller", "GET", "/restconf/streams/NETCONF-JSON", None),
        ("controller", "POST", "/restconf/operations/elasticlab-network:plan", plan),
        ("manager", "GET", "/restconf/data", None),
        ("manager", "GET", registry.DEVICES, None),
        ("manager", "GET", f"{registry.DEVICES}/device={SITES[other.name]['device']}", None),
        ("manager", "DELETE", f"{registry.DEVICES}/device={SITES[one.name]['device']}", None),
        ("manager", "GET", "/restconf/data/ietf-alarms:alarms", None),
        ("identity", "GET", "/scim/v2/Users", None),
        ("identity", "GET", "/scim/v2/Tenants", None),
        ("identity", "GET", "/scim/v2/Programs", None),
        ("identity", "POST", "/scim/v2/Users", {"userName": "mallory"}),
    ):
        media = YANG if component != "identity" else accounts.SCIM
        status, text = one.ask(component, method, path, body, media)
        assert status == 403, (component, method, path, text)
        assert not [secret for secret in other.secrets if secret in json.dumps(text)], path
