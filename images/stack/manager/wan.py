"""What devices reach: bootstrap (RFC 8572), EST (RFC 7030) and the CRL, in one ASGI application."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding as X509Encoding
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from manager import conveyed, est, sztp
from manager.alarms import Alarms
from manager.authority import Authority, RequestError, load_request
from manager.conveyed import Encoding, Enrolment
from manager.enrolment import Denied, Entry, TooMany, Visitor
from manager.enrolment import Enrolment as Office
from manager.legality import Refusal
from manager.limits import RateLimit
from manager.peers import Operational, Peer, identify
from manager.settings import Settings

log = logging.getLogger(__name__)

BODY_LIMIT = 64 * 1024
_DENIED = sztp.Rejected(403, "access-denied", "access denied", kind="protocol")
_OPERATIONS = "/restconf/operations/ietf-sztp-bootstrap-server:"
_EST = "/.well-known/est/"
Handler = Callable[[Request, bytes], Awaitable[Response]]


@dataclass(frozen=True)
class Wan:
    """The application's parts; ``app()`` makes it."""

    settings: Settings
    office: Office
    authority: Authority
    alarms: Alarms
    makers: Sequence[x509.Certificate]
    limit: RateLimit

    def app(self) -> Starlette:
        """ASGI."""
        routes = [
            Route(f"{_OPERATIONS}get-bootstrapping-data", self._sztp(self._bootstrap), methods=["POST"]),
            Route(f"{_OPERATIONS}report-progress", self._sztp(self._report), methods=["POST"]),
            *self._public_routes(),
            Route(f"{_EST}csrattrs", self._plain(self._csrattrs), methods=["GET"]),
            Route(f"{_EST}simpleenroll", self._plain(self._simpleenroll), methods=["POST"]),
            Route(f"{_EST}simplereenroll", self._plain(self._simplereenroll), methods=["POST"]),
        ]
        return Starlette(routes=routes)

    def public(self) -> Starlette:
        """What needs no certificate: who the operational CA is, and what it has revoked."""
        return Starlette(routes=self._public_routes())

    def _public_routes(self) -> list[Route]:
        return [
            Route(f"{_EST}cacerts", self._plain(self._cacerts), methods=["GET"]),
            Route("/crl", self._plain(self._crl), methods=["GET"]),
        ]

    # -- around every request ----------------------------------------------------------------------------------------

    def _sztp(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Errors are ``ietf-restconf:errors`` in the encoding of the request."""

        async def endpoint(request: Request) -> Response:
            encoding: Encoding = "json"
            headers: dict[str, str] = {}
            try:
                encoding = sztp.encoding_of(request.headers.get("content-type"))
                encoding = sztp.accepted(request.headers.get("accept"), encoding)
                wait = self._wait(request)
                if wait:
                    headers["Retry-After"] = str(wait)
                    raise sztp.Rejected(429, "resource-denied", "too many requests", kind="transport")
                return await handler(request, await _body(request))
            except _TooBig:
                problem = sztp.Rejected(413, "too-big", f"the body is longer than {BODY_LIMIT} bytes", kind="protocol")
            except Denied:
                problem = _DENIED
            except RequestError as error:
                problem = sztp.Rejected(400, "invalid-value", str(error))
            except sztp.Rejected as error:
                problem = error
            return Response(sztp.errors(problem, encoding), problem.status, headers, sztp.MEDIA[encoding])

        return endpoint

    def _plain(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Errors are text (RFC 7030, section 4.2.3)."""

        async def endpoint(request: Request) -> Response:
            try:
                wait = self._wait(request)
                if wait:
                    return PlainTextResponse("too many requests\n", 429, {"Retry-After": str(wait)})
                return await handler(request, await _body(request))
            except _TooBig:
                return PlainTextResponse(f"the body is longer than {BODY_LIMIT} bytes\n", 413)
            except Denied:
                return PlainTextResponse("access denied\n", 403)
            except (RequestError, TooMany) as error:
                return PlainTextResponse(f"{error}\n", 400 if isinstance(error, RequestError) else 403)

        return endpoint

    def _wait(self, request: Request) -> int:
        return math.ceil(self.limit.wait(_address(request)))

    def _peer(self, request: Request) -> Peer | None:
        certificate = request.scope.get("state", {}).get("peer_certificate")
        return identify(certificate, _address(request), self.makers, self.authority)

    def _visitor(self, request: Request) -> Visitor:
        """The box that asks to be taken in: it must show its IDevID (RFC 8572, section 7.2)."""
        peer = self._peer(request)
        if peer is None:
            raise sztp.Rejected(401, "access-denied", "show the device's IDevID in TLS", kind="protocol")
        if not isinstance(peer, Visitor):
            reason = "an operational certificate is no IDevID" if isinstance(peer, Operational) else peer.reason
            self.alarms.raise_(Refusal.FOREIGN.value, peer.address, f"{peer.address} wanted to bootstrap: {reason}")
            raise Denied(Refusal.FOREIGN)
        return peer

    def _operational(self, request: Request) -> Operational:
        peer = self._peer(request)
        if isinstance(peer, Operational):
            return peer
        address = _address(request)
        if peer is not None:
            self.alarms.raise_(Refusal.FOREIGN.value, address, f"{address} wanted EST without operational certificate")
        raise Denied(Refusal.FOREIGN)

    # -- bootstrap ---------------------------------------------------------------------------------------------------

    async def _bootstrap(self, request: Request, body: bytes) -> Response:
        visitor = await asyncio.to_thread(self._visitor, request)
        encoding = sztp.encoding_of(request.headers.get("content-type"))
        answer = sztp.accepted(request.headers.get("accept"), encoding)
        asked = sztp.bootstrap_input(sztp.parse(body, encoding))
        csr = None if asked.csr is None else load_request(asked.csr)
        try:
            taken = await asyncio.to_thread(self.office.bootstrap, visitor, csr)
        except TooMany as error:
            raise sztp.Rejected(403, "resource-denied", str(error)) from None
        if taken is None:
            raise sztp.request_wanted(asked)
        entry, certificate = taken
        configuration = await asyncio.to_thread(self._enrolment, entry, certificate, ":" in visitor.address)
        output = sztp.output(conveyed.onboarding(configuration.xml(), answer), answer)
        return Response(output, 200, None, sztp.MEDIA[answer])

    def _enrolment(self, entry: Entry, certificate: x509.Certificate, ipv6: bool) -> Enrolment:
        """What a device is told; it may have no other family than the one that it came by."""
        settings = self.settings
        est_url, address = settings.est_url, settings.controller_address
        if ipv6:
            est_url, address = settings.est_url6 or est_url, settings.controller_address6 or address
        return Enrolment(
            name=entry.name,
            domain=settings.domain,
            certificate=certificate.public_bytes(X509Encoding.PEM).decode() + self.authority.pem,
            operational_ca=self.authority.pem,
            service_ca=settings.service_ca.read_text(),
            crl=self.office.crl(),
            est_server=est_url,
            controller=(address, settings.controller_port),
            users={settings.admin_user: _keys(settings.admin_keys.read_text())},
            netconf_clients=settings.netconf_clients,
        )

    async def _report(self, request: Request, body: bytes) -> Response:
        visitor = await asyncio.to_thread(self._visitor, request)
        encoding = sztp.encoding_of(request.headers.get("content-type"))
        report = sztp.report(sztp.parse(body, encoding))
        await asyncio.to_thread(self.office.report, visitor, report.kind, report.message)
        return Response(status_code=204)

    # -- EST and the CRL ---------------------------------------------------------------------------------------------

    async def _cacerts(self, request: Request, body: bytes) -> Response:
        return _base64(est.encode(self.authority.certificate), est.CA_CERTS)

    async def _csrattrs(self, request: Request, body: bytes) -> Response:
        return Response(status_code=204)  # nothing is asked for: names come from the registry (section 4.5.2)

    async def _simpleenroll(self, request: Request, body: bytes) -> Response:
        return await self._enrol(request, body, renewal=False)

    async def _simplereenroll(self, request: Request, body: bytes) -> Response:
        return await self._enrol(request, body, renewal=True)

    async def _enrol(self, request: Request, body: bytes, *, renewal: bool) -> Response:
        peer = await asyncio.to_thread(self._operational, request)
        issued = await asyncio.to_thread(self.office.holder, peer.serial_number, peer.address)
        csr = est.decode(body, request.headers.get("content-type"))
        if not est.same_names(csr, peer.certificate):
            raise RequestError("subject and subjectAltName must be those of the certificate shown (RFC 7030, 4.2.2)")
        purpose = est.purpose_of(csr, issued.purpose, renewal=renewal)
        certificate = await asyncio.to_thread(self.office.enrol, issued.serial, purpose, csr, peer.address)
        return _base64(est.encode(certificate), est.CERTS_ONLY)

    async def _crl(self, request: Request, body: bytes) -> Response:
        if (date := request.headers.get("date")) is not None:
            await asyncio.to_thread(self._clock_of, request, date)
        der = await asyncio.to_thread(self.office.crl)
        tag = f'"{hashlib.sha256(der).hexdigest()[:32]}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        known = {part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")}
        if tag in known or "*" in known:
            return Response(status_code=304, headers=headers)
        return Response(der, 200, headers, "application/pkix-crl")

    def _clock_of(self, request: Request, date: str) -> None:
        """A device that doubts its clock says what it shows (RFC 9110, section 6.6.1), and reads ours in the answer."""
        peer = self._peer(request)
        try:
            shown = parsedate_to_datetime(date)
        except ValueError:
            return
        if isinstance(peer, Operational) and shown.tzinfo is not None:
            self.office.clock(peer.serial_number, datetime.now(UTC) - shown)


class _TooBig(Exception):
    pass


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


async def _body(request: Request) -> bytes:
    """The body, as long as it may be: no more is read."""
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > BODY_LIMIT:
        raise _TooBig
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > BODY_LIMIT:
                raise _TooBig
    except ClientDisconnect:
        raise RequestError("the client left before its body was there") from None
    return bytes(body)


def _base64(body: bytes, media: str) -> Response:
    return Response(body, 200, {"Content-Transfer-Encoding": "base64", "Content-Type": media})


def _keys(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]
