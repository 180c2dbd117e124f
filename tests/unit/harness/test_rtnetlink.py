"""Requests of the kernel are what another implementation of rtnetlink(7) reads them as."""

from __future__ import annotations

from errno import ENODEV, EPERM
from typing import Any

import pytest
from netlinkkit.requests import Refused, Request, ask
from pyroute2.netlink import nlmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from harness.agent import rtnetlink
from harness.agent.rtnetlink import End

CREATE_EXCL = 0x600


def read(request: Request, form: type[nlmsg]) -> Any:
    found = form(request.packed(7))
    found.decode()
    assert (found["header"]["type"], found["header"]["sequence_number"]) == (request.kind, 7)
    assert found["header"]["length"] == len(request.packed(7))
    return found


def test_a_cable_has_two_ends_each_where_it_is_to_be() -> None:
    first, second = End("p1a-new", index=9), End("wan", 12, "02:00:00:00:00:01")
    request = rtnetlink.cable(first, second, "box:wan", mtu=1600, up=True)
    found = read(request, ifinfmsg)
    assert request.flags == CREATE_EXCL
    assert (found["index"], found["flags"], found["change"]) == (9, 1, 1)
    assert (found.get_attr("IFLA_IFNAME"), found.get_attr("IFLA_MTU")) == ("p1a-new", 1600)
    assert found.get_attr("IFLA_NET_NS_FD") is None
    assert found.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == "veth"
    peer = found.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "VETH_INFO_PEER")
    assert (peer["flags"], peer.get_attr("IFLA_IFNAME"), peer.get_attr("IFLA_MTU")) == (0, "wan", 1600)
    assert peer.get_attr("IFLA_ADDRESS") == "02:00:00:00:00:01"
    assert peer.get_attr("IFLA_NET_NS_FD") == 12


def test_a_change_says_only_what_changes() -> None:
    found = read(rtnetlink.change(5, "x", up=False), ifinfmsg)
    assert (found["index"], found["flags"], found["change"], found["attrs"]) == (5, 0, 1, [])
    found = read(rtnetlink.change(5, "x", name="p1a", alias="box:wan", master=3, queue=1000), ifinfmsg)
    assert (found["flags"], found["change"]) == (0, 0)
    assert dict(found["attrs"]) == {
        "IFLA_IFNAME": "p1a",
        "IFLA_IFALIAS": "box:wan",
        "IFLA_MASTER": 3,
        "IFLA_TXQLEN": 1000,
    }


def test_an_address_has_its_prefix_length() -> None:
    found = read(rtnetlink.address(4, "100.72.8.2/20", "eth0"), ifaddrmsg)
    assert (found["family"], found["prefixlen"], found["index"]) == (2, 20, 4)
    assert dict(found["attrs"]) == {"IFA_LOCAL": "100.72.8.2", "IFA_ADDRESS": "100.72.8.2"}


def test_a_port_is_filtered_and_hands_everything_over() -> None:
    for request in (rtnetlink.ingress(6, "x"), rtnetlink.no_ingress(6, "x")):
        found = read(request, tcmsg)
        assert (found["index"], found["handle"], found["parent"]) == (6, 0xFFFF0000, 0xFFFFFFF1)
        assert found.get_attr("TCA_KIND") == "ingress"
    found = read(rtnetlink.crossing(6, 8, 100, "x"), tcmsg)
    assert (found["index"], found["parent"], found["info"]) == (6, 0xFFFF0000, 100 << 16 | 0x0300)
    assert found.get_attr("TCA_KIND") == "u32"
    options = found.get_attr("TCA_OPTIONS")
    assert options.get_attr("TCA_U32_SEL")["keys"][0]["key_mask"] == 0, "it matches every frame"
    assert options.get_attr("TCA_U32_SEL")["flags"] == 1, "and no other filter is asked then"
    (action,) = (act for _, act in options.get_attr("TCA_U32_ACT")["attrs"])
    assert action.get_attr("TCA_ACT_KIND") == "mirred"
    parms = action.get_attr("TCA_ACT_OPTIONS").get_attr("TCA_MIRRED_PARMS")
    assert (parms["action"], parms["eaction"], parms["ifindex"]) == (4, 1, 8)


def test_links_go_as_a_group() -> None:
    *into, gone = rtnetlink.removal([5, 6])
    groups = [read(request, ifinfmsg).get_attr("IFLA_GROUP") for request in (*into, gone)]
    assert len(groups) == 3
    assert len(set(groups)) == 1
    assert gone.kind == 17
    assert read(gone, ifinfmsg)["index"] == 0
    assert rtnetlink.removal([]) == []


def test_the_kernel_answers_the_last_and_what_it_refuses_is_named() -> None:
    nowhere = 2**31 - 1
    requests = [rtnetlink.change(nowhere, "the first", up=True), rtnetlink.change(1, "lo")]
    with pytest.raises(Refused, match=r"the first: (No such device|Operation not permitted)"):
        ask(requests)
    with pytest.raises(Refused, match=r"the first"):
        ask(requests[:1])


def test_what_is_forgiven_is_not_raised() -> None:
    ask([rtnetlink.change(2**31 - 1, "nobody", up=True)], forgive=(ENODEV, EPERM))
