"""Settings of the manager: what every component has (``stackkit.settings.Common``) and what devices need to be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from stackkit import settings


@dataclass(frozen=True, kw_only=True)
class Settings(settings.Common):
    """``/etc/elasticlab/manager.toml``; ``listen`` and ``port`` are the north side's."""

    #: Where devices come in: bootstrap (RFC 8572), EST (RFC 7030) and the CRL.
    wan_listen: list[str]
    wan_port: int = 8572
    #: The bootstrap server's certificate, signed by the maker's bootstrap anchor.
    bootstrap_certificate: Path
    bootstrap_key: Path
    #: CAs whose IDevIDs are accepted (IEEE 802.1AR).
    maker_ca: list[Path]
    domain: str
    #: What is conveyed to devices: where the controller takes calls, where EST is, who may log in.
    controller_address: str
    controller_port: int = 4335
    est_url: str
    #: The same for devices that come in over IPv6; without them they are told the others.
    controller_address6: str | None = None
    est_url6: str | None = None
    admin_keys: Path
    admin_user: str = "admin"
    netconf_clients: list[str] = field(default_factory=lambda: ["controller", "admin"])
    #: Seconds that an operational certificate is good for.
    certificate_life: int = 365 * 86_400
    #: Directories of YANG modules beside those that pyang brings.
    yang: list[Path] = field(default_factory=lambda: [Path("/usr/share/elasticlab/yang")])
    #: Requests that one peer may make in a minute, and at once.
    requests_per_minute: int = 600
    burst: int = 60
