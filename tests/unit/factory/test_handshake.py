"""The factory's certificates in a real TLS handshake over loopback, both sides proving who they are."""

import socket
import ssl
import threading
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from harness.factory import Factory, Wan

# Which of the two depends on whether the peer sends its CA along.
STRANGER = r"unable to get local issuer certificate|self-signed certificate in certificate chain"

WAN = Wan(IPv4Interface("203.0.113.6/30"), IPv4Address("203.0.113.5"))

Outcome = str | Exception


@pytest.fixture
def factory(tmp_path: Path) -> Factory:
    factory = Factory.open(tmp_path / "lab")
    factory.box("ucpe-1", "ucpe", "ucpe-100")
    return factory


def context(purpose: ssl._SSLMethod | int, ca: Path, certificate: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(purpose)
    made.load_verify_locations(ca)
    made.load_cert_chain(certificate, certificate.with_suffix(".key"))
    made.verify_mode = ssl.CERT_REQUIRED
    return made


def server(ca: Path, certificate: Path) -> ssl.SSLContext:
    return context(ssl.PROTOCOL_TLS_SERVER, ca, certificate)


def client(ca: Path, certificate: Path) -> ssl.SSLContext:
    return context(ssl.PROTOCOL_TLS_CLIENT, ca, certificate)


def meet(listening: ssl.SSLContext, calling: ssl.SSLContext, name: str) -> str:
    """The client's common name as the server verified it; raises what either side found wrong."""
    outcome: list[Outcome] = []

    def serve(sock: socket.socket) -> None:
        try:
            connection, _ = sock.accept()
            connection.settimeout(10)
            with listening.wrap_socket(connection, server_side=True) as tls:
                subject = dict(part[0] for part in tls.getpeercert()["subject"])  # type: ignore[index, misc]
                outcome.append(subject["commonName"])
                tls.sendall(b"ok")
        except OSError as error:
            outcome.append(error)

    answer: bytes | OSError
    with socket.create_server(("127.0.0.1", 0)) as sock:
        thread = threading.Thread(target=serve, args=(sock,))
        thread.start()
        try:
            with (
                socket.create_connection(sock.getsockname(), timeout=10) as plain,
                calling.wrap_socket(plain, server_hostname=name) as tls,
            ):
                answer = tls.recv(2)
        except OSError as error:
            answer = error
        thread.join(10)
    (seen,) = outcome
    # The side that verified knows the reason; the other one only sees an alert or a closed connection.
    for result in (seen, answer):
        if isinstance(result, ssl.SSLCertVerificationError):
            raise result
    assert isinstance(seen, str), seen
    assert answer == b"ok"
    return seen


def test_a_box_and_its_bootstrap_server_prove_themselves_to_each_other(factory: Factory) -> None:
    box = factory.directory / "boxes" / "ucpe-1"
    stack = factory.stack("stack", IPv4Address("100.72.0.18"), WAN)
    bootstrap = server(stack / "maker-ca.pem", stack / "bootstrap.pem")
    assert meet(bootstrap, client(box / "trust-anchor.pem", box / "idevid.pem"), "203.0.113.6") == "ucpe-100"


def test_a_box_asks_nobody_but_the_makers_bootstrap_servers(factory: Factory) -> None:
    """Neither another box of the maker nor whom the operator has certified is a bootstrap server."""
    box = factory.directory / "boxes" / "ucpe-1"
    stack = factory.stack("stack", IPv4Address("100.72.0.18"), WAN)
    here = client(box / "trust-anchor.pem", box / "idevid.pem")
    for certificate in (box / "idevid.pem", stack / "manager.pem"):
        with pytest.raises(ssl.SSLCertVerificationError, match=STRANGER):
            meet(server(factory.maker_ca, certificate), here, "203.0.113.6")
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        meet(server(factory.maker_ca, stack / "bootstrap.pem"), here, "203.0.113.7")


def test_components_meet_by_name_and_people_by_the_management_address(factory: Factory) -> None:
    stack = factory.stack("stack", IPv4Address("100.72.0.18"), WAN)
    service_ca = stack / "service-ca.pem"
    for name in ("gro.elasticlab.example", "localhost", "127.0.0.1", "100.72.0.18"):
        there = server(service_ca, stack / "gro.pem")
        assert meet(there, client(service_ca, stack / "portal.pem"), name) == "portal.elasticlab.example"
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        meet(
            server(service_ca, stack / "gro.pem"),
            client(service_ca, stack / "portal.pem"),
            "identity.elasticlab.example",
        )


def test_a_component_and_the_administrator_know_each_other(factory: Factory) -> None:
    stack = factory.stack("stack", IPv4Address("100.72.0.18"), WAN)
    there = server(stack / "service-ca.pem", stack / "controller.pem")
    here = client(factory.service_ca, factory.admin.tls_certificate)
    assert meet(there, here, "100.72.0.18") == "admin"


def test_a_makers_certificate_opens_no_door_of_the_operators(factory: Factory) -> None:
    box = factory.directory / "boxes" / "ucpe-1"
    stack = factory.stack("stack", IPv4Address("100.72.0.18"), WAN)
    there = server(factory.service_ca, stack / "controller.pem")
    with pytest.raises(ssl.SSLCertVerificationError, match=STRANGER):
        meet(there, client(factory.service_ca, box / "idevid.pem"), "localhost")


def test_an_operators_certificate_is_no_factory_identity(factory: Factory) -> None:
    stack = factory.stack("stack", IPv4Address("100.72.0.18"), WAN)
    bootstrap = server(stack / "maker-ca.pem", stack / "bootstrap.pem")
    box = factory.directory / "boxes" / "ucpe-1"
    with pytest.raises(ssl.SSLCertVerificationError, match=STRANGER):
        meet(bootstrap, client(box / "trust-anchor.pem", factory.admin.tls_certificate), "203.0.113.6")


def test_the_administrators_key_is_no_server(factory: Factory) -> None:
    there = server(factory.service_ca, factory.admin.tls_certificate)
    with pytest.raises(ssl.SSLCertVerificationError, match="unsuitable certificate purpose"):
        meet(there, client(factory.service_ca, factory.admin.tls_certificate), "admin")
