"""What a driver is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.service.facts import DeviceFacts
from controller.service.names import CONNECTION, fitted, numbered
from controller.service.site import Network, Site

if TYPE_CHECKING:  # they are made of what is here
    from controller.drivers.peering import CloudEnd, Link

#: The flow of a connection that GRE and VXLAN of all sites travel in.
SHARED = "overlay"


def narrower(address: str | None) -> int:
    """Octets by which a tunnel to this address carries less than one over IPv4: the header outside has 40, not 20."""
    return 20 if address is not None and ":" in address else 0


@dataclass(frozen=True, slots=True)
class End:
    """One end of a tunnel."""

    facts: DeviceFacts
    number: int
    """Among the devices of its kind."""
    loopback: str
    line: str
    """Its address on private lines."""

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
class Flow:
    """A site's own flow in the connection of its box: packets without GRE or VXLAN, selected by prefixes."""

    site: str
    branch_if_id: int
    pop_if_id: int
    here: tuple[Network, ...]
    """The prefixes of the site."""
    there: tuple[Network, ...]
    """What it reaches by the POP."""

    def name(self, if_id: int) -> str:
        """Of the SPD entry of the end that has this number."""
        return numbered("site-", self.site, if_id, CONNECTION)

    def interface(self, if_id: int) -> str:
        """Of the tunnel interface of the end that has this number."""
        return numbered("ipsec_", self.site, if_id)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A site, joined to the POP. Two that are equal need the same of their devices."""

    site: Site
    tenant: str
    """As devices name it."""
    tenant_id: int
    internet: bool
    """Does it reach the Internet at the POP?"""
    branch: End
    pop: End
    branch_if_id: int | None
    pop_if_id: int | None
    """Of the tunnel between the devices; none for a site on a private line."""
    vni: int | None
    flow: Flow | None = None
    peers: tuple[Network, ...] = ()
    """What it reaches in its VPNs, where its configuration depends on that."""
    clouds: tuple[str, ...] = ()
    """Segments of the POP's interface beside the VPNs': of clouds that not all sites may use."""

    @property
    def narrower(self) -> int:
        """As the function of this name says."""
        return 0 if self.site.on_line else narrower(self.pop.facts.address_for(self.branch.facts))

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
    def pop_flow(self) -> str | None:
        """The flow that it travels in, as the POP names it; none on a private line."""
        if self.site.on_line:
            return None
        return SHARED if self.flow is None else self.flow.name(self.flow.pop_if_id)

    @property
    def pop_interface(self) -> str | None:
        """The POP's interface in the tenant's VRF towards the site; none when it wants nothing there."""
        if self.flow is not None:
            return self.flow.interface(self.flow.pop_if_id)
        if self.site.plain:
            return None
        return self.branch.interface("gre") if self.vni is None else self.vxlan


@dataclass(frozen=True, slots=True)
class Work:
    """A device and what it has a part in, each in its order: sites, cloud accesses, direct paths."""

    device: DeviceFacts
    attachments: tuple[Attachment, ...]
    domain: str
    clouds: tuple[CloudEnd, ...] = ()
    links: tuple[Link, ...] = ()
