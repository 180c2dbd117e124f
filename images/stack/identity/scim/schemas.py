"""Schemas, resource types and service provider configuration (RFC 7643 sections 5 to 7). One table drives all:
what `Schemas` publishes is what a body is checked against.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
ACCOUNT = "urn:elasticlab:scim:Account"
TENANT = "urn:elasticlab:scim:Tenant"
PROGRAM = "urn:elasticlab:scim:Program"
_CORE = "urn:ietf:params:scim:schemas:core:2.0:"


@dataclass(frozen=True)
class Attribute:
    """One attribute (RFC 7643 section 7). `column` is the record's field behind it."""

    name: str
    column: str
    kind: str = "string"
    multiple: bool = False
    required: bool = False
    mutability: str = "readWrite"
    returned: str = "default"
    uniqueness: str = "none"
    case_exact: bool = True
    description: str = ""

    def published(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "type": self.kind,
            "multiValued": self.multiple,
            "description": self.description,
            "required": self.required,
            "caseExact": self.case_exact,
            "mutability": self.mutability,
            "returned": self.returned,
            "uniqueness": self.uniqueness,
        }


_TENANT_OF = Attribute("tenant", "tenant", description="Name of the tenant it belongs to")
_ROLES = Attribute("roles", "roles", multiple=True, description="admin, or tenant; service is for components only")
_ACTIVE = Attribute("active", "active", "boolean", description="Disabled ones get no tokens")
_DISPLAY = Attribute("displayName", "display_name", description="For people to read")

SCHEMAS: dict[str, tuple[Attribute, ...]] = {
    USER: (
        Attribute("userName", "user_name", required=True, uniqueness="server", case_exact=False),
        _DISPLAY,
        Attribute("password", "password", mutability="writeOnly", returned="never"),
        _ACTIVE,
    ),
    ACCOUNT: (_TENANT_OF, _ROLES),
    TENANT: (
        Attribute("name", "name", required=True, mutability="immutable", uniqueness="server", description="DNS label"),
        _DISPLAY,
    ),
    PROGRAM: (
        Attribute("clientId", "client_id", required=True, mutability="immutable", uniqueness="server"),
        _DISPLAY,
        Attribute("secret", "secret", mutability="writeOnly", returned="request", description="Made if not given"),
        _TENANT_OF,
        _ROLES,
        Attribute("redirectUris", "redirect_uris", "reference", multiple=True, description="Exact, https"),
        Attribute("postLogoutRedirectUris", "post_logout_uris", "reference", multiple=True),
        _ACTIVE,
    ),
}

_NAMES = {USER: "User", ACCOUNT: "Account", TENANT: "Tenant", PROGRAM: "Program"}


def schemas() -> list[dict[str, Any]]:
    return [
        {
            "schemas": [_CORE + "Schema"],
            "id": urn,
            "name": _NAMES[urn],
            "description": f"{_NAMES[urn]} of elasticlab",
            "attributes": [attribute.published() for attribute in attributes],
            "meta": {"resourceType": "Schema", "location": f"/scim/v2/Schemas/{urn}"},
        }
        for urn, attributes in SCHEMAS.items()
    ]


def resource_types() -> list[dict[str, Any]]:
    return [
        {
            "schemas": [_CORE + "ResourceType"],
            "id": name,
            "name": name,
            "endpoint": f"/{name}s",
            "schema": urn,
            "schemaExtensions": [{"schema": ACCOUNT, "required": False}] if urn == USER else [],
            "meta": {"resourceType": "ResourceType", "location": f"/scim/v2/ResourceTypes/{name}"},
        }
        for urn, name in _NAMES.items()
        if urn != ACCOUNT
    ]


MAXIMUM_PAGE = 200


def provider() -> dict[str, Any]:
    return {
        "schemas": [_CORE + "ServiceProviderConfig"],
        "patch": {"supported": True},
        "bulk": {"supported": False, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": True, "maxResults": MAXIMUM_PAGE},
        "changePassword": {"supported": True},
        "sort": {"supported": False},
        "etag": {"supported": True},
        "authenticationSchemes": [
            {
                "type": "oauthbearertoken",
                "name": "OAuth 2.0 bearer token",
                "description": "An access token of this issuer with role admin",
                "specUri": "https://www.rfc-editor.org/info/rfc6750",
                "primary": True,
            }
        ],
        "meta": {"resourceType": "ServiceProviderConfig", "location": "/scim/v2/ServiceProviderConfig"},
    }
