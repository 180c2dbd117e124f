"""Links: a patch panel on the lab host.

A link between two nodes is two veth pairs whose lab-host ends are cross-connected by tc (`mirred egress redirect`):

    node A [wan] ==== p0a  <-- redirect -->  p0b ==== [lan] node B

So a cable can be cut (both nodes lose carrier), impaired (netem where neither node sees it, in transit, which is why
loss does not come back to the sender as an error) and captured from outside, and it outlives the power of its nodes.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from harness.agent import lines, namespaces
from harness.agent.netlink import opened, refused
from harness.agent.places import MANAGEMENT_BRIDGE, NETNS
from harness.agent.ports import SIDES, find, interface_index, netlink, port, redirect, set_carrier

_ENODEV = 19
_QUEUE = 1000  # DEFAULT_TX_QUEUE_LEN
_GLOBAL = 0  # RT_SCOPE_UNIVERSE
MANAGEMENT_PORT = re.compile(r"m\d+")

Link = dict[str, Any]
"""{"index": int, "mtu": int, "ends": [{"node", "interface", "mac"}, {…}]} as the engine sends it, and what its topology
declares of it: "declared": {side: values of `lines.combined`}."""


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
    first, second = map(find, names)
    with lines.exclusive():
        lines.declare(link)
        if lines.is_plain(link["index"]):
            redirect(names[0], first, second)
            redirect(names[1], second, first)
            carrier = {"state": "up"}
        else:
            lines.settle(link["index"])
            carrier = {}
        for index, end in zip((first, second), link["ends"], strict=True):
            # The name of its end is what marks a port as done.
            netlink().link("set", index=index, ifalias=f"{end['node']}:{end['interface']}", txqlen=_QUEUE, **carrier)


def _is_whole(name: str) -> bool:
    found = interface_index(name)
    return found is not None and netlink().get_links(found)[0].get_attr("IFLA_IFALIAS") is not None


def _make_end(name: str, end: dict[str, Any], mtu: int) -> None:
    if interface_index(name) is not None:
        return
    fresh = _unfinished(name)
    _delete(fresh)
    with _namespace(end["node"]) as namespace:
        peer: dict[str, Any] = {"ifname": end["interface"], "net_ns_fd": namespace, "mtu": mtu}
        if end.get("mac"):
            peer["address"] = end["mac"]
        netlink().link("add", ifname=fresh, kind="veth", mtu=mtu, peer=peer)
    namespaces.inside(end["node"], lambda: _set_up(end["interface"]))
    netlink().link("set", index=find(fresh), ifname=name)


def _unfinished(name: str) -> str:
    """A port until its node's end is up: an agent that is killed in between leaves nothing that looks finished."""
    return f"{name}-new"


def unplug(link: Link, node: str) -> None:
    """Take out a node's ends, as its power goes: the other side loses carrier."""
    for side, end in zip(SIDES, link["ends"], strict=True):
        name = port(link["index"], side)
        if end["node"] == node:
            _delete(name)
    with lines.exclusive():
        if not lines.is_plain(link["index"]):
            lines.settle(link["index"])
            return
        for side in SIDES:
            if (found := interface_index(port(link["index"], side))) is not None:
                set_carrier(found, False)


def remove(link: Link) -> None:
    for side in SIDES:
        _delete(port(link["index"], side))
        _delete(_unfinished(port(link["index"], side)))
    lines.forget(link["index"])


def _delete(name: str) -> None:
    if (found := interface_index(name)) is not None:
        try:
            netlink().link("del", index=found)
        except refused() as error:
            if error.code != _ENODEV:
                raise


def addresses(node: str, interface: str) -> list[str]:
    """Those of one interface of a node that are known beyond its cable, both families. Raises LookupError."""
    if not (NETNS / node).exists():
        raise LookupError(f"node {node} has no power")

    def look() -> list[str]:
        with opened() as ip:
            found = ip.link_lookup(ifname=interface)
            return [
                entry.get_attr("IFA_LOCAL") or entry.get_attr("IFA_ADDRESS")
                for entry in (ip.get_addr(index=found[0]) if found else ())
                if entry["scope"] == _GLOBAL
            ]

    return namespaces.inside(node, look)


def make_ordinary(node: str) -> None:
    """Make interfaces that containerlab has made as those that a node gets when its power comes back: one name each,
    and the kernel's own length of queue, which disciplines go by.
    """

    def settle() -> None:
        with opened() as ip:
            for link in ip.get_links(kind="veth"):
                properties = link.get_attr("IFLA_PROP_LIST")
                if names := properties.get_attrs("IFLA_ALT_IFNAME") if properties else []:
                    ip.link("property_del", index=link["index"], altname=names)
                    ip.link("set", index=link["index"], txqlen=_QUEUE)

    namespaces.inside(node, settle)


def plug_management(node: str, number: int, address: str, mac: str) -> None:
    """Give a node its `eth0` on the management bridge: an address, no default route. Idempotent."""
    name = f"m{number}"
    if not _is_whole(name):
        if interface_index(name) is None:
            with _namespace(node) as namespace:
                peer = {"ifname": "eth0", "net_ns_fd": namespace, "address": mac}
                netlink().link("add", ifname=name, kind="veth", peer=peer)
        netlink().link("set", index=find(name), ifalias=f"{node}:eth0", master=find(MANAGEMENT_BRIDGE), state="up")
    namespaces.inside(node, lambda: _set_up("lo", "eth0", address=address))


def _set_up(*devices: str, address: str = "") -> None:
    """In a node's namespace: devices up; `address` (with its prefix length) on the last of them."""
    with opened() as ip:
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
