"""Links: a patch panel on the lab host.

A link between two nodes is two veth pairs whose lab-host ends are cross-connected by tc (`mirred egress redirect`):

    node A [wan] ==== p0a  <-- redirect -->  p0b ==== [lan] node B

So a cable can be cut (both nodes lose carrier), impaired (netem where neither node sees it, in transit, which is why
loss does not come back to the sender as an error) and captured from outside, and it outlives the power of its nodes.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from errno import ENODEV
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from netlinkkit.requests import Request, ask

from harness.agent import lines, namespaces
from harness.agent.netlink import opened
from harness.agent.places import MANAGEMENT_BRIDGE, NETNS
from harness.agent.ports import NOTHING_HANDED_OVER, SIDES, crossed, indexes, netlink, port
from harness.agent.rtnetlink import End, address, cable, change, no_ingress, removal

_AT_ONCE = 200
"""Cables whose namespaces are held open together: fewer than files that a process may have open."""
T = TypeVar("T")
_QUEUE = 1000  # DEFAULT_TX_QUEUE_LEN
_GLOBAL = 0  # RT_SCOPE_UNIVERSE
MANAGEMENT_PORT = re.compile(r"m\d+")

Link = dict[str, Any]
"""{"index": int, "mtu": int, "ends": [{"node", "interface", "mac"}, {…}]} as the engine sends it, and what its topology
declares of it: "declared": {side: values of `lines.combined`}."""


def plug(wanted: Iterable[Link]) -> None:
    """Make links whole: missing ends are made, the cross-connections set, both ends up. Idempotent.

    A whole link is not touched: traffic may be on it, or a test may have cut it. Where one node has no power the other
    has its interface all the same, without carrier.
    """
    before = indexes()
    some = [link for link in wanted if not all(_is_whole(name, before) for name in _ports(link))]
    ends = [
        (port(link["index"], side), end, link["mtu"])
        for link in some
        for side, end in zip(SIDES, link["ends"], strict=True)
        if _has_power(end["node"])
    ]
    _make_ends([made for made in ends if made[0] not in before])
    ready = [link for link in some if all(_has_power(end["node"]) for end in link["ends"])]
    with lines.exclusive():
        for link in ready:
            lines.declare(link)
        plain = {link["index"] for link in ready if lines.is_plain(link["index"])}
        _cross([link for link in ready if link["index"] in plain], before)
        for link in ready:
            if link["index"] not in plain:
                lines.settle(link["index"])
        there = indexes()
        # The name of its end is what marks a port as done.
        ask([
            _mark(there[name], end, True if link["index"] in plain else None)
            for link in ready
            for name, end in _ends(link)
        ])  # fmt: skip


def _cross(links: Sequence[Link], before: Mapping[str, int]) -> None:
    """Connect both ports of each; those that were there `before` may be connected to what is gone."""
    old = [before[name] for link in links for name in _ports(link) if name in before]
    ask([no_ingress(index, f"port {index}") for index in old], forgive=NOTHING_HANDED_OVER)
    there = indexes()
    pairs = [[there[name] for name in _ports(link)] for link in links]
    ask([request for one, other in pairs for request in (*crossed(one, other), *crossed(other, one))])


def _has_power(node: str) -> bool:
    return (NETNS / node).exists()


def _ports(link: Link) -> list[str]:
    return [port(link["index"], side) for side in SIDES]


def _ends(link: Link) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each port with the end that it belongs to."""
    return zip(_ports(link), link["ends"], strict=True)


def _mark(index: int, end: dict[str, Any], up: bool | None) -> Request:
    name = f"{end['node']}:{end['interface']}"
    return change(index, name, alias=name, queue=_QUEUE, up=up)


def _is_whole(name: str, there: Mapping[str, int]) -> bool:
    return name in there and netlink().get_links(there[name])[0].get_attr("IFLA_IFALIAS") is not None


def _make_ends(ends: Sequence[tuple[str, dict[str, Any], int]]) -> None:
    """Ports with their node's interfaces, which are up then: the name of each port, the end, its MTU."""
    for some in _some(ends):
        fresh = [_unfinished(name) for name, _, _ in some]
        _delete(fresh)
        with contextlib.ExitStack() as held:
            ask([
                cable(End(new), _inside(held, end), f"{end['node']}:{end['interface']}", mtu=mtu)
                for new, (_, end, mtu) in zip(fresh, some, strict=True)
            ])  # fmt: skip
        devices: dict[str, list[str]] = {}
        for _, end, _ in some:
            devices.setdefault(end["node"], []).append(end["interface"])
        namespaces.inside_each({node: partial(_set_up, *names) for node, names in devices.items()})
        there = indexes()
        ask([change(there[new], name, name=name) for new, (name, _, _) in zip(fresh, some, strict=True)])


def _some(things: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(things)
    while part := list(islice(rest, _AT_ONCE)):
        yield part


def _inside(held: contextlib.ExitStack, end: Mapping[str, Any]) -> End:
    handle = held.enter_context((NETNS / end["node"]).open("rb"))
    return End(end["interface"], handle.fileno(), end.get("mac") or "")


def _unfinished(name: str) -> str:
    """A port until its node's end is up: an agent that is killed in between leaves nothing that looks finished."""
    return f"{name}-new"


def unplug(plugged: Iterable[Link], node: str) -> None:
    """Take out a node's ends, as its power goes: the other side loses carrier."""
    plugged = list(plugged)
    _delete([name for link in plugged for name, end in _ends(link) if end["node"] == node])
    with lines.exclusive():
        for link in plugged:
            if not lines.is_plain(link["index"]):
                lines.settle(link["index"])
        left = indexes()
        plain = [name for link in plugged if lines.is_plain(link["index"]) for name in _ports(link)]
        ask([change(left[name], name, up=False) for name in plain if name in left])


def remove(world: Iterable[Link], numbers: Iterable[int] = ()) -> None:
    """Links, and the management cables of the nodes with these numbers."""
    gone = list(world)
    names = [name for link in gone for port in _ports(link) for name in (port, _unfinished(port))]
    _delete([*names, *map(management_port, numbers)])
    for link in gone:
        lines.forget(link["index"])


def _delete(names: Iterable[str]) -> None:
    there = indexes()
    # One whose other end goes first goes with it.
    ask(removal([there[name] for name in names if name in there]), forgive=(ENODEV,))


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


def plug_management(nodes: Iterable[dict[str, Any]]) -> None:
    """Give nodes their `eth0` on the management bridge: an address, no default route. Idempotent."""
    there, found = indexes(), list(nodes)
    some = [node for node in found if not _is_whole(management_port(node["number"]), there)]
    for made in _some(node for node in some if management_port(node["number"]) not in there):
        with contextlib.ExitStack() as held:
            ask([
                cable(
                    End(management_port(node["number"])),
                    _inside(held, {"node": node["name"], "interface": "eth0", "mac": node["mac"]}),
                    f"{node['name']}:eth0",
                )
                for node in made
            ])  # fmt: skip
    there = indexes()
    bridge = there[MANAGEMENT_BRIDGE]
    whole = [(there[management_port(node["number"])], f"{node['name']}:eth0") for node in some]
    ask([change(index, name, alias=name, master=bridge, up=True) for index, name in whole])
    namespaces.inside_each({node["name"]: partial(_set_up, "lo", "eth0", given=node["management"]) for node in found})


def _set_up(*devices: str, given: str = "") -> None:
    """In a node's namespace: devices up; an address (with its prefix length) on the last of them."""
    there = [socket.if_nametoindex(device) for device in devices]
    requests = [change(index, device, up=True) for index, device in zip(there, devices, strict=True)]
    ask([*requests, *([address(there[-1], given, f"{devices[-1]} {given}")] if given else [])])


def set_management(up: bool) -> None:
    """Pull the management cables of all nodes, or plug them in."""
    ask([change(index, name, up=up) for name, index in indexes().items() if MANAGEMENT_PORT.fullmatch(name)])


def unplug_management(numbers: Iterable[int]) -> None:
    _delete(map(management_port, numbers))


def management_port(number: int) -> str:
    """Name of the lab host's end of a node's `eth0`."""
    return f"m{number}"
