"""A session with the orchestrator of a lab, as the lab's own program `labctl` (role admin)."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from harness import deeds
from harness.orchestrator.errors import Fault, OrchestratorError, RefusedError, UnavailableError, faults
from harness.orchestrator.events import EventLines
from harness.orchestrator.web import Answer, Web

if TYPE_CHECKING:
    from harness.lab import Lab

Json = Any

PORTS = {"identity": 8441, "manager": 8442, "controller": 8443, "gro": 8444, "portal": 443}
PROGRAM = "labctl"
JSON = "application/json"
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_MARGIN = 30.0
"""Seconds before its end in which a token is not used any more."""


class Orchestrator:
    """Calls to the components by name, as `program` whose secret is in a file. Many threads may call at once."""

    def __init__(
        self, address: str, authority: Path, secret: Path, node: str = "stack", program: str = PROGRAM
    ) -> None:
        self.address = address
        self.node = node
        self._web = Web(address, authority)
        self._secret, self._program = secret, program
        self._token = ("", 0.0)
        self._lock = threading.Lock()

    @classmethod
    def of(cls, lab: Lab) -> Orchestrator:
        """The one of a lab. Raises OrchestratorError when its topology has none."""
        nodes = [node.name for node in lab.topology.nodes.values() if node.role == "stack"]
        if len(nodes) != 1:
            raise OrchestratorError(
                f"lab {lab.name} has {len(nodes)} orchestrators: orders need a topology with one node of "
                "`elasticlab.role: stack`"
            )
        secret = lab.factory.directory / "stacks" / nodes[0] / "labctl-secret"
        return cls(lab[nodes[0]].management_address, lab.factory.service_ca, secret, nodes[0])

    @property
    def portal(self) -> str:
        """Where people log in."""
        return f"https://{self.address}/"

    def call(self, service: str, method: str, path: str, body: Json = None, *, media: str = JSON) -> Answer:
        """One request with a token; an answer of status 2xx or 404.

        Raises:
            UnavailableError: try again later (nobody answers; status 5xx and its like).
            RefusedError: any other status, with what the answer says.
        """
        content = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "*/*"} | ({"Content-Type": media} if content is not None else {})
        for fresh in (False, True):
            bearer = {"Authorization": f"Bearer {self._bearer(fresh)}"}
            answer = self._web.ask(service, PORTS[service], method, path, headers | bearer, content)
            if answer.status != 401:  # its keys, or ours, may be newer than the token
                break
        if method != "GET":
            deeds.tell("request", f"{method} {path} ({service}) → {answer.status}")
        return self._judged(service, answer)

    @contextlib.contextmanager
    def events(self, service: str, path: str, seconds: float) -> Iterator[Iterator[tuple[str, Json]]]:
        """Server-sent events (HTML Living Standard, section 9.2) with JSON data, until the server ends them."""
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {self._bearer(False)}"}
        with self._web.lines(service, PORTS[service], path, headers, seconds) as (answer, lines):
            if self._judged(service, answer).status == 404:
                raise RefusedError(service, 404, (Fault(f"there is nothing at {path}"),))
            reader = EventLines()
            yield (event for line in lines if (event := reader.heard(line)) is not None)

    def _judged(self, service: str, answer: Answer) -> Answer:
        if answer.status in _BUSY:
            said = "; ".join(map(str, faults(answer.content)))
            raise UnavailableError(
                f"{service} cannot do it now ({answer.status}): {said} (see `labctl logs {self.node}`)"
            )
        if answer.status >= 300 and answer.status != 404:
            raise RefusedError(service, answer.status, faults(answer.content))
        return answer

    def token(self) -> str:
        """An access token for calls that are made in another way."""
        return self._bearer(False)

    def _bearer(self, fresh: bool) -> str:
        """An access token that is good for a while: client credentials (RFC 6749, section 4.4)."""
        with self._lock:
            token, ends = self._token
            if fresh or time.monotonic() > ends - _MARGIN:
                answer = self._judged("identity", self._grant())
                content = answer.json() if answer.status == 200 else {}
                token = str(content.get("access_token", ""))
                self._token = (token, time.monotonic() + float(content.get("expires_in", 0)))
            return token

    def _grant(self) -> Answer:
        # The secret in the header, each part form-encoded first (RFC 6749, section 2.3.1).
        pair = f"{quote(self._program, safe='')}:{quote(self._secret.read_text().strip(), safe='')}"
        headers = {
            "Authorization": "Basic " + base64.b64encode(pair.encode()).decode(),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        body = b"grant_type=client_credentials"
        return self._web.ask("identity", PORTS["identity"], "POST", "/oauth2/token", headers, body)
