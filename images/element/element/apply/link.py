"""Links, addresses, VLANs and static stations, over rtnetlink(7)."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from netlinkkit.attributes import Attributes, address, number
from netlinkkit.requests import Refused, Request, Wire

from element import kernel
from element.apply import asked, told
from element.apply.told import LinkTold
from element.plan.resources import LINK_GROUP, MANAGEMENT, Address, Link, Resource, StationEntry, Vlan

FOREIGN = frozenset({"lo", MANAGEMENT})
"""Links that are never looked at."""
MADE: Final = frozenset({"vrf", "bridge", "dummy", "xfrm", "gre", "vxlan"})
DEFAULT_MTU = 1500
NTF_MASTER, NTF_STICKY = 0x04, 0x40
NUD_NOARP = 0x40
VLAN_PVID, VLAN_UNTAGGED = 0x02, 0x04
IFF_UP = 1
IFA_F_NODAD, IFA_F_DEPRECATED, IFA_F_TENTATIVE = 0x02, 0x20, 0x40
CONF = "/proc/sys/net"

IPV6 = {
    # Addresses and routes are configured: nobody on the wire gives others, or takes ours away by claiming them (RFC
    # 4862, section 5.4.5; an operator's gateway does not stop because a station answers for it).
    "accept_ra": "0",
    "autoconf": "0",
    "accept_redirects": "0",
    "accept_dad": "0",
    "addr_gen_mode": "0",
    "keep_addr_on_down": "1",
}
"""How IPv6 is where it is configured; below /proc/sys/net/ipv6/conf/."""
HEARD = {"accept_ra": "2", "accept_dad": "1"}
"""What is otherwise where routers say it (RFC 4862); 2 is for those who are routers themselves."""
IFAPROT_KERNEL_RA = 2
TUNNELS = frozenset({"gre", "xfrm"})
"""They have no link-local address: errors about what came in by them would be sent from it, and no router forwards
those (RFC 4291, section 2.5.6)."""


class Links:
    """Reads and writes links. Indices are looked up anew in every pass: links may come and go at any time."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._names: dict[int, str] = {}

    def read(self) -> Iterator[Resource]:
        """All links but the management's and lo; addresses, VLANs and stations of those that are ours."""
        links = told.links()
        self._names = {link.index: link.name for link in links}
        ours = set()
        for one in links:
            link = self._link(one)
            if link.name in FOREIGN:
                continue
            if link.group == LINK_GROUP:
                ours.add(one.index)
            yield link
        yield from self._addresses(ours)
        if any(link.is_bridge_port for link in links):  # else there is nothing to tell, and a POP has no bridge
            yield from self._vlans(ours)
            yield from self._stations(ours)

    def _link(self, link: LinkTold) -> Link:
        made = link.kind in MADE and link.group == LINK_GROUP
        forwarding, settings = link.settings()
        return Link(
            name=link.name,
            kind=link.kind if made else "port",
            up=bool(link.flags & IFF_UP),
            group=link.group,
            mtu=link.mtu,
            mac=link.mac,
            master=self._names.get(link.master, ""),
            forwarding=forwarding,
            ipv6=(ipv6 := _ipv6(settings, link.kind)),
            slaac=ipv6 != "off" and _hears(settings) == "slaac",
            dhcp6=ipv6 != "off" and _hears(settings) == "dhcp6",
            learning=link.learns,
            **(self._data(link.kind, link.data) if made else {}),
        )

    def _data(self, kind: str, data: Attributes) -> dict[str, Any]:
        """Numbers are those of linux/if_link.h, and for GRE of linux/if_tunnel.h."""
        match kind:
            case "vrf":
                return {"table": number(data.get(1))}
            case "xfrm":
                return {"if_id": number(data.get(2))}
            case "bridge":
                return {"vlan_aware": number(data.get(7)) == 1}
            case "gre":
                underlay = self._names.get(number(data.get(1)) or 0, "")
                return {"local": address(data.get(6)), "remote": address(data.get(7)), "underlay": underlay}
            case "vxlan":
                return {"vni": number(data.get(1)), "local": address(data.get(4)), "remote": address(data.get(2))}
        return {}

    def _addresses(self, ours: set[int]) -> Iterator[Address]:
        for one in told.addresses():
            if one.link not in ours:
                continue
            if ":" in one.address and ip_address(one.address).is_link_local:
                continue  # the kernel's own, made from the MAC address
            if one.protocol == IFAPROT_KERNEL_RA:
                continue  # the kernel's, too, for as long as a router says so
            yield Address(self._names[one.link], f"{one.address}/{one.prefix_length}")

    def _vlans(self, ours: set[int]) -> Iterator[Vlan]:
        for port, vid, flags in told.vlans():
            if port in ours:
                yield Vlan(self._names[port], vid, bool(flags & VLAN_PVID), bool(flags & VLAN_UNTAGGED))

    def _stations(self, ours: set[int]) -> Iterator[StationEntry]:
        for port, mac, vlan in told.stations(NUD_NOARP):
            if port in ours:
                yield StationEntry(self._names[port], mac, vlan)

    def index(self, name: str) -> int:
        """Index of a link; ``OSError`` when it is not there."""
        return socket.if_nametoindex(name)

    def create(self, link: Link) -> None:
        """Make a link, with everything that it has."""
        try:
            self._ask(asked.new_link(link, self.index(link.underlay) if link.underlay else 0))
        except Refused as error:
            if error.errno == errno.EEXIST and link.kind == "vxlan" and (other := self._with_vni(link.vni)):
                raise ValueError(
                    f"link {other} has VNI {link.vni}, and was not made by this configuration: remove it"
                ) from error
            raise
        if link.vlan_aware:
            # Only now: the default VLAN cannot be taken away from a bridge that filters already.
            self._ask(asked.filtering(self.index(link.name)))
        self.change(link)

    def _ask(self, *requests: Request) -> None:
        """``OSError`` when the kernel refuses."""
        self._wire.ask(requests)

    def _with_vni(self, vni: int | None) -> str | None:
        """Linux has a VNI and port once, by whatever name."""
        vxlans = (link for link in told.links() if link.kind == "vxlan")
        return next((link.name for link in vxlans if number(link.data.get(1)) == vni), None)

    def change(self, link: Link) -> None:
        """Give a link the values that can be changed in place."""
        index = self.index(link.name)
        if link.ipv6 == "off":
            _write(_conf("ipv6", link.name, "disable_ipv6"), "1")
        master = self.index(link.master) if link.master else 0
        self._ask(asked.settings(index, group=link.group, master=master, mtu=link.mtu, mac=link.mac))
        if link.learning is not None:
            self._ask(asked.learning(index, link.learning))
        _write(_conf("ipv4", link.name, "forwarding"), "1" if link.forwarding else "0")
        _configure_ipv6(link)
        self._ask(asked.state(index, link.up))

    def delete(self, link: Link) -> None:
        """Remove a link that we made; make bare what was plugged in."""
        index = self.index(link.name)
        if link.kind != "port":
            self._ask(asked.no_link(index))
            return
        self._ask(asked.state(index, up=False))
        self._ask(asked.settings(index, group=0, master=0, mtu=DEFAULT_MTU))
        _write(_conf("ipv4", link.name, "forwarding"), "0")
        _write(_conf("ipv6", link.name, "disable_ipv6"), "1")

    def add_address(self, address: Address) -> None:
        """Give a link an address."""
        flags = IFA_F_NODAD if ":" in address.address and not address.unsure else 0
        self._ask(asked.new_address(self.index(address.link), address.address, flags))

    def remove_address(self, address: Address) -> None:
        """Take an address away."""
        self._ask(asked.no_address(self.index(address.link), address.address))

    def add_vlan(self, vlan: Vlan) -> None:
        """Put a port into a VLAN; a VLAN that is there takes the new flags."""
        flags = VLAN_PVID * vlan.pvid | VLAN_UNTAGGED * vlan.untagged
        self._ask(asked.new_vlan(self.index(vlan.port), vlan.vid, flags))

    def remove_vlan(self, vlan: Vlan) -> None:
        """Take a port out of a VLAN."""
        self._ask(asked.no_vlan(self.index(vlan.port), vlan.vid))

    def add_station(self, entry: StationEntry) -> None:
        """Pin a station to a port: sticky, for a merely static entry moves when its address is seen elsewhere."""
        port, flags = self.index(entry.port), NTF_MASTER | NTF_STICKY
        self._ask(asked.new_station(port, entry.mac, entry.vlan, NUD_NOARP, flags))

    def remove_station(self, entry: StationEntry) -> None:
        """Forget a pinned station."""
        self._ask(asked.no_station(self.index(entry.port), entry.mac, entry.vlan, NUD_NOARP, NTF_MASTER))


def _how(kind: str, hears: str) -> dict[str, str]:
    told = HEARD | ({"autoconf": "1"} if hears == "slaac" else {}) if hears else {}
    return IPV6 | ({"addr_gen_mode": "1"} if kind in TUNNELS else {}) | told


def _hears(settings: Mapping[str, str]) -> str:
    """What a link takes of routers' advertisements: all (``slaac``), all but addresses (``dhcp6``), nothing."""
    if settings.get("accept_ra") != HEARD["accept_ra"]:
        return ""
    return "slaac" if settings.get("autoconf") == "1" else "dhcp6"


def _ipv6(settings: Mapping[str, str], kind: str) -> str:
    """How a link has IPv6; ``other`` is a way that is never wanted."""
    if settings.get("disable_ipv6") != "0":
        return "off"  # or the kernel has none
    if any(settings.get(what) != value for what, value in _how(kind, _hears(settings)).items()):
        return "other"
    return "router" if settings.get("forwarding") == "1" else "host"


def _configure_ipv6(link: Link) -> None:
    if link.ipv6 not in {"host", "router"}:
        return
    hears = "slaac" if link.slaac else "dhcp6" if link.dhcp6 else ""
    if hears != _hears({what: _read(_conf("ipv6", link.name, what)) for what in ("accept_ra", "autoconf")}):
        # What routers have said goes with it, addresses and routes; or they are asked when it comes back.
        _write(_conf("ipv6", link.name, "disable_ipv6"), "1")
    for what, value in (_how(link.kind, hears) | {"forwarding": "1" if link.ipv6 == "router" else "0"}).items():
        Path(_conf("ipv6", link.name, what)).write_text(value)
    # Last: with it comes the link-local address.
    _write(_conf("ipv6", link.name, "disable_ipv6"), "0")


def _conf(family: str, name: str, what: str) -> str:
    return f"{CONF}/{family}/conf/{name}/{what}"


def _read(path: str) -> str:
    """A kernel setting; that of a link which has just gone is empty."""
    try:
        return kernel.read(path)
    except FileNotFoundError:
        return ""


def _write(path: str, value: str) -> None:
    """Write a kernel setting unless it has the value; IPv6 may be absent from the kernel."""
    if _read(path) not in ("", value):
        Path(path).write_text(value)
