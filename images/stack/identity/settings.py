"""What identity reads from /etc/elasticlab/identity.toml."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from stackkit.settings import Common


@dataclass(frozen=True, kw_only=True)
class Settings(Common):
    """Common keys of every component, and identity's own. `issuer` is `iss` of all tokens (RFC 8414 section 2)."""

    admin_password_file: Path
    """Password of user `admin`, read at the first start only: later changes go through SCIM."""
    labctl_secret_file: Path
    """Secret of program `labctl`, read at the first start only."""
    domain: str = "elasticlab.example"
    """A component proves itself by a certificate with SAN DNS `NAME.<domain>` (RFC 8705 section 2.1.2)."""
    services: list[str] = field(default_factory=lambda: ["manager", "controller", "gro", "portal"])
    portal_redirect_uris: list[str] = field(default_factory=list)
    """Exact redirect URIs of the portal; the setting wins at every start, because addresses change with the lab."""
    portal_post_logout_uris: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.issuer.startswith("https://") or self.issuer.endswith("/"):
            raise ValueError(
                f"issuer {self.issuer!r} must be an https URL without a slash at its end (RFC 8414 section 2)"
            )
