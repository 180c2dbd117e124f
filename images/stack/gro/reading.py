"""What is only read: the inventory (TMF638) and the catalogue (TMF633)."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel
from stackkit.problems import Problem

from gro import documents, openapi, resources, store, tmf
from gro.catalogue import Catalogue
from gro.desk import Desk, scope_of, visible
from gro.documents import CATALOGUE, INVENTORY

Json = Any


def inventory(desk: Desk, who: Any) -> APIRouter:
    router = APIRouter(prefix=INVENTORY, tags=["serviceInventory"])

    @router.get(
        "/service", operation_id="listServices", response_class=Response, responses=openapi.lists(resources.Service)
    )
    async def listed(request: Request, caller: who, paging: Annotated[tmf.Paging, Depends()]) -> Response:
        with desk.database.read() as connection:
            rows = store.many(connection, store.services, scope_of(caller))
            sites = store.all_sites(connection, scope_of(caller))
        return tmf.page(request, paging, rows, partial(documents.service, sites=sites))

    @router.get(
        "/service/{id_}", operation_id="readService", response_class=Response,
        responses=openapi.reads(resources.Service),
    )  # fmt: skip
    async def retrieve(id_: str, caller: who, fields: tmf.Fields = None) -> Response:
        with desk.database.read() as connection:
            row = visible(store.one(connection, store.services, id_), caller, f"service {id_:.80}")
            sites = store.all_sites(connection, row["tenant"])
        return tmf.json_response(tmf.select(documents.service(row, sites), fields))

    return router


def catalogue(desk: Desk, who: Any) -> APIRouter:
    router = APIRouter(prefix=CATALOGUE, tags=["serviceCatalogManagement"])
    entities = _entities(desk.catalogue)

    def add(kind: str, model: type[BaseModel], found: list[dict[str, Json]]) -> None:
        name = model.__name__
        plural = f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"

        @router.get(f"/{kind}", operation_id=f"list{plural}", response_class=Response, responses=openapi.lists(model))
        async def listed(request: Request, caller: who, paging: Annotated[tmf.Paging, Depends()]) -> Response:
            scope_of(caller)
            return tmf.page(request, paging, found, dict)

        @router.get(
            f"/{kind}/{{id_}}", operation_id=f"read{name}", response_class=Response, responses=openapi.reads(model)
        )
        async def retrieve(id_: str, caller: who, fields: tmf.Fields = None) -> Response:
            scope_of(caller)
            for one in found:
                if one["id"] == id_:
                    return tmf.json_response(tmf.select(one, fields))
            raise Problem(404, "Not Found", f"the catalogue has no {kind} {id_:.80}")

    models = (resources.ServiceSpecification, resources.ServiceCandidate, resources.ServiceCategory,
              resources.ServiceCatalog)  # fmt: skip
    for model in models:
        kind = model.__name__[0].lower() + model.__name__[1:]
        add(kind, model, entities[kind])
    return router


def _entities(offers: Catalogue) -> dict[str, list[dict[str, Json]]]:
    """All of the catalogue, by kind: one candidate of each specification, in the categories that they name."""
    specifications = [documents.specification(one) for one in offers]
    candidates: list[dict[str, Json]] = []
    categories: dict[str, dict[str, Json]] = {}
    for one in specifications:
        reference = {key: one[key] for key in ("id", "href", "name", "version")}
        own = {**reference, "href": f"{CATALOGUE}/serviceCandidate/{one['id']}"}
        candidates.append({**own, "lifecycleStatus": "active", "serviceSpecification": reference,
                           "@type": "ServiceCandidate"})  # fmt: skip
        name = one["category"]
        category = {"id": name.lower(), "href": f"{CATALOGUE}/serviceCategory/{name.lower()}", "name": name,
                    "lifecycleStatus": "active", "serviceCandidate": [], "@type": "ServiceCategory"}  # fmt: skip
        categories.setdefault(name, category)["serviceCandidate"].append(own)
    whole = {"id": "elasticlab", "href": f"{CATALOGUE}/serviceCatalog/elasticlab", "name": "elasticlab",
             "lifecycleStatus": "active", "category": list(categories.values()), "@type": "ServiceCatalog"}  # fmt: skip
    return {"serviceSpecification": specifications, "serviceCandidate": candidates,
            "serviceCategory": list(categories.values()), "serviceCatalog": [whole]}  # fmt: skip
