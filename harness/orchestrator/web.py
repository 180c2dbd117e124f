"""HTTPS to one address with one trust anchor, by the standard library: quick to import, nothing to configure."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.orchestrator.errors import UnavailableError

_SECONDS = 10.0


@dataclass(frozen=True)
class Answer:
    """A response; names of header fields are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)


class Web:
    """Servers at one address, each at its port. Every certificate must be signed by `authority` for that address."""

    def __init__(self, address: str, authority: Path) -> None:
        self.address = address
        self._own = threading.local()
        self._context = ssl.create_default_context(cafile=str(authority))
        # RFC 9325 section 3.1.1: nothing of ours speaks less.
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2

    def ask(
        self, service: str, port: int, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answer:
        """One request. Raises UnavailableError: nobody answers, or not as the one who should."""
        if method == "GET" and (kept := self._kept().get(port)) is not None:
            # A server may close what it holds idle at any moment; what only reads is then asked anew.
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self._asked(kept, port, method, path, headers, body)
        with self._telling(service, port):
            return self._asked(self._connection(port, _SECONDS), port, method, path, headers, body)

    def _asked(
        self,
        connection: http.client.HTTPSConnection,
        port: int,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> Answer:
        """The answer on a connection, which is kept for the next question: a handshake costs more than most answers."""
        if (other := self._kept().pop(port, None)) is not None and other is not connection:
            other.close()
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            answer = Answer(response.status, _headers(response), response.read())
        except BaseException:
            connection.close()
            raise
        self._kept()[port] = connection
        return answer

    def _kept(self) -> dict[int, http.client.HTTPSConnection]:
        """This thread's connections by port."""
        found: dict[int, http.client.HTTPSConnection] = self._own.__dict__.setdefault("connections", {})
        return found

    @contextlib.contextmanager
    def lines(
        self, service: str, port: int, path: str, headers: Mapping[str, str], seconds: float
    ) -> Iterator[tuple[Answer, Iterator[str]]]:
        """A GET whose answer is read line by line, unless it is no success: then all of it is in the Answer.

        Raises UnavailableError, also while lines are read: the connection is lost, or silent for `seconds`.
        """
        with contextlib.closing(self._connection(port, seconds)) as connection:
            with self._telling(service, port):
                connection.request("GET", path, None, dict(headers))
                response = connection.getresponse()
                content = b"" if response.status == http.client.OK else response.read()
            # Whoever has the lines may fail for reasons of its own, which are not told as ours.
            yield Answer(response.status, _headers(response), content), self._read(service, port, response)

    def _read(self, service: str, port: int, response: http.client.HTTPResponse) -> Iterator[str]:
        while True:
            with self._telling(service, port):
                line = response.readline()
            if not line:
                return
            yield line.decode(errors="replace").rstrip("\r\n")

    def _connection(self, port: int, seconds: float) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self.address, port, timeout=seconds, context=self._context)

    @contextlib.contextmanager
    def _telling(self, service: str, port: int) -> Iterator[None]:
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            raise UnavailableError(
                f"{service} at https://{self.address}:{port} is not whom the lab's service CA certified: "
                f"{error.verify_message}"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(
                f"{service} at https://{self.address}:{port} does not answer: {error or type(error).__name__}"
            ) from error


def _headers(response: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}
