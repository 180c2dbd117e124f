"""A tenant's addresses are the tenant's, also those that the box has in its underlay.

host-2 has the addresses of box-1's uplinks, of its overlay and of its management port; host-1 is in the same tenant.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from harness.lab import Lab
from tests.lab.directly import Tree, configuration, configure, counted, ethernet, of, pings_heard, static

pytestmark = pytest.mark.topology("boxes")

WAN, WAN6, LINE, LOOPBACK = "192.0.2.2", "2001:db8:f1::2", "192.0.2.130", "100.127.0.1"
GATEWAY, GATEWAY6 = "10.1.0.1", "2001:db8:1::1"
STATION, STATION6 = "10.2.0.10", "2001:db8:2::10"


def box(management: str, *, uplinks: int, out: bool) -> Tree:
    """A tenant with two LANs, and routes to the box's own addresses behind one of them."""
    inside = [f"{address}/32" for address in (WAN, LINE, LOOPBACK, management)]
    hops: list[tuple[str, Tree]] = [(prefix, {"next-hop-address": STATION}) for prefix in inside]
    hops.append((f"{WAN6}/128", {"next-hop-address": STATION6}))
    underlay = [("0.0.0.0/0", {"next-hop-address": "192.0.2.1"}), ("::/0", {"next-hop-address": "2001:db8:f1::1"})]
    if uplinks == 2:
        underlay.append(("0.0.0.0/0", {"next-hop-address": "192.0.2.129"}))
    domains = [static(f"underlay-{n}", route) for n, route in enumerate(underlay)]
    interfaces = [
        ethernet("wan", f"{WAN}/30", f"{WAN6}/64"),
        ethernet("line", f"{LINE}/30"),
        {
            "name": "overlay",
            "type": "iana-if-type:softwareLoopback",
            "ietf-ip:ipv4": {"address": [{"ip": LOOPBACK, "prefix-length": 32}]},
        },
        *(ethernet(f"lan{n}", f"10.{n}.0.1/24", f"2001:db8:{n}::1/64", **of("acme")) for n in (1, 2)),
    ]
    if out:
        hops.append(("0.0.0.0/0", {"next-hop-address": "192.0.2.1", "outgoing-interface": "wan"}))
    breakouts = [{"tenant": "acme", "external-interface": "wan"}] if out else []
    return configuration(interfaces, [*domains, static("acme", *hops, **of("acme"))], ["acme"], breakouts)


@pytest.fixture(params=[(1, False), (1, True), (2, False), (2, True)], ids=["one", "one-out", "two", "two-out"])
def addressed(lab: Lab, request: pytest.FixtureRequest) -> Iterator[tuple[Lab, str]]:
    """The lab, with host-2's addresses; and box-1's management address."""
    (management,) = [
        entry["local"]
        for link in json.loads(lab["box-1"].exec("ip", "-j", "-4", "address", "show", "dev", "eth0"))
        for entry in link["addr_info"]
    ]
    uplinks, out = request.param
    own = [f"{address}/32 dev lan" for address in (WAN, LINE, LOOPBACK, management)] + [f"{WAN6}/128 dev lan nodad"]
    lab["host-2"].sh("; ".join(f"ip address add {address}" for address in own))
    try:
        configure(lab["box-1"], box(management, uplinks=uplinks, out=out))
        yield lab, management
    finally:
        lab["host-2"].sh("; ".join(f"ip address del {address.removesuffix(' nodad')}" for address in own))
        configure(lab["box-1"], {})


def test_a_station_with_the_boxs_own_address_is_reached_and_answers(addressed: tuple[Lab, str]) -> None:
    """There by its destination, and back although its source is the uplink's."""
    lab, management = addressed
    denied = counted(lab["box-1"], "forwarding-denied")
    with lab.capture("internet:access-1", "icmp or icmp6[icmp6type] = icmp6-echo") as outside:
        for address in (WAN, LINE, LOOPBACK, management, WAN6):
            before = pings_heard(lab, "host-2") if ":" not in address else 0
            lab["host-1"].must_reach(address)
            assert ":" in address or pings_heard(lab, "host-2") > before, f"the box answered for {address}"
    assert outside.count() == 0
    assert counted(lab["box-1"], "forwarding-denied") == denied


def test_what_is_the_boxs_own_is_still_found(addressed: tuple[Lab, str]) -> None:
    """The underlay's addresses from the underlay, the tenant's gateway from the tenant and from the box itself."""
    lab, _ = addressed
    lab["internet"].must_reach(WAN)
    lab["internet"].must_reach(WAN6)
    for gateway in (GATEWAY, GATEWAY6):
        lab["host-1"].must_reach(gateway)
        lab["box-1"].exec("ping", "-n", "-c1", "-W2", "-I", "acme", gateway)
    for own in (WAN, LOOPBACK, WAN6):
        lab["box-1"].exec("ping", "-n", "-c1", "-W2", own)
    lab["box-1"].exec("ping", "-n", "-c1", "-W2", "-I", WAN, LOOPBACK)
    lab["box-1"].exec("ping", "-n", "-c1", "-W2", "-I", WAN, "198.51.100.80")
