"""What the factory puts into the node that runs the orchestrator: a certificate a component, and first secrets.

The components' certificates serve both sides of their connections with each other. Their names are the operator's; the
management address is in them, because that is where a browser on the lab's host finds them.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from cryptography.x509 import SubjectAlternativeName

from .authority import (
    CERTIFICATE_LIFE,
    CLIENT,
    SERVER,
    Authority,
    Subject,
    key_pem,
    load_certificate,
    load_key,
    new_key,
    now,
)
from .box import DOMAIN, Authorities
from .day0 import Wan
from .store import install_directory, replace_file

COMPONENTS = ("identity", "manager", "controller", "gro", "portal")
_BOOTSTRAP = "bootstrap"


@dataclass(frozen=True, slots=True)
class Stack:
    """The node: its name and where it is reached, by people and by devices."""

    name: str
    management: IPv4Address
    wan: Wan

    def subjects(self) -> dict[str, Subject]:
        """Each certificate's subject, by the stem of its files."""
        own = {name: self._component(name) for name in COMPONENTS}
        # Devices know no name of the operator's before they are bootstrapped, only where to call.
        name = f"manager.{DOMAIN}"
        return own | {_BOOTSTRAP: Subject(name, dns_names=(name,), addresses=self.wan.reached, uses=SERVER)}

    def _component(self, component: str) -> Subject:
        name = f"{component}.{DOMAIN}"
        here = (IPv4Address("127.0.0.1"), self.management)
        return Subject(name, dns_names=(name, "localhost"), addresses=here, uses=SERVER + CLIENT)

    def described(self) -> bytes:
        """`stack.json`."""
        content = {
            "name": self.name,
            "domain": DOMAIN,
            "management-address": str(self.management),
            "wan": self.wan.as_json(),
        }
        return json.dumps(content, indent=2).encode() + b"\n"


def _issuer(authorities: Authorities, stem: str) -> Authority:
    return authorities.anchor if stem == _BOOTSTRAP else authorities.service


def install(path: Path, stack: Stack, authorities: Authorities, authorized_keys: bytes) -> None:
    """Everything the node sees, made once."""
    files = {
        "stack.json": stack.described(),
        "service-ca.pem": authorities.service.certificate_path.read_bytes(),
        "maker-ca.pem": authorities.maker.certificate_path.read_bytes(),
        "authorized_keys": authorized_keys,
        "admin-password": secrets.token_urlsafe(12).encode() + b"\n",
        "labctl-secret": secrets.token_urlsafe(32).encode() + b"\n",
    }
    for stem, subject in stack.subjects().items():
        key = new_key()
        files[f"{stem}.key"] = key_pem(key)
        files[f"{stem}.pem"] = _issuer(authorities, stem).issue(subject, key.public_key())
    install_directory(path, files, mode=0o755)


def refresh(path: Path, stack: Stack, authorities: Authorities) -> None:
    """The same node again: keys and secrets stay, certificates follow its addresses and their own end."""
    if (path / "stack.json").read_bytes() != stack.described():
        replace_file(path / "stack.json", stack.described())
    for stem, subject in stack.subjects().items():
        certificate = path / f"{stem}.pem"
        if not _serves(certificate, subject):
            key = load_key(certificate.with_suffix(".key"))
            replace_file(certificate, _issuer(authorities, stem).issue(subject, key.public_key()))


def _serves(path: Path, subject: Subject) -> bool:
    certificate = load_certificate(path)
    names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    lasting = certificate.not_valid_after_utc - now() > CERTIFICATE_LIFE / 3
    return lasting and list(names) == subject.alternative_names
