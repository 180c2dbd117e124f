"""What the kernel is asked to change of links, addresses, bridges, neighbours, routes and rules (rtnetlink(7)).

Numbers of attributes are those of linux/if_link.h, if_tunnel.h, if_addr.h, if_bridge.h, neighbour.h, rtnetlink.h and
fib_rules.h.
"""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address, ip_interface, ip_network

from netlinkkit.attributes import attribute
from netlinkkit.requests import CREATE, EXCL, REPLACE, Request

from element.plan.resources import Link

_NEWLINK, _DELLINK, _SETLINK = 16, 17, 19
_NEWADDR, _DELADDR = 20, 21
_NEWROUTE, _DELROUTE = 24, 25
_NEWNEIGH, _DELNEIGH = 28, 29
_NEWRULE, _DELRULE = 32, 33
_NEW = CREATE | EXCL

_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_NEIGHBOUR = struct.Struct("=B3xiHBB")
_ROUTE = struct.Struct("=BBBBBBBBI")
_VLAN = struct.Struct("=HH")
_IFF_UP = 1
_TO_TABLE = 1  # FR_ACT_TO_TBL
VXLAN_PORT = 4789
_TOS_INHERIT, _TTL = 1, 64


def _link(index: int = 0, flags: int = 0, change: int = 0, family: int = socket.AF_UNSPEC) -> bytes:
    return _LINK.pack(family, 0, index, flags, change)


def _byte(kind: int, value: int) -> bytes:
    return attribute(kind, bytes([value]))


def _address(kind: int, text: str | None) -> bytes:
    return attribute(kind, ip_address(text).packed) if text else b""


def new_link(link: Link, underlay: int) -> Request:
    """A link of its kind; ``underlay`` is the number of what GRE goes through."""
    data = {
        "vrf": lambda: attribute(1, link.table or 0),
        "xfrm": lambda: attribute(2, link.if_id or 0),
        # Neither STP nor snooping of multicasts, and no VLAN that ports are in by themselves.
        "bridge": lambda: attribute(5, 0) + _byte(23, 0) + attribute(39, struct.pack("=H", 0)),
        "gre": lambda: _gre(link, underlay),
        "vxlan": lambda: _vxlan(link),
    }.get(link.kind, bytes)()
    info = attribute(1, link.kind) + attribute(2, data)
    content = _link() + attribute(3, link.name) + attribute(27, link.group) + attribute(18, info)
    return Request(_NEWLINK, _NEW, content, f"link {link.name}")


def _gre(link: Link, underlay: int) -> bytes:
    ends = attribute(1, underlay) + _address(6, link.local) + _address(7, link.remote)
    # DF as in the packet inside: with it always, one that may be fragmented would be lost instead.
    return ends + _byte(8, _TTL) + _byte(9, _TOS_INHERIT) + _byte(10, 0)


def _vxlan(link: Link) -> bytes:
    ends = attribute(1, link.vni or 0) + _address(2, link.remote) + _address(4, link.local)
    return ends + _byte(6, _TOS_INHERIT) + _byte(7, 0) + attribute(15, struct.pack("!H", VXLAN_PORT))


def filtering(index: int) -> Request:
    """A bridge knows VLANs from now on."""
    info = attribute(1, "bridge") + attribute(2, _byte(7, 1))
    return Request(_NEWLINK, 0, _link(index) + attribute(18, info), "VLANs of the bridge")


def settings(index: int, *, group: int, master: int, mtu: int | None = None, mac: str | None = None) -> Request:
    """Values of a link that can be changed in place; those that are None stay."""
    content = _link(index) + attribute(27, group) + attribute(10, master)
    content += attribute(4, mtu) if mtu else b""
    content += attribute(1, _mac(mac)) if mac else b""
    return Request(_NEWLINK, 0, content, "settings")


def learning(index: int, learns: bool) -> Request:
    """Does the bridge take note of who is behind this port?"""
    info = attribute(4, "bridge") + attribute(5, _byte(8, int(learns)))
    return Request(_NEWLINK, 0, _link(index) + attribute(18, info), "learning of the port")


def state(index: int, up: bool) -> Request:
    """Up or down."""
    return Request(_NEWLINK, 0, _link(index, _IFF_UP if up else 0, _IFF_UP), "up" if up else "down")


def no_link(index: int) -> Request:
    """It goes."""
    return Request(_DELLINK, 0, _link(index), "removal")


def new_address(index: int, address: str, flags: int) -> Request:
    """``address`` with its prefix length, ``flags`` IFA_F_*."""
    return Request(_NEWADDR, _NEW, _of_link(index, address, flags), address)


def no_address(index: int, address: str) -> Request:
    """It goes."""
    return Request(_DELADDR, 0, _of_link(index, address, 0), address)


def _of_link(index: int, address: str, flags: int) -> bytes:
    given = ip_interface(address)
    family = socket.AF_INET if given.version == 4 else socket.AF_INET6
    head = _ADDRESS.pack(family, given.network.prefixlen, 0, 0, index)
    own = attribute(2, given.ip.packed) if given.version == 4 else b""
    return head + own + attribute(1, given.ip.packed) + (attribute(8, flags) if flags else b"")


def new_vlan(port: int, vid: int, flags: int) -> Request:
    """A port of a bridge is in a VLAN; one that is there takes the new flags (BRIDGE_VLAN_INFO_*)."""
    return Request(_SETLINK, 0, _in_vlan(port, vid, flags), f"VLAN {vid}")


def no_vlan(port: int, vid: int) -> Request:
    """It is in it no more."""
    return Request(_DELLINK, 0, _in_vlan(port, vid, 0), f"VLAN {vid}")


def _in_vlan(port: int, vid: int, flags: int) -> bytes:
    return _link(port, family=socket.AF_BRIDGE) + attribute(26, attribute(2, _VLAN.pack(flags, vid)))


def new_station(port: int, mac: str, vlan: int, state: int, flags: int) -> Request:
    """A station is behind a port; ``state`` is of NUD_*, ``flags`` of NTF_*."""
    return Request(_NEWNEIGH, _NEW, _behind(port, mac, vlan, state, flags), f"station {mac}")


def no_station(port: int, mac: str, vlan: int, state: int, flags: int) -> Request:
    """It is forgotten."""
    return Request(_DELNEIGH, 0, _behind(port, mac, vlan, state, flags), f"station {mac}")


def _behind(port: int, mac: str, vlan: int, state: int, flags: int) -> bytes:
    head = _NEIGHBOUR.pack(socket.AF_BRIDGE, port, state, flags, 0)
    return head + attribute(2, _mac(mac)) + (attribute(5, struct.pack("=H", vlan)) if vlan else b"")


def neighbour(index: int, address: str, flags: int) -> Request:
    """Something is to be done about a neighbour that is known (NTF_*)."""
    octets = ip_address(address).packed
    family = socket.AF_INET if len(octets) == 4 else socket.AF_INET6
    return Request(_NEWNEIGH, REPLACE, _NEIGHBOUR.pack(family, index, 0, flags, 0) + attribute(1, octets), address)


def route(
    prefix: str,
    table: int,
    kind: int,
    protocol: int,
    *,
    metric: int = 0,
    gateway: str | None = None,
    index: int | None = None,
    source: str | None = None,
    gone: bool = False,
) -> Request:
    """A route that takes the place of the one that is there, or goes; ``kind`` is of RTN_*."""
    network = ip_network(prefix)
    family = socket.AF_INET if network.version == 4 else socket.AF_INET6
    scope = 253 if network.version == 4 and not gateway and kind == 1 else 0  # RT_SCOPE_LINK
    content = _ROUTE.pack(family, network.prefixlen, 0, 0, 0, protocol, scope, kind, 0) + attribute(15, table)
    content += attribute(1, network.network_address.packed) if network.prefixlen else b""
    content += (attribute(6, metric) if metric else b"") + _address(5, gateway) + _address(7, source)
    content += attribute(4, index) if index is not None else b""
    what = Request(_DELROUTE, 0, content, prefix)
    return what if gone else Request(_NEWROUTE, CREATE | REPLACE, content, prefix)


def rule(
    family: int,
    priority: int,
    *,
    table: int | None = None,
    source: str | None = None,
    mark: int | None = None,
    mask: int | None = None,
    link: str | None = None,
    ip_protocol: int | None = None,
    protocol: int | None = None,
    gone: bool = False,
) -> Request:
    """A rule by which a table is chosen, or, without one, the VRFs' own."""
    length = (32 if family == socket.AF_INET else 128) if source else 0
    content = _ROUTE.pack(family, 0, length, 0, 0, 0, 0, _TO_TABLE, 0) + attribute(6, priority)
    content += attribute(15, table) if table is not None else _byte(19, 1)
    content += _address(2, source)
    content += attribute(10, mark) + attribute(16, mask or 0) if mark is not None else b""
    content += attribute(3, link) if link else b""
    content += _byte(22, ip_protocol) if ip_protocol else b""
    content += _byte(21, protocol) if protocol is not None else b""
    what = Request(_DELRULE, 0, content, f"rule {priority}")
    return what if gone else Request(_NEWRULE, _NEW, content, f"rule {priority}")


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))
