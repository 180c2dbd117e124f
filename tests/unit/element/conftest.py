"""A POP's configuration as RFC 7951 JSON, with one L3 and one L2 site, and its parts for changing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from element.model import Config, read

Tree = dict[str, Any]


def _ethernet(name: str, **more: Any) -> Tree:
    return {"name": name, "type": "iana-if-type:ethernetCsmacd", **more}


def _ipv4(address: str, length: int, forwarding: bool = True) -> Tree:
    return {"ietf-ip:ipv4": {"forwarding": forwarding, "address": [{"ip": address, "prefix-length": length}]}}


def _tunnel(site: int) -> Tree:
    return {"local-address": "100.127.0.1", "remote-address": f"100.127.{site}.1", "underlay": f"ipsec-{site}"}


def _ipsec(site: int) -> Tree:
    name = f"ipsec-{site}"
    return {
        "name": name,
        "type": "elasticlab-ipsec:ipsec-tunnel",
        "elasticlab-interface:mtu": 1438,
        "elasticlab-ipsec:ipsec-tunnel": {"if-id": site},
    }


def _connection(site: int) -> Tree:
    return {
        "name": f"site-{site}",
        "local": {"local-pad-entry-name": "self"},
        "remote": {"remote-pad-entry-name": f"site-{site}"},
        "spd": {
            "interface": f"ipsec-{site}",
            "local-prefix": "100.127.0.1/32",
            "remote-prefix": f"100.127.{site}.1/32",
        },
    }


TENANT = {"elasticlab-tenant:tenant": "acme"}

POP: Tree = {
    "elasticlab-tenant:tenants": {"tenant": [{"name": "acme", "id": 1}]},
    "ietf-interfaces:interfaces": {
        "interface": [
            _ethernet("wan", **_ipv4("203.0.113.2", 30)),
            {
                "name": "overlay",
                "type": "iana-if-type:softwareLoopback",
                **_ipv4("100.127.0.1", 32, forwarding=False),
            },
            _ipsec(1),
            {
                "name": "gre-1",
                "type": "elasticlab-gre:gre",
                "elasticlab-gre:gre": _tunnel(1),
                "ietf-ip:ipv4": {"forwarding": True},
                **TENANT,
            },
            _ipsec(2),
            {
                "name": "vxlan-2",
                "type": "elasticlab-vxlan:vxlan",
                "elasticlab-vxlan:vxlan": _tunnel(2) | {"vni": 1020},
                "elasticlab-bridge:bridge-port": {"bridge": "br-2", "learning": False},
            },
            {
                "name": "br-2",
                "type": "iana-if-type:bridge",
                "elasticlab-bridge:bridge": {"mac-address": "02:e1:00:00:10:20"},
                **_ipv4("10.2.0.1", 24),
                **TENANT,
            },
        ]
    },
    "ietf-routing:routing": {
        "control-plane-protocols": {
            "control-plane-protocol": [
                {
                    "type": "ietf-routing:static",
                    "name": name,
                    **tenant,
                    "static-routes": {
                        "ietf-ipv4-unicast-routing:ipv4": {
                            "route": [{"destination-prefix": prefix, "next-hop": hop} for prefix, hop in routes]
                        }
                    },
                }
                for name, tenant, routes in (
                    ("underlay", {}, [("0.0.0.0/0", {"next-hop-address": "203.0.113.1"})]),
                    (
                        "acme",
                        TENANT,
                        [
                            ("0.0.0.0/0", {"next-hop-address": "203.0.113.1", "outgoing-interface": "wan"}),
                            ("10.1.0.0/24", {"outgoing-interface": "gre-1"}),
                        ],
                    ),
                )
            ]
        }
    },
    "elasticlab-nat:nat": {
        "breakout": [{"tenant": "acme", "external-interface": "wan", "external-address": "203.0.113.2"}]
    },
    "elasticlab-ipsec:ipsec": {
        "pad": {
            "pad-entry": [
                {"name": "self", "identity": "pop.example", "certificate": "ike"},
                *({"name": f"site-{n}", "identity": f"site-{n}.example"} for n in (1, 2)),
            ]
        },
        "conn-entry": [_connection(1), _connection(2)],
    },
}


@pytest.fixture(scope="session")
def blueprint() -> Tree:
    """The tree as it is; not to be changed."""
    return POP


@pytest.fixture
def pop_tree() -> Tree:
    """A tree of the test's own."""
    return copy.deepcopy(POP)


@pytest.fixture
def pop() -> Config:
    """The POP's configuration."""
    return read(POP)


@pytest.fixture
def changed() -> Callable[[Callable[[Tree], None]], Config]:
    """The POP's configuration after a change."""

    def change(edit: Callable[[Tree], None]) -> Config:
        tree = copy.deepcopy(POP)
        edit(tree)
        return read(tree)

    return change


HOUR = timedelta(hours=1)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def subject(**names: str) -> x509.Name:
    kinds = {"cn": NameOID.COMMON_NAME, "serial": NameOID.SERIAL_NUMBER}
    return x509.Name([x509.NameAttribute(kinds[kind], value) for kind, value in names.items()])


class Authority:
    """A certification authority of the tests' own: signs whatever it is told to (RFC 5280)."""

    def __init__(self, name: str) -> None:
        self.key = new_key()
        self.name = subject(cn=name)
        self.life = -HOUR, HOUR
        self.certificate = self._sign(self.name, self.key.public_key(), ca=True)
        self.pem = self.certificate.public_bytes(Encoding.PEM)

    def issue(self, name: x509.Name, key: Any, *names: x509.GeneralName) -> x509.Certificate:
        return self._sign(name, key, names)

    def _sign(self, name: x509.Name, key: Any, names: Any = (), ca: bool = False) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + self.life[0])
            .not_valid_after(now + self.life[1])
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        if ca:
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def crl(self, number: int | None, *revoked: x509.Certificate, ends: timedelta = HOUR) -> bytes:
        """A revocation list in DER."""
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name)
        builder = builder.last_update(now - 2 * HOUR).next_update(now + ends)
        if number is not None:
            builder = builder.add_extension(x509.CRLNumber(number), critical=False)
        for certificate in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(now)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)

    def pair(self, folder: Path, name: str, *names: x509.GeneralName) -> dict[str, Path]:
        """A key and its certificate as files, as TLS takes them."""
        key = new_key()
        paths = {"cert": folder / f"{name}.pem", "key": folder / f"{name}.key"}
        paths["cert"].write_bytes(self.issue(subject(cn=name), key.public_key(), *names).public_bytes(Encoding.PEM))
        paths["key"].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return paths


def pem_of(crl: bytes) -> bytes:
    """A list in PEM."""
    return x509.load_der_x509_crl(crl).public_bytes(Encoding.PEM)


@pytest.fixture(scope="session")
def authority() -> Callable[[str], Authority]:
    """Makes authorities."""
    return Authority
