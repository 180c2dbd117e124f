"""HTTP to Authlib and back: a request that has been read whole, and the parameters of OAuth checked once for all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from authlib.oauth2.rfc6749 import OAuth2Request
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from starlette.requests import Request

MAXIMUM_BODY = 65_536
_FORM = "application/x-www-form-urlencoded"
# RFC 6749 appendix A: VSCHAR and space. The two that error_description may not hold are let through here and
# never repeated in one (see `ascii_only`).
_PARAMETER = re.compile(r"[\x20-\x7e]*")


class BadRequest(Exception):
    """The request cannot be read; the text says why (error code invalid_request)."""


@dataclass(frozen=True)
class Incoming:
    """What an endpoint needs to know of a request."""

    method: str
    url: str
    headers: dict[str, str]
    query: dict[str, list[str]]
    form: dict[str, list[str]]
    cookies: dict[str, str]
    address: str
    certificate: bytes | None

    def value(self, name: str) -> str | None:
        found = self.form.get(name) or self.query.get(name)
        return found[0] if found else None


async def incoming(request: Request) -> Incoming:
    """Read a request whole, within bounds."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAXIMUM_BODY:
            raise BadRequest(f"the body is longer than {MAXIMUM_BODY} octets")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and kind != _FORM:
        raise BadRequest(f"the body must be {_FORM}")
    try:
        form, query = _pairs(body.decode()), _pairs(request.url.query)
    except ValueError as error:
        raise BadRequest("the parameters are not well-formed UTF-8 pairs") from error
    state: dict[str, Any] = request.scope.get("state") or {}
    return Incoming(
        method=request.method,
        url=f"https://identity{request.url.path}?{request.url.query}",
        headers={name.title(): value for name, value in request.headers.items()},
        query=query,
        form=form,
        cookies=dict(request.cookies),
        address=request.client.host if request.client else "",
        certificate=state.get("peer_certificate"),
    )


def _pairs(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=64, errors="strict"):
        if value:  # RFC 6749 section 3.1: a parameter without a value is treated as omitted
            found.setdefault(name, []).append(value)
    return found


def check_parameters(parameters: dict[str, list[str]]) -> None:
    """RFC 6749 sections 3.1 and 3.2: no parameter twice; appendix A: printable ASCII only."""
    for name, values in parameters.items():
        if len(values) > 1:
            raise BadRequest(f"a parameter is given more than once: {ascii_only(name)}")
        if not _PARAMETER.fullmatch(values[0]):
            raise BadRequest(f"a parameter holds characters that it must not (RFC 6749 appendix A): {ascii_only(name)}")


def ascii_only(text: str) -> str:
    """Fit for error_description (RFC 6749 section 4.1.2.1)."""
    return re.sub(r"[^\x20\x21\x23-\x5b\x5d-\x7e]", "?", text)[:200]


class Message(OAuth2Request):  # type: ignore[misc]
    """An OAuth2Request of Authlib from an `Incoming`."""

    def __init__(self, source: Incoming) -> None:
        super().__init__(source.method, source.url, headers=source.headers)
        parameters = source.form if source.method == "POST" else source.query
        check_parameters(parameters)
        self.source = source
        self.payload = BasicOAuth2Payload({name: values[0] for name, values in parameters.items()})
        self.thumbprint: str | None = None

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in self.source.form.items()}
