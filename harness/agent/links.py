"""Links: a patch panel on the lab host.

A link between two nodes is two veth pairs whose lab-host ends are cross-connected by tc (`mirred egress redirect`):

    node A [wan] ==== p0a  <-- redirect -->  p0b ==== [lan] node B

So a cable can be cut (both nodes lose carrier), impaired (netem where neither node sees it, in transit, which is why
loss does not come back to the sender as an error) and captured from outside, and it outlives the power of its nodes.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from harness.agent import namespaces
from harness.agent.places import MANAGEMENT_BRIDGE, NETNS

_local = threading.local()
_INGRESS = 0xFFFF0000
_ETH_P_ALL = 3
_ENOENT, _EEXIST, _ENODEV = 2, 17, 19
SIDES = ("a", "b")
MANAGEMENT_PORT = re.compile(r"m\d+")

Link = dict[str, Any]
"""{"index": int, "mtu": int, "ends": [{"node", "interface", "mac"}, {…}]} as the engine sends it."""


def netlink() -> IPRoute:
    """This thread's own netlink socket into the lab host's network namespace."""
    if not hasattr(_local, "ip"):
        _local.ip = IPRoute()
    return _local.ip


def port(index: int, side: str) -> str:
    """Name of a link's lab-host end."""
    return f"p{index}{side}"


def interface_index(name: str) -> int | None:
    found = netlink().link_lookup(ifname=name)
    return int(found[0]) if found else None


def _index(name: str) -> int:
    found = interface_index(name)
    if found is None:
        raise LookupError(f"the lab host has no interface {name}")
    return found


@contextlib.contextmanager
def _namespace(node: str) -> Iterator[int]:
    with open(NETNS / node, "rb") as handle:
        yield handle.fileno()


def plug(link: Link) -> None:
    """Make a link whole: missing ends are made, the cross-connection set, both ends up. Idempotent.

    A whole link is not touched: traffic may be on it, or a test may have cut it. Where one node has no power the other
    has its interface all the same, without carrier.
    """
    names = [port(link["index"], side) for side in SIDES]
    if all(map(_is_whole, names)):
        return
    powered = [(NETNS / end["node"]).exists() for end in link["ends"]]
    for name, end, power in zip(names, link["ends"], powered, strict=True):
        if power:
            _make_end(name, end, link["mtu"])
    if not all(powered):
        return
    first, second = map(_index, names)
    _redirect(first, second)
    _redirect(second, first)
    for index, end in zip((first, second), link["ends"], strict=True):
        # The name of its end is what marks a port as done.
        netlink().link("set", index=index, state="up", ifalias=f"{end['node']}:{end['interface']}")


def _is_whole(name: str) -> bool:
    found = interface_index(name)
    return found is not None and netlink().get_links(found)[0].get_attr("IFLA_IFALIAS") is not None


def _make_end(name: str, end: dict[str, Any], mtu: int) -> None:
    if interface_index(name) is not None:
        return
    with _namespace(end["node"]) as namespace:
        peer: dict[str, Any] = {"ifname": end["interface"], "net_ns_fd": namespace, "mtu": mtu}
        if end.get("mac"):
            peer["address"] = end["mac"]
        netlink().link("add", ifname=name, kind="veth", mtu=mtu, peer=peer)
    namespaces.inside(end["node"], lambda: _set_up(end["interface"]))


def _redirect(source: int, target: int) -> None:
    """Everything that comes in at `source` leaves by `target`. A filter from before (its target may be gone) goes."""
    with contextlib.suppress(NetlinkError):
        netlink().tc("del", "ingress", source)
    netlink().tc("add", "ingress", source)
    netlink().tc(
        "add-filter",
        "u32",
        source,
        parent=_INGRESS,
        protocol=_ETH_P_ALL,
        prio=1,
        target=0x10000,
        keys=["0x0/0x0+0"],
        action={"kind": "mirred", "direction": "egress", "action": "redirect", "ifindex": target},
    )


def unplug(link: Link, node: str) -> None:
    """Take out a node's ends, as its power goes: the other side loses carrier."""
    for side, end in zip(SIDES, link["ends"], strict=True):
        name = port(link["index"], side)
        if end["node"] == node:
            _delete(name)
        elif (found := interface_index(name)) is not None:
            netlink().link("set", index=found, state="down")


def remove(link: Link) -> None:
    for side in SIDES:
        _delete(port(link["index"], side))


def _delete(name: str) -> None:
    if (found := interface_index(name)) is not None:
        try:
            netlink().link("del", index=found)
        except NetlinkError as error:
            if error.code != _ENODEV:
                raise


def cut(link: int) -> None:
    """Pull the cable: both nodes see no carrier, their interfaces stay administratively up."""
    for side in SIDES:
        netlink().link("set", index=_index(port(link, side)), state="down")


def mend(link: int) -> None:
    for side in SIDES:
        if (found := interface_index(port(link, side))) is not None:
            netlink().link("set", index=found, state="up")


def impair(link: int, toward: str, netem: dict[str, Any]) -> None:
    """Impair what travels toward side `a` or `b` of a link.

    `netem`: any of delay, jitter (microseconds), loss, duplicate, reorder, corrupt (percent), rate (bits/s),
    limit (packets).
    """
    arguments: dict[str, Any] = {
        "delay": int(netem.get("delay", 0)),
        "jitter": int(netem.get("jitter", 0)),
        "loss": float(netem.get("loss", 0)),
        "duplicate": float(netem.get("duplicate", 0)),
        "limit": int(netem.get("limit", 10_000)),
    }
    if netem.get("reorder"):
        arguments["prob_reorder"] = float(netem["reorder"])
    if netem.get("corrupt"):
        arguments["prob_corrupt"] = float(netem["corrupt"])
    if netem.get("rate"):
        arguments["rate"] = int(netem["rate"]) // 8
    netlink().tc("replace", "netem", _index(port(link, toward)), 0x10000, **arguments)


def heal(link: int, toward: str) -> None:
    if (found := interface_index(port(link, toward))) is not None:
        try:
            netlink().tc("del", "netem", found, 0x10000)
        except NetlinkError as error:
            if error.code not in (_ENOENT, 22):  # 22: there is no root qdisc to delete
                raise


def plug_management(node: str, number: int, address: str, mac: str) -> None:
    """Give a node its `eth0` on the management bridge: an address, no default route. Idempotent."""
    name = f"m{number}"
    if not _is_whole(name):
        if interface_index(name) is None:
            with _namespace(node) as namespace:
                peer = {"ifname": "eth0", "net_ns_fd": namespace, "address": mac}
                netlink().link("add", ifname=name, kind="veth", peer=peer)
        netlink().link("set", index=_index(name), ifalias=f"{node}:eth0", master=_index(MANAGEMENT_BRIDGE), state="up")
    namespaces.inside(node, lambda: _set_up("lo", "eth0", address=address))


def _set_up(*devices: str, address: str = "") -> None:
    """In a node's namespace: devices up; `address` (with its prefix length) on the last of them."""
    with IPRoute() as ip:
        for device in devices:
            index = ip.link_lookup(ifname=device)[0]
            ip.link("set", index=index, state="up")
        if address:
            host, length = address.split("/")
            ip.addr("replace", index=index, address=host, prefixlen=int(length))


def set_management(up: bool) -> None:
    """Pull the management cables of all nodes, or plug them in."""
    for link in netlink().get_links():
        name = link.get_attr("IFLA_IFNAME")
        if MANAGEMENT_PORT.fullmatch(name):
            netlink().link("set", index=link["index"], state="up" if up else "down")


def unplug_management(number: int) -> None:
    _delete(f"m{number}")
