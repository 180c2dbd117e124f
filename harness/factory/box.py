"""What the factory puts into one box, as files (see the package's docstring for the list)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from .authority import (
    CERTIFICATE_LIFE,
    NO_EXPIRY,
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
DAY0 = "day0.json"


@dataclass(frozen=True, slots=True)
class Authorities:
    """The maker signs IDevIDs, its anchor bootstrap servers (RFC 8572, section 5), the service CA stack and people."""

    maker: Authority
    anchor: Authority
    service: Authority


@dataclass(frozen=True, slots=True)
class Identity:
    """What is printed on the box, which is no name: that the operator gives."""

    serial: str
    model: str
    personality: str

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


def build(identity: Identity, signers: Authorities, day0: Day0) -> dict[str, bytes]:
    """Every file of a new box. The CAs' keys stay where they are; the operator's credentials come by enrolment."""
    idevid = new_key()
    # IEEE 802.1AR-2018 section 8: the serial number stands in the subject and the identity never expires. It carries
    # no extended key usage, because it proves the box in TLS and may sign for it too.
    device = Subject(identity.model, serial_number=identity.serial, not_after=NO_EXPIRY)
    return {
        "identity.json": json.dumps(asdict(identity), indent=2).encode() + b"\n",
        "idevid.key": key_pem(idevid),
        "idevid.pem": signers.maker.issue(device, idevid.public_key()),
        "maker-ca.pem": signers.maker.certificate_path.read_bytes(),
        "trust-anchor.pem": signers.anchor.certificate_path.read_bytes(),
        DAY0: day0.encoded(),
    }


def renew(certificate: Path, subject: Subject, authority: Authority) -> None:
    """A certificate that ends within a third of its life gets a successor for the same key."""
    if load_certificate(certificate).not_valid_after_utc - now() > CERTIFICATE_LIFE / 3:
        return
    key = load_key(certificate.with_suffix(".key"))
    replace_file(certificate, authority.issue(subject, key.public_key()))
