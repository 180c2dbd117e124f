"""Tunnels that are none between a site and its POP, as drivers are given them."""

from __future__ import annotations

from dataclasses import dataclass

from controller.drivers.work import End, narrower
from controller.service.cloud import SEPARATOR, Cloud, Prefix


@dataclass(frozen=True, slots=True)
class CloudEnd:
    """A cloud access at one POP."""

    cloud: Cloud
    tenant: str
    """As devices name it."""
    tenant_id: int
    pop: End
    number: int
    """Of the cloud access."""
    if_id: int
    local: tuple[Prefix, ...]
    remote: tuple[Prefix, ...]

    @property
    def key(self) -> str:
        """What names it among sites and clouds."""
        return f"{self.cloud.key}{SEPARATOR}{self.pop.name}"

    @property
    def label(self) -> str:
        """Name of the connection and of PAD entries; no device's has an underscore that is not near the end."""
        return f"cloud_{self.number}"

    @property
    def interface(self) -> str:
        """Name of the tunnel interface."""
        return f"ipsec-c_{self.number}"

    @property
    def source(self) -> str | None:
        """Where the POP calls from: its address of the gateway's family."""
        facts = self.pop.facts
        return facts.wan_address if self.cloud.address.version == 4 else facts.wan6_address

    @property
    def narrower(self) -> int:
        """As ``work.narrower`` says."""
        return narrower(str(self.cloud.address))

    @property
    def segment(self) -> str:
        """The tenant's segment that it is in."""
        return self.cloud.segment(self.number)

    def identity(self, domain: str) -> str:
        """Our IKE identity for it. With a shared key it has one of its own, by which gateways that many use tell the
        keys apart; a certificate has one name."""
        own = f"{self.pop.name}.{domain}"
        return own if self.cloud.shared_key is None else f"cloud-{self.number}.{own}"


@dataclass(frozen=True, slots=True)
class Link:
    """A direct path to another site's device, seen from one of them."""

    site: str
    peer_site: str
    tenant: str
    segments: tuple[str, ...]
    """The VPNs that ask for it and have both sites."""
    here: End
    peer: End
    if_id: int
    address: str | None
    """Where the peer is called; None: it calls."""
    prefixes: tuple[Prefix, ...]
    """The peer's."""
    narrower: int
    """As ``work.narrower`` says, whoever calls."""
