"""Links as the kernel tells of them, in a network of the test's own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from element.apply.link import Links
from element.plan.resources import LINK_GROUP, StationEntry
from pyroute2 import IPRoute

MAC = "02:00:00:00:00:01"


@pytest.fixture
def network() -> Iterator[IPRoute]:
    before = os.open("/proc/self/ns/net", os.O_RDONLY)
    os.unshare(os.CLONE_NEWNET)
    try:
        with IPRoute() as made:
            yield made
    finally:
        os.setns(before, os.CLONE_NEWNET)
        os.close(before)


def test_vlans_and_stations_are_asked_for_where_there_is_a_bridge(network: IPRoute) -> None:
    asked: list[str] = []
    for name in ("link", "fdb"):
        original = getattr(network, name)
        setattr(network, name, lambda *a, name=name, original=original, **k: (asked.append(name), original(*a, **k))[1])
    network.link("add", ifname="a", kind="veth", peer="b", group=LINK_GROUP)
    (port,) = network.link_lookup(ifname="a")
    asked.clear()
    assert {one.name for one in Links(network).read() if hasattr(one, "name")} >= {"a", "b"}
    assert asked == []

    network.link("add", ifname="br", kind="bridge", group=LINK_GROUP)
    (bridge,) = network.link_lookup(ifname="br")
    network.link("set", index=port, master=bridge, state="up")
    network.fdb("add", ifindex=port, lladdr=MAC, state=0x40, flags=0x04)
    asked.clear()
    assert StationEntry("a", MAC, 0) in list(Links(network).read())
    assert asked == ["link", "fdb"]
