"""Foreign clients of the controller: curl in a node of the management network, ncclient on the host."""

from __future__ import annotations

import functools
import json
import secrets
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key
from ncclient import NCClientError, manager
from ncclient.manager import Manager

from harness.lab import Lab

IDENTITY, RESTCONF, NETCONF_SSH, NETCONF_TLS = 8441, 8443, 830, 6513
SECONDS = 20
JSON, XML, FORM = "application/yang-data+json", "application/yang-data+xml", "application/x-www-form-urlencoded"
SERVICES = "/restconf/data/ietf-l3vpn-svc:l3vpn-svc/vpn-services"
L3VPN = "urn:ietf:params:xml:ns:yang:ietf-l3vpn-svc"
NC = "urn:ietf:params:xml:ns:netconf:base:1.0"
PREFIXES = {
    "nc": NC,
    "svc": L3VPN,
    "net": "urn:elasticlab:yang:elasticlab-network",
    "ncm": "urn:ietf:params:xml:ns:yang:ietf-netconf-monitoring",
}
_PLACE = "/run/clients"


class Secret(str):
    """A token, or what has one in it, that a failed test's report does not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<secret>"


@dataclass(frozen=True)
class Answer:
    """A response as curl wrote it down; names of header fields are in lower case."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)

    @property
    def error(self) -> dict[str, Any]:
        """The one error of an answer (RFC 8040, section 7.1)."""
        assert self.headers["content-type"].startswith(JSON)
        [error] = self.body["ietf-restconf:errors"]["error"]
        return dict(error)


class Curl:
    """curl in node `internet`; what it sends stands in its configuration on standard input, so no list shows it."""

    def __init__(self, lab: Lab) -> None:
        self._node = lab["internet"]
        self._host = lab["stack"].management_address
        self._stack = lab.factory.directory / "stacks" / "stack"
        self._node.sh(f"umask 077; mkdir -p {_PLACE}")
        self.put("service-ca.pem", lab.factory.service_ca.read_text())
        self.admin = self.token("labctl", Secret((self._stack / "labctl-secret").read_text().strip()))

    def put(self, name: str, text: str) -> str:
        """A file for curl."""
        self._node.run("/bin/sh", "-euc", f"umask 077; cat > {_PLACE}/{name}", stdin=str(text)).check()
        return f"{_PLACE}/{name}"

    def component(self, name: str) -> str:
        """Certificate and key of a component, in a file for curl."""
        parts = ((self._stack / f"{name}.{end}").read_text() for end in ("pem", "key"))
        return self.put(f"{name}.pem", Secret("".join(parts)))

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        port: int = RESTCONF,
        token: str | None = "",
        media: str = JSON,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request, as the administrator unless a token (or None) is given; `more` are options of curl."""
        fields = dict(headers or {})
        if token is not None:
            fields["Authorization"] = f"Bearer {token or self.admin}"
        options = [("url", f"https://{self._host}:{port}{path}"), ("cacert", f"{_PLACE}/service-ca.pem")]
        options += [("max-time", "10"), *(more or {}).items()]
        if method != "HEAD":
            options.append(("request", method))
        if body is not None:
            fields.setdefault("Content-Type", media)
            options.append(("data-binary", body if isinstance(body, str) else json.dumps(body)))
        options += [("header", f"{name}: {value}") for name, value in fields.items()]
        config = "".join(f"{name} = {_quoted(value)}\n" for name, value in options)
        config += "head\n" if method == "HEAD" else ""
        said = self._node.run("curl", "-q", "-s", "-S", "-i", "-g", "--http1.1", "-K", "-", stdin=config)
        if not said.stdout:
            raise ConnectionError(said.stderr.strip())
        return _answer(said.stdout)

    def token(self, program: str, secret: str) -> Secret:
        """Client credentials with a secret (RFC 6749, section 4.4)."""
        answer = self.ask(
            "POST",
            "/oauth2/token",
            "grant_type=client_credentials",
            port=IDENTITY,
            token=None,
            media=FORM,
            more={"user": Secret(f"{program}:{secret}")},
        )
        assert answer.status == 200, answer.text
        return Secret(answer.body["access_token"])

    def bound_token(self, component: str) -> Secret:
        """The token of a component, bound to its certificate (RFC 8705)."""
        form = f"grant_type=client_credentials&client_id={component}"
        shown = {"cert": self.component(component)}
        answer = self.ask("POST", "/oauth2/token", form, port=IDENTITY, token=None, media=FORM, more=shown)
        assert answer.status == 200, answer.text
        return Secret(answer.body["access_token"])

    def tenant_token(self, tenant: str) -> Secret:
        """The token of a tenant's program; tenant and program are made when they are not there."""
        resource = {"schemas": ["urn:elasticlab:scim:Tenant"], "name": tenant, "displayName": tenant}
        made = self.ask("POST", "/scim/v2/Tenants", resource, port=IDENTITY, media="application/scim+json")
        assert made.status in (201, 409), made.text
        client, secret = f"{tenant}-{secrets.token_hex(4)}", Secret(secrets.token_urlsafe(24))
        program = {"schemas": ["urn:elasticlab:scim:Program"], "clientId": client, "secret": secret}
        program |= {"tenant": tenant, "roles": ["tenant"]}
        made = self.ask("POST", "/scim/v2/Programs", program, port=IDENTITY, media="application/scim+json")
        assert made.status == 201, made.text
        return self.token(client, secret)


def _quoted(value: str) -> str:
    """A value of curl's configuration file."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _answer(said: str) -> Answer:
    head, _, body = said.replace("\r\n", "\n").partition("\n\n")
    first, *lines = head.split("\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(first.split()[1]), fields, body)


@functools.cache
def host_key(lab: Lab) -> str:
    """The controller's SSH host key, read off its node."""
    private = lab["stack"].exec("cat", "/var/lib/controller/ssh_host_ed25519_key").encode()
    public = load_ssh_private_key(private, None).public_key()
    return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode().split()[1]


def over_ssh(lab: Lab, **changed: Any) -> Manager:
    """A session of ncclient as the administrator, who checks that the controller is itself."""
    wanted: dict[str, Any] = {
        "host": lab["stack"].management_address,
        "port": NETCONF_SSH,
        "username": "admin",
        "key_filename": str(lab.factory.admin.ssh_key),
        "hostkey_b64": host_key(lab),
        "allow_agent": False,
        "look_for_keys": False,
        "timeout": SECONDS,
    }
    return manager.connect(**(wanted | changed))


def over_tls(lab: Lab, key: Path, certificate: Path, **changed: Any) -> Manager:
    """The same over TLS, with this certificate."""
    wanted: dict[str, Any] = {
        "host": lab["stack"].management_address,
        "port": NETCONF_TLS,
        "keyfile": str(key),
        "certfile": str(certificate),
        "ca_certs": str(lab.factory.service_ca),
        "protocol": ssl.PROTOCOL_TLS_CLIENT,
        "server_hostname": "controller.elasticlab.example",
        "timeout": SECONDS,
    }
    return manager.connect_tls(**(wanted | changed))


def service(name: str, customer: str = "conformance") -> dict[str, Any]:
    """A VPN that no site uses: it is ordered, and no device has to do anything."""
    return {"vpn-id": name, "customer-name": customer, "vpn-service-topology": "any-to-any"}


def service_xml(name: str, customer: str = "conformance") -> str:
    return (
        f'<config xmlns="{NC}"><l3vpn-svc xmlns="{L3VPN}"><vpn-services><vpn-service><vpn-id>{name}</vpn-id>'
        f"<customer-name>{customer}</customer-name><vpn-service-topology>any-to-any</vpn-service-topology>"
        "</vpn-service></vpn-services></l3vpn-svc></config>"
    )


def entry(name: str) -> str:
    """Where it is."""
    return f"{SERVICES}/vpn-service={name}"


@functools.cache
def _curl(lab: Lab) -> Curl:
    return Curl(lab)


@pytest.fixture
def curl(lab: Lab) -> Curl:
    return _curl(lab)


@pytest.fixture
def vpn(curl: Curl) -> Iterator[str]:
    """The name of a VPN that is not there yet, and is not there afterwards."""
    name = f"vpn-{secrets.token_hex(4)}"
    yield name
    curl.ask("DELETE", entry(name))


@pytest.fixture
def client(lab: Lab) -> Iterator[Manager]:
    """A session over SSH."""
    session = over_ssh(lab)
    yield session
    with suppress(NCClientError, OSError, EOFError):
        session.close_session()


Ids = Callable[[], list[str]]


@pytest.fixture
def ids(curl: Curl) -> Ids:
    """The VPNs that are ordered, as RESTCONF tells them."""

    def look() -> list[str]:
        answer = curl.ask("GET", f"{SERVICES}?fields=vpn-service/vpn-id")
        if answer.status == 404:
            return []
        return [one["vpn-id"] for one in answer.body["ietf-l3vpn-svc:vpn-services"].get("vpn-service", [])]

    return look
