"""Who gets in, and from where: credentials of SSH and TLS (RFC 6242, RFC 7589), and the sides that have no door."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paramiko
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from ncclient import manager
from ncclient.manager import Manager
from ncclient.transport.errors import AuthenticationError, SSHUnknownHostError, TLSError, TransportError

from harness.lab import Lab
from harness.lab.netconf import host_key

from .conftest import IF, PREFIXES, SECONDS, Dial, open_session, operational_ca

pytestmark = pytest.mark.topology("demo")

BOXES = ["ucpe-1", "ucpe-2", "vmsr-1"]
NETCONF_SSH, NETCONF_TLS, SSH = 830, 6513, 22
CONTROLLER = "controller.elasticlab.example"
# Says how an attempt to connect ended: python3 - ADDRESS PORT [INTERFACE]
KNOCK = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
tcp = socket.socket(family, socket.SOCK_STREAM)
tcp.settimeout(1)
if len(sys.argv) > 3:
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, sys.argv[3].encode())
try:
    scope = (0, socket.if_nametoindex(sys.argv[3])) if family == socket.AF_INET6 else ()
    tcp.connect((sys.argv[1], int(sys.argv[2]), *scope))
    print("open")
except TimeoutError:
    print("silent")
except OSError as error:
    print(error.strerror)
"""


# -- SSH -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def stranger(tmp_path: Path) -> str:
    """A key that nobody knows."""
    path = tmp_path / "id_stranger"
    paramiko.ECDSAKey.generate().write_private_key_file(str(path))
    return str(path)


def test_a_key_that_nobody_knows_is_refused(lab: Lab, box: str, stranger: str) -> None:
    with pytest.raises(AuthenticationError):
        open_session(lab, box, key_filename=stranger)


@pytest.mark.parametrize("user", ["root", "Admin", "ucpe-1", ""])
def test_another_user_is_refused_with_the_right_key(lab: Lab, box: str, user: str) -> None:
    with pytest.raises(TransportError):
        open_session(lab, box, username=user)


@pytest.mark.parametrize("password", ["", "admin", "elasticlab", "x" * 5000])
def test_a_password_is_refused(lab: Lab, box: str, password: str) -> None:
    with pytest.raises(AuthenticationError):
        open_session(lab, box, key_filename=None, password=password)


def test_keys_are_the_only_way_in(lab: Lab, box: str) -> None:
    transport = paramiko.Transport((lab[box].management_address, NETCONF_SSH))
    try:
        transport.start_client(timeout=SECONDS)
        with pytest.raises(paramiko.BadAuthenticationType) as refusal:
            transport.auth_none("admin")
        assert refusal.value.allowed_types == ["publickey"]
    finally:
        transport.close()


def test_each_box_proves_to_be_itself(lab: Lab, dial: Dial) -> None:
    """The box has made its host key and no other box has it; a manager that expects another one goes away."""
    assert len({host_key(lab, box) for box in BOXES}) == len(BOXES)
    for box in BOXES:
        assert dial(box).connected
    with pytest.raises(SSHUnknownHostError):
        open_session(lab, "ucpe-1", hostkey_b64=host_key(lab, "ucpe-2").split()[1])


@pytest.fixture
def ssh(lab: Lab, box: str) -> Iterator[paramiko.Transport]:
    """The administrator's connection, before any channel."""
    transport = paramiko.Transport((lab[box].management_address, NETCONF_SSH))
    transport.connect(username="admin", pkey=paramiko.Ed25519Key.from_private_key_file(str(lab.factory.admin.ssh_key)))
    yield transport
    transport.close()


@pytest.mark.parametrize("subsystem", ["sftp", "shell", "netconf2"])
def test_there_is_no_other_subsystem(ssh: paramiko.Transport, subsystem: str) -> None:
    with pytest.raises(paramiko.SSHException):
        ssh.open_session(timeout=SECONDS).invoke_subsystem(subsystem)


def test_there_is_no_shell_and_no_command(ssh: paramiko.Transport) -> None:
    with pytest.raises(paramiko.SSHException):
        ssh.open_session(timeout=SECONDS).exec_command("id")
    with pytest.raises(paramiko.SSHException):
        ssh.open_session(timeout=SECONDS).invoke_shell()


def test_a_box_forwards_nothing(ssh: paramiko.Transport) -> None:
    """Else the management network would be a way into every tenant and onto every WAN."""
    with pytest.raises(paramiko.ChannelException):
        ssh.open_channel("direct-tcpip", ("198.51.100.80", 80), ("127.0.0.1", 1), timeout=SECONDS)
    with pytest.raises(paramiko.SSHException):
        ssh.request_port_forward("", 0)


# -- TLS -------------------------------------------------------------------------------------------------------------


def over_tls(lab: Lab, box: str, key: Path, certificate: Path, **changed: Any) -> Manager:
    wanted: dict[str, Any] = {
        "host": lab[box].management_address,
        "port": NETCONF_TLS,
        "keyfile": str(key),
        "certfile": str(certificate),
        "ca_certs": str(operational_ca(lab, box)),
        "protocol": ssl.PROTOCOL_TLS_CLIENT,
        "server_hostname": f"{box}.elasticlab.example",
        "timeout": SECONDS,
    }
    return manager.connect_tls(**(wanted | changed))


@pytest.mark.parametrize("box", BOXES)
def test_the_administrators_certificate_opens_a_session(lab: Lab, box: str, dial: Dial) -> None:
    admin = lab.factory.admin
    client = over_tls(lab, box, admin.tls_key, admin.tls_certificate)
    # Asked for little: ncclient 0.7.1 waits for ever for what is left of a TLS record of more than 4096 octets.
    wanted = f'<interfaces xmlns="{IF}"><interface><name>wan</name></interface></interfaces>'
    assert len(client.get_config("running", filter=("subtree", wanted)).data_ele) == 1
    with client.locked("candidate"):
        client.commit()
    expression = f"/m:netconf-state/m:sessions/m:session[m:session-id={client.session_id}]"
    mine = client.get(("xpath", ({"m": PREFIXES["ncm"]}, expression))).data_ele
    assert mine.findtext(".//ncm:username", namespaces=PREFIXES) == "admin"
    assert mine.findtext(".//ncm:transport", namespaces=PREFIXES).endswith("netconf-tls")
    client.close_session()


def test_a_box_is_no_other_box(lab: Lab) -> None:
    admin = lab.factory.admin
    with pytest.raises(TLSError):
        over_tls(lab, "ucpe-1", admin.tls_key, admin.tls_certificate, server_hostname="ucpe-2.elasticlab.example")
    with pytest.raises(TLSError):
        over_tls(lab, "ucpe-1", admin.tls_key, admin.tls_certificate, ca_certs=str(lab.factory.maker_ca))


def self_signed(folder: Path, name: str = "admin") -> tuple[Path, Path]:
    """Key and certificate of somebody who says that he is the administrator."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "self.key").write_bytes(private)
    (folder / "self.pem").write_bytes(certificate.public_bytes(pem))
    return folder / "self.key", folder / "self.pem"


def unscrewed(lab: Lab, box: str, use: str, folder: Path) -> tuple[Path, Path]:
    """Key and certificate as they lie in a box."""
    for kind in ("key", "pem"):
        (folder / f"box.{kind}").write_text(lab[box].exec("cat", f"/var/lib/element/identity/current/{use}.{kind}"))
    return folder / "box.key", folder / "box.pem"


def stack(lab: Lab) -> Path:
    """The factory's files of the orchestrator."""
    return lab.place.folder / "factory" / "stacks" / "stack"


@pytest.mark.parametrize(
    "who",
    [
        "the maker's",
        "a box's for IKE",
        "a box's for NETCONF",
        "a component's that configures nobody",
        "self-signed",
    ],
)
def test_a_certificate_that_is_no_administrators_opens_no_session(
    lab: Lab, box: str, tmp_path: Path, who: str, dial: Dial
) -> None:
    """The other box's keys are real: its holder has opened it with a screwdriver."""
    factory = lab.place.folder / "factory" / "boxes" / "ucpe-2"
    key, certificate = {
        "the maker's": lambda: (factory / "idevid.key", factory / "idevid.pem"),
        "a box's for IKE": lambda: unscrewed(lab, "ucpe-2", "ike", tmp_path),
        "a box's for NETCONF": lambda: unscrewed(lab, "ucpe-2", "netconf", tmp_path),
        "a component's that configures nobody": lambda: (stack(lab) / "gro.key", stack(lab) / "gro.pem"),
        "self-signed": lambda: self_signed(tmp_path),
    }[who]()
    with pytest.raises((TransportError, OSError)):
        over_tls(lab, box, key, certificate)
    sessions = dial().get(("xpath", ({"m": PREFIXES["ncm"]}, "/m:netconf-state/m:sessions"))).data_ele
    users = {user.text for user in sessions.findall(".//ncm:username", PREFIXES)}
    assert "admin" in users
    assert users <= {"admin", CONTROLLER}


def test_without_a_certificate_there_is_no_session(lab: Lab, box: str) -> None:
    context = ssl.create_default_context(cafile=str(operational_ca(lab, box)))
    assert said_by(lab, box, context) == b""


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_versions_of_tls_are_refused(lab: Lab, box: str) -> None:
    context = ssl.create_default_context(cafile=str(operational_ca(lab, box)))
    context.load_cert_chain(lab.factory.admin.tls_certificate, lab.factory.admin.tls_key)
    assert b"<hello" in said_by(lab, box, context)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    assert said_by(lab, box, context) == b""


def said_by(lab: Lab, box: str, context: ssl.SSLContext) -> bytes:
    """What a box says first over TLS; nothing when it does not want to talk."""
    with socket.create_connection((lab[box].management_address, NETCONF_TLS), SECONDS) as tcp:
        try:
            with context.wrap_socket(tcp, server_hostname=f"{box}.elasticlab.example") as tls:
                return tls.recv(65536)
        except (ssl.SSLError, ConnectionError):
            return b""


# -- from where ------------------------------------------------------------------------------------------------------


def knock(lab: Lab, node: str, address: str, port: int, *interface: str) -> str:
    return lab[node].exec("python3", "-c", KNOCK, address, str(port), *interface).strip()


@pytest.mark.parametrize("port", [NETCONF_SSH, NETCONF_TLS, SSH])
@pytest.mark.parametrize(
    ("node", "address"),
    [
        ("internet", "203.0.113.2"),
        ("internet", "192.0.2.6"),
        ("internet", "192.0.2.2"),
        ("nat-1", "192.168.1.10"),
    ],
    ids=["vmsr-1", "ucpe-2", "the NAT router of ucpe-1", "ucpe-1 from its own WAN"],
)
def test_there_is_no_door_on_the_wan(lab: Lab, node: str, address: str, port: int) -> None:
    assert lab[node].exec("python3", "--version"), "who knocks can"
    assert knock(lab, node, address, port) != "open"


def test_knocking_finds_an_open_door(lab: Lab) -> None:
    """The twin of the tests around it."""
    assert knock(lab, "internet", "198.51.100.80", 80) == "open"
    assert knock(lab, "internet", lab["vmsr-1"].management_address, NETCONF_SSH) == "open"


@pytest.mark.parametrize("port", [NETCONF_SSH, NETCONF_TLS])
@pytest.mark.parametrize(
    ("host", "address"), [("host-1", "10.1.0.1"), ("host-2", "10.2.0.1"), ("host-1", "100.127.0.1")]
)
def test_there_is_no_door_in_a_tenants_network(lab: Lab, host: str, address: str, port: int) -> None:
    assert knock(lab, host, address, port) != "open"


@pytest.mark.parametrize(("node", "interface", "box"), [("internet", "pop", "vmsr-1"), ("nat-1", "lan", "ucpe-1")])
def test_there_is_no_door_on_the_wan_over_ipv6(lab: Lab, node: str, interface: str, box: str) -> None:
    """A link-local address needs no configuration of anybody."""
    listed = json.loads(lab[box].exec("ip", "-6", "-json", "address", "show", "dev", "wan"))
    for address in [a["local"] for link in listed for a in link.get("addr_info", ())]:
        assert knock(lab, node, address, NETCONF_SSH, interface) != "open"


def test_the_management_address_is_not_reached_through_the_wan(lab: Lab) -> None:
    """Linux answers for any of its addresses on any interface, unless it is told where from."""
    address = lab["vmsr-1"].management_address
    lab["internet"].exec("ip", "route", "add", f"{address}/32", "via", "203.0.113.2", "dev", "pop")
    try:
        with lab.capture("vmsr-1:wan", f"tcp and host {address}") as wan:
            assert knock(lab, "internet", address, NETCONF_SSH) == "silent"
        assert wan.frames(), "the attempt reached the box's WAN, so it was the box that refused it"
    finally:
        lab["internet"].exec("ip", "route", "del", f"{address}/32", "via", "203.0.113.2", "dev", "pop")
    assert knock(lab, "internet", address, NETCONF_SSH) == "open"
