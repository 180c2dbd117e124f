"""What identity knows: tenants, users, programs. Field names are column names; tuples are kept as JSON."""

from __future__ import annotations

from dataclasses import dataclass

ADMIN = "admin"
TENANT = "tenant"
SERVICE = "service"


@dataclass(frozen=True, kw_only=True)
class Record:
    id: str
    version: int = 1
    created: int = 0
    modified: int = 0


@dataclass(frozen=True, kw_only=True)
class Tenant(Record):
    name: str
    display_name: str = ""


@dataclass(frozen=True, kw_only=True)
class User(Record):
    user_name: str
    folded_name: str
    display_name: str = ""
    password: str | None = None
    """argon2id, or None: nobody can log in."""
    tenant: str | None = None
    roles: tuple[str, ...] = ()
    active: bool = True


@dataclass(frozen=True, kw_only=True)
class Program(Record):
    client_id: str
    display_name: str = ""
    secret: str | None = None
    """argon2id; set for client_secret_basic (RFC 6749 section 2.3.1)."""
    certificate_name: str | None = None
    """SAN DNS of the certificate; set for tls_client_auth (RFC 8705 section 2.1.2, tls_client_auth_san_dns)."""
    tenant: str | None = None
    roles: tuple[str, ...] = ()
    redirect_uris: tuple[str, ...] = ()
    post_logout_uris: tuple[str, ...] = ()
    active: bool = True


def fold(user_name: str) -> str:
    """userName is unique without regard to case (RFC 7643 section 4.1.1, caseExact false)."""
    return user_name.casefold()
