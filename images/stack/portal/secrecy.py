"""What a cookie's value gives: the name of a session, the key of its tokens, and the token of its forms.

The value itself is in the browser only. Whoever copies the database can neither use a session nor read its tokens.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12


def new_secret() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def name_of(secret: str) -> str:
    """What the database knows a secret by."""
    return _derived(secret, "name").hex()


def form_token(secret: str) -> str:
    """The field that our forms carry: who cannot read the cookie cannot fill it."""
    return base64.urlsafe_b64encode(_derived(secret, "form")).rstrip(b"=").decode()


def is_form_token(secret: str, given: str) -> bool:
    return hmac.compare_digest(form_token(secret).encode(), given.encode())


def seal(secret: str, content: bytes) -> str:
    """Encrypt (AES-256-GCM) for whoever has the secret."""
    nonce = secrets.token_bytes(_NONCE)
    sealed = nonce + AESGCM(_derived(secret, "seal")).encrypt(nonce, content, None)
    return base64.b64encode(sealed).decode()


def unseal(secret: str, text: str) -> bytes:
    """The content again.

    Raises:
        ValueError: it was not sealed with this secret, or was changed.
    """
    sealed = base64.b64decode(text)
    try:
        return AESGCM(_derived(secret, "seal")).decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
    except InvalidTag:
        raise ValueError("sealed with another secret, or changed") from None


def s256(verifier: str) -> str:
    """The code challenge of a verifier (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _derived(secret: str, purpose: str) -> bytes:
    """A key for one purpose; the secret has full entropy, so one HMAC is enough (RFC 5869 section 3.3)."""
    return hmac.digest(secret.encode(), f"elasticlab portal {purpose}".encode(), "sha256")
