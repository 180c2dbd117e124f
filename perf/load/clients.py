"""What users do, as ordinary asyncio clients: nothing of Locust is here, and nothing blocks.

Each thing that is done is told to a `Tell` with the moment from which it counts: of the first that somebody does, that
is when they meant to, so that whoever had to queue has waited.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import re
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx
from yangkit.client import NetconfClient, connect_ssh

from harness.lab.netconf import NETCONF_SSH
from harness.orchestrator.events import EventLines
from harness.orchestrator.ordering import ENDED, ORDERING
from perf.load.target import PROGRAM, TENANT, Target

Json = Any
_MARGIN = 30.0
"""Seconds before its end in which a token is not used any more."""
_SECONDS = 30.0
_AGAIN = 0.2
_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')
_INTERFACES = "urn:ietf:params:xml:ns:yang:ietf-interfaces"
_NC = "urn:ietf:params:xml:ns:netconf:base:1.0"
_SERVICES = "/restconf/data/ietf-l3vpn-svc:l3vpn-svc/vpn-services"
_YANG = {"Content-Type": "application/yang-data+json", "Accept": "application/yang-data+json"}


class Tell(Protocol):
    def __call__(self, kind: str, what: str, since: float, error: Exception | None = None) -> None:
        """Something is done, or has failed; `since` is of time.monotonic()."""


class UserError(RuntimeError):
    """Something did not go as its user wanted."""


@contextlib.contextmanager
def telling(tell: Tell, kind: str, what: str, since: float | None = None) -> Iterator[None]:
    """Tells of what is inside, however it ends; its error goes on."""
    begun = time.monotonic() if since is None else since
    try:
        yield
    except Exception as error:
        tell(kind, what, begun, error)
        raise
    tell(kind, what, begun)


def _context(target: Target) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(target.authority))


def http(target: Target, context: ssl.SSLContext | None = None) -> httpx.AsyncClient:
    """Connections that are kept, as any client keeps them; this machine's proxies have no part in it."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
    return httpx.AsyncClient(verify=context or _context(target), timeout=_SECONDS, limits=limits, trust_env=False)


@dataclass
class Account:
    """A program at the authorization server: client credentials (RFC 6749, section 4.4), a token for all its life."""

    target: Target
    web: httpx.AsyncClient
    tell: Tell
    program: str = PROGRAM
    secret: str = ""
    _token: str = ""
    _ends: float = 0.0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def bearer(self) -> dict[str, str]:
        async with self._lock:
            if time.monotonic() > self._ends - _MARGIN:
                with telling(self.tell, "OAuth", "token"):
                    answer = await self.web.post(
                        f"{self.target.url('identity')}/oauth2/token",
                        data={"grant_type": "client_credentials"},
                        auth=(self.program, self.secret or self.target.secret),
                    )
                    content = _good(answer).json()
                self._token = content["access_token"]
                self._ends = time.monotonic() + float(content["expires_in"])
            return {"Authorization": f"Bearer {self._token}"}


def _good(answer: httpx.Response) -> httpx.Response:
    if not answer.is_success:
        raise UserError(f"{answer.request.method} {answer.request.url.path}: {answer.status_code}: {answer.text[:200]}")
    return answer


class Orders:
    """Somebody who orders by TMF641 and asks by TMF638."""

    def __init__(self, target: Target, web: httpx.AsyncClient, tell: Tell) -> None:
        self.target, self.web, self.tell = target, web, tell
        self.account = Account(target, web, tell)

    async def _ask(self, method: str, path: str, body: Json = None) -> Json:
        answer = await self.web.request(
            method, self.target.url("gro") + path, json=body, headers=await self.account.bearer()
        )
        return _good(answer).json()

    async def place(self, items: list[Json]) -> str:
        made = await self._ask("POST", f"{ORDERING}/serviceOrder", {"serviceOrderItem": items})
        return str(made["id"])

    async def cancel(self, order: str) -> None:
        await self._ask("POST", f"{ORDERING}/cancelServiceOrder", {"serviceOrder": {"id": order}})

    async def read(self, order: str) -> dict[str, Json]:
        found: dict[str, Json] = await self._ask("GET", f"{ORDERING}/serviceOrder/{order}")
        return found

    async def ended(self, order: str) -> dict[str, Json]:
        """The order as it ended, heard from its stream of events."""
        path = f"{ORDERING}/serviceOrder/{order}/events"
        while True:
            # A stream that ends, or is silent, is begun again: it tells all from the beginning.
            with contextlib.suppress(httpx.TransportError):
                headers = {"Accept": "text/event-stream"} | await self.account.bearer()
                async with self.web.stream("GET", self.target.url("gro") + path, headers=headers) as answer:
                    if answer.status_code != 200:
                        await answer.aread()
                        _good(answer)
                    reader = EventLines()
                    async for line in answer.aiter_lines():
                        kind, content = reader.heard(line) or ("", {})
                        if kind == "state" and content["state"] in ENDED:
                            return await self.read(order)
            await asyncio.sleep(_AGAIN)

    async def services(self) -> list[dict[str, Json]]:
        found: list[dict[str, Json]] = []
        while True:
            page = await self._ask("GET", f"/tmf-api/serviceInventory/v4/service?limit=100&offset={len(found)}")
            found += page
            if len(page) < 100:
                return found


class Restconf:
    """Somebody who writes services into the controller, and takes them away again (RFC 8040): each write is durable."""

    def __init__(self, target: Target, web: httpx.AsyncClient, tell: Tell) -> None:
        self.target, self.web, self.tell = target, web, tell
        self.account = Account(target, web, tell, "labctl", target.operator_secret)

    async def edit(self, name: str, due: float) -> None:
        """A VPN that no site uses: it is written and no device has to do anything."""
        place = f"{self.target.url('controller')}{_SERVICES}/vpn-service={name}"
        service = {"vpn-id": name, "customer-name": TENANT, "vpn-service-topology": "any-to-any"}
        content = json.dumps({"ietf-l3vpn-svc:vpn-service": [service]})
        with telling(self.tell, "RESTCONF", "write", due):
            headers = _YANG | await self.account.bearer()
            _good(await self.web.put(place, content=content, headers=headers))
        with telling(self.tell, "RESTCONF", "read"):
            read = _good(await self.web.get(place, headers=headers)).json()
            if read["ietf-l3vpn-svc:vpn-service"][0]["vpn-id"] != name:
                raise UserError(f"{place} holds something else: {read}")
        with telling(self.tell, "RESTCONF", "delete"):
            _good(await self.web.delete(place, headers=headers))


class Netconf:
    """Somebody who configures a box over one NETCONF session over SSH (RFC 6241, RFC 6242): candidate and commit.

    A box that no order is for: all sessions of a server share one candidate, and a commit takes all that is in it.
    """

    def __init__(self, target: Target, tell: Tell) -> None:
        self.target, self.tell = target, tell
        self._session: NetconfClient | None = None
        self._alone = asyncio.Lock()

    async def edit(self, name: str, due: float) -> None:
        # Whoever comes while another edits waits, and that counts.
        async with self._alone:
            session = await self._open(due)
            try:
                with telling(self.tell, "NETCONF", "edit and commit", due):
                    await session.edit_config(_described(name))
                    await session.commit()
                with telling(self.tell, "NETCONF", "get-config"):
                    read = await session.get_config("running", f'<interfaces xmlns="{_INTERFACES}"/>')
                    if name not in (one.text for one in read.iter(f"{{{_INTERFACES}}}description")):
                        raise UserError(f"the description {name} was committed and is not there")
            except Exception:
                session.abort()
                self._session = None
                raise

    async def _open(self, due: float) -> NetconfClient:
        if self._session is None:
            with telling(self.tell, "NETCONF", "session", due):
                self._session = await connect_ssh(
                    self.target.box, NETCONF_SSH, username="admin", client_key=self.target.ssh_key,
                    host_key=self.target.box_key, deadline=_SECONDS,
                )  # fmt: skip
        return self._session

    async def close(self) -> None:
        """Nothing of ours stays."""
        if self._session is not None:
            await self._session.edit_config(_described(""))
            await self._session.commit()
            await self._session.close()


def _described(text: str) -> str:
    gone = "" if text else ' nc:operation="remove"'
    inside = f"<name>wan</name><description{gone}>{text}</description>"
    return f'<interfaces xmlns="{_INTERFACES}" xmlns:nc="{_NC}"><interface>{inside}</interface></interfaces>'


class Person:
    """A tenant's user at the portal: logs in at the issuer (authorization code with PKCE), then opens pages, in as many
    tabs as there is to look at.
    """

    PAGES = ("/sites", "/services", "/orders", "/catalogue")

    def __init__(self, target: Target, tell: Tell, context: ssl.SSLContext) -> None:
        self.target, self.tell = target, tell
        self._door = asyncio.Lock()
        self.web = http(target, context)
        self.web.follow_redirects = True
        self._known = False

    async def visit(self, due: float) -> None:
        """Logs in, if that was not done before, and looks at each page once."""
        async with self._door:
            if not self._known:
                with telling(self.tell, "portal", "log in", due):
                    await self._log_in()
                self._known = True
        for number, page in enumerate(self.PAGES):
            with telling(self.tell, "portal", page, None if number else due):
                shown = _good(await self.web.get(f"https://{self.target.address}{page}"))
                if shown.url.path != page:
                    raise UserError(f"{page} led to {shown.url.path}")

    async def _log_in(self) -> None:
        form = _good(await self.web.get(f"https://{self.target.address}/login"))
        hidden = {name: html.unescape(value) for name, value in _HIDDEN.findall(form.text)}
        if "request" not in hidden:
            raise UserError(f"{form.url.path} is no form to log in with")
        entered = {**hidden, "username": TENANT, "password": self.target.password}
        origin = {"Origin": self.target.url("identity")}
        first = _good(await self.web.post(f"{self.target.url('identity')}/login", data=entered, headers=origin))
        if first.url.host != self.target.address or first.url.port not in (None, 443):
            raise UserError(f"the log-in ended at {first.url}")

    async def close(self) -> None:
        await self.web.aclose()
