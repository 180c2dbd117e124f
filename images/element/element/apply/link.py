"""Links, addresses, VLANs and static stations, over rtnetlink(7)."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from element import kernel
from element.plan.resources import LINK_GROUP, MANAGEMENT, Address, Link, Resource, StationEntry, Vlan

FOREIGN = frozenset({"lo", MANAGEMENT})
"""Links that are never looked at."""
MADE: Final = frozenset({"vrf", "bridge", "dummy", "xfrm", "gre", "vxlan"})
DEFAULT_MTU = 1500
VXLAN_PORT = 4789
TOS_INHERIT = 1
NTF_MASTER, NTF_STICKY = 0x04, 0x40
NUD_NOARP = 0x40
VLAN_PVID, VLAN_UNTAGGED = 0x02, 0x04
EXT_MASK_VLANS = 2
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

    def __init__(self, ipr: IPRoute) -> None:
        self._ipr = ipr
        self._names: dict[int, str] = {}

    def read(self) -> Iterator[Resource]:
        """All links but the management's and lo; addresses, VLANs and stations of those that are ours."""
        messages = list(self._ipr.get_links())
        self._names = {m["index"]: m.get_attr("IFLA_IFNAME") for m in messages}
        ours = set()
        for message in messages:
            link = self._link(message)
            if link.name in FOREIGN:
                continue
            if link.group == LINK_GROUP:
                ours.add(message["index"])
            yield link
        yield from self._addresses(ours)
        if any(map(_in_bridge, messages)):  # as long as the answers about links themselves, and a POP has no bridge
            yield from self._vlans(ours)
            yield from self._stations(ours)

    def _link(self, message: Any) -> Link:
        info = message.get_attr("IFLA_LINKINFO")
        kind = info.get_attr("IFLA_INFO_KIND") if info else ""
        group = message.get_attr("IFLA_GROUP") or 0
        made = kind in MADE and group == LINK_GROUP
        name = message.get_attr("IFLA_IFNAME")
        slave = info.get_attr("IFLA_INFO_SLAVE_DATA") if info else None
        over = info.get_attr("IFLA_INFO_SLAVE_KIND") if info else None
        return Link(
            name=name,
            kind=str(kind) if made else "port",
            up=bool(message["flags"] & IFF_UP),
            group=group,
            mtu=message.get_attr("IFLA_MTU"),
            mac=message.get_attr("IFLA_ADDRESS"),
            master=self._names.get(message.get_attr("IFLA_MASTER") or 0, ""),
            forwarding=_read(_conf("ipv4", name, "forwarding")) == "1",
            ipv6=(ipv6 := _ipv6(name, str(kind))),
            slaac=ipv6 != "off" and _hears(name) == "slaac",
            dhcp6=ipv6 != "off" and _hears(name) == "dhcp6",
            learning=bool(slave.get_attr("IFLA_BRPORT_LEARNING")) if slave and over == "bridge" else None,
            **(self._data(str(kind), info.get_attr("IFLA_INFO_DATA")) if info and made else {}),
        )

    def _data(self, kind: str, data: Any) -> dict[str, Any]:
        match kind:
            case "vrf":
                return {"table": data.get_attr("IFLA_VRF_TABLE")}
            case "xfrm":
                return {"if_id": data.get_attr("IFLA_XFRM_IF_ID")}
            case "bridge":
                return {"vlan_aware": bool(data.get_attr("IFLA_BR_VLAN_FILTERING"))}
            case "gre":
                return {
                    "local": data.get_attr("IFLA_GRE_LOCAL"),
                    "remote": data.get_attr("IFLA_GRE_REMOTE"),
                    "underlay": self._names.get(data.get_attr("IFLA_GRE_LINK"), ""),
                }
            case "vxlan":
                return {
                    "vni": data.get_attr("IFLA_VXLAN_ID"),
                    "local": data.get_attr("IFLA_VXLAN_LOCAL"),
                    "remote": data.get_attr("IFLA_VXLAN_GROUP"),
                }
        return {}

    def _addresses(self, ours: set[int]) -> Iterator[Address]:
        for message in self._ipr.get_addr():
            if message["index"] in ours:
                local = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
                if ip_address(local).is_link_local and message["family"] == socket.AF_INET6:
                    continue  # the kernel's own, made from the MAC address
                if message.get_attr("IFA_PROTO") == IFAPROT_KERNEL_RA:
                    continue  # the kernel's, too, for as long as a router says so
                yield Address(self._names[message["index"]], f"{local}/{message['prefixlen']}")

    def _vlans(self, ours: set[int]) -> Iterator[Vlan]:
        for message in self._ipr.link("dump", family=socket.AF_BRIDGE, ext_mask=EXT_MASK_VLANS):
            if message["index"] not in ours or (spec := message.get_attr("IFLA_AF_SPEC")) is None:
                continue
            for info in spec.get_attrs("IFLA_BRIDGE_VLAN_INFO"):
                flags = info["flags"]
                pvid, untagged = bool(flags & VLAN_PVID), bool(flags & VLAN_UNTAGGED)
                yield Vlan(self._names[message["index"]], info["vid"], pvid, untagged)

    def _stations(self, ours: set[int]) -> Iterator[StationEntry]:
        for message in self._ipr.fdb("dump"):
            if message["ifindex"] in ours and message["state"] == NUD_NOARP and message.get_attr("NDA_MASTER"):
                vlan = message.get_attr("NDA_VLAN") or 0
                yield StationEntry(self._names[message["ifindex"]], message.get_attr("NDA_LLADDR"), vlan)

    def index(self, name: str) -> int:
        """Index of a link; ``OSError`` when it is not there."""
        return socket.if_nametoindex(name)

    def create(self, link: Link) -> None:
        """Make a link, with everything that it has."""
        arguments: dict[str, Any] = {"ifname": link.name, "kind": link.kind, "group": link.group}
        match link.kind:
            case "vrf":
                arguments |= {"vrf_table": link.table}
            case "xfrm":
                arguments |= {"xfrm_if_id": link.if_id}
            case "bridge":
                arguments |= {"br_stp_state": 0, "br_mcast_snooping": 0, "br_vlan_default_pvid": 0}
            case "gre":
                arguments |= {"gre_local": link.local, "gre_remote": link.remote, "gre_ttl": 64}
                # DF as in the packet inside: with it always, one that may be fragmented would be lost instead.
                arguments |= {"gre_link": self.index(link.underlay or ""), "gre_tos": TOS_INHERIT, "gre_pmtudisc": 0}
            case "vxlan":
                arguments |= {"vxlan_id": link.vni, "vxlan_local": link.local, "vxlan_group": link.remote}
                arguments |= {"vxlan_port": VXLAN_PORT, "vxlan_learning": 0, "vxlan_tos": TOS_INHERIT}
        try:
            self._ipr.link("add", **arguments)
        except NetlinkError as error:
            if error.code == errno.EEXIST and link.kind == "vxlan" and (other := self._with_vni(link.vni)):
                raise ValueError(
                    f"link {other} has VNI {link.vni}, and was not made by this configuration: remove it"
                ) from error
            raise
        if link.vlan_aware:
            # Only now: the default VLAN cannot be taken away from a bridge that filters already.
            self._ipr.link("set", index=self.index(link.name), kind="bridge", br_vlan_filtering=1)
        self.change(link)

    def _with_vni(self, vni: int | None) -> str | None:
        """Linux has a VNI and port once, by whatever name."""
        infos = ((m.get_attr("IFLA_IFNAME"), m.get_attr("IFLA_LINKINFO")) for m in self._ipr.get_links())
        vxlans = ((name, info) for name, info in infos if info and info.get_attr("IFLA_INFO_KIND") == "vxlan")
        found = ((name, info.get_attr("IFLA_INFO_DATA").get_attr("IFLA_VXLAN_ID")) for name, info in vxlans)
        return next((str(name) for name, other in found if other == vni), None)

    def change(self, link: Link) -> None:
        """Give a link the values that can be changed in place."""
        index = self.index(link.name)
        if link.ipv6 == "off":
            _write(_conf("ipv6", link.name, "disable_ipv6"), "1")
        master = self.index(link.master) if link.master else 0
        settings: dict[str, Any] = {"group": link.group, "master": master}
        settings |= {"mtu": link.mtu} if link.mtu else {}
        settings |= {"address": link.mac} if link.mac else {}
        self._ipr.link("set", index=index, **settings)
        if link.learning is not None:
            self._ipr.brport("set", index=index, learning=int(link.learning))
        _write(_conf("ipv4", link.name, "forwarding"), "1" if link.forwarding else "0")
        _configure_ipv6(link)
        self._ipr.link("set", index=index, state="up" if link.up else "down")

    def delete(self, link: Link) -> None:
        """Remove a link that we made; make bare what was plugged in."""
        index = self.index(link.name)
        if link.kind != "port":
            self._ipr.link("del", index=index)
            return
        self._ipr.link("set", index=index, state="down")
        self._ipr.link("set", index=index, master=0, group=0, mtu=DEFAULT_MTU)
        _write(_conf("ipv4", link.name, "forwarding"), "0")
        _write(_conf("ipv6", link.name, "disable_ipv6"), "1")

    def add_address(self, address: Address) -> None:
        """Give a link an address."""
        local, _, length = address.address.partition("/")
        flags = {"flags": IFA_F_NODAD} if ":" in local and not address.unsure else {}
        self._ipr.addr("add", index=self.index(address.link), address=local, prefixlen=int(length), **flags)

    def remove_address(self, address: Address) -> None:
        """Take an address away."""
        local, _, length = address.address.partition("/")
        self._ipr.addr("del", index=self.index(address.link), address=local, prefixlen=int(length))

    def add_vlan(self, vlan: Vlan) -> None:
        """Put a port into a VLAN; a VLAN that is there takes the new flags."""
        flags = VLAN_PVID * vlan.pvid | VLAN_UNTAGGED * vlan.untagged
        self._ipr.vlan_filter("add", index=self.index(vlan.port), vlan_info={"vid": vlan.vid, "flags": flags})

    def remove_vlan(self, vlan: Vlan) -> None:
        """Take a port out of a VLAN."""
        self._ipr.vlan_filter("del", index=self.index(vlan.port), vlan_info={"vid": vlan.vid, "flags": 0})

    def add_station(self, entry: StationEntry) -> None:
        """Pin a station to a port: sticky, for a merely static entry moves when its address is seen elsewhere."""
        self._ipr.fdb("add", flags=NTF_MASTER | NTF_STICKY, **self._station(entry))

    def remove_station(self, entry: StationEntry) -> None:
        """Forget a pinned station."""
        self._ipr.fdb("del", flags=NTF_MASTER, **self._station(entry))

    def _station(self, entry: StationEntry) -> dict[str, Any]:
        found = {"ifindex": self.index(entry.port), "lladdr": entry.mac, "state": NUD_NOARP}
        return found | ({"vlan": entry.vlan} if entry.vlan else {})


def _in_bridge(message: Any) -> bool:
    info = message.get_attr("IFLA_LINKINFO")
    return info is not None and info.get_attr("IFLA_INFO_SLAVE_KIND") == "bridge"


def _how(kind: str, hears: str) -> dict[str, str]:
    told = HEARD | ({"autoconf": "1"} if hears == "slaac" else {}) if hears else {}
    return IPV6 | ({"addr_gen_mode": "1"} if kind in TUNNELS else {}) | told


def _hears(name: str) -> str:
    """What a link takes of routers' advertisements: all (``slaac``), all but addresses (``dhcp6``), nothing."""
    if _read(_conf("ipv6", name, "accept_ra")) != HEARD["accept_ra"]:
        return ""
    return "slaac" if _read(_conf("ipv6", name, "autoconf")) == "1" else "dhcp6"


def _ipv6(name: str, kind: str) -> str:
    """How a link has IPv6; ``other`` is a way that is never wanted."""
    if _read(_conf("ipv6", name, "disable_ipv6")) != "0":
        return "off"  # or the kernel has none
    if any(_read(_conf("ipv6", name, what)) != value for what, value in _how(kind, _hears(name)).items()):
        return "other"
    return "router" if _read(_conf("ipv6", name, "forwarding")) == "1" else "host"


def _configure_ipv6(link: Link) -> None:
    if link.ipv6 not in {"host", "router"}:
        return
    hears = "slaac" if link.slaac else "dhcp6" if link.dhcp6 else ""
    if hears != _hears(link.name):
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
