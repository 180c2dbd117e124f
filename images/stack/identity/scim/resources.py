"""Records as SCIM resources and back; every rule about a value is here and names the attribute."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from identity.credentials import MAXIMUM_LENGTH, hash_password
from identity.records import ADMIN, SERVICE, Program, Record, Tenant, User, fold
from identity.records import TENANT as TENANT_ROLE

from .errors import ScimError, invalid
from .schemas import ACCOUNT, PROGRAM, SCHEMAS, TENANT, USER, Attribute

Json = dict[str, Any]
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_CLIENT_ID = re.compile(r"[A-Za-z0-9._~-]{1,128}")
_RESERVED_TENANTS = {"operator"}
SHORTEST_PASSWORD = 8
SHORTEST_SECRET = 16


@dataclass(frozen=True)
class Kind:
    """A resource type: its record, schema and the attribute that a filter may name."""

    name: str
    record: type[Record]
    urn: str
    filters: dict[str, str]
    extension: str | None = None

    @property
    def endpoint(self) -> str:
        return f"/scim/v2/{self.name}s"


KINDS = {
    "Users": Kind("User", User, USER, {"userName": "folded_name", "id": "id"}, ACCOUNT),
    "Tenants": Kind("Tenant", Tenant, TENANT, {"name": "name", "id": "id"}),
    "Programs": Kind("Program", Program, PROGRAM, {"clientId": "client_id", "id": "id", "tenant": "tenant"}),
}


def etag(record: Record) -> str:
    return f'W/"{record.version}"'


def present(kind: Kind, record: Record, issuer: str) -> Json:
    """A record as its resource (RFC 7643 section 3). Secrets never leave."""
    location = f"{issuer}{kind.endpoint}/{record.id}"
    resource: Json = {"schemas": [kind.urn], "id": record.id}
    resource |= _values(kind.urn, record)
    if kind.extension and (values := _values(kind.extension, record)):
        resource["schemas"].append(kind.extension)
        resource[kind.extension] = values
    resource["meta"] = {
        "resourceType": kind.name,
        "created": _time(record.created),
        "lastModified": _time(record.modified),
        "location": location,
        "version": etag(record),
    }
    return resource


def _values(urn: str, record: Record) -> Json:
    found = {}
    for attribute in SCHEMAS[urn]:
        value = getattr(record, attribute.column)
        if attribute.returned == "default" and value not in (None, ()):
            found[attribute.name] = list(value) if attribute.multiple else value
    return found


def _time(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


def read(kind: Kind, body: Any, before: Record | None) -> Record:
    """The record that a body describes; attributes that are absent are cleared, secrets kept (RFC 7644 3.5.1).

    Raises:
        ScimError: 400, with the attribute's name.
    """
    if not isinstance(body, dict):
        raise ScimError(400, "the body must be a JSON object", "invalidSyntax")
    named = body.get("schemas")
    allowed = {urn.lower() for urn in (kind.urn, kind.extension) if urn}
    if not isinstance(named, list) or kind.urn.lower() not in {str(urn).lower() for urn in named}:
        raise ScimError(400, f"schemas must be a list with {kind.urn}", "invalidSyntax")
    if not {str(urn).lower() for urn in named} <= allowed:
        raise invalid(f"schemas names one that a {kind.name} does not have")
    values = _checked(kind.urn, body, ignore={"schemas", "id", "meta", "externalid"} | {(kind.extension or "").lower()})
    if kind.extension:
        inner: Any = next((value for name, value in body.items() if name.lower() == kind.extension.lower()), {})
        if not isinstance(inner, dict):
            raise invalid(f"{kind.extension} must be an object")
        values |= _checked(kind.extension, inner, ignore=set())
    for attribute in SCHEMAS[kind.urn]:
        if attribute.required and attribute.column not in values:
            raise invalid(f"{attribute.name} is missing")
        if (
            before
            and attribute.mutability == "immutable"
            and values[attribute.column] != getattr(before, attribute.column)
        ):
            raise ScimError(400, f"{attribute.name} cannot be changed", "mutability")
    values.setdefault("display_name", "")
    record: Record = _READERS[kind.name](values, before)
    return record


def _checked(urn: str, body: Json, ignore: set[str]) -> Json:
    """Known attributes with values of their type, by column."""
    known = {attribute.name.lower(): attribute for attribute in SCHEMAS[urn]}
    values: Json = {}
    for name, value in body.items():
        if name.lower() in ignore:
            continue
        attribute = known.get(name.lower())
        if attribute is None:
            raise invalid(f"{name!r} is no attribute of {urn}")
        if value is None or value == []:
            continue  # RFC 7643 section 2.5: the same as absent
        values[attribute.column] = _typed(attribute, value)
    return values


def _typed(attribute: Attribute, value: Any) -> Any:
    if attribute.multiple:
        if not isinstance(value, list) or len(value) > 64 or not all(isinstance(entry, str) for entry in value):
            raise invalid(f"{attribute.name} must be a list of strings, 64 at most")
        return tuple(dict.fromkeys(_text(attribute, entry) for entry in value))
    if attribute.kind == "boolean":
        if not isinstance(value, bool):
            raise invalid(f"{attribute.name} must be true or false")
        return value
    if not isinstance(value, str):
        raise invalid(f"{attribute.name} must be a string")
    return _text(attribute, value)


def _text(attribute: Attribute, value: str) -> str:
    """No controls, no lone surrogates: they would break logs, tokens and the database."""
    if len(value) > MAXIMUM_LENGTH or any(
        ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in value
    ):
        raise invalid(f"{attribute.name} is too long or holds control characters")
    return value


def _tenant(values: Json, before: Record | None) -> Tenant:
    name = values["name"]
    if not _LABEL.fullmatch(name) or name in _RESERVED_TENANTS:
        raise invalid("name must be a DNS label in lower case (RFC 1123), and not 'operator'")
    return replace(before, **values) if isinstance(before, Tenant) else Tenant(id="", **values)


def _user(values: Json, before: Record | None) -> User:
    if not values["user_name"].strip() or len(values["user_name"]) > 255:
        raise invalid("userName must have 1 to 255 characters")
    password = values.pop("password", None)
    if password is not None:
        if len(password) < SHORTEST_PASSWORD:
            raise invalid(f"password must have at least {SHORTEST_PASSWORD} characters")
        values["password"] = hash_password(password)
    values = {"tenant": None, "roles": (), "active": True, **values}
    _check_roles(values)
    values["folded_name"] = fold(values["user_name"])
    return replace(before, **values) if isinstance(before, User) else User(id="", **values)


def _program(values: Json, before: Record | None) -> Program:
    if not _CLIENT_ID.fullmatch(values["client_id"]):
        raise invalid("clientId must be 1 to 128 letters, digits, or . _ ~ -")
    values = {"tenant": None, "roles": (), "redirect_uris": (), "post_logout_uris": (), "active": True, **values}
    secret = values.pop("secret", None)
    if isinstance(before, Program) and before.certificate_name is not None:
        for column, name in (("roles", "roles"), ("tenant", "tenant"), ("redirect_uris", "redirectUris")):
            if values[column] != getattr(before, column):
                raise ScimError(400, f"{name} of a component comes from its settings", "mutability")
        if secret is not None:
            raise ScimError(400, "a component proves itself by its certificate and has no secret", "mutability")
        return replace(before, **values)
    _check_roles(values)
    for name, column in (("redirectUris", "redirect_uris"), ("postLogoutRedirectUris", "post_logout_uris")):
        for uri in values[column]:
            _check_uri(name, uri)
    if secret is not None:
        if len(secret) < SHORTEST_SECRET:
            raise invalid(f"secret must have at least {SHORTEST_SECRET} characters; leave it out and one is made")
        values["secret"] = hash_password(secret)
    return replace(before, **values) if isinstance(before, Program) else Program(id="", **values)


def _check_roles(values: Json) -> None:
    roles = set(values["roles"])
    if SERVICE in roles:
        raise invalid("role 'service' is for the stack's components only, which the settings name")
    if unknown := roles - {ADMIN, TENANT_ROLE}:
        raise invalid(f"roles: there is no role {sorted(unknown)[0]!r}; there are 'admin' and 'tenant'")
    if TENANT_ROLE in roles and values["tenant"] is None:
        raise invalid("tenant is missing: role 'tenant' needs one")
    if ADMIN in roles and values["tenant"] is not None:
        raise invalid("roles: an administrator belongs to no tenant")


def _check_uri(name: str, uri: str) -> None:
    """RFC 6749 section 3.1.2: absolute, no fragment; https, because the code travels in it."""
    try:
        parts = urlsplit(uri)
        good = parts.scheme == "https" and bool(parts.hostname) and not parts.fragment and parts.port != 0
    except ValueError:
        good = False
    if not good or not uri.isascii() or any(c in uri for c in " \"'<>\\^`{|};,") or "@" in urlsplit(uri).netloc:
        raise invalid(f"{name}: {uri!r} is not an absolute https URI without fragment")


_READERS: dict[str, Any] = {"Tenant": _tenant, "User": _user, "Program": _program}
