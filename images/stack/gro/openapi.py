"""GRO's OpenAPI 3.1 document (`/openapi.json`): what FastAPI knows of paths and parameters, with bodies, answers and
errors from the models that validate (models.py, resources.py) and from the offers' own schemas.
"""

import copy
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from stackkit import problems

from gro import bodies, models, resources, tmf
from gro.catalogue import Catalogue

Json = Any
EVENTS = "text/event-stream"

_TEXT = {"schema": {"type": "string"}}
_COUNT = {"schema": {"type": "integer", "minimum": 0}}
_PAGE = {
    "X-Total-Count": {"description": "How many there are (TMF630)", "required": True, **_COUNT},
    "X-Result-Count": {"description": "How many are here (TMF630)", "required": True, **_COUNT},
}
_RANGE = {
    "Content-Range": {"description": "Which these are: `items FIRST-LAST/TOTAL`, from 0", "required": True, **_TEXT}
}
_LOCATION = {"Location": {"description": "The new resource", "required": True, **_TEXT}}
_ERROR_HEADERS: Mapping[int, dict[str, Json]] = {
    401: {"WWW-Authenticate": {"description": "RFC 6750 section 3", "required": True, **_TEXT}},
    503: {"Retry-After": {"description": "Seconds", **_TEXT}},
}
_ALWAYS = (401, 403, 503)
# Of which a client may ask for some members only.
SELECTABLE = ("ServiceOrder", "CancelServiceOrder", "Service", "ServiceSpecification", "ServiceCandidate",
              "ServiceCategory", "ServiceCatalog")  # fmt: skip


def ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def part(model: type[BaseModel]) -> dict[str, str]:
    """The document, or the members of it that `fields` names."""
    return {"$ref": f"#/components/schemas/{model.__name__}Part"}


def takes(
    model: type[BaseModel], types: Sequence[str] = bodies.JSON_TYPES, examples: Mapping[str, Json] | None = None
) -> dict[str, Json]:
    """`openapi_extra` of a route with a body."""
    shown = {"examples": {name: {"value": value} for name, value in examples.items()}} if examples else {}
    content = {kind: {"schema": ref(model), **shown} for kind in types}
    return {"requestBody": {"required": True, "content": content}}


def gives(
    model: type[BaseModel], status: int = 200, errors: Sequence[int] = (), links: Mapping[str, Json] | None = None
) -> dict[int | str, dict[str, Json]]:
    """`responses` of a route with one document as its answer."""
    answer: dict[str, Json] = {"description": HTTPStatus(status).phrase, "content": _json(ref(model))}
    if status == 201:
        answer["headers"] = _LOCATION
    if links:
        answer["links"] = dict(links)
    return {status: answer, **_errors(errors)}


def reads(model: type[BaseModel]) -> dict[int | str, dict[str, Json]]:
    """`responses` of a route that reads one document by its id."""
    return {200: {"description": "OK", "content": _json(part(model))}, **_errors((400, 404))}


def lists(model: type[BaseModel], *, paged: bool = True) -> dict[int | str, dict[str, Json]]:
    """`responses` of a collection."""
    if not paged:
        content = _json({"type": "array", "items": ref(model)})
        return {200: {"description": "All", "content": content}, **_errors(())}
    answer = {
        "content": _json({"type": "array", "items": part(model)}),
        "links": {"first": link(f"read{model.__name__}", id_="$response.body#/0/id")},
    }
    return {
        200: {"description": "All", "headers": _PAGE, **answer},
        206: {"description": "Some of them", "headers": {**_PAGE, **_RANGE}, **answer},
        **_errors((400,)),
    }


def streams(description: str, kinds: Sequence[str], errors: Sequence[int] = ()) -> dict[int | str, dict[str, Json]]:
    """`responses` of an event stream; the schema is that of one event."""
    data = {"type": "string", "contentMediaType": "application/json"}
    schema = {"type": "object", "properties": {"event": {"enum": list(kinds)}, "data": data}, "required": ["data"]}
    return {200: {"description": description, "content": {EVENTS: {"schema": schema}}}, **_errors(errors)}


def nothing(errors: Sequence[int]) -> dict[int | str, dict[str, Json]]:
    """`responses` of a route whose success is empty."""
    return {204: {"description": "Gone"}, **_errors(errors)}


def refuses(errors: Sequence[int]) -> dict[int | str, dict[str, Json]]:
    """`responses` of a route that is there to say no."""
    return _errors(errors)


def alive(model: type[BaseModel]) -> dict[int | str, dict[str, Json]]:
    """`responses` of what anybody may ask."""
    return {200: {"description": "OK", "content": _json(ref(model))}}


def link(operation: str, *, id_: str = "$response.body#/id", body: Json = None) -> dict[str, Json]:
    """A link (OpenAPI 3.1 section 4.8.20) to an operation on the resource of an answer."""
    if body is None:
        return {"operationId": operation, "parameters": {"id_": id_}}
    return {"operationId": operation, "requestBody": body}


def _json(schema: Json) -> dict[str, Json]:
    return {"application/json": {"schema": schema}}


def _errors(statuses: Sequence[int]) -> dict[int | str, dict[str, Json]]:
    content = {problems.MEDIA_TYPE: {"schema": ref(resources.Problem)}}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": content,
            **({"headers": _ERROR_HEADERS[status]} if status in _ERROR_HEADERS else {}),
        }
        for status in sorted({*statuses, *_ALWAYS})
    }


_FILTERS = {
    "name": "filter",
    "in": "query",
    "description": "Members (a path with dots) and the values that are wanted, separated by commas: "
    "`state=active,reserved&relatedParty.id=acme` (TMF630 part 1, 4.5)",
    "required": False,
    "style": "form",
    "explode": True,
    "schema": {"type": "object", "additionalProperties": True},
}


def install(app: FastAPI, catalogue: Catalogue) -> None:
    """Serve the document instead of FastAPI's own."""
    made: dict[str, Json] = {}

    def document() -> dict[str, Json]:
        if not made:
            made.update(_document(app, catalogue))
        return made

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI, catalogue: Catalogue) -> dict[str, Json]:
    found = get_openapi(
        title=app.title, version=app.version, openapi_version="3.1.0", routes=app.routes, summary=app.summary,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"}, tags=app.openapi_tags,
    )  # fmt: skip
    for path, item in found["paths"].items():
        for operation in item.values():
            operation["responses"].pop(
                "422" if "HTTPValidationError" in str(operation["responses"].get("422")) else "", None
            )
            if "206" in operation["responses"]:
                operation["parameters"].append(_FILTERS)
        if path == "/health":
            item["get"]["security"] = []
    found["components"] = {
        "schemas": _schemas(catalogue),
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT (RFC 9068)"}},
    }
    found["security"] = [{"bearer": []}]
    return found


def _schemas(catalogue: Catalogue) -> dict[str, Json]:
    own = [
        one
        for module in (models, resources)
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, BaseModel) and one.__module__ == module.__name__
    ]
    _, definitions = models_json_schema(
        [(one, "validation") for one in own], ref_template="#/components/schemas/{model}"
    )
    schemas: dict[str, Json] = definitions["$defs"]
    for name in SELECTABLE:
        whole = schemas[name]
        always = [one for one in whole["required"] if one in tmf.ALWAYS]
        schemas[f"{name}Part"] = {**whole, "title": f"Members of {name}", "required": always}
    base = schemas["ServiceAdd"]
    for one in catalogue:
        schemas[f"ServiceAdd.{one.id}"] = _offered(base, one.id, one.name, one.characteristics)
    schemas["ServiceAdd"] = {
        "description": base["description"],
        "anyOf": [{"$ref": f"#/components/schemas/ServiceAdd.{one.id}"} for one in catalogue],
    }
    return schemas


def _offered(base: Json, id_: str, name: str, characteristics: Mapping[str, Json]) -> Json:
    """The service of one offer: the catalogue checks values with the very same schemas."""
    schema = copy.deepcopy(base)
    schema["title"] = name
    reference = schema["properties"]["serviceSpecification"]
    schema["properties"]["serviceSpecification"] = {
        "allOf": [
            reference,
            {"anyOf": [_has("id", id_), {**_has("name", name), "not": {"required": ["id"]}}]},
        ]
    }
    needed = [key for key, one in characteristics.items() if one.get("minCardinality", 0) > 0]
    each = [
        {"allOf": [{"$ref": "#/components/schemas/Characteristic"},
                   {"properties": {"name": {"const": key}, "value": one["valueSchema"]}}]}
        for key, one in characteristics.items()
    ]  # fmt: skip
    schema["properties"]["serviceCharacteristic"] = {
        "type": "array",
        "items": each[0] if len(each) == 1 else {"anyOf": each},
        "minItems": len(needed),
        "maxItems": len(each),
    }
    schema["required"] = ["serviceSpecification", *(["serviceCharacteristic"] if needed else [])]
    return schema


def _has(member: str, value: str) -> Json:
    return {"properties": {member: {"const": value}}, "required": [member]}
