"""HTTP over mutual TLS, from one interface only: nothing of this takes the management network."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from email.utils import formatdate
from pathlib import Path
from urllib.parse import urlsplit

from yangkit.tls_server import LARGEST_SEGMENT

from element.enrolment.errors import EnrolmentError

Device = Callable[[], str | None]
"""The interface to go out by, asked for each request: uplinks fail. None is any."""

TIMEOUT = 10.0
LARGEST = 1 << 20
_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL (X509_VERIFY_PARAM_set_flags(3)), which Python's ssl has no name for."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, whatever its status."""

    status: int
    headers: Message
    body: bytes

    @property
    def media(self) -> str:
        """Media type without parameters."""
        return self.headers.get_content_type()


@dataclass(frozen=True, slots=True)
class Https:
    """A client: whom it trusts, who it is, and where it goes out."""

    trust: Path
    cert: Path
    key: Path
    device: Device
    dates: bool = True
    """Whether certificates count only from their first day to their last; not while our clock is in question."""
    patience: float = TIMEOUT
    """Seconds to wait for each step."""

    def get(self, url: str) -> Response:
        """One request on a connection of its own; it says what time it is here (RFC 9110, section 6.6.1)."""
        return self._ask("GET", url, None, {"Date": formatdate(usegmt=True)})

    def post(self, url: str, body: bytes, headers: dict[str, str]) -> Response:
        """One request on a connection of its own."""
        return self._ask("POST", url, body, headers)

    def _ask(self, method: str, url: str, body: bytes | None, headers: dict[str, str]) -> Response:
        host, port = address(url)
        connection = _Bound(host, port, self._context(), self.device(), self.patience)
        try:
            connection.request(method, urlsplit(url).path, body, headers)
            answer = connection.getresponse()
            content = answer.read(LARGEST + 1)
            if len(content) > LARGEST:
                raise EnrolmentError(f"{url} answers with more than {LARGEST} octets")
            return Response(answer.status, answer.headers, content)
        except (OSError, http.client.HTTPException) as error:
            raise EnrolmentError(f"{url}: {error or type(error).__name__}") from error
        finally:
            connection.close()

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(self.trust)
        context.load_cert_chain(self.cert, self.key)
        if not self.dates:
            context.verify_flags |= _NO_CHECK_TIME
        return context


def address(url: str) -> tuple[str, int]:
    """Host and port of an https URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 443
    except ValueError as error:
        raise EnrolmentError(f"{url!r} is no URL: {error}") from None
    if parts.scheme != "https" or not host:
        raise EnrolmentError(f"{url!r} is no https URL")
    return host, port


class _Bound(http.client.HTTPSConnection):
    """A connection that leaves by one interface, whatever the routes say."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, device: str | None, patience: float) -> None:
        super().__init__(host, port, timeout=patience, context=context)
        self._tls = context
        self._device = device

    def connect(self) -> None:
        tcp = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            tcp.settimeout(self.timeout)
            if self._device:
                tcp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._device.encode())
            tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, LARGEST_SEGMENT)
            tcp.connect((self.host, self.port))
            tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock = self._tls.wrap_socket(tcp, server_hostname=self.host)
        except BaseException:
            tcp.close()
            raise
