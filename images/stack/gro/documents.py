"""GRO's rows as TM Forum documents, and the events about them (TMF641, TMF638: event subscription)."""

import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from stackkit.durable import Record

from gro import store
from gro.catalogue import Specification
from gro.ordered import Site

Json = Any

ORDERING = "/tmf-api/serviceOrdering/v4"
CATALOGUE = "/tmf-api/serviceCatalogManagement/v4"
INVENTORY = "/tmf-api/serviceInventory/v4"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def order(row: store.Row, services: Iterable[store.Row], steps: Iterable[Record] = ()) -> dict[str, Json]:
    """A ServiceOrder. All items share the order's state: an order is carried out as a whole or not at all."""
    given = row["document"]
    by_item = {service["document"].get("item"): service for service in services if service["added_by"] == row["id"]}
    items = [_item(item, row["state"], by_item.get(item["id"])) for item in given["serviceOrderItem"]]
    document = {
        **{key: value for key, value in given.items() if key != "serviceOrderItem"},
        "id": row["id"],
        "href": f"{ORDERING}/serviceOrder/{row['id']}",
        "state": row["state"],
        "orderDate": row["created"],
        "relatedParty": [*_others(given), {"id": row["tenant"], "role": "customer", "@referredType": "Organization"}],
        "serviceOrderItem": items,
        "@type": "ServiceOrder",
    }
    if row["started"]:
        document["startDate"] = row["started"]
    if row["completed"]:
        document["completionDate"] = row["completed"]
        if row["state"] == "cancelled":
            document["cancellationDate"] = row["completed"]
    if row["problem"]:
        error = {"code": "notFulfilled", "reason": row["problem"], "timestamp": row["completed"] or now()}
        document["errorMessage"] = [error]
    milestones = [milestone(step) for step in steps]
    if milestones:
        document["milestone"] = milestones
    return document


def _others(given: dict[str, Json]) -> list[Json]:
    return [party for party in given.get("relatedParty", []) if party.get("role") != "customer"]


def _item(item: dict[str, Json], state: str, service: store.Row | None) -> dict[str, Json]:
    # An item knows fewer states than an order (TMF641 ServiceOrderItemStateType has both of these, too).
    document = {**item, "state": state, "@type": item.get("@type", "ServiceOrderItem")}
    if service is not None:
        href = f"{INVENTORY}/service/{service['id']}"
        document["service"] = {**item["service"], "id": service["id"], "href": href, "state": service["state"]}
    return document


def milestone(step: Record) -> dict[str, Json]:
    """A step as TMF641's Milestone, with our times and evidence."""
    document: dict[str, Json] = {
        "id": str(step.number),
        "name": step.name if step.direction == "do" else f"undo {step.name}",
        "status": step.phase.value,
        "milestoneDate": step.ended or step.started,
        "startDate": step.started,
        "attempts": step.attempts,
        "@type": "StepMilestone",
    }
    if step.ended:
        document["endDate"] = step.ended
    if step.problem:
        document["message"] = step.problem
    if step.evidence is not None:
        document["evidence"] = step.evidence
    return document


def service(row: store.Row, sites: Iterable[Site]) -> dict[str, Json]:
    """A Service (TMF638); of `sites`, its tenant's are as they are now, whichever service they were changed through."""
    given = row["document"]["service"]
    if row["state"] != "terminated":
        now_ = {site.name: site for site in sites if site.tenant == row["tenant"]}
        told = [{**one, "value": _as_is(one["value"], now_)} for one in given.get("serviceCharacteristic", [])]
        given = {**given, "serviceCharacteristic": told}
    return {
        **given,
        "id": row["id"],
        "href": f"{INVENTORY}/service/{row['id']}",
        "state": row["state"],
        "serviceDate": row["created"],
        "serviceSpecification": {
            "id": row["specification"],
            "href": f"{CATALOGUE}/serviceSpecification/{row['specification']}",
            "name": row["document"]["specification"],
        },
        "serviceOrderItem": [
            {"serviceOrderId": row["added_by"], "itemId": row["document"]["item"]},
            *row["document"].get("changes", []),
        ],
        "relatedParty": [{"id": row["tenant"], "role": "customer", "@referredType": "Organization"}],
        "@type": given.get("@type", "Service"),
        **({"endDate": row["ended"]} if row["ended"] else {}),
    }


def _as_is(value: Json, sites: Mapping[str, Site]) -> Json:
    """What was said of sites, unless it is not so any more; of a site that was only named nothing else is said."""
    if isinstance(value, list):
        return [_as_is(one, sites) for one in value]
    if not isinstance(value, dict) or len(value) == 1 or (site := sites.get(value.get("name", ""))) is None:
        return value
    return value if Site.of(site.tenant, value, site.device_name) == site else site.document()


def specification(one: Specification) -> dict[str, Json]:
    return {**one.document, "href": f"{CATALOGUE}/serviceSpecification/{one.id}"}


def cancellation(row: store.Row, order_state: str) -> dict[str, Json]:
    done = order_state in ("cancelled", "failed", "completed")
    return {
        **row["document"],
        "id": row["id"],
        "href": f"{ORDERING}/cancelServiceOrder/{row['id']}",
        "state": "done" if done else "inProgress",
        "effectiveCancellationDate": row["created"],
        "serviceOrder": {"id": row["service_order"], "href": f"{ORDERING}/serviceOrder/{row['service_order']}"},
        "@type": "CancelServiceOrder",
    }


def tell_order(connection: sa.Connection, id_: str, kind: str = "ServiceOrderStateChangeEvent") -> None:
    row = store.one(connection, store.orders, id_)
    assert row is not None

    def body() -> Json:
        services = store.services_by(connection, store.services.c.added_by, id_)
        return _event(kind, "serviceOrder", order(row, services))

    store.tell(connection, "ordering", row["tenant"], body)


def tell_service(connection: sa.Connection, id_: str, kind: str = "ServiceStateChangeEvent") -> None:
    row = store.one(connection, store.services, id_)
    assert row is not None

    def body() -> Json:
        return _event(kind, "service", service(row, store.all_sites(connection, row["tenant"])))

    store.tell(connection, "inventory", row["tenant"], body)


def _event(kind: str, name: str, document: Json) -> dict[str, Json]:
    return {"eventId": str(uuid.uuid4()), "eventTime": now(), "eventType": kind, "event": {name: document}}
