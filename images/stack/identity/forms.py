"""What pages have in common: templates, strict headers, and the token against cross-site requests."""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from .credentials import digest, new_token
from .oauth.messages import Incoming

HERE = Path(__file__).parent
# __Host-: this host only, over TLS only, for all paths; a neighbour on another port cannot shadow it by Domain or Path.
SESSION_COOKIE = "__Host-identity"
FORM_COOKIE = "__Host-identity-form"

_TEMPLATES = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined)


def page(template: str, status: int, target: str | None = None, **values: str) -> Response:
    """A page with a policy that allows nothing but our style sheet and our forms.

    `target` is the validated redirect URI that follows the form: browsers apply form-action to redirects, too.
    """
    values.setdefault("text", "")
    response = HTMLResponse(_TEMPLATES.get_template(template).render(**values), status)
    actions = "'self'" if target is None else f"'self' {origin(target)}"
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'self'; form-action {actions}; frame-ancestors 'none'; base-uri 'none'"
    )
    harden(response)
    return response


def harden(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Frame-Options"] = "DENY"


def origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def form_token(received: Incoming) -> tuple[str, str]:
    """Cookie and field of a form. The field is a hash of the cookie: who cannot read one cannot fill the other."""
    cookie = received.cookies.get(FORM_COOKIE) or new_token()
    return cookie, _field(cookie)


def is_own_form(received: Incoming) -> bool:
    cookie, field = received.cookies.get(FORM_COOKIE), received.value("csrf")
    return bool(cookie and field) and hmac.compare_digest(_field(cookie or "").encode(), (field or "").encode())


def _field(cookie: str) -> str:
    return digest(f"form {cookie}")


def set_cookie(response: Response, name: str, value: str, same_site: Literal["strict", "lax"]) -> None:
    response.set_cookie(name, value, path="/", secure=True, httponly=True, samesite=same_site)


def drop_cookie(response: Response, name: str) -> None:
    response.delete_cookie(name, path="/", secure=True, httponly=True, samesite="lax")
