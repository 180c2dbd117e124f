"""A box enrols with a real server over mutual TLS; whatever is wrong, or cut, leaves it without half an identity.

The server is the foreign side: its messages are written by hand after RFC 8572, RFC 9646 and RFC 7030.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, pkcs7
from cryptography.x509.oid import NameOID
from element import credentials, storage
from element.enrolment.client import FIRST, Enrolment, enrol
from element.enrolment.errors import EnrolmentError
from element.factory import FactoryError, Identity
from element.revocation import Revocations

JSON_OID, XML_OID = (bytes.fromhex(f"060b2a864886f70d010910012{digit}") for digit in "ba")
SIGNED_OID = bytes.fromhex("06092a864886f70d010702")
_CMP = {"csr-generation": {"selected-format": {"format-identifier": "ietf-ztp-types:cmp-csr"}}}
REQUEST = {
    "ietf-sztp-csr:csr-request": {
        "key-generation": {"selected-algorithm": {"algorithm-identifier": "MBMGByqGSM49AgEGCCqGSM49AwEH"}},
        "csr-generation": {"selected-format": {"format-identifier": "ietf-ztp-types:p10-csr"}},
    }
}


def element(tag: int, content: bytes) -> bytes:
    """DER."""
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x82]) + size.to_bytes(2)
    return bytes([tag]) + length + content


def cms(content: bytes, oid: bytes = JSON_OID) -> bytes:
    return element(0x30, oid + element(0xA0, element(0x04, content)))


def onboarding(document: str, **changed: str) -> bytes:
    values = {"configuration-handling": "merge", "configuration": base64.b64encode(document.encode()).decode()}
    return json.dumps({"ietf-sztp-conveyed-info:onboarding-information": values | changed}).encode()


class Manager:
    """The operator, its authorities, and what its server answers; tests change the answers."""

    def __init__(self, make: Callable[[str], Any], folder: Path) -> None:
        self.maker, self.anchor, self.ca, self.services = (make(n) for n in ("maker", "anchor", "operator", "services"))
        self.make = make
        self.folder = folder
        self.url = ""
        self.requests: list[tuple[str, Any]] = []
        self.keys: list[bytes] = []
        self.peers: list[str] = []
        self.issue: Callable[[x509.CertificateSigningRequest], x509.Certificate] = self.certificate
        self.info: dict[str, Any] = REQUEST
        self.document = self.enrolment
        self.wrap: Callable[[str], bytes] = lambda document: cms(onboarding(document))
        self.est_status = 200

    def box(self, serial: str = "EL-1") -> Identity:
        """The factory's files of a box."""
        name = x509.Name([x509.NameAttribute(NameOID.SERIAL_NUMBER, serial)])
        pair = self.maker.pair(self.folder, "idevid")
        key = x509.load_pem_x509_certificate(pair["cert"].read_bytes()).public_key()
        pair["cert"].write_bytes(self.maker.issue(name, key).public_bytes(Encoding.PEM))
        (self.folder / "trust-anchor.pem").write_bytes(self.anchor.pem)
        return Identity(serial, "ucpe-100", "ucpe")

    def certificate(self, csr: x509.CertificateSigningRequest) -> x509.Certificate:
        return self.certify(csr.public_key())

    def certify(self, key: Any, serial: str = "EL-1") -> x509.Certificate:
        pairs = ((NameOID.COMMON_NAME, "ucpe-1"), (NameOID.SERIAL_NUMBER, serial))
        name = x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])
        issued: x509.Certificate = self.ca.issue(name, key, x509.DNSName("ucpe-1.elasticlab.example"))
        return issued

    def enrolment(self, certificate: x509.Certificate, crl: bytes) -> str:
        return f"""<enrolment xmlns="urn:elasticlab:yang:elasticlab-enrolment">
          <name>ucpe-1</name><domain>elasticlab.example</domain>
          <certificate>{certificate.public_bytes(Encoding.PEM).decode()}</certificate>
          <operational-ca>{self.ca.pem.decode()}</operational-ca>
          <service-ca>{self.services.pem.decode()}</service-ca>
          <crl>{base64.b64encode(crl).decode()}</crl>
          <est-server>{self.url}</est-server>
          <controller><address>203.0.113.6</address></controller>
          <user><name>admin</name><ssh-key>ssh-ed25519 AAAAC3Nz admin</ssh-key></user>
          <netconf-client><name>controller</name></netconf-client>
          <netconf-client><name>admin</name></netconf-client>
        </enrolment>"""

    def answer(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        if path == "/.well-known/est/simpleenroll":
            csr = x509.load_der_x509_csr(base64.b64decode(body))
            self.requests.append((path, csr))
            bundle = pkcs7.serialize_certificates([self.certificate(csr)], Encoding.DER)
            return self.est_status, "application/pkcs7-mime; smime-type=certs-only", base64.encodebytes(bundle)
        order = json.loads(body)["ietf-sztp-bootstrap-server:input"]
        operation = path.removeprefix("/restconf/operations/ietf-sztp-bootstrap-server:")
        self.requests.append((operation, order))
        if operation == "report-progress":
            return 204, "", b""
        if "ietf-sztp-csr:p10-csr" not in order:
            error = {"error-type": "application", "error-tag": "missing-attribute", "error-info": self.info}
            return self._json(400, {"ietf-restconf:errors": {"error": [error]}})
        csr = x509.load_der_x509_csr(base64.b64decode(order["ietf-sztp-csr:p10-csr"]))
        self.keys.append(csr.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
        conveyed = self.wrap(self.document(self.issue(csr), self.ca.crl(1)))
        output = {"conveyed-information": base64.b64encode(conveyed).decode()}
        return self._json(200, {"ietf-sztp-bootstrap-server:output": output})

    def _json(self, status: int, tree: dict[str, Any]) -> tuple[int, str, bytes]:
        return status, "application/yang-data+json", json.dumps(tree).encode()

    @property
    def progress(self) -> list[str]:
        return [order["progress-type"] for what, order in self.requests if what == "report-progress"]


def serve(manager: Manager) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_POST(self) -> None:
            subject = dict(pair[0] for pair in self.connection.getpeercert()["subject"])
            manager.peers.append(subject.get("commonName", subject["serialNumber"]))
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, media, content = manager.answer(self.path, body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if media:
                self.send_header("Content-Type", media)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own = manager.anchor.pair(manager.folder, "server", x509.IPAddress(IPv4Address("127.0.0.1")))
    context.load_cert_chain(own["cert"], own["key"])
    context.load_verify_locations(cadata=(manager.maker.pem + manager.ca.pem).decode())
    context.verify_mode = ssl.CERT_REQUIRED
    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    manager.url = f"https://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


M = TypeVar("M", bound="Manager")


@contextmanager
def serving(manager: M) -> Iterator[M]:
    """The manager, while it serves."""
    server = serve(manager)
    yield manager
    server.shutdown()
    server.server_close()


@pytest.fixture
def manager(authority: Callable[[str], Any], tmp_path: Path) -> Iterator[Manager]:
    with serving(Manager(authority, tmp_path)) as made:
        yield made


@pytest.fixture
def enrolment(manager: Manager, tmp_path: Path) -> Enrolment:
    return Enrolment(manager.box(), tmp_path, tmp_path / "identity", anywhere)


def anywhere() -> None:
    """No interface in particular."""


def nobody(_: object) -> None:
    """There is no packet filter to tell."""


def result(folder: Path) -> credentials.Credentials:
    current = folder / "identity" / credentials.CURRENT
    return credentials.read(current, Revocations(current / "ca.pem", current / "crl.pem", folder / "crl.pem"))


def test_a_box_comes_to_its_credentials(manager: Manager, enrolment: Enrolment, tmp_path: Path) -> None:
    admitted: list[Any] = []
    enrolment.attempt(manager.url, admitted.append)
    own = result(tmp_path)
    assert own.name == "ucpe-1"
    assert own.controller == ("203.0.113.6", 4335)
    assert own.clients == {"controller", "controller.elasticlab.example", "admin", "admin.elasticlab.example"}
    assert own.users["admin"].read_text() == "ssh-ed25519 AAAAC3Nz admin\n"
    assert not own.revocations.revoked(manager.certify(manager.ca.key.public_key()).public_bytes(Encoding.DER))
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in own.folder.iterdir())
    assert not credentials.unfinished(own.folder)
    address = ("127.0.0.1", int(manager.url.rpartition(":")[2]))
    assert admitted == [[address], [address, address]]


def test_each_use_has_a_key_of_its_own(manager: Manager, enrolment: Enrolment, tmp_path: Path) -> None:
    enrolment.attempt(manager.url, nobody)
    folder = result(tmp_path).folder
    tls, ike = (x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes()) for name in ("netconf", "ike"))
    assert tls.public_key() != ike.public_key()
    assert tls.subject == ike.subject
    # The factory's identity asks for the first, the operational one for the second (RFC 7030, section 3.3.2).
    assert list(dict.fromkeys(manager.peers)) == ["EL-1", "ucpe-1"]


def test_progress_is_reported_to_its_end_with_the_host_key(manager: Manager, enrolment: Enrolment) -> None:
    enrolment.attempt(manager.url, nobody)
    assert manager.progress == ["bootstrap-initiated", "config-initiated", "config-complete", "bootstrap-complete"]
    [key] = manager.requests[-1][1]["ssh-host-keys"]["ssh-host-key"]
    assert key["algorithm"] == "ssh-ed25519"
    assert b"ssh-ed25519" in base64.b64decode(key["key-data"])


def test_xml_is_understood_too(manager: Manager, enrolment: Enrolment, tmp_path: Path) -> None:
    def wrap(document: str) -> bytes:
        inside = base64.b64encode(document.encode()).decode()
        namespace = "urn:ietf:params:xml:ns:yang:ietf-sztp-conveyed-info"
        handling = "<configuration-handling>merge</configuration-handling>"
        text = f'<onboarding-information xmlns="{namespace}">{handling}<configuration>{inside}</configuration>'
        return cms(f"{text}</onboarding-information>".encode(), XML_OID)

    manager.wrap = wrap
    enrolment.attempt(manager.url, nobody)
    assert result(tmp_path).name == "ucpe-1"


def _documents(change: Callable[[str], str]) -> Callable[[Manager], None]:
    def edit(manager: Manager) -> None:
        manager.document = lambda certificate, crl: change(manager.enrolment(certificate, crl))

    return edit


def _set(**values: Any) -> Callable[[Manager], None]:
    return lambda manager: [setattr(manager, name, value) for name, value in values.items()] and None


WRONG: dict[str, tuple[Callable[[Manager], Any], str]] = {
    "refused": (_set(info={}), "status 400, missing-attribute"),
    "another format": (_set(info={"ietf-sztp-csr:csr-request": _CMP}), "not offered"),
    "no CMS": (_set(wrap=lambda d: b"nonsense"), "no CMS structure"),
    "cut CMS": (_set(wrap=lambda d: cms(onboarding(d))[:-1]), "it is cut"),
    "signed CMS": (_set(wrap=lambda d: element(0x30, SIGNED_OID + element(0xA0, b""))), "signed"),
    "redirect": (_set(wrap=lambda d: cms(b'{"ietf-sztp-conveyed-info:redirect-information": {}}')), "no onboarding"),
    "replace": (_set(wrap=lambda d: cms(onboarding(d, **{"configuration-handling": "replace"}))), "not merge"),
    "a document type": (_documents(lambda d: f'<!DOCTYPE enrolment SYSTEM "x">{d}'), "document type"),
    "no name": (_documents(lambda d: d.replace("<name>ucpe-1</name>", "")), "lacks name"),
    "a path as a name": (_documents(lambda d: d.replace("<name>ucpe-1<", "<name>../x<")), "name makes no sense"),
    "a path as a user": (_documents(lambda d: d.replace("<user><name>admin<", "<user><name>../x<")), "user/name"),
    "two lines in a key": (_documents(lambda d: d.replace("AAAAC3Nz admin", "AAAA a\nssh-rsa AAAA b")), "ssh-key"),
    "another key": (lambda m: _set(issue=lambda csr: m.certify(m.ca.key.public_key()))(m), "another key than ours"),
    "another box": (lambda m: _set(issue=lambda csr: m.certify(csr.public_key(), "EL-2"))(m), "EL-2, not EL-1"),
    "EST refuses": (_set(est_status=403), "refuses: status 403"),
    "EST asks to wait": (_set(est_status=202), "come back later"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_leaves_no_identity(manager: Manager, enrolment: Enrolment, tmp_path: Path, case: str) -> None:
    change, reason = WRONG[case]
    change(manager)
    with pytest.raises(EnrolmentError, match=reason):
        enrolment.attempt(manager.url, nobody)
    assert credentials.unfinished(tmp_path / "identity" / credentials.CURRENT)
    assert manager.progress[-1] == "bootstrap-error"
    with pytest.raises(FactoryError):
        result(tmp_path)


def test_a_list_of_another_authority_is_refused(manager: Manager, enrolment: Enrolment) -> None:
    foreign = manager.make("operator").crl(1)
    manager.document = lambda certificate, _: manager.enrolment(certificate, foreign)
    with pytest.raises(EnrolmentError, match="not the operational CA's"):
        enrolment.attempt(manager.url, nobody)


def test_an_unknown_server_hears_nothing(manager: Manager, enrolment: Enrolment, tmp_path: Path) -> None:
    (tmp_path / "trust-anchor.pem").write_bytes(manager.make("anchor").pem)
    with pytest.raises(EnrolmentError, match="certificate verify failed"):
        enrolment.attempt(manager.url, nobody)
    assert manager.requests == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "https://", "https://[", "nonsense"])
def test_what_is_no_https_url_is_refused(enrolment: Enrolment, url: str) -> None:
    with pytest.raises(EnrolmentError, match="URL"):
        enrolment.attempt(url, nobody)


async def test_the_next_server_is_asked_and_the_box_starts_over(
    manager: Manager, enrolment: Enrolment, tmp_path: Path
) -> None:
    async def admit(_: object) -> None:
        pass

    await enrol(enrolment, lambda: ["https://127.0.0.1:1", manager.url], admit)
    assert result(tmp_path).name == "ucpe-1"


async def test_who_learns_its_servers_late_begins_as_soon_as_it_does(manager: Manager, enrolment: Enrolment) -> None:
    async def admit(_: object) -> None:
        pass

    clock = asyncio.get_running_loop().time
    asked: list[float] = []

    def servers() -> list[str]:
        asked.append(clock())
        return [manager.url] if len(asked) > 3 else []

    await enrol(enrolment, servers, admit)
    assert max(after - before for before, after in pairwise(asked)) < 2 * FIRST


async def test_a_last_report_is_made_up_without_another_bootstrap(
    manager: Manager, enrolment: Enrolment, tmp_path: Path
) -> None:
    async def admit(_: object) -> None:
        pass

    enrolment.attempt(manager.url, nobody)
    (tmp_path / "identity" / credentials.UNREPORTED).write_text(manager.url)
    manager.requests.clear()
    await enrol(enrolment, lambda: [manager.url], admit)
    assert manager.progress == ["bootstrap-complete"]
    assert len(manager.requests) == 1


def _cut(enrolment: Enrolment, url: str, after: int) -> bool:
    """Attempt in a process that is killed at its ``after``-th durable step; was it?"""
    child = os.fork()
    if child == 0:
        try:
            steps, sync = iter(range(after)), storage.sync

            def counted(directory: Path) -> None:
                if next(steps, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                sync(directory)

            storage.sync = counted
            enrolment.attempt(url, nobody)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_box_that_is_cut_anywhere_ends_with_one_identity(manager: Manager, tmp_path: Path) -> None:
    identity = manager.box()
    for after in range(40):
        state = tmp_path / f"cut-{after}" / "identity"
        state.parent.mkdir()
        enrolment = Enrolment(identity, tmp_path, state, anywhere)
        manager.keys.clear()
        killed = _cut(enrolment, manager.url, after)
        if not (state / credentials.CURRENT).exists():
            enrolment.attempt(manager.url, nobody)
        assert len(set(manager.keys)) == 1, "it asked with two keys"
        assert result(state.parent).name == "ucpe-1"
        if not killed:
            break
    else:
        pytest.fail("the attempt has more steps than were cut")
    assert after > 15
