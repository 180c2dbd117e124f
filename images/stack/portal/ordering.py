"""Orders as a form writes them: TMF641 bodies, and the way back from an error's JSON pointer to its field."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from . import fields
from .failures import Fault
from .fields import Field

Json = Any

CUSTOMER, TITLE, NOTE = "_customer", "_name", "_description"
SEALED = "_sealed."
"""Before the name of a field that is never shown again: what was typed there, for this session to keep."""
_SERVICE = ("serviceOrderItem", "0", "service")


@dataclass
class Form:
    """An order for one offer, as far as it is filled in."""

    offer: Json
    drafts: dict[str, fields.Draft]
    customer: str = ""
    title: str = ""
    note: str = ""
    errors: dict[str, list[str]] = field(default_factory=dict)
    general: list[str] = field(default_factory=list)
    service: str = ""
    """The id of the service that it changes; none: it orders a new one."""
    seal: Callable[[str], str] | None = None
    """How a page may hold what it must not show."""

    @property
    def place(self) -> str:
        """Where it is shown, and sent to."""
        return f"/services/{quote(self.service)}/change" if self.service else f"/catalogue/{quote(self.offer['id'])}"

    @property
    def characteristics(self) -> list[tuple[str, Json]]:
        return [(one["name"], one) for one in self.offer["specCharacteristic"] if one.get("configurable", True)]

    @property
    def fields(self) -> list[Field]:
        """The form's fields with what is in them and what is wrong with it."""
        found = [
            fields.build(
                {"description": one.get("description", ""), **one["valueSchema"]}, self.drafts[name], name,
                fields.label_of(one["valueSchema"], name), required=one.get("minCardinality", 0) > 0,
                errors=self.errors,
            )
            for name, one in self.characteristics
        ]  # fmt: skip
        for secret in fields.secrets(found):
            secret.sealed = self.seal(secret.value) if self.seal and secret.value else ""
            secret.value = ""
        return found

    @property
    def labels(self) -> dict[str, str]:
        """What people call each field, by its name."""
        return {**fields.labels(self.fields), TITLE: "Name of the service", NOTE: "Note", CUSTOMER: "Customer"}

    def resize(self, place: str, *, more: bool) -> None:
        """One entry more in a list, or one (named by its place) less."""
        name, *path = place.split(".")
        for key, one in self.characteristics:
            if key == name:
                fields.resize(one["valueSchema"], self.drafts[key], path, more=more)

    def body(self) -> Json:
        """The order (TMF641 ServiceOrder_Create)."""
        given = [
            {"name": name, "value": value}
            for name, one in self.characteristics
            if (value := fields.value_of(one["valueSchema"], self.drafts[name])) is not None
        ]
        action, service = "add", {"serviceSpecification": {"id": self.offer["id"]}, "serviceCharacteristic": given}
        if self.service:
            action, service["id"] = "modify", self.service
        if self.title:
            service["name"] = self.title
        body: Json = {"serviceOrderItem": [{"id": "1", "action": action, "service": service}]}
        if self.note:
            body["description"] = self.note
        if self.customer:
            body["relatedParty"] = [{"role": "customer", "id": self.customer}]
        return body

    def blame(self, body: Json, faults: Sequence[Fault]) -> None:
        """Put each error to the field that it names; to the nearest one above if the form does not show it."""
        known = self.labels
        for fault in faults:
            name = field_name(body, fault.pointer)
            while name and name not in known:
                name = name.rpartition(".")[0]
            if name:
                self.errors.setdefault(name, []).append(fault.text)
            else:
                self.general.append(fault.text)


def blank(offer: Json) -> Form:
    return Form(offer, {one["name"]: fields.empty(one["valueSchema"]) for one in offer["specCharacteristic"]})


def from_pairs(offer: Json, pairs: Mapping[str, str]) -> Form:
    """A form as it was sent."""
    drafts = {
        one["name"]: fields.draft_of(one["valueSchema"], pairs, one["name"]) for one in offer["specCharacteristic"]
    }
    texts = {name: pairs.get(name, "").strip() for name in (CUSTOMER, TITLE, NOTE)}
    return Form(offer, drafts, texts[CUSTOMER], texts[TITLE], texts[NOTE])


def unsealed(pairs: Mapping[str, str], unseal: Callable[[str], str]) -> dict[str, str]:
    """What was sent, with what the page held for a secret that was not typed anew."""
    found = dict(pairs)
    for key, held in pairs.items():
        name = key.removeprefix(SEALED)
        if name != key and not pairs.get(name):
            with contextlib.suppress(ValueError):
                found[name] = unseal(held)
    return found


def from_body(offer: Json, body: Json) -> Form:
    """The form that wrote a body."""
    service = body["serviceOrderItem"][0]["service"]
    values = {one["name"]: one["value"] for one in service.get("serviceCharacteristic", [])}
    drafts = {
        one["name"]: fields.draft_from(one["valueSchema"], values.get(one["name"]))
        for one in offer["specCharacteristic"]
    }
    made = Form(offer, drafts, customer_of(body), service.get("name", ""), body.get("description", ""))
    made.service = service.get("id", "")
    return made


def change(offer: Json, service: Json, sites: Sequence[Json], customer: str) -> Form:
    """The form that changes a service, filled with what it is; its sites as they are, however they were ordered."""
    now = {one["name"]: one for one in sites}
    given = [{**one, "value": _as_is(one["value"], now)} for one in service.get("serviceCharacteristic", [])]
    form = from_body(offer, {"serviceOrderItem": [{"service": {**service, "serviceCharacteristic": given}}]})
    form.customer = customer
    return form


def _as_is(value: Json, sites: Mapping[str, Json]) -> Json:
    if isinstance(value, list):
        return [_as_is(one, sites) for one in value]
    return sites.get(value.get("name", ""), value) if isinstance(value, dict) else value


def deletion(service: Json, customer: str) -> Json:
    """The order that ends a service."""
    body: Json = {"serviceOrderItem": [{"id": "1", "action": "delete", "service": {"id": service["id"]}}]}
    if customer:
        body["relatedParty"] = [{"role": "customer", "id": customer}]
    return body


def customer_of(document: Json) -> str:
    """The tenant whose order or service this is."""
    for party in document.get("relatedParty", []):
        if party.get("role") == "customer":
            return str(party.get("id", ""))
    return ""


def called(service: Json) -> str:
    """What to call a service of an order: its name, else what it is (a reference may have no id or no name)."""
    specification = service.get("serviceSpecification", {})
    ways = (service.get("name"), specification.get("name"), specification.get("id"), service.get("id"))
    return str(next((one for one in ways if one), "service"))


def field_name(body: Json, pointer: str | None) -> str:
    """The field that a JSON pointer into a body names; empty if it names none."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in (pointer or "").split("/")[1:]]
    if steps[:1] == ["relatedParty"]:
        return CUSTOMER
    if steps[:1] == ["description"]:
        return NOTE
    if tuple(steps[:3]) != _SERVICE:
        return ""
    if steps[3:4] == ["name"]:
        return TITLE
    given = body["serviceOrderItem"][0]["service"].get("serviceCharacteristic", [])
    if steps[3:4] == ["serviceCharacteristic"] and len(steps) > 4 and steps[4].isdigit() and int(steps[4]) < len(given):
        return ".".join([given[int(steps[4])]["name"], *steps[6:]])
    return ""
