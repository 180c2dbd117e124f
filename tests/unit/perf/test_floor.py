"""The floor makes the same kernel objects as a lab, told by the requests that it sends."""

from __future__ import annotations

import struct
from typing import Any

from perf.peers.floor import Message, inside, outside, packed

NODES: list[dict[str, Any]] = [
    {"name": "a", "number": 0, "management": "100.72.0.11/21"},
    {"name": "b", "number": 1, "management": "100.72.0.12/21"},
]
WORLD: dict[str, Any] = {
    "nodes": NODES,
    "links": [{"index": 0, "ends": [{"node": "a", "interface": "wan"}, {"node": "b", "interface": "lan"}]}],
}
HANDLES = {"a": 7, "b": 8}


def attributes(message: Message) -> dict[str, Any]:
    return dict(message.content["attrs"])


def pairs(messages: list[Message]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Both ends of each veth pair."""
    found = []
    for one in map(attributes, messages):
        info = dict(one.pop("IFLA_LINKINFO", {"attrs": []})["attrs"])
        if info.get("IFLA_INFO_KIND") == "veth":
            found.append((one, dict(dict(info["IFLA_INFO_DATA"]["attrs"])["VETH_INFO_PEER"]["attrs"])))
    return found


def test_each_node_has_a_port_and_each_link_two_ends() -> None:
    ends = [
        (attributes["IFLA_IFNAME"], attributes.get("IFLA_NET_NS_FD"))
        for pair in pairs(outside(WORLD, HANDLES))
        for attributes in pair
    ]
    assert ends == [("eth0", 7), ("f0", None), ("eth0", 8), ("f1", None), ("wan", 7), ("lan", 8)]


def test_every_interface_of_a_node_is_set_up_and_has_its_address() -> None:
    """The first end of a pair is up from the start, the second cannot be."""
    up = [attributes(one)["IFLA_IFNAME"] for one in outside(WORLD, HANDLES) if one.content["flags"] == 1]
    assert up == ["floor", "eth0", "f0", "eth0", "f1", "wan"]
    asked = [inside(WORLD, node) for node in NODES]
    assert [[attributes(one).get("IFLA_IFNAME") for one in messages[2:]] for messages in asked] == [[], ["lan"]]
    assert [attributes(messages[1])["IFA_LOCAL"] for messages in asked] == ["100.72.0.11", "100.72.0.12"]


def test_a_batch_is_one_piece_of_which_the_last_message_is_answered() -> None:
    batch, offset, found = packed(outside(WORLD, HANDLES)), 0, []
    while offset < len(batch):
        length, kind, flags, number = struct.unpack_from("=LHHL", batch, offset)
        found.append((kind, number, bool(flags & 0x4)))
        offset += (length + 3) & ~3
    assert found == [(16, number, number == 6) for number in range(1, 7)]  # RTM_NEWLINK; NLM_F_ACK
