"""What the portal reads from /etc/elasticlab/portal.toml."""

from __future__ import annotations

from dataclasses import dataclass

from stackkit.settings import Common


@dataclass(frozen=True, kw_only=True)
class Settings(Common):
    """Common keys of every component, and the portal's own."""

    public_url: str
    """Where browsers find the portal, without a slash at its end: `https://<management-address>`."""
    idle_seconds: int = 1800
    """A session that nobody used for so long has ended."""
    absolute_seconds: int = 8 * 3600
    """A session ends after this, however busy it is."""

    def __post_init__(self) -> None:
        if not self.public_url.startswith("https://") or self.public_url.endswith("/"):
            raise ValueError(f"public_url {self.public_url!r} must be an https URL without a slash at its end")
