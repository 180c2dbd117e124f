"""Where things are in a box."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are; the environment can move them, for tests."""

    factory: Path
    yang: Path
    state: Path
    vici: Path
    leases: Path
    dhcp_event: Path
    """What udhcpc runs at each event."""
    set_clock: str | None
    """What sets the clock to its argument (seconds since 1970), where the kernel's is not ours."""

    @property
    def startup(self) -> Path:
        """The configuration that the box starts with."""
        return self.state / "startup.xml"

    @classmethod
    def from_environment(cls) -> Places:
        """The places of a node, unless the environment says otherwise."""
        get = os.environ.get
        return cls(
            Path(get("ELEMENT_FACTORY", "/factory")),
            Path(get("ELEMENT_YANG", "/usr/share/elasticlab/yang")),
            Path(get("ELEMENT_STATE", "/var/lib/element")),
            Path(get("ELEMENT_VICI", "/run/charon.vici")),
            Path(get("ELEMENT_LEASES", "/run/element")),
            Path(get("ELEMENT_DHCP_EVENT", "/usr/libexec/elasticlab/dhcp-event")),
            get("ELEMENT_SET_CLOCK"),
        )
