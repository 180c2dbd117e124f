"""What GRO answers with (TMF641, TMF638, TMF633 v4, and ours), for the OpenAPI; tests hold every answer against it."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from gro import models
from gro.models import Extensible, Strict, optional

Json = Any

OrderState = Literal["acknowledged", "inProgress", "held", "pendingCancellation", "completed", "failed", "cancelled"]
ServiceState = Literal["reserved", "active", "terminated"]


class Open(Extensible):
    """A document whose author may have said more."""

    model_config = ConfigDict(extra="allow")


class ErrorMessage(Strict):
    code: str
    reason: str
    timestamp: models.Timestamp


class Milestone(Strict):
    """A step: TMF641's Milestone with our times, attempts and evidence."""

    id: str
    name: str
    status: Literal["started", "retrying", "held", "done", "failed"]
    milestoneDate: models.Timestamp
    startDate: models.Timestamp
    endDate: models.Timestamp = optional()
    attempts: int = Field(ge=1)
    message: str = optional()
    evidence: Json = optional()
    type_: Literal["StepMilestone"] = Field(alias="@type")


class ServiceRef(Extensible):
    """The service of an item, as it was ordered and as it is known now."""

    id: str
    href: str = optional()
    state: ServiceState = optional()
    name: str = optional()
    description: str = optional()
    serviceType: str = optional()
    category: str = optional()
    serviceSpecification: models.ServiceSpecificationRef = optional()
    serviceCharacteristic: list[models.Characteristic] = optional()


class ServiceOrderItem(Extensible):
    id: str
    action: Literal["add", "modify", "delete"]
    quantity: models.Quantity = 1
    state: OrderState
    service: ServiceRef


class ServiceOrder(models.OrderText):
    id: str
    href: str
    state: OrderState
    orderDate: models.Timestamp
    startDate: models.Timestamp = optional()
    completionDate: models.Timestamp = optional()
    cancellationDate: models.Timestamp = optional()
    externalReference: list[models.ExternalReference] = optional()
    relatedParty: list[models.RelatedParty]
    serviceOrderItem: list[ServiceOrderItem]
    errorMessage: list[ErrorMessage] = optional()
    milestone: list[Milestone] = optional()


class CancelServiceOrder(Extensible):
    id: str
    href: str
    state: Literal["inProgress", "done"]
    cancellationReason: str = optional()
    requestedCancellationDate: models.Timestamp = optional()
    effectiveCancellationDate: models.Timestamp
    serviceOrder: models.ServiceOrderRef


class ServiceOrderItemRef(Strict):
    serviceOrderId: str
    itemId: str


class ServiceSpecificationLink(Strict):
    id: str
    href: str
    name: str


class Service(Extensible):
    id: str
    href: str
    state: ServiceState
    name: str = optional()
    description: str = optional()
    serviceType: str = optional()
    category: str = optional()
    serviceDate: models.Timestamp
    endDate: models.Timestamp = optional()
    serviceSpecification: ServiceSpecificationLink
    serviceCharacteristic: list[models.Characteristic] = Field(default_factory=list)
    serviceOrderItem: list[ServiceOrderItemRef]
    relatedParty: list[models.RelatedParty]


class CharacteristicSpecification(Open):
    name: str
    valueSchema: dict[str, Json]


class ServiceSpecification(Open):
    """An offer. `valueSchema` is a JSON schema (2020-12) of the characteristic's value."""

    id: str
    href: str
    name: str
    specCharacteristic: list[CharacteristicSpecification]


class CatalogueRef(Strict):
    id: str
    href: str
    name: str
    version: str


class ServiceCandidate(Extensible):
    id: str
    href: str
    name: str
    version: str
    lifecycleStatus: str
    serviceSpecification: CatalogueRef


class ServiceCategory(Extensible):
    id: str
    href: str
    name: str
    lifecycleStatus: str
    serviceCandidate: list[CatalogueRef]


class ServiceCatalog(Extensible):
    id: str
    href: str
    name: str
    lifecycleStatus: str
    category: list[ServiceCategory]


class IntentEdit(Strict):
    """An edit of a YANG Patch (RFC 8072) on the service model (RFC 8299)."""

    edit_id: str = Field(alias="edit-id")
    operation: Literal["merge", "replace", "remove"]
    target: str
    value: dict[str, Json] = optional()


class DeviceEdit(Strict):
    """A change of one device (elasticlab-network, rpc plan)."""

    device: str
    operation: Literal["create", "replace", "delete"]
    target: str
    config: str = optional()
    description: str = optional()


class Note(Strict):
    """What will be otherwise than one might think of two sites: why they have no direct path (elasticlab-network)."""

    site: str
    peer: str
    text: str


class OrderPlan(Strict):
    intent: list[IntentEdit]
    edit: list[DeviceEdit]
    note: list[Note] = optional()
    type_: Literal["OrderPlan"] = Field(alias="@type")


class EventSubscription(Strict):
    id: str
    callback: str
    query: str | None


class Site(Strict):
    """A site as it was ordered, and how it is (`unknown`: the controller does not say)."""

    id: str
    tenant: str
    name: str
    device: str
    access: Literal["routed", "bridged"]
    gateway: str
    port: str
    vlan: int = optional()
    gateway6: str = optional()
    encapsulation: Literal["gre", "vxlan", "none"] = optional()
    transport: Literal["ipsec", "private-line"] = optional()
    dhcp: dict[str, Json] = optional()
    dns: dict[str, Json] = optional()
    localInternet: dict[str, Json] = optional()
    state: Literal["unknown", "waiting-for-device", "configuring", "up", "down", "failed", "removing"]
    reason: str = optional()
    since: models.Timestamp = optional()
    round_trip_time: str = optional(alias="round-trip-time", description="milliseconds (decimal64, RFC 7951)")


class Health(Strict):
    status: Literal["ok"]


class ProblemEntry(Strict):
    """What is wrong with one member (JSON pointer, RFC 6901) or parameter."""

    detail: str
    pointer: str = optional()
    parameter: str = optional()
    in_: Literal["path", "query", "header", "cookie"] = optional(alias="in")


class Problem(Open):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    errors: list[ProblemEntry] = optional()
