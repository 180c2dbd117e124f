"""What a driver is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.service.facts import DeviceFacts
from controller.service.intent import Site
from controller.service.names import CONNECTION, fitted

if TYPE_CHECKING:  # they are made of what is here
    from controller.drivers.peering import CloudEnd, Link


@dataclass(frozen=True, slots=True)
class End:
    """One end of a tunnel."""

    facts: DeviceFacts
    number: int
    """Among the devices of its kind."""
    loopback: str

    @property
    def name(self) -> str:
        """The device's name."""
        return self.facts.name

    @property
    def label(self) -> str:
        """Its name as that of a connection and of a PAD entry."""
        return fitted("", self.name, self.number, CONNECTION)

    def interface(self, prefix: str) -> str:
        """Name of a peer's interface towards it."""
        return fitted(f"{prefix}-", self.name, self.number)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A site, joined to the POP."""

    site: Site
    tenant: str
    """As devices name it."""
    tenant_id: int
    internet: bool
    branch: End
    pop: End
    branch_if_id: int
    pop_if_id: int
    vni: int | None
    clouds: tuple[str, ...] = ()
    """Segments of the POP's interface beside the VPNs': of clouds that not all sites may use."""

    @property
    def number(self) -> int:
        """The VNI of a bridged site."""
        if self.vni is None:
            raise ValueError(f"site {self.site.id} has no VNI")
        return self.vni

    @property
    def vxlan(self) -> str:
        """Name of the VXLAN interface, at both ends."""
        return f"vxlan-{self.number}"

    @property
    def pop_interface(self) -> str:
        """The POP's interface in the tenant's VRF towards the site."""
        return self.branch.interface("gre") if self.vni is None else f"br-{self.number}"


@dataclass(frozen=True, slots=True)
class Work:
    """A device and what it has a part in, each in its order: sites, cloud accesses, direct paths."""

    device: DeviceFacts
    attachments: tuple[Attachment, ...]
    domain: str
    clouds: tuple[CloudEnd, ...] = ()
    links: tuple[Link, ...] = ()
