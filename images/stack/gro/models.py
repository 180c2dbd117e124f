"""What GRO's resources look like on the wire: the one source of validation (bodies.py) and of the OpenAPI (openapi.py).

TMF641, TMF638 and TMF633 v4 as far as GRO speaks them. An object has none but its members: what is misspelt is refused,
not ignored. Names of classes are those of the TM Forum's schemas (`…Create`, `…Update`: `…_Create`, `…_Update`).
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

Json = Any

MAX_TEXT = 10_000
MAX_ITEMS = 100
MAX_URL = 2000

# No control characters but line feed and tabulator: they break logs, pages and databases.
_CLEAN = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$"
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT, pattern=_CLEAN)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_CLEAN)]


# A service has its own sites: two of a kind are two items.
Quantity = Annotated[int, Field(ge=1, le=1)]


def _timestamp(value: str) -> str:
    try:
        ok = value[10:11] in ("T", "t") and datetime.fromisoformat(value.upper()).tzinfo is not None
    except ValueError:
        ok = False
    if not ok:
        raise PydanticCustomError("timestamp", "a time as in 2026-11-21T10:00:00Z (RFC 3339) is expected")
    return value


Timestamp = Annotated[
    str,
    StringConstraints(max_length=64),
    AfterValidator(_timestamp),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


def optional(**more: Any) -> Any:
    """A member that may be absent; `null` is a value of its own (RFC 8259), and not one of these members."""
    return Field(default=None, json_schema_extra=_without_default, **more)


def _without_default(schema: dict[str, Json]) -> None:
    schema.pop("default", None)


class Strict(BaseModel):
    """Of the wire's types, unchanged, and with known members only."""

    model_config = ConfigDict(extra="forbid", strict=True, validate_by_name=False, validate_by_alias=True)

    def document(self) -> dict[str, Json]:
        """What was given, as it was given."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class Extensible(Strict):
    """TMF630 part 1, polymorphism: which type a document is of."""

    type_: Name = optional(alias="@type")
    base_type: Name = optional(alias="@baseType")
    schema_location: Text = optional(alias="@schemaLocation")


class Note(Extensible):
    id: Name = optional()
    author: Text = optional()
    date: Timestamp = optional()
    text: Text


class ExternalReference(Extensible):
    id: Name = optional()
    href: Text = optional()
    name: Text = optional()
    externalReferenceType: Text = optional()


class RelatedParty(Extensible):
    """Whoever has to do with it; of role `customer`: the tenant."""

    id: Name = optional()
    href: Text = optional()
    name: Text = optional()
    role: Text = optional()
    referred_type: Name = optional(alias="@referredType")


class ServiceSpecificationRef(Extensible):
    """An offer of the catalogue, by `id`, or by `name` alone."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["id"]}, {"required": ["name"]}]})

    id: Name = optional()
    href: Text = optional()
    name: Name = optional()
    version: Text = optional()


class Characteristic(Extensible):
    """A property of a service. The value is as the offer's `valueSchema` wants it."""

    id: Name = optional()
    name: Name
    valueType: Text = optional()
    value: Json


class ServiceAdd(Extensible):
    """A service to be built."""

    name: Text = optional()
    description: Text = optional()
    serviceType: Text = optional()
    category: Text = optional()
    serviceSpecification: ServiceSpecificationRef
    serviceCharacteristic: list[Characteristic] = Field(default_factory=list)


class KnownService(Extensible):
    """A service that is there."""

    id: Name
    href: Text = optional()
    name: Text = optional()
    description: Text = optional()
    serviceType: Text = optional()
    category: Text = optional()
    serviceSpecification: ServiceSpecificationRef = optional()
    serviceCharacteristic: list[Characteristic] = optional()


class ServiceDelete(KnownService):
    """A service that is there, to be ended. Only `id` counts."""


class ServiceModify(KnownService):
    """A service that is there, to be changed: what is given takes the place of what was, the rest stays. A site that is
    given by its name alone stays as it is; a cloud that is given without its key keeps it."""

    serviceCharacteristic: list[Characteristic] = Field(default_factory=list)


class ItemAdd(Extensible):
    id: Name
    action: Literal["add"]
    quantity: Quantity = 1
    service: ServiceAdd


class ItemModify(Extensible):
    id: Name
    action: Literal["modify"]
    quantity: Quantity = 1
    service: ServiceModify


class ItemDelete(Extensible):
    id: Name
    action: Literal["delete"]
    quantity: Quantity = 1
    service: ServiceDelete


Item = Annotated[ItemAdd | ItemModify | ItemDelete, Field(discriminator="action")]


class OrderText(Extensible):
    """What of an order its customer may say, and say anew."""

    category: Text = optional()
    description: Text = optional()
    externalId: Text = optional()
    priority: Text = optional()
    note: list[Note] = optional()
    notificationContact: Text = optional()
    requestedStartDate: Timestamp = optional()
    requestedCompletionDate: Timestamp = optional()


class ServiceOrderCreate(OrderText):
    """An order: items are carried out as a whole or not at all."""

    externalReference: list[ExternalReference] = optional()
    relatedParty: list[RelatedParty] = optional()
    serviceOrderItem: Annotated[list[Item], Field(min_length=1, max_length=MAX_ITEMS)]


class ServiceOrderUpdate(Strict):
    """Members that are to be replaced, or with `null` removed; those that are not named stay (RFC 7396)."""

    category: Text | None = optional()
    description: Text | None = optional()
    externalId: Text | None = optional()
    priority: Text | None = optional()
    note: list[Note] | None = optional()
    notificationContact: Text | None = optional()
    requestedStartDate: Timestamp | None = optional()
    requestedCompletionDate: Timestamp | None = optional()


class ServiceOrderRef(Extensible):
    id: Name
    href: Text = optional()
    referred_type: Name = optional(alias="@referredType")


class CancelServiceOrderCreate(Extensible):
    """The wish that an order in flight ends and leaves nothing."""

    cancellationReason: Text = optional()
    requestedCancellationDate: Timestamp = optional()
    serviceOrder: ServiceOrderRef


# With a host, without user and fragment.
_HTTP_URL = r"^https?://([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?][!$-~]*)?$"


class EventSubscriptionInput(Strict):
    """Whom to tell (TMF630): `query` names members of an event and values, `eventType=ServiceOrderStateChangeEvent`."""

    callback: Annotated[str, StringConstraints(max_length=MAX_URL, pattern=_HTTP_URL)]
    query: Text = optional()
