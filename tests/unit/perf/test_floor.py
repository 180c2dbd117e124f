"""The floor makes the same kernel objects as a lab, told by the requests that it sends."""

from __future__ import annotations

import struct
from typing import Any

from netlinkkit.requests import Request, packed
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from perf.peers.floor import inside, outside

RTM_NEWADDR = 20

NODES: list[dict[str, Any]] = [
    {"name": "a", "number": 0, "management": "100.72.0.11/21"},
    {"name": "b", "number": 1, "management": "100.72.0.12/21"},
]
WORLD: dict[str, Any] = {
    "nodes": NODES,
    "links": [{"index": 0, "ends": [{"node": "a", "interface": "wan"}, {"node": "b", "interface": "lan"}]}],
}
HANDLES = {"a": 7, "b": 8}


def read(request: Request) -> Any:
    found = (ifaddrmsg if request.kind == RTM_NEWADDR else ifinfmsg)(request.packed(1))
    found.decode()
    return found


def pairs(requests: list[Request]) -> list[tuple[Any, Any]]:
    """Both ends of each veth pair."""
    found = []
    for one in map(read, requests):
        if one.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == "veth":
            found.append((one, one.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "VETH_INFO_PEER")))
    return found


def test_each_node_has_a_port_and_each_link_two_ends() -> None:
    ends = [
        (end.get_attr("IFLA_IFNAME"), end.get_attr("IFLA_NET_NS_FD"))
        for pair in pairs(outside(WORLD, HANDLES))
        for end in pair
    ]
    assert ends == [("eth0", 7), ("f0", None), ("eth0", 8), ("f1", None), ("wan", 7), ("lan", 8)]


def test_every_interface_of_a_node_is_set_up_and_has_its_address() -> None:
    """The first end of a pair is up from the start, the second cannot be."""
    up = [one.get_attr("IFLA_IFNAME") for one in map(read, outside(WORLD, HANDLES)) if one["flags"] == 1]
    assert up == ["floor", "eth0", "f0", "eth0", "f1", "wan"]
    asked = [[read(request) for request in inside(WORLD, node)] for node in NODES]
    assert [[one.get_attr("IFLA_IFNAME") for one in messages[2:]] for messages in asked] == [[], ["lan"]]
    assert [messages[1].get_attr("IFA_LOCAL") for messages in asked] == ["100.72.0.11", "100.72.0.12"]


def test_a_batch_is_one_piece_of_which_the_last_message_is_answered() -> None:
    batch, offset, found = packed(outside(WORLD, HANDLES)), 0, []
    while offset < len(batch):
        length, kind, flags, number = struct.unpack_from("=LHHL", batch, offset)
        found.append((kind, number, bool(flags & 0x4)))
        offset += (length + 3) & ~3
    assert found == [(16, number, number == 6) for number in range(1, 7)]  # RTM_NEWLINK; NLM_F_ACK
