"""identity as its node runs it (`python -m identity`), over TLS on loopback, with a service CA made for the session."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import os
import re
import secrets
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PASSWORD = "first administrator's password"
SECRET = "labctl's secret, long enough"
CALLBACK = "https://portal.elasticlab.example/callback"
GOODBYE = "https://portal.elasticlab.example/goodbye"


class Authority:
    """The service CA."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "service CA")])
        self._write("ca.pem", self._sign(self.name, self.key.public_key(), True, []).public_bytes(_PEM))

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, ca: bool, names: list[x509.GeneralName]):
        start = datetime.now(UTC) - timedelta(hours=1)
        ski = x509.SubjectKeyIdentifier.from_public_key(key)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(ski, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .add_extension(_usage(ca), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def _write(self, name: str, content: bytes) -> Path:
        path = self.directory / name
        path.write_bytes(content)
        return path

    def issue(self, name: str, dns: list[str]) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(one) for one in dns]
        if dns:
            names += [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(subject, key.public_key(), False, names)
        pem = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return self._write(f"{name}.pem", certificate.public_bytes(_PEM)), self._write(f"{name}.key", pem)


_PEM = serialization.Encoding.PEM


def _usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)


@dataclass
class Identity:
    """A running identity, and clients for it."""

    url: str
    authority: Authority
    settings: Path
    data: Path
    process: subprocess.Popen[bytes] | None = None

    def context(self, component: str | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.directory / "ca.pem"))
        if component:
            base = self.authority.directory / component
            context.load_cert_chain(base.with_suffix(".pem"), base.with_suffix(".key"))
        return context

    def client(self, component: str | None = None) -> httpx.Client:
        return httpx.Client(base_url=self.url, verify=self.context(component), timeout=20)

    def start(self) -> None:
        environment = {**os.environ, "ELASTICLAB_SETTINGS": str(self.settings)}
        environment["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
        self.process = subprocess.Popen([sys.executable, "-m", "identity"], env=environment)
        deadline = time.monotonic() + 30
        with self.client() as client:
            while True:
                try:
                    client.get("/health").raise_for_status()
                    return
                except httpx.TransportError:
                    if self.process.poll() is not None or time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)

    def kill(self) -> None:
        """kill -9: nothing may depend on an orderly end."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def labctl_token(self) -> str:
        with self.client() as client:
            answer = client.post("/oauth2/token", data={"grant_type": "client_credentials"}, auth=("labctl", SECRET))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def admin(self) -> httpx.Client:
        client = self.client()
        client.headers["Authorization"] = f"Bearer {self.labctl_token()}"
        return client


def make(directory: Path) -> Identity:
    authority = Authority(directory)
    for component in ("identity", "manager", "portal"):
        authority.issue(component, [f"{component}.elasticlab.example"])
    authority.issue("admin", [])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (directory / "admin-password").write_text(PASSWORD + "\n")
    (directory / "labctl-secret").write_text(SECRET + "\n")
    settings = directory / "identity.toml"
    settings.write_text(
        f"""
data = "{directory}/data"
listen = ["127.0.0.1"]
port = {port}
certificate = "{directory}/identity.pem"
key = "{directory}/identity.key"
service_ca = "{directory}/ca.pem"
issuer = "https://127.0.0.1:{port}"
admin_password_file = "{directory}/admin-password"
labctl_secret_file = "{directory}/labctl-secret"
portal_redirect_uris = ["{CALLBACK}"]
portal_post_logout_uris = ["{GOODBYE}"]
"""
    )
    return Identity(f"https://127.0.0.1:{port}", authority, settings, directory / "data")


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Identity]:
    made = make(tmp_path_factory.mktemp("identity"))
    made.start()
    yield made
    made.kill()


@pytest.fixture
def own_identity(tmp_path: Path) -> Iterator[Identity]:
    """One for a test that locks out its address, or kills it."""
    made = make(tmp_path)
    made.start()
    yield made
    made.kill()


@dataclass
class Pkce:
    verifier: str
    challenge: str


def pkce() -> Pkce:
    verifier = secrets.token_urlsafe(48)
    return Pkce(verifier, base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode())


def authorization(challenge: str | None, **changes: str | None) -> dict[str, str]:
    values = {
        "response_type": "code", "client_id": "portal", "redirect_uri": CALLBACK, "scope": "openid profile",
        "state": "s t/1", "nonce": "n1", "code_challenge": challenge, "code_challenge_method": "S256",
    }  # fmt: skip
    return {name: value for name, value in {**values, **changes}.items() if value is not None}


def hidden(page: str, name: str) -> str:
    import html

    match = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert match, page
    return html.unescape(match[1])


def log_in(browser: httpx.Client, request: dict[str, str], username: str, password: str) -> httpx.Response:
    """The answer to the log-in form that the authorization request shows."""
    form = browser.get("/oauth2/authorize", params=request)
    assert form.status_code == 200, form.text
    fields = {"csrf": hidden(form.text, "csrf"), "request": hidden(form.text, "request")}
    return browser.post("/login", data={**fields, "username": username, "password": password})


def query(response: httpx.Response) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(response.headers["location"]).query))


def get_code(identity: Identity, challenge: str, username: str = "admin", password: str = PASSWORD) -> str:
    with identity.client() as browser:
        answer = log_in(browser, authorization(challenge), username, password)
        assert answer.status_code == 303, answer.text
        back = browser.get(answer.headers["location"])
        assert back.status_code == 303, back.text
        assert back.headers["location"].startswith(CALLBACK + "?")
        assert query(back)["iss"] == identity.url
        assert query(back)["state"] == "s t/1"
        return query(back)["code"]


def redeem(identity: Identity, code: str, verifier: str, component: str = "portal") -> httpx.Response:
    form = {
        "grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK,
        "client_id": component, "code_verifier": verifier,
    }  # fmt: skip
    with identity.client(component) as client:
        return client.post("/oauth2/token", data=form)
