"""Who asks: the session of a request, its tokens kept fresh, its end noticed; and whether a form is ours."""

from __future__ import annotations

import asyncio
import logging
from urllib.parse import parse_qsl
from weakref import WeakValueDictionary

from stackkit.tokens import Unavailable
from starlette.requests import Request
from starlette.responses import Response

from . import secrecy
from .failures import Failure, LoginNeeded
from .provider import Provider, RefusedError
from .sessions import Session, Sessions, now

log = logging.getLogger(__name__)

# __Host-: this host only, over TLS only, for all paths; no neighbour can plant one.
SESSION_COOKIE = "__Host-portal"
LOGIN_COOKIE = "__Host-portal-login"
CHECK_SECONDS = 60
"""So long may a session go on after identity ended it; what changes something is never that late."""
MAX_FIELDS = 4000
_FORM = "application/x-www-form-urlencoded"

Form = list[tuple[str, str]]


class Keeper:
    def __init__(self, sessions: Sessions, provider: Provider, public_url: str) -> None:
        self.sessions = sessions
        self.provider = provider
        self._origin = public_url
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def viewer(self, request: Request, *, use: bool = True) -> Session:
        """The session of a request that reads.

        Raises:
            LoginNeeded: there is none, or it has ended.
        """
        session = self.sessions.get(request.cookies.get(SESSION_COOKIE), use=use)
        if session is None:
            raise LoginNeeded
        return await self.fresh(session)

    async def poster(self, request: Request) -> tuple[Session, Form]:
        """Session and fields of a request that changes something, which must come from a form of ours."""
        self._check_origin(request)
        session = self.sessions.get(request.cookies.get(SESSION_COOKIE))
        if session is None:
            raise LoginNeeded
        form = await read_form(request)
        given = next((value for name, value in form if name == "csrf"), "")
        if not secrecy.is_form_token(session.secret, given):
            text = "The form did not carry this session's token: it was made by another page, or before you logged in."
            raise Failure(403, "Not sent from this portal", text, "Open the page again and repeat what you wanted.")
        return await self.fresh(session, strict=True), form

    def _check_origin(self, request: Request) -> None:
        """Browsers say where a form stood; one that stood elsewhere is not ours, whatever it carries."""
        site = request.headers.get("sec-fetch-site", "same-origin")
        origin = request.headers.get("origin", self._origin)
        if site not in ("same-origin", "none") or origin != self._origin:
            text = f"The form was sent from {origin[:200]}, and only pages of {self._origin} may send one here."
            raise Failure(403, "Not sent from this portal", text, f"Open {self._origin}/ and repeat what you wanted.")

    async def fresh(self, session: Session, *, strict: bool = False) -> Session:
        """The session with a token that holds for a while; `strict`: and that identity calls good at this moment."""
        if now() < session.renew and not strict and now() - session.checked < CHECK_SECONDS:
            return session
        lock = self._locks.setdefault(session.id, asyncio.Lock())
        async with lock:
            # Another request may have done it while we waited: a refresh token is good once only.
            known = self.sessions.get(session.secret, use=False)
            if known is None:
                raise LoginNeeded
            try:
                if now() >= known.renew:
                    # Whoever leaves meanwhile must not take the only copy of the new refresh token along.
                    return await asyncio.shield(self._renewed(known))
                if not await self.provider.is_active(known.tokens):
                    raise RefusedError("identity has ended the session")
                return self.sessions.confirm(known)
            except RefusedError as error:
                log.info("session of %s ended: %s", known.person.user_name, error)
                self.sessions.close(known)
                raise LoginNeeded from None
            except Unavailable as error:
                text = "Identity, which says who may do what, does not answer."
                raise Failure(503, "Not possible at this moment", text, "Try again in a moment.", cause=error) from None

    async def _renewed(self, session: Session) -> Session:
        person, tokens = await self.provider.refresh(session.tokens, session.person)
        return self.sessions.renew(session, person, tokens)

    async def end(self, session: Session) -> str:
        """Log out here and at identity; returns where the browser goes to forget identity's own log-in."""
        self.sessions.close(session)
        try:
            await self.provider.revoke(session.tokens)
        except (RefusedError, Unavailable) as error:
            # The page that follows ends the grant as well (RP-Initiated Logout); here it is over in any case.
            log.warning("cannot revoke the tokens of %s: %s", session.person.user_name, error)
        return self.provider.farewell(session.tokens)


async def read_form(request: Request) -> Form:
    """The fields of a form, within bounds (the server bounds the body)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise Failure(415, "Not a form", f"A form is sent as {_FORM}.", "Use the portal's own pages.")
    try:
        body = (await request.body()).decode()
        return parse_qsl(body, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise Failure(400, "Not a form", "The fields are not UTF-8, or too many.", "Send fewer fields.") from None


def set_cookie(response: Response, name: str, value: str, max_age: int | None = None) -> None:
    response.set_cookie(name, value, max_age=max_age, path="/", secure=True, httponly=True, samesite="lax")


def drop_cookie(response: Response, name: str) -> None:
    response.delete_cookie(name, path="/", secure=True, httponly=True, samesite="lax")
