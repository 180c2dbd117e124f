"""Signing keys: ES256 (RFC 7518 section 3.4), one file a key in `<data>/keys`, the current and the previous published.

A new key is made when the current one is older than ROTATION. The previous one stays in the JWKS until the next
rotation, which is far longer than any token lives, so nobody's token becomes invalid by rotation.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet
from stackkit.files import write_durably

from .schema import now

ROTATION = 30 * 86400
_ALGORITHMS = ["ES256"]


class Keys:
    """The issuer's keys, newest first."""

    def __init__(self, directory: Path, rotation: int = ROTATION) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chmod(directory, 0o700)
        self._directory = directory
        self._rotation = rotation
        self._lock = threading.Lock()
        self._keys = self._load()
        self.rotate_if_due()

    def _load(self) -> list[ECKey]:
        found = []
        for path in sorted(self._directory.glob("*.json"), reverse=True):
            if path.stat().st_mode & 0o077:
                raise PermissionError(f"{path} can be read by others: remove it, a new signing key will be made")
            found.append(ECKey.import_key(json.loads(path.read_text())))
        return found

    def rotate_if_due(self) -> None:
        """Make a key if there is none or the newest is too old; called at start and with every token."""
        with self._lock:
            if self._keys and now() - int(str(self._keys[0].kid).split("-")[0]) < self._rotation:
                return
            self._make()

    def rotate(self) -> None:
        with self._lock:
            self._make()

    def _make(self) -> None:
        # The time comes first in the name, so names sort by age.
        kid = f"{now():012d}-{secrets.token_hex(4)}"
        if self._keys and str(self._keys[0].kid) >= kid:
            kid = f"{int(str(self._keys[0].kid).split('-')[0]) + 1:012d}-{secrets.token_hex(4)}"
        key = ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": "ES256"}, private=True)
        write_durably(self._directory / f"{kid}.json", json.dumps(key.as_dict(private=True)).encode())
        self._keys.insert(0, key)
        for old in self._keys[2:]:
            (self._directory / f"{old.kid}.json").unlink(missing_ok=True)
        del self._keys[2:]

    def public(self) -> dict[str, Any]:
        """The JWK Set (RFC 7517 section 5), without private members."""
        self.rotate_if_due()
        return {"keys": [key.as_dict(private=False) for key in self._keys]}

    def sign(self, claims: dict[str, Any], kind: str) -> str:
        """A JWT of this `typ` (`at+jwt`: RFC 9068 section 2.1; `JWT` for id tokens)."""
        self.rotate_if_due()
        key = self._keys[0]
        return jwt.encode({"alg": "ES256", "typ": kind, "kid": key.kid}, claims, key, algorithms=_ALGORITHMS)

    def read(self, token: str, kind: str) -> dict[str, Any] | None:
        """Claims of a token of ours, or None: other algorithm (`none` too), other `typ`, other key, bad signature."""
        try:
            decoded = jwt.decode(token, KeySet(list(self._keys)), algorithms=_ALGORITHMS)
        except (JoseError, ValueError, TypeError, KeyError):
            return None
        claims = decoded.claims
        if str(decoded.header.get("typ", "")).lower() != kind.lower() or not isinstance(claims, dict):
            return None
        return dict(claims)
