"""Settings of the controller: what every component has (``stackkit.settings.Common``) and where devices call."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from stackkit import settings


@dataclass(frozen=True, kw_only=True)
class Settings(settings.Common):
    """``/etc/elasticlab/controller.toml``; ``listen`` and ``port`` are RESTCONF's, NETCONF listens there too."""

    domain: str
    #: Where devices call home (RFC 8071).
    wan_listen: list[str]
    wan_port: int = 4335
    #: NETCONF for people and programs: over SSH (RFC 6242) and over TLS (RFC 7589).
    ssh_port: int = 830
    tls_port: int = 6513
    admin_user: str = "admin"
    #: The administrator's SSH keys, in OpenSSH's format.
    admin_keys: Path
    #: Directories of YANG modules beside those that pyang brings.
    yang: list[Path] = field(default_factory=lambda: [Path("/usr/share/elasticlab/yang")])
