"""The factory of one lab: its authorities, its administrator, its boxes."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from . import box as boxes
from . import stack
from .authority import CLIENT, SERVICE_LIFE, Authority, Subject, key_pem, new_key
from .box import Authorities, Identity
from .day0 import Day0, Wan
from .stack import Stack
from .store import FactoryError, install_directory, locked, replace_file

PERSONALITIES = ("ucpe", "vmsr", "vpcgw")

# With the domain it must fit into a common name of 64 characters (RFC 5280 appendix A.1).
_NODE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_USER = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# X.520 serialNumber is a PrintableString of at most 64; ours is also fit for file names, labels and command lines.
_SERIAL = re.compile(r"[A-Z0-9](?:[A-Z0-9-]{1,30}[A-Z0-9])")
_MODEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,62}[A-Za-z0-9])?")
_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # without what people misread

# RFC 7589 section 7 maps a certificate to a user; CN and SAN both say "admin", so either map type works.
_BY_DHCP = Day0()
_ADMIN = Subject("admin", dns_names=("admin",), uses=CLIENT)


@dataclass(frozen=True, slots=True)
class Admin:
    """The administrator's means, on the host only."""

    ssh_key: Path
    ssh_public: Path
    tls_key: Path
    tls_certificate: Path


class Factory:
    """Makes identities, once: what exists is kept, so that a second `up` finds the same boxes."""

    def __init__(self, directory: Path, authorities: Authorities, admin: Admin) -> None:
        self.directory = directory
        self.admin = admin
        self._authorities = authorities
        self._maker = authorities.maker
        self._service = authorities.service

    @classmethod
    def open(cls, directory: Path) -> Factory:
        """The factory in a lab's own directory; made when it is not there yet."""
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o755)
            with locked(directory):
                authorities = directory / "authorities"
                authorities.mkdir(exist_ok=True, mode=0o700)
                for folder in ("boxes", "stacks"):
                    (directory / folder).mkdir(exist_ok=True, mode=0o755)
                maker = Authority.open(authorities / "maker", "elasticlab maker CA", None)
                anchor = Authority.open(authorities / "anchor", "elasticlab maker's bootstrap anchor", None)
                service = Authority.open(authorities / "service", "elasticlab service CA", SERVICE_LIFE)
                signers = Authorities(maker, anchor, service)
                factory = cls(directory, signers, _admin(directory / "admin", service))
                boxes.renew(factory.admin.tls_certificate, _ADMIN, service)
        except OSError as error:
            raise FactoryError(
                f"{directory}: {error.strerror or error}; the factory needs a directory it can write to"
            ) from error
        return factory

    @property
    def service_ca(self) -> Path:
        """The service CA's certificate: who certifies the orchestrator's components and people."""
        return self._service.certificate_path

    @property
    def maker_ca(self) -> Path:
        """The maker CA's certificate: whom bootstrap servers trust."""
        return self._maker.certificate_path

    def box(self, node: str, personality: str, model: str, serial: str | None = None, day0: Day0 = _BY_DHCP) -> Path:
        """The directory to mount read-only at /factory of a node, made when the node has none yet."""
        self._check(node, personality, model, serial)
        path = self._path(node)
        with locked(self.directory):
            if path.exists():
                self._check_same(node, Identity.read(path), personality, model, serial)
                if (path / boxes.DAY0).read_bytes() != day0.encoded():
                    replace_file(path / boxes.DAY0, day0.encoded())
            else:
                identity = Identity(self._serial(serial), model, personality)
                files = boxes.build(identity, self._authorities, day0)
                install_directory(path, files, mode=0o755)
        return path

    def stack(self, node: str, management: IPv4Address, wan: Wan) -> Path:
        """The directory to mount read-only at /factory of the orchestrator's node, made when there is none yet."""
        if not _NODE.fullmatch(node):
            raise FactoryError(f"{node!r} is no node name: use a-z, 0-9 and inner hyphens, at most 40")
        if not wan.reached:
            raise FactoryError(f"{node!r}: devices must find the stack: give its wan an address, not DHCP")
        path = self.directory / "stacks" / node
        described = Stack(node, management, wan)
        with locked(self.directory):
            if path.exists():
                stack.refresh(path, described, self._authorities)
            else:
                stack.install(path, described, self._authorities, self.admin.ssh_public.read_bytes())
        return path

    def password(self, user: str) -> Path:
        """The file with the password of somebody who uses the orchestrator; drawn the first time."""
        if not _USER.fullmatch(user):
            raise FactoryError(f"{user!r} cannot log in: use a-z, 0-9 and inner hyphens, at most 63")
        people = self.directory / "people"
        path = people / f"{user}-password"
        with locked(self.directory):
            people.mkdir(exist_ok=True, mode=0o700)
            if not path.exists():
                replace_file(path, secrets.token_urlsafe(12).encode() + b"\n")
        return path

    def identity(self, node: str) -> Identity:
        """What is printed on a box."""
        return Identity.read(self._existing(node))

    def nodes(self) -> tuple[str, ...]:
        """The nodes that have a box."""
        return tuple(sorted(path.name for path in self._boxes()))

    def _boxes(self) -> Iterator[Path]:
        return (p for p in (self.directory / "boxes").iterdir() if not p.name.startswith("."))

    def _path(self, node: str) -> Path:
        if not _NODE.fullmatch(node):
            raise FactoryError(f"{node!r} is no node name: use a-z, 0-9 and inner hyphens, at most 40")
        return self.directory / "boxes" / node

    def _existing(self, node: str) -> Path:
        path = self._path(node)
        if not path.exists():
            known = ", ".join(self.nodes()) or "none"
            raise FactoryError(f"the factory made no box for {node!r} (boxes: {known})")
        return path

    def _serial(self, wanted: str | None) -> str:
        taken = {Identity.read(path).serial: path.name for path in self._boxes()}
        if wanted is None:
            while (fresh := "EL-" + "".join(secrets.choice(_ALPHABET) for _ in range(10))) in taken:
                pass
            return fresh
        if wanted in taken:
            raise FactoryError(f"the serial number {wanted} is on the box of {taken[wanted]!r}: choose another")
        return wanted

    @staticmethod
    def _check(node: str, personality: str, model: str, serial: str | None) -> None:
        if personality not in PERSONALITIES:
            known = ", ".join(PERSONALITIES)
            raise FactoryError(f"{node!r}: the factory makes {known}, not {personality!r}")
        if not _MODEL.fullmatch(model):
            raise FactoryError(f"{node!r}: a model has 1 to 64 letters, digits, blanks, dots, hyphens, not {model!r}")
        if serial is not None and not _SERIAL.fullmatch(serial):
            raise FactoryError(f"{node!r}: a serial number has 3 to 32 of A-Z, 0-9 and inner hyphens, not {serial!r}")

    @staticmethod
    def _check_same(node: str, made: Identity, personality: str, model: str, serial: str | None) -> None:
        wanted = Identity(serial or made.serial, model, personality)
        if wanted != made:
            was = f"{made.personality} {made.model} {made.serial}"
            now = f"{personality} {model} {wanted.serial}"
            raise FactoryError(f"the box of {node!r} left the factory as {was}, not as {now}: remove the lab first")


def _admin(directory: Path, service: Authority) -> Admin:
    if not directory.exists():
        ssh_key, ssh_public = boxes.ssh_key_pair("admin")
        key = new_key()
        files = {
            "id_ed25519": ssh_key,
            "id_ed25519.pub": ssh_public,
            "tls.key": key_pem(key),
            "tls.pem": service.issue(_ADMIN, key.public_key()),
        }
        install_directory(directory, files, mode=0o700)
    names = ("id_ed25519", "id_ed25519.pub", "tls.key", "tls.pem")
    return Admin(*(directory / name for name in names))
