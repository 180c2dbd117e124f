"""What the tests of admission see and do: the operator's view of devices, and a workbench for whoever wants in.

The workbench is the node `thief`, in the WAN like any box, with a box's software. Forged identities are signed with the
lab's own authorities, whose keys are on the host; copied ones are read off the boxes.
"""

from __future__ import annotations

import base64
import json
import secrets
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from harness.factory.authority import NO_EXPIRY, Authority, Subject, key_pem, new_key
from harness.lab import Lab
from harness.orchestrator import registry
from harness.orchestrator.client import Orchestrator
from harness.orchestrator.registry import Device
from harness.wait import wait_for

WAN, BOOTSTRAP = "203.0.113.6", 8572
INTERNET = "198.51.100.80"
YANG = "application/yang-data+json"
SZTP = "/restconf/operations/ietf-sztp-bootstrap-server:"
EST = "/.well-known/est/"
PYTHON = "/opt/element/bin/python"
HEAL_SECONDS = 40
# One request over TLS, as it was told on standard input; prints status and body, or 0 and why TLS was refused.
CLIENT = """
import http.client, json, ssl, sys, tempfile
asked = json.load(sys.stdin)
context = ssl.create_default_context(cadata=asked["trust"])
if asked["identity"]:
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(asked["identity"])
        file.flush()
        context.load_cert_chain(file.name)
connection = http.client.HTTPSConnection(asked["host"], asked["port"], timeout=10, context=context)
try:
    connection.request(asked["method"], asked["path"], asked["body"], asked["headers"])
    answer = connection.getresponse()
    print(json.dumps([answer.status, answer.read().decode("latin-1")]))
except (ssl.SSLError, ConnectionError, http.client.HTTPException) as refusal:
    print(json.dumps([0, str(refusal)]))
"""


# -- the operator's view ---------------------------------------------------------------------------------------------


def of_serial(serial: str) -> str:
    """The resource of the manager's alarms about a device."""
    return f"/elasticlab-devices:devices/device[serial='{serial}']"


def of_name(name: str) -> str:
    """The resource of the controller's alarms about a device."""
    return f"/elasticlab-network:network/device[name='{name}']"


class Operator:
    """Registry, alarms and network by their public interfaces; the manager's book of certificates by its file."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.api = Orchestrator.of(lab)

    def device(self, serial: str) -> dict[str, Any]:
        """A device's entry in the registry."""
        entry = registry.read(self.api, serial)
        assert entry is not None, f"{serial} is not registered"
        return entry

    def statuses(self) -> dict[str, str]:
        """What has become of each registered device."""
        return {serial: entry["status"] for serial, entry in registry.read_all(self.api).items()}

    def certificates(self, serial: str) -> dict[str, bool]:
        """A device's certificates, and whether they are revoked."""
        return {one["serial-number"]: one["revoked"] for one in self.device(serial).get("certificate", [])}

    def issued(self) -> frozenset[str]:
        """Every certificate that was ever issued, also to whom the registry does not know."""
        look = "import json, sqlite3; db = sqlite3.connect('file:/var/lib/manager/manager.sqlite?mode=ro', uri=True)\n"
        look += "print(json.dumps([row[0] for row in db.execute('SELECT serial_number FROM certificate')]))"
        return frozenset(json.loads(self.lab["stack"].exec("/opt/stack/bin/python", "-c", look)))

    def intent(self) -> Any:
        """What is ordered of the network."""
        answer = self.api.call("controller", "GET", "/restconf/data/ietf-l3vpn-svc:l3vpn-svc")
        return answer.json() if answer.status == 200 else None

    def network(self, name: str) -> dict[str, Any]:
        """A device as the controller sees it."""
        path = f"/restconf/data/elasticlab-network:network/device={quote(name)}"
        answer = self.api.call("controller", "GET", path)
        found: list[dict[str, Any]] = answer.json()["elasticlab-network:device"] if answer.status == 200 else []
        return found[0] if found else {}

    def connected(self, name: str) -> bool:
        """Has the controller a session with it?"""
        return bool(self.network(name).get("connected"))

    def administer(self, serial: str, state: str) -> None:
        """Make a device legal or revoked."""
        body = {registry.LIST: [{"serial": serial, "administrative-state": state}]}
        self.api.call("manager", "PATCH", f"{registry.DEVICES}/device={serial}", body, media=YANG)

    def release(self, serial: str) -> int:
        """The registry's action; its status."""
        return self.api.call("manager", "POST", f"{registry.DEVICES}/device={serial}/release").status

    def alarm(self, kind: str, resource: str) -> dict[str, Any] | None:
        """An entry of the alarm list (RFC 8632) of the component that has this kind of alarm."""
        module = resource[1:].partition(":")[0] if resource.startswith("/") else "elasticlab-devices"
        service = {"elasticlab-devices": "manager", "elasticlab-network": "controller"}[module]
        listed = self.api.call(service, "GET", "/restconf/data/ietf-alarms:alarms").json()
        alarms = listed["ietf-alarms:alarms"]["alarm-list"].get("alarm", [])
        wanted = (f"{module}:{kind}", resource)
        found = [one for one in alarms if (one["alarm-type-id"], one["resource"]) == wanted]
        assert len(found) <= 1, "an alarm has one entry a resource (RFC 8632, section 3.4)"
        return found[0] if found else None

    def active(self, kind: str, resource: str) -> bool:
        """Is this alarm there and not cleared?"""
        found = self.alarm(kind, resource)
        return found is not None and not found["is-cleared"]

    @contextmanager
    def alarmed(self, kind: str, resource: str, severity: str) -> Iterator[None]:
        """Within the block this alarm is raised, newly or again."""
        before = self.alarm(kind, resource) or {}
        yield

        def raised() -> bool:
            now = self.alarm(kind, resource) or {}
            return now.get("is-cleared") is False and now["last-raised"] != before.get("last-raised")

        wait_for(f"alarm {kind} of {resource}", raised, 5)
        found = self.alarm(kind, resource) or {}
        assert found["perceived-severity"] == severity
        assert found["alarm-text"]

    @contextmanager
    def gives_nothing(self) -> Iterator[None]:
        """Within the block nobody gets a certificate, is taken in, or changes what is ordered."""
        before = self.issued(), self.intent(), {s for s, status in self.statuses().items() if status == "managed"}
        yield
        after = self.issued(), self.intent(), {s for s, status in self.statuses().items() if status == "managed"}
        assert after[:2] == before[:2]
        assert after[2] <= before[2]

    @contextmanager
    def leaves_alone(self, *names: str) -> Iterator[None]:
        """Within the block these boxes keep their session."""
        before = {name: self.network(name)["since"] for name in names}
        yield
        now = {name: self.network(name) for name in names}
        assert {name: (one["connected"], one["since"]) for name, one in now.items()} == {
            name: (True, since) for name, since in before.items()
        }

    def wait_until_back(self, *boxes: tuple[str, str], seconds: float = HEAL_SECONDS) -> None:
        """These boxes (name, serial number) are managed and connected, and all that is ordered works."""
        for name, serial in boxes:
            wait_for(f"{name} to be managed", lambda s=serial: self.device(s)["status"] == "managed", seconds)  # type: ignore[misc]
            wait_for(f"{name} to call", lambda n=name: self.connected(n), seconds)  # type: ignore[misc]
        self.lab["host-1"].must_reach(INTERNET, seconds)


# -- whoever wants in ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """A certificate with its key, in PEM: what a peer shows in TLS. The key stays out of reports."""

    certificate: bytes
    key: bytes = field(repr=False)

    @property
    def pem(self) -> str:
        return (self.certificate + b"\n" + self.key).decode()

    @property
    def subject(self) -> x509.Name:
        return x509.load_pem_x509_certificate(self.certificate).subject


@dataclass(frozen=True)
class Answer:
    """Status 0: TLS was refused, and `text` says how."""

    status: int
    text: str


def request(key: ec.EllipticCurvePrivateKey, subject: x509.Name) -> bytes:
    """A certificate request (PKCS #10, DER)."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def serial_name(serial: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.SERIAL_NUMBER, serial)])


class Workbench:
    """The node `thief`: TLS with any identity, and the software of a box with any credentials."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.node = lab["thief"]
        self.folder = lab.factory.directory
        self.address = "192.0.2.10"

    def authority(self, name: str) -> Authority:
        """One of the lab's own: `maker`, `anchor` or `service`."""
        return Authority(self.folder / "authorities" / name)

    def idevid(self, serial: str, maker: Authority | None = None, not_after: datetime = NO_EXPIRY) -> Shown:
        """A maker's certificate for a serial number, with a key of its own (IEEE 802.1AR)."""
        key = new_key()
        subject = Subject("ucpe-100", serial_number=serial, not_after=not_after)
        return Shown((maker or self.authority("maker")).issue(subject, key.public_key()), key_pem(key))

    def copied_idevid(self, box: str) -> Shown:
        """The factory identity of a box."""
        return self._read(box, "/factory/idevid")

    def copied_operational(self, box: str) -> Shown:
        """The key and certificate by which a box calls home."""
        return self._read(box, "/var/lib/element/identity/current/netconf")

    def _read(self, box: str, stem: str) -> Shown:
        found = [self.lab[box].exec("cat", f"{stem}.{end}").encode() for end in ("pem", "key")]
        return Shown(found[0], found[1])

    def ask(
        self, path: str, shown: Shown | None = None, body: str | None = None, media: str = YANG, method: str = "POST"
    ) -> Answer:
        """One request to the manager's side in the WAN."""
        asked = {
            "host": WAN,
            "port": BOOTSTRAP,
            "trust": (self.folder / "authorities" / "anchor" / "ca.pem").read_text(),
            "identity": shown.pem if shown else None,
            "method": method,
            "path": path,
            "body": body,
            "headers": {"Content-Type": media},
        }
        status, text = json.loads(self.node.exec(PYTHON, "-c", CLIENT, stdin=json.dumps(asked)))
        return Answer(status, text)

    def bootstrap(self, shown: Shown | None, csr: bytes | None) -> Answer:
        """Ask for bootstrapping data, with a certificate request or none (RFC 8572, section 7.1; RFC 9646)."""
        order = {} if csr is None else {"ietf-sztp-csr:p10-csr": base64.b64encode(csr).decode()}
        return self.ask(f"{SZTP}get-bootstrapping-data", shown, json.dumps({"ietf-sztp-bootstrap-server:input": order}))

    def report(self, shown: Shown, progress: str) -> Answer:
        """Report progress (RFC 8572, section 7.3)."""
        order = {"ietf-sztp-bootstrap-server:input": {"progress-type": progress}}
        return self.ask(f"{SZTP}report-progress", shown, json.dumps(order))

    def enrol(self, shown: Shown | None, operation: str, csr: bytes) -> Answer:
        """Ask EST (RFC 7030) for a certificate: `simpleenroll` or `simplereenroll`."""
        return self.ask(f"{EST}{operation}", shown, base64.encodebytes(csr).decode(), "application/pkcs10")

    @contextmanager
    def clone(self, box: str) -> Iterator[None]:
        """A box's software with a box's whole identity, running until the end of the block."""
        day0 = {
            "wan": {"interface": "wan", "address": f"{self.address}/30", "gateway": "192.0.2.9"},
            "bootstrap-servers": [],
        }
        files = {f"factory/{name}": self.lab[box].exec("cat", f"/factory/{name}") for name in FACTORY_FILES}
        files["factory/day0.json"] = json.dumps(day0)
        current = "/var/lib/element/identity/current"
        for name in self.lab[box].exec("ls", current).split():
            files[f"state/identity/current/{name}"] = self.lab[box].exec("cat", f"{current}/{name}")
        unpack = "rm -rf /root/stolen; mkdir -p /root/stolen; base64 -d | tar -x -C /root/stolen"
        self.node.run("/bin/sh", "-euc", unpack, stdin=_archive(files)).check()
        run = "ELEMENT_FACTORY=/root/stolen/factory ELEMENT_STATE=/root/stolen/state ELEMENT_LEASES=/run/stolen"
        pid = self.node.sh(f"{run} setsid {PYTHON} -m element >/run/element.log 2>&1 </dev/null & echo $!").strip()
        try:
            yield
        finally:
            self.node.sh(f"kill -KILL {pid}; nft flush ruleset; rm -rf /root/stolen")


FACTORY_FILES = ("identity.json", "idevid.key", "idevid.pem", "maker-ca.pem", "trust-anchor.pem")


def _archive(files: dict[str, str]) -> str:
    """A tar archive in base64."""
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text.encode()), 0o600
            archive.addfile(member, BytesIO(text.encode()))
    return base64.b64encode(packed.getvalue()).decode()


def associations(lab: Lab, box: str) -> str:
    """IKE and IPsec associations of a box, as charon and the kernel list them."""
    ike = lab[box].exec("swanctl", "--list-sas", "--uri", "unix:///run/charon.vici")
    return ike + lab[box].exec("ip", "xfrm", "state", "list", "nokeys")


def reset(lab: Lab, box: str) -> None:
    """Press the reset button: the box forgets its operator and starts as it came from the factory."""
    lab[box].sh("sv -w 10 force-stop element >/dev/null || true; rm -rf /var/lib/element/*")
    lab[box].power.cycle()


# -- fixtures --------------------------------------------------------------------------------------------------------


@pytest.fixture
def operator(lab: Lab) -> Operator:
    return Operator(lab)


@pytest.fixture
def workbench(lab: Lab) -> Workbench:
    return Workbench(lab)


@dataclass(frozen=True)
class Spare:
    """A registered device that nobody has seen, with its factory identity."""

    serial: str
    name: str
    idevid: Shown


@pytest.fixture
def spare(operator: Operator, workbench: Workbench) -> Iterator[Spare]:
    mark = secrets.token_hex(4)  # the manager forgets no certificate, nor whose it was
    serial, name = f"EL-SPARE-{mark.upper()}", f"spare-{mark}"
    registry.register(operator.api, Device(serial, name, "ucpe-100"))
    yield Spare(serial, name, workbench.idevid(serial))
    operator.api.call("manager", "DELETE", f"{registry.DEVICES}/device={serial}")
