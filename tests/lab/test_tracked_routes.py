"""Routes that follow a connection: the direct way while it is there, the less specific one otherwise.

box-1 and box-2 have two tunnels with GRE inside, "direct" and "relay"; host-1 is behind box-1, host-3 behind box-2.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from harness.lab import Lab
from harness.wait import wait_for
from tests.lab.directly import Tree, configuration, ethernet, of, static
from tests.lab.living import Living, living

pytestmark = pytest.mark.topology("boxes")

FAR_HOST = "10.3.0.10"
KEY = {"pre-shared": {"secret": "of-both-boxes-and-nobody-else"}}
WANS = ((("192.0.2.2/30",), "192.0.2.1"), (("192.0.2.6/30", "192.0.2.65/32"), "192.0.2.5"))
LANS = ("10.1.0.1/24", "10.3.0.1/24")
WITHIN = 1.0


def tunnel(name: str, number: int, here: int) -> list[Tree]:
    """An IPsec interface with GRE inside."""
    ends = [f"100.127.{number}.{end}" for end in (1, 2)]
    gre = {"local-address": ends[here], "remote-address": ends[1 - here], "underlay": f"ipsec-{name}"}
    return [
        {
            "name": f"ipsec-{name}",
            "type": "elasticlab-ipsec:ipsec-tunnel",
            "elasticlab-ipsec:ipsec-tunnel": {"if-id": number},
        },
        {
            "name": f"gre-{name}",
            "type": "elasticlab-gre:gre",
            "elasticlab-gre:gre": gre,
            "ietf-ip:ipv4": {"forwarding": True},
            **of("acme"),
        },
    ]


def connection(name: str, number: int, here: int, **more: Any) -> Tree:
    ends = [f"100.127.{number}.{end}/32" for end in (1, 2)]
    entry = {
        "name": "overlay",
        "interface": f"ipsec-{name}",
        "local-prefix": ends[here : here + 1],
        "remote-prefix": ends[1 - here : 2 - here],
    }
    # What box-1 calls tells box-2 which of the two is meant.
    called = {"address": ("192.0.2.6", "192.0.2.65")[number - 1]}
    return {
        "name": name,
        "autostartup": "add" if here else "start",
        "unique": "never",
        "local": {"local-pad-entry-name": "self"} | (called if here else {}),
        "remote": {"remote-pad-entry-name": "peer"} | ({} if here else called),
        "spd": {"spd-entry": [entry]},
        **more,
    }


def box(here: int, *names: str) -> Tree:
    """A box with some of the two connections."""
    numbers = {"direct": 1, "relay": 2}
    own = (100, 101)[here]
    ends = [f"100.127.{number}.{here + 1}/32" for number in numbers.values()]
    interfaces = [
        ethernet("wan", *WANS[here][0]),
        ethernet("lan1", LANS[here], **of("acme")),
        {
            "name": f"loop-{own}",
            "type": "iana-if-type:softwareLoopback",
            "ietf-ip:ipv4": {"address": [{"ip": e[:-3], "prefix-length": 32} for e in ends]},
        },
    ]
    for name, number in numbers.items():
        interfaces += tunnel(name, number, here)
    far = f"10.{(3, 1)[here]}.0.0"
    ways = [(f"{far}/16", {"outgoing-interface": "gre-relay"})]
    if "direct" in names or here == 0:
        ways.append((f"{far}/24", {"outgoing-interface": "gre-direct"}))
    routes = [
        static("underlay", ("0.0.0.0/0", {"next-hop-address": WANS[here][1]})),
        static("acme", *ways, **of("acme")),
    ]
    tree = configuration(interfaces, routes, ["acme"], [])
    identities = [f"box-{n}.example" for n in (1, 2)]
    pad = [{"name": "self", "identity": identities[here]}, {"name": "peer", "identity": identities[1 - here], **KEY}]
    entries = [connection(name, numbers[name], here, **{"track-routes": name == "direct"}) for name in names]
    # Each connection that is not there leaves its interface without a flow.
    return tree | {"elasticlab-ipsec:ipsec": {"pad": {"pad-entry": pad}, "conn-entry": entries}}


Boxes = tuple[Living, Living]


@pytest.fixture
def boxes(lab: Lab) -> Iterator[Boxes]:
    with living(lab["box-1"], lab["box-2"]) as (one, two):
        two.configure(box(1, "direct", "relay"))
        one.configure(box(0, "direct", "relay"))
        for name in ("direct", "relay"):
            wait_for(f"{name} is established", lambda name=name: one.established(name), 20)
        lab["host-1"].must_reach(FAR_HOST)
        yield one, two


def way(lab: Lab) -> str:
    """Where box-1 sends acme's packets to the far host."""
    return lab["box-1"].exec("ip", "-o", "route", "get", FAR_HOST, "vrf", "acme").split(" dev ")[1].split()[0]


def waits(lab: Lab, device: str) -> float:
    """Seconds until that is the way."""
    begun = time.monotonic()
    wait_for(f"the way is {device}", lambda: way(lab) == device, 10, interval=0.02)
    return time.monotonic() - begun


def test_the_less_specific_carries_what_the_direct_one_cannot(lab: Lab, boxes: Boxes) -> None:
    assert waits(lab, "gre-direct") < WITHIN
    # The peer takes its end away; both are told by the delete.
    boxes[1].configure(box(1, "relay"))
    assert waits(lab, "gre-relay") < WITHIN
    assert not boxes[0].established("direct")
    lab["host-1"].must_reach(FAR_HOST)
    boxes[1].configure(box(1, "direct", "relay"))
    wait_for("direct is established", lambda: boxes[0].established("direct"), 20)
    assert waits(lab, "gre-direct") < WITHIN
    lab["host-1"].must_reach(FAR_HOST)


PROBE = "192.0.2.200 table 999"


def said(lab: Lab) -> str:
    """What the monitor has told."""
    return lab["box-1"].exec("cat", "/run/monitor.log")


def test_a_restart_of_the_backend_keeps_the_way(lab: Lab, boxes: Boxes) -> None:
    boxes[0].stop()
    assert way(lab) == "gre-direct"
    watch = "ip -o monitor route dev gre-direct >/run/monitor.log 2>&1 & echo $!"
    monitor = lab["box-1"].sh(watch).strip()
    try:
        # A change that it must tell: what is told before that would not be missed.
        lab["box-1"].sh(f"ip route add {PROBE} dev gre-direct; ip route del {PROBE}")
        wait_for("the monitor to hear", lambda: said(lab).splitlines()[-1:] == [f"Deleted {PROBE} scope link "], 5)
        before = said(lab)
        boxes[0].start()
        boxes[0].configure(box(0, "direct", "relay"))
        lab["box-1"].sh(f"ip route add {PROBE} dev gre-direct; ip route del {PROBE}")
        wait_for("the monitor to have told all", lambda: said(lab).count("Deleted") >= 2, 5)
    finally:
        lab["box-1"].sh(f"kill {monitor}")
    assert said(lab) == 2 * before
    assert way(lab) == "gre-direct"
    # And it goes on following.
    boxes[1].configure(box(1, "relay"))
    assert waits(lab, "gre-relay") < WITHIN


def test_it_follows_over_a_restart_of_charon(lab: Lab, boxes: Boxes) -> None:
    lab["box-1"].sh("sv -w 15 down charon")
    assert waits(lab, "gre-relay") < 2 * WITHIN  # charon is stopped, and then its end is noticed
    lab["box-1"].sh("sv up charon")
    waits(lab, "gre-direct")
    lab["host-1"].must_reach(FAR_HOST, 20)


def test_a_route_of_another_connection_is_as_it_was(lab: Lab, boxes: Boxes) -> None:
    """Not tracked: it stays, and what goes there is lost."""
    boxes[1].configure(box(1))
    wait_for("relay is gone", lambda: not boxes[0].established("relay"), 10)
    assert waits(lab, "gre-relay") < WITHIN
    lab["host-1"].must_not_reach(FAR_HOST)
