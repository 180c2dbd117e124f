"""Authorizations that people gave: codes, refresh tokens and their families; browser sessions.

A grant is a family: its code, every refresh token that followed, and (by claim `sid`) every access token. Using a code
or a refresh token a second time means that somebody copied it, and ends the whole family
(RFC 6749 section 4.1.2, RFC 9700 sections 2.1.1 and 4.14.2).
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text
from stackkit.database import Database

from .credentials import digest, new_token
from .schema import new_id, now

CODE_LIFE = 60
REFRESH_LIFE = 8 * 3600
GRANT_LIFE = 24 * 3600
"""However often it is refreshed: after this the user logs in again."""
SESSION_LIFE = 8 * 3600


@dataclass(frozen=True)
class Code:
    """An authorization code as Authlib's grant asks for it."""

    hash: str
    grant_id: str
    client_id: str
    user_id: str
    auth_time: int
    redirect_uri: str
    scope: str
    code_challenge: str
    nonce: str | None
    expires: int
    used: int | None
    revoked: int | None
    code_challenge_method: str = "S256"

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return self.auth_time

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> list[str]:
        return ["pwd"]


@dataclass(frozen=True)
class Refresh:
    """A refresh token as Authlib's grant asks for it."""

    hash: str
    grant_id: str
    client_id: str
    user_id: str
    auth_time: int
    scope: str
    issued: int
    expires: int
    used: int | None
    revoked: int | None

    def get_scope(self) -> str:
        return self.scope

    def check_client(self, client: object) -> bool:
        return getattr(client, "client_id", None) == self.client_id


class Grants:
    def __init__(self, database: Database) -> None:
        self._database = database

    def save_code(
        self, *, client_id: str, user_id: str, session: str | None, auth_time: int,
        redirect_uri: str, scope: str, challenge: str, nonce: str | None, code: str,
    ) -> None:  # fmt: skip
        grant_id, moment = new_id(), now()
        with self._database.begin() as connection:
            _forget_old(connection, moment)
            connection.execute(
                text("INSERT INTO grants VALUES (:id, :client, :user, :session, :auth_time, NULL, :expires)"),
                {
                    "id": grant_id, "client": client_id, "user": user_id, "session": session,
                    "auth_time": auth_time, "expires": moment + GRANT_LIFE,
                },
            )  # fmt: skip
            connection.execute(
                text("INSERT INTO codes VALUES (:hash, :grant, :uri, :scope, :challenge, :nonce, :expires, NULL)"),
                {
                    "hash": digest(code), "grant": grant_id, "uri": redirect_uri, "scope": scope,
                    "challenge": challenge, "nonce": nonce, "expires": moment + CODE_LIFE,
                },
            )  # fmt: skip

    def code(self, code: str) -> Code | None:
        query = """SELECT c.hash, c.grant_id, g.client_id, g.user_id, g.auth_time, c.redirect_uri, c.scope,
            c.challenge AS code_challenge, c.nonce, c.expires, c.used, g.revoked
            FROM codes c JOIN grants g ON g.id = c.grant_id WHERE c.hash = :hash"""
        with self._database.read() as connection:
            row = connection.execute(text(query), {"hash": digest(code)}).mappings().first()
        return None if row is None else Code(**row)

    def refresh(self, token: str) -> Refresh | None:
        query = """SELECT r.hash, r.grant_id, g.client_id, g.user_id, g.auth_time, r.scope, r.issued,
            CASE WHEN r.expires < g.expires THEN r.expires ELSE g.expires END AS expires, r.used, g.revoked
            FROM refresh_tokens r JOIN grants g ON g.id = r.grant_id WHERE r.hash = :hash"""
        with self._database.read() as connection:
            row = connection.execute(text(query), {"hash": digest(token)}).mappings().first()
        return None if row is None else Refresh(**row)

    def redeem(self, used: Code | Refresh, refresh_token: str | None, scope: str) -> bool:
        """Use up a code or refresh token and save its successor, in one transaction; False if somebody was faster."""
        table = "codes" if isinstance(used, Code) else "refresh_tokens"
        claim = f"""UPDATE {table} SET used = :now WHERE hash = :hash AND used IS NULL
            AND EXISTS (SELECT 1 FROM grants WHERE id = :grant AND revoked IS NULL)"""  # noqa: S608
        moment = now()
        values = {"now": moment, "hash": used.hash, "grant": used.grant_id}
        with self._database.begin() as connection:
            if connection.execute(text(claim), values).rowcount != 1:
                return False
            if refresh_token:
                connection.execute(
                    text("INSERT INTO refresh_tokens VALUES (:hash, :grant, :scope, :now, :expires, NULL)"),
                    {
                        "hash": digest(refresh_token), "grant": used.grant_id, "scope": scope,
                        "now": moment, "expires": moment + REFRESH_LIFE,
                    },
                )  # fmt: skip
        return True

    def revoke(self, grant_id: str) -> None:
        query = "UPDATE grants SET revoked = :now WHERE id = :grant AND revoked IS NULL"
        with self._database.begin() as connection:
            connection.execute(text(query), {"now": now(), "grant": grant_id})

    def live(self, grant_id: str) -> bool:
        query = "SELECT 1 FROM grants WHERE id = :grant AND revoked IS NULL AND expires > :now"
        with self._database.read() as connection:
            return connection.execute(text(query), {"grant": grant_id, "now": now()}).first() is not None

    def revoke_token(self, jti: str, expires: int) -> None:
        with self._database.begin() as connection:
            connection.execute(text("DELETE FROM revoked_tokens WHERE expires < :now"), {"now": now()})
            connection.execute(
                text("INSERT INTO revoked_tokens VALUES (:jti, :expires) ON CONFLICT DO NOTHING"),
                {"jti": jti, "expires": expires},
            )

    def is_revoked(self, jti: str) -> bool:
        with self._database.read() as connection:
            query = text("SELECT 1 FROM revoked_tokens WHERE jti = :jti")
            return connection.execute(query, {"jti": jti}).first() is not None


def _forget_old(connection: Connection, moment: int) -> None:
    """Remove whole families a life after their end, so that a late second use is still recognised as one."""
    for table, key in (("codes", "grant_id"), ("refresh_tokens", "grant_id"), ("grants", "id")):
        query = f"DELETE FROM {table} WHERE {key} IN (SELECT id FROM grants WHERE expires < :old)"  # noqa: S608
        connection.execute(text(query), {"old": moment - GRANT_LIFE})


@dataclass(frozen=True)
class BrowserSession:
    hash: str
    user_id: str
    created: int
    expires: int


class Sessions:
    """Log-ins of browsers; the cookie's value is known to the browser only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, user_id: str) -> str:
        token, moment = new_token(), now()
        with self._database.begin() as connection:
            connection.execute(text("DELETE FROM sessions WHERE expires < :now"), {"now": moment})
            connection.execute(
                text("INSERT INTO sessions VALUES (:hash, :user, :now, :expires)"),
                {"hash": digest(token), "user": user_id, "now": moment, "expires": moment + SESSION_LIFE},
            )
        return token

    def get(self, token: str | None) -> BrowserSession | None:
        if not token:
            return None
        query = "SELECT hash, user_id, created, expires FROM sessions WHERE hash = :hash AND expires > :now"
        with self._database.read() as connection:
            row = connection.execute(text(query), {"hash": digest(token), "now": now()}).mappings().first()
        return None if row is None else BrowserSession(**row)

    def close(self, session: BrowserSession) -> None:
        """Log out: the session and all that was granted in it."""
        with self._database.begin() as connection:
            connection.execute(text("DELETE FROM sessions WHERE hash = :hash"), {"hash": session.hash})
            connection.execute(
                text("UPDATE grants SET revoked = :now WHERE session = :session AND revoked IS NULL"),
                {"now": now(), "session": session.hash},
            )
