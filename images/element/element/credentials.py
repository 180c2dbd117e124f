"""What the operator gave this box to be known by and to know others by: one folder, which enrolment puts into place."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from yangkit import NameRule

from element.factory import FactoryError
from element.revocation import Revocations

CURRENT, ENROLMENT = "current", "enrolment.json"
UNREPORTED = "unreported"
"""Beside the folder: the server that has still to be told that the credentials are in place."""
_FILES = ("ca.pem", "crl.pem", "netconf.pem", "netconf.key", "ssh_host_ed25519_key")


@dataclass(frozen=True, slots=True)
class Credentials:
    """The operational credentials: one key each for NETCONF over TLS, NETCONF over SSH and IKE."""

    folder: Path
    name: str
    client_ca: Path
    """Who certifies those that may configure the box."""
    client_names: tuple[NameRule, ...]
    clients: frozenset[str]
    """Who may come in over TLS: the same authority may certify others, who are nobody's administrators."""
    users: dict[str, Path]
    """Who may come in over SSH, with their public keys."""
    controller: tuple[str, int]
    """Whom to call (RFC 8071)."""
    est_server: str
    """Where certificates are renewed (RFC 7030), and who says what time it is."""
    revocations: Revocations

    def __post_init__(self) -> None:
        needed = (*(self.folder / name for name in _FILES), self.client_ca, *self.users.values())
        if missing := [path.name for path in needed if not path.is_file()]:
            raise FactoryError(f"{self.folder} lacks {', '.join(missing)}")

    @property
    def contacts(self) -> tuple[tuple[str, int], ...]:
        """Whom the box calls: their answers are let in."""
        manager = urlsplit(self.est_server)
        return self.controller, (str(manager.hostname), manager.port or 443)

    @property
    def cert(self) -> Path:
        """Certificate of NETCONF over TLS (RFC 7589)."""
        return self.folder / "netconf.pem"

    @property
    def key(self) -> Path:
        """Its key."""
        return self.folder / "netconf.key"

    @property
    def host_key(self) -> Path:
        """Host key of NETCONF over SSH (RFC 6242)."""
        return self.folder / "ssh_host_ed25519_key"


def place(state: Path) -> Path:
    """The folder of the credentials; it is there once the box is enrolled."""
    return state / "identity" / CURRENT


def unfinished(folder: Path) -> bool:
    """Has the box to enrol, or only to tell that it has?"""
    return not folder.is_dir() or (folder.parent / UNREPORTED).exists()


def read(folder: Path, revocations: Revocations) -> Credentials:
    """The credentials that the manager gave; components and people have certificates of the service CA."""
    try:
        facts = json.loads((folder / ENROLMENT).read_text(encoding="utf-8"))
        # A certificate names its holder by common name; components carry their domain too.
        clients = {form for name in facts["clients"] for form in (name, f"{name}.{facts['domain']}")}
        return Credentials(
            folder=folder,
            name=facts["name"],
            client_ca=folder / "service-ca.pem",
            client_names=(NameRule("common-name"),),
            clients=frozenset(clients),
            users={name: folder / f"authorized_keys.{name}" for name in facts["users"]},
            controller=(facts["controller"][0], facts["controller"][1]),
            est_server=facts["est-server"],
            revocations=revocations,
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise FactoryError(f"{folder} holds no enrolment: {error!r}") from None
