"""Tenants, people and programs of the lab, by SCIM (RFC 7644): made when they are not there, otherwise left alone."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from harness.orchestrator.client import Orchestrator
from harness.orchestrator.errors import RefusedError

Json = Any
TENANT = "urn:elasticlab:scim:Tenant"
PROGRAM = "urn:elasticlab:scim:Program"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
ACCOUNT = "urn:elasticlab:scim:Account"
SCIM = "application/scim+json"


def ensure_tenant(orchestrator: Orchestrator, name: str) -> None:
    """A tenant of this name is there."""
    resource = {"schemas": [TENANT], "name": name, "displayName": name.capitalize()}
    _ensure(orchestrator, "Tenants", "name", resource)


def ensure_user(orchestrator: Orchestrator, name: str, password: str, tenant: str) -> None:
    """A user of this name is there; one that was there keeps its password, which may be another."""
    resource = {
        "schemas": [USER, ACCOUNT],
        "userName": name,
        "displayName": name.capitalize(),
        "password": password,
        ACCOUNT: {"tenant": tenant, "roles": ["tenant"]},
    }
    _ensure(orchestrator, "Users", "userName", resource)


def ensure_program(orchestrator: Orchestrator, client_id: str, secret: str, tenant: str) -> None:
    """A tenant's program of this name is there; one that was there keeps its secret."""
    resource = {
        "schemas": [PROGRAM],
        "clientId": client_id,
        "secret": secret,
        "tenant": tenant,
        "roles": ["tenant"],
    }
    _ensure(orchestrator, "Programs", "clientId", resource)


def _ensure(orchestrator: Orchestrator, kind: str, key: str, resource: dict[str, Json]) -> None:
    # Looked for first: hashing a password that is not needed costs the server more than the question.
    quoted = resource[key].replace("\\", "\\\\").replace('"', '\\"')
    query = quote(f'{key} eq "{quoted}"')
    found = orchestrator.call("identity", "GET", f"/scim/v2/{kind}?filter={query}")
    if found.status == 200 and found.json()["totalResults"]:
        return
    try:
        orchestrator.call("identity", "POST", f"/scim/v2/{kind}", resource, media=SCIM)
    except RefusedError as error:
        if error.status != 409:  # RFC 7644 section 3.3: somebody else was quicker
            raise
