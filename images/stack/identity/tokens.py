"""Access and identity tokens of the contract (RFC 9068; OpenID Connect Core section 2), and what is still good."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

from stackkit.tokens import AUDIENCE, thumbprint

from .directory import Directory
from .grants import Grants
from .keys import Keys
from .records import Program, User
from .schema import new_id, now

ACCESS_LIFE = 600
ID_TOKEN_LIFE = 600
SCOPES = ("openid", "profile")


@dataclass(frozen=True)
class Person:
    """A user in one grant; what Authlib calls the resource owner."""

    user: User
    grant_id: str
    auth_time: int

    def get_user_id(self) -> str:
        return self.user.id


class Tokens:
    """Makes tokens and judges them."""

    def __init__(self, keys: Keys, directory: Directory, grants: Grants, issuer: str) -> None:
        self.keys = keys
        self.issuer = issuer
        self._directory = directory
        self._grants = grants

    def access(self, program: Program, person: Person | None, scope: str, thumbprint: str | None) -> str:
        """An access token (RFC 9068 section 2.2). Bound to a certificate when the client showed one (RFC 8705 3.1)."""
        owner = person.user if person else program
        moment = now()
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": owner.id if isinstance(owner, User) else program.client_id,
            "aud": AUDIENCE,
            "iat": moment,
            "exp": moment + ACCESS_LIFE,
            "jti": new_id(),
            "client_id": program.client_id,
            "scope": scope,
            "roles": list(owner.roles),
            "name": owner.display_name or (owner.user_name if isinstance(owner, User) else program.client_id),
        }
        if owner.tenant is not None:
            claims["tenant"] = owner.tenant
        if person:
            claims |= {"sid": person.grant_id, "auth_time": person.auth_time}
        if thumbprint:
            claims["cnf"] = {"x5t#S256": thumbprint}
        return self.keys.sign(claims, "at+jwt")

    def identity(self, program: Program, person: Person, access_token: str, nonce: str | None) -> str:
        moment = now()
        half = hashlib.sha256(access_token.encode()).digest()[:16]
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": program.client_id,
            "iat": moment,
            "exp": moment + ID_TOKEN_LIFE,
            "auth_time": person.auth_time,
            "amr": ["pwd"],
            "sid": person.grant_id,
            "at_hash": base64.urlsafe_b64encode(half).rstrip(b"=").decode(),
            **self.about(person.user),
        }
        if nonce is not None:
            claims["nonce"] = nonce
        return self.keys.sign(claims, "JWT")

    @staticmethod
    def about(user: User) -> dict[str, Any]:
        """Claims about a person (OpenID Connect Core section 5.1, and the contract's)."""
        claims: dict[str, Any] = {
            "sub": user.id,
            "name": user.display_name or user.user_name,
            "preferred_username": user.user_name,
            "roles": list(user.roles),
        }
        if user.tenant is not None:
            claims["tenant"] = user.tenant
        return claims

    def judge(self, token: str) -> dict[str, Any] | None:
        """Claims of an access token that is good *now*: also not revoked, its owner and program still there."""
        claims = self.keys.read(token, "at+jwt")
        if claims is None or claims.get("iss") != self.issuer or claims.get("aud") != AUDIENCE:
            return None
        if not isinstance(claims.get("exp"), int) or claims["exp"] <= now() or self._grants.is_revoked(claims["jti"]):
            return None
        program = self._directory.find(Program, "client_id", claims["client_id"])
        if program is None or not program.active:
            return None
        if (sid := claims.get("sid")) is not None and not (self._grants.live(sid) and self.person(claims["sub"])):
            return None
        return claims

    def person(self, user_id: str) -> User | None:
        user = self._directory.get(User, user_id)
        return user if user is not None and user.active else None


def is_bound_to(claims: dict[str, Any], certificate: bytes | None) -> bool:
    """Whether the token may be used on a connection with this client certificate."""
    wanted = (claims.get("cnf") or {}).get("x5t#S256")
    if wanted is None:
        return True
    return certificate is not None and hmac.compare_digest(str(wanted), thumbprint(certificate))
