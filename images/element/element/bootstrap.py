"""Who this box is: the factory's files, mounted read-only, and what its model can do.

The identity decides the *personality*, the YANG modules and features that the box offers; personalities are data,
found by name in the folder ``personalities``.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path


class FactoryError(RuntimeError):
    """The factory's files are missing or make no sense; the box cannot say who it is."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What the factory gave this box."""

    serial: str
    model: str
    personality: str
    name: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A module that a personality implements, with the features it has."""

    module: str
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Operational:
    """The operational credentials: one key each for NETCONF over TLS, NETCONF over SSH and IKE."""

    folder: Path

    def __post_init__(self) -> None:
        needed = (self.ca, self.crl, self.cert, self.key, self.host_key, self.authorized_keys)
        if missing := [path.name for path in needed if not path.is_file()]:
            raise FactoryError(f"{self.folder} lacks {', '.join(missing)}")

    @property
    def ca(self) -> Path:
        """The operator's CA."""
        return self.folder / "ca.pem"

    @property
    def crl(self) -> Path:
        """The operator's revocation list."""
        return self.folder / "crl.pem"

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

    @property
    def authorized_keys(self) -> Path:
        """Public keys of the user admin."""
        return self.folder / "authorized_keys"


def identity(factory: Path) -> Identity:
    """Read the identity."""
    path = factory / "identity.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Identity(data["serial"], data["model"], data["personality"], data["name"])
    except FileNotFoundError:
        raise FactoryError(f"{path} is missing: this box has no factory identity") from None
    except (ValueError, KeyError, TypeError) as error:
        raise FactoryError(f"{path} is not a factory identity: {error!r}") from None


def personality(name: str) -> tuple[Offer, ...]:
    """The modules of a personality."""
    folder = files("element") / "personalities"
    known = sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))
    if name not in known:
        raise FactoryError(f"there is no personality {name!r}; known are {', '.join(known)}")
    data = tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8"))
    return tuple(Offer(module, tuple(features)) for module, features in data["modules"].items())
