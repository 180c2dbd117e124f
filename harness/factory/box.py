"""What the factory puts into one box, as files (see the package's docstring for the list)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from .authority import (
    CERTIFICATE_LIFE,
    IKE,
    NO_EXPIRY,
    SERVER,
    Authority,
    Subject,
    key_pem,
    load_certificate,
    load_key,
    new_key,
    now,
)
from .day0 import Day0
from .store import FactoryError, replace_file

DOMAIN = "elasticlab.example"
OPERATIONAL = ("ike", "netconf")
DAY0 = "day0.json"


@dataclass(frozen=True, slots=True)
class Authorities:
    """The maker signs IDevIDs, its anchor bootstrap servers (RFC 8572, section 5), the operator all the rest."""

    maker: Authority
    anchor: Authority
    operator: Authority


@dataclass(frozen=True, slots=True)
class Identity:
    """What is printed on the box: `identity.json`."""

    serial: str
    model: str
    personality: str
    name: str

    @classmethod
    def read(cls, box: Path) -> Identity:
        path = box / "identity.json"
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise FactoryError(f"{path}: no identity ({error}); remove the lab directory") from error


def ssh_key_pair(comment: str) -> tuple[bytes, bytes]:
    """An Ed25519 key pair in OpenSSH's formats: private file and public line (RFC 8709)."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
        public + b" " + comment.encode() + b"\n",
    )


def _subject(use: str, node: str) -> Subject:
    name = f"{node}.{DOMAIN}"
    return Subject(name, dns_names=(name,), uses=IKE if use == "ike" else SERVER)


def build(identity: Identity, signers: Authorities, authorized_keys: bytes, day0: Day0) -> dict[str, bytes]:
    """Every file of a new box. The CAs' keys stay where they are."""
    maker, operator = signers.maker, signers.operator
    idevid = new_key()
    # IEEE 802.1AR-2018 section 8: the serial number stands in the subject and the identity never expires. It carries
    # no extended key usage, because it proves the box in TLS and may sign for it too.
    device = Subject(identity.model, serial_number=identity.serial, not_after=NO_EXPIRY)
    operator_ca = operator.certificate_path.read_bytes()
    host_key, host_public = ssh_key_pair(identity.name)
    files = {
        "identity.json": json.dumps(asdict(identity), indent=2).encode() + b"\n",
        "idevid.key": key_pem(idevid),
        "idevid.pem": maker.issue(device, idevid.public_key()),
        "maker-ca.pem": maker.certificate_path.read_bytes(),
        "trust-anchor.pem": signers.anchor.certificate_path.read_bytes(),
        DAY0: day0.encoded(),
        "operational/ca.pem": operator_ca,
        "operational/crl.pem": operator.crl_path.read_bytes(),
        "operational/ssh_host_ed25519_key": host_key,
        "operational/ssh_host_ed25519_key.pub": host_public,
        "operational/authorized_keys": authorized_keys,
    }
    for use in OPERATIONAL:
        key = new_key()
        files[f"operational/{use}.key"] = key_pem(key)
        files[f"operational/{use}.pem"] = operator.issue(_subject(use, identity.name), key.public_key())
    return files


def renew(certificate: Path, subject: Subject, operator: Authority) -> None:
    """A certificate that ends within a third of its life gets a successor for the same key; a revoked one does not."""
    old = load_certificate(certificate)
    if old.not_valid_after_utc - now() > CERTIFICATE_LIFE / 3 or old.serial_number in operator.revoked():
        return
    key = load_key(certificate.with_suffix(".key"))
    replace_file(certificate, operator.issue(subject, key.public_key()))


def renew_all(box: Path, node: str, operator: Authority) -> None:
    for use in OPERATIONAL:
        renew(box / "operational" / f"{use}.pem", _subject(use, node), operator)


def serial_numbers(box: Path) -> list[int]:
    """The operational certificates' serial numbers."""
    return [load_certificate(box / "operational" / f"{use}.pem").serial_number for use in OPERATIONAL]
