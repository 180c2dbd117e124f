"""What a lab asks of the kernel's networking (rtnetlink(7)).

Asked together requests cost what the kernel takes for them, so the cables of a lab are made and removed in a few
datagrams (`netlinkkit`). What is rarely asked, or read, is `harness.agent.netlink`'s.

Numbers and layouts are those of linux/rtnetlink.h, if_link.h, if_addr.h, pkt_sched.h, pkt_cls.h and tc_mirred.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Interface

from netlinkkit.attributes import attribute
from netlinkkit.requests import CREATE, EXCL, REPLACE, Request

_NEWLINK, _DELLINK, _NEWADDR, _NEWQDISC, _DELQDISC, _NEWTFILTER = 16, 17, 20, 36, 37, 44
_UP = 1  # IFF_UP
_LINK = struct.Struct("=BxHiII")  # ifinfomsg
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg
_TC = struct.Struct("=BxxxiIII")  # tcmsg

_IFLA = {"address": 1, "ifname": 3, "mtu": 4, "master": 10, "txqlen": 13, "linkinfo": 18, "ifalias": 20, "group": 27,
         "net_ns_fd": 28}  # fmt: skip
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_TCA_KIND, _TCA_OPTIONS, _U32_CLASSID, _U32_SEL, _U32_ACT = 1, 2, 1, 5, 7
_ACT_KIND, _ACT_OPTIONS, _MIRRED_PARMS = 1, 2, 2
_INGRESS = 0xFFFFFFF1  # TC_H_INGRESS
_INGRESS_HANDLE = 0xFFFF0000
_ANY_FRAME = socket.htons(3)  # ETH_P_ALL
# tc_u32_sel with one key that everything matches; TC_U32_TERMINAL, because an action follows.
_EVERYTHING = struct.pack("=BBBBHHhhI", 1, 0, 1, 0, 0, 0, 0, 0, 0) + struct.pack("=IIii", 0, 0, 0, 0)
_MIRRED = struct.Struct("=IIiiiiI")  # tc_mirred
_STOLEN, _EGRESS_REDIRECT = 4, 1
_LEAVING = 0x656C
"""The group (IFLA_GROUP) of links that are removed together."""


@dataclass(frozen=True)
class End:
    """One end of a cable: the interface's name, the open network namespace where it is to be (here, if None), its MAC
    address and number if they must be certain ones.
    """

    name: str
    namespace: int | None = None
    mac: str = ""
    index: int = 0


def _attributes(**given: str | int | bytes | None) -> bytes:
    """Of a link; those that are None are not said."""
    return b"".join(attribute(_IFLA[key], value) for key, value in given.items() if value is not None)


def _mac(text: str) -> bytes | None:
    return bytes.fromhex(text.replace(":", "")) if text else None


def _link(index: int = 0, up: bool | None = None) -> bytes:
    return _LINK.pack(socket.AF_UNSPEC, 0, index, _UP if up else 0, 0 if up is None else _UP)


def _info(kind: bytes, data: bytes = b"") -> bytes:
    return attribute(_INFO_KIND, kind) + (attribute(_INFO_DATA, data) if data else b"")


def _end(end: End, mtu: int | None, up: bool | None) -> bytes:
    named = _attributes(ifname=end.name, mtu=mtu, address=_mac(end.mac), net_ns_fd=end.namespace)
    return _link(end.index, up) + named


def cable(first: End, second: End, about: str, *, mtu: int | None = None, up: bool | None = None) -> Request:
    """A pair of interfaces (veth(4)). The second cannot be up from the start: it would have no peer at that moment."""
    info = _info(b"veth", attribute(_VETH_PEER, _end(second, mtu, None)))
    return Request(_NEWLINK, CREATE | EXCL, _end(first, mtu, up) + _attributes(linkinfo=info), about)


def bridge(name: str, index: int = 0, *, up: bool | None = None) -> Request:
    content = _link(index, up) + _attributes(ifname=name, linkinfo=_info(b"bridge"))
    return Request(_NEWLINK, CREATE | EXCL, content, f"bridge {name}")


def change(
    index: int,
    about: str,
    *,
    up: bool | None = None,
    name: str | None = None,
    alias: str | None = None,
    master: int | None = None,
    queue: int | None = None,
) -> Request:
    """Of a link: only what is said. With 0 for its index, `name` says which one it is."""
    attributes = _attributes(ifname=name, master=master, txqlen=queue, ifalias=alias and alias.encode())
    return Request(_NEWLINK, 0, _link(index, up) + attributes, about)


def address(index: int, given: str, about: str) -> Request:
    """An IPv4 address with its prefix length, on a link; it may be there already."""
    found = IPv4Interface(given)
    octets = found.ip.packed
    content = _ADDRESS.pack(socket.AF_INET, found.network.prefixlen, 0, 0, index)
    content += attribute(_IFA_LOCAL, octets) + attribute(_IFA_ADDRESS, octets)
    return Request(_NEWADDR, CREATE | REPLACE, content, about)


def _tc(index: int, handle: int, parent: int, info: int, kind: bytes) -> bytes:
    return _TC.pack(socket.AF_UNSPEC, index, handle, parent, info) + attribute(_TCA_KIND, kind + b"\0")


def ingress(index: int, about: str) -> Request:
    """What comes in at a link can be filtered."""
    return Request(_NEWQDISC, CREATE | EXCL, _tc(index, _INGRESS_HANDLE, _INGRESS, 0, b"ingress"), about)


def no_ingress(index: int, about: str) -> Request:
    """Nothing that comes in at a link is filtered any more, and so nothing is handed over."""
    return Request(_DELQDISC, 0, _tc(index, _INGRESS_HANDLE, _INGRESS, 0, b"ingress"), about)


def crossing(source: int, target: int, priority: int, about: str) -> Request:
    """What comes in at `source`, and no filter of a lower priority took, leaves by `target`."""
    redirect = _MIRRED.pack(0, 0, _STOLEN, 0, 0, _EGRESS_REDIRECT, target)
    action = attribute(_ACT_KIND, b"mirred\0") + attribute(_ACT_OPTIONS, attribute(_MIRRED_PARMS, redirect))
    options = attribute(_U32_CLASSID, 0x10000) + attribute(_U32_ACT, attribute(1, action))
    options += attribute(_U32_SEL, _EVERYTHING)
    content = _tc(source, 0, _INGRESS_HANDLE, priority << 16 | _ANY_FRAME, b"u32")
    return Request(_NEWTFILTER, CREATE | EXCL, content + attribute(_TCA_OPTIONS, options), about)


def removal(indexes: Collection[int]) -> list[Request]:
    """Links go, and with each end of a cable the other.

    All at once: each that goes alone waits until no processor can see it any more, which is most of what it takes.
    """
    into = [
        Request(_NEWLINK, 0, _link(index) + _attributes(group=_LEAVING), f"removal of link {index}")
        for index in indexes
    ]
    return [*into, Request(_DELLINK, 0, _link() + _attributes(group=_LEAVING), "removal of links")] if into else []
