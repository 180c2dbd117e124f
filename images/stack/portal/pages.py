"""Pages: templates, their filters, and the header fields that every answer carries."""

from __future__ import annotations

import functools
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.datastructures import MutableHeaders
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .ordering import called
from .sessions import Session

HERE = Path(__file__).parent
STATIC = HERE / "static"

STEPS = {
    "reserve": "Reserve names and addresses",
    "devices": "Wait for the devices",
    "network": "Build the network",
    "verify": "Prove that it works",
    "finish": "Note it in the inventory",
    "undo devices": "Wait until the devices have let go",
}
ENDED = ("completed", "failed", "cancelled")
"""States in which an order stays (TMF641 ServiceOrderStateType)."""


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def when(text: str | None) -> Markup:
    """A time, in UTC for whoever runs no scripts; the page's script shows the reader's own."""
    if not text:
        return Markup("")
    try:
        moment = _moment(text)
    except ValueError:
        return Markup("{}").format(text)
    shown = moment.strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}">{}</time>').format(moment.isoformat(), shown)


def span(begin: str | None, end: str | None) -> str:
    """How long something took."""
    if not begin or not end:
        return ""
    seconds = (_moment(end) - _moment(begin)).total_seconds()
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def step_name(name: str) -> str:
    plain = name.removeprefix("undo ")
    known = STEPS.get(plain, plain)
    return STEPS.get(name, known if plain == name else f"Undo: {known[:1].lower()}{known[1:]}")


def pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)


def words(name: str) -> str:
    """`pendingCancellation` → `pending cancellation`."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)


@functools.cache
def static(name: str) -> str:
    """The address of a file, which changes with its content: it may be kept for ever."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


@pass_context
def token_field(context: Context) -> Markup:
    """The hidden field without which no form of ours is taken."""
    return Markup('<input type="hidden" name="csrf" value="{}">').format(context["session"].form_token)


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    made.filters.update(when=when, step_name=step_name, pretty=pretty, words=words)
    made.globals.update(called=called, static=static, span=span, token_field=token_field, ended=ENDED)
    return made


_ENVIRONMENT = _environment()


def text(template: str, session: Session | None, **values: Any) -> str:
    return _ENVIRONMENT.get_template(template).render(session=session, **values)


def page(template: str, session: Session | None, status: int = 200, **values: Any) -> Response:
    return HTMLResponse(text(template, session, **values), status)


class Headers:
    """Header fields of every answer, errors and static files included.

    Nothing is allowed but what pages need: our own files, forms to us and (their redirects count, too) to identity.
    """

    def __init__(self, app: ASGIApp, issuer: str) -> None:
        self.app = app
        self._fields = {
            "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
            f"connect-src 'self'; form-action 'self' {issuer}; frame-ancestors 'none'; base-uri 'none'",
            # Not no-referrer: browsers would hide the origin of our own forms from us, too (Fetch, section 3.2).
            "Referrer-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._fields.items():
                    headers[name] = value
                kept = scope["path"].startswith("/static/") and scope["query_string"].startswith(b"v=")
                good = message["status"] in (200, 206, 304)
                headers["Cache-Control"] = "public, max-age=31536000, immutable" if kept and good else "no-store"
            await send(message)

        await self.app(scope, receive, sent if scope["type"] == "http" else send)
