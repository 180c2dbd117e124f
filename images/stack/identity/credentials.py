"""Passwords, program secrets and opaque tokens: how they are made, kept and compared."""

from __future__ import annotations

import hashlib
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

# RFC 9106 section 4, second recommended option lowered to 19 MiB and two passes (OWASP's floor): one log-in costs
# some 20 ms on the AIO box's one core, and ten at once fit in its memory.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_NOBODY = _HASHER.hash(secrets.token_urlsafe(32))

MAXIMUM_LENGTH = 1024
"""Longer passwords are refused unread: hashing them is work that a stranger could order."""


def hash_password(password: str) -> str:
    return _HASHER.hash(password)


def check_password(stored: str | None, password: str) -> bool:
    """Compare in the same time whether or not the account exists: an unknown one is compared with nobody's hash."""
    if len(password) > MAXIMUM_LENGTH:
        return False
    try:
        _HASHER.verify(stored or _NOBODY, password)
    except (VerifyMismatchError, VerificationError, InvalidHashError):
        return False
    return stored is not None


def new_token() -> str:
    """256 random bits (RFC 6749 section 10.10 asks for at least 128)."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """What is stored of an opaque token. Its entropy makes a slow hash needless; a look-up by hash leaks no time."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
