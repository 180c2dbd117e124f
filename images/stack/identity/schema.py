"""Tables of identity.sqlite. Secrets of 256 bits are kept as SHA-256, passwords and program secrets as argon2id."""

from __future__ import annotations

import time
import uuid

TENANTS = """
CREATE TABLE tenants (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, display_name TEXT NOT NULL,
    version INTEGER NOT NULL, created INTEGER NOT NULL, modified INTEGER NOT NULL)"""

USERS = """
CREATE TABLE users (
    id TEXT PRIMARY KEY, user_name TEXT NOT NULL, folded_name TEXT NOT NULL UNIQUE, display_name TEXT NOT NULL,
    password TEXT, tenant TEXT REFERENCES tenants(name), roles TEXT NOT NULL, active INTEGER NOT NULL,
    version INTEGER NOT NULL, created INTEGER NOT NULL, modified INTEGER NOT NULL)"""

PROGRAMS = """
CREATE TABLE programs (
    id TEXT PRIMARY KEY, client_id TEXT NOT NULL UNIQUE, display_name TEXT NOT NULL, secret TEXT, certificate_name TEXT,
    tenant TEXT REFERENCES tenants(name), roles TEXT NOT NULL, redirect_uris TEXT NOT NULL,
    post_logout_uris TEXT NOT NULL, active INTEGER NOT NULL,
    version INTEGER NOT NULL, created INTEGER NOT NULL, modified INTEGER NOT NULL)"""

# A grant is what one authorization gave: all that descends from its code dies with it.
GRANTS = """
CREATE TABLE grants (
    id TEXT PRIMARY KEY, client_id TEXT NOT NULL, user_id TEXT NOT NULL, session TEXT, auth_time INTEGER NOT NULL,
    revoked INTEGER, expires INTEGER NOT NULL)"""

CODES = """
CREATE TABLE codes (
    hash TEXT PRIMARY KEY, grant_id TEXT NOT NULL REFERENCES grants(id) ON DELETE CASCADE, redirect_uri TEXT NOT NULL,
    scope TEXT NOT NULL, challenge TEXT NOT NULL, nonce TEXT, expires INTEGER NOT NULL, used INTEGER)"""

REFRESH_TOKENS = """
CREATE TABLE refresh_tokens (
    hash TEXT PRIMARY KEY, grant_id TEXT NOT NULL REFERENCES grants(id) ON DELETE CASCADE, scope TEXT NOT NULL,
    issued INTEGER NOT NULL, expires INTEGER NOT NULL, used INTEGER)"""

REVOKED = "CREATE TABLE revoked_tokens (jti TEXT PRIMARY KEY, expires INTEGER NOT NULL)"

SESSIONS = """
CREATE TABLE sessions (
    hash TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    created INTEGER NOT NULL, expires INTEGER NOT NULL)"""

ATTEMPTS = """
CREATE TABLE attempts (
    subject TEXT PRIMARY KEY, failures INTEGER NOT NULL, last INTEGER NOT NULL, blocked_until INTEGER NOT NULL)"""

FACTS = "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)"

MIGRATIONS = (
    TENANTS,
    USERS,
    PROGRAMS,
    GRANTS,
    "CREATE INDEX grants_by_user ON grants (user_id)",
    CODES,
    REFRESH_TOKENS,
    REVOKED,
    SESSIONS,
    ATTEMPTS,
    FACTS,
)
"""Applied in order, once each; append, never change."""


def now() -> int:
    """Seconds since the epoch, as in JWT (RFC 7519 section 2, NumericDate)."""
    return int(time.time())


def new_id() -> str:
    return str(uuid.uuid4())
