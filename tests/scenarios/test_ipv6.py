"""IPv6 inside and outside, beside IPv4 and without it.

Sites of both families, routed and bridged, reach each other and the Internet over either, through the same tunnels; to
the Internet IPv6 is translated to the POP's address as IPv4 is, because tenants may have equal prefixes. Where a
branch's access knows IPv6 only, the box bootstraps, is managed and has its tunnels over IPv6.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from harness.lab import Lab, assert_encrypted
from harness.wait import wait_for
from tests.scenarios.buying import Json, Shop, service
from tests.scenarios.forgery import mac_of
from tests.scenarios.speaking import SECRET, does_not_come_in, page, say, say_in_vain
from tests.scenarios.stations import made_of

pytestmark = pytest.mark.topology("scenarios")

SERVER, SERVER6 = "198.51.100.80", "2001:db8:80::80"
POP6 = "2001:db8:1::2"
# What is inside: echoes, the sites' networks, whom they speak to, and what carries them.
INSIDE = (
    "icmp or (icmp6 and (ip6[40] = 128 or ip6[40] = 129))"
    f" or net 10.0.0.0/8 or net 2001:db8:a5::/64 or net 2001:db8:a6::/64 or host {SERVER} or host {SERVER6}"
    " or udp port 4789 or ip proto 47 or ip6 proto 47"
)
BRIDGED = {
    "name": "bridged",
    "access": "bridged",
    "vlan": 20,
    "gateway": "10.2.0.1/24",
    "gateway6": "2001:db8:a2::1/64",
}
ROUTED = {"name": "routed", "access": "routed", "gateway": "10.5.0.1/24", "gateway6": "2001:db8:a5::1/64"}
NEW = {"name": "new", "access": "routed", "gateway": "10.6.0.1/24", "gateway6": "2001:db8:a6::1/64"}
HOSTS = {"host-2a": "2001:db8:a2::10", "host-3": "2001:db8:a5::10", "host-5": "2001:db8:a6::10"}
PORTS = {"host-2a": "lan.20", "host-3": "lan", "host-5": "lan"}


@contextmanager
def at_home(lab: Lab, host: str) -> Iterator[None]:
    """A station with an IPv6 address of its site and the gateway's as its router."""
    address, port = HOSTS[host], PORTS[host]
    lab[host].sh(
        f"ip neigh flush all; ip -6 address replace {address}/64 dev {port} nodad;"
        f"ip -6 route replace default via {address[: -len('10')]}1 dev {port}"
    )
    try:
        yield
    finally:
        lab[host].sh(
            f"ip -6 route del default dev {port}; ip -6 address del {address}/64 dev {port}; ip neigh flush all"
        )


@contextmanager
def connected(shop: Shop, **sites: Json) -> Iterator[Lab]:
    """Sites (by box, ``-`` written ``_``) in one VPN, each with a way to the Internet."""
    boxes = {box.replace("_", "-"): site for box, site in sites.items()}
    shop.give("acme", *boxes)
    described = [{"device": shop.serial(box), **site} for box, site in boxes.items()]
    ways = [service("site-to-internet", site={"name": site["name"]}) for site in boxes.values()]
    with ExitStack() as stack:
        for host, box in (("host-2a", "ucpe-2"), ("host-3", "ucpe-3"), ("host-5", "ucpe-5")):
            if box in boxes:
                stack.enter_context(at_home(shop.lab, host))
        stack.enter_context(shop.bought("acme", service("site-to-site", sites=described), *ways))
        yield shop.lab


class TestInside:
    """A bridged and a routed site of both families; outside IPv4 carries them."""

    def test_sites_reach_each_other_and_the_internet_and_nothing_is_in_clear(self, shop: Shop) -> None:
        with connected(shop, ucpe_2=BRIDGED, ucpe_3=ROUTED) as lab:
            for host, far, old in (("host-2a", "host-3", "10.5.0.10"), ("host-3", "host-2a", "10.2.0.10")):
                lab[host].must_reach(HOSTS[far])
                lab[host].must_reach(old)
                lab[host].must_reach(SERVER6)
            self.nothing_is_in_clear(lab)
            self.the_internet_sees_the_pop_only(lab)
            self.full_sized_packets_pass(lab)
            self.nobody_speaks_as_the_gateway(lab)
            does_not_come_in(lab, HOSTS["host-3"], wire="host-3:lan", box="vmsr-1", via=POP6)
        lab["host-3"].must_not_reach(SERVER6)

    def nothing_is_in_clear(self, lab: Lab) -> None:
        with (
            assert_encrypted(lab, "ucpe-2:wan", secrets=[SECRET]),
            assert_encrypted(lab, "ucpe-3:wan", secrets=[SECRET]),
        ):
            say(lab, "host-2a", HOSTS["host-3"])
            say(lab, "host-3", HOSTS["host-2a"])
            say(lab, "host-3", SERVER6)

    def the_internet_sees_the_pop_only(self, lab: Lab) -> None:
        for host in ("host-2a", "host-3"):
            with lab.capture("internet:pop", f"host {SERVER6}") as capture:
                assert "Internet" in page(lab, host, SERVER6)
            assert capture.count(f"tcp and src host {POP6}") > 0
            assert capture.count("net 2001:db8:a2::/64 or net 2001:db8:a5::/64") == 0

    def full_sized_packets_pass(self, lab: Lab) -> None:
        """RFC 8201: a station with 1500 octets is told what fits, on routed and on bridged LANs; TCP is clamped."""
        for host, far in (("host-2a", "host-3"), ("host-3", "host-2a")):
            told = lab[host].run("ping", "-6", "-n", "-c4", "-i0.2", "-W1", "-Mdo", "-s1452", HOSTS[far])
            assert "too big" in told.stdout.lower() or "too long" in told.stderr.lower(), told
            lab[host].must_reach(HOSTS[far])
            lab[host].exec("ping", "-6", "-n", "-c6", "-i0.3", "-W2", "-s1452", HOSTS[far])  # the far end is told, too
            lab[far].exec("iperf3", "--server", "--one-off", "--daemon")
            lab.wait_until(far, "tcp:5201", 20)
            lab[host].exec("iperf3", "--client", HOSTS[far], "--bytes", "1M")

    def nobody_speaks_as_the_gateway(self, lab: Lab) -> None:
        """RFC 6105: a router advertisement from a station's port ends at the box, and is counted."""
        advertisement = (
            "from scapy.all import *; "
            "sendp(Ether(dst='33:33:00:00:00:01') / IPv6(src='fe80::bad', dst='ff02::1', hlim=255) / ICMPv6ND_RA(), "
            "iface='lan.20', verbose=0)"
        )
        counter = "nft list counter bridge elastic router-imitated"
        before = lab["ucpe-2"].sh(counter)
        lab["host-2a"].exec("python3", "-c", advertisement)
        wait_for("the guard to count", lambda: lab["ucpe-2"].sh(counter) != before, 20)


class TestOutside:
    """A branch whose access knows IPv6 only."""

    def test_its_tunnel_is_over_ipv6_and_carries_both_families(self, shop: Shop) -> None:
        with connected(shop, ucpe_5=NEW, ucpe_3=ROUTED) as lab:
            assert lab["ucpe-5"].exec("ip", "-4", "-o", "address", "show", "dev", "wan") == ""
            own = self.it_has_made_its_address_itself(lab)
            for target in (HOSTS["host-3"], "10.5.0.10", SERVER6, SERVER):
                lab["host-5"].must_reach(target)
            lab["host-3"].must_reach(HOSTS["host-5"])
            lab["host-3"].must_reach("10.6.0.10")
            with lab.capture("ucpe-5:wan") as capture, assert_encrypted(lab, "ucpe-5:wan", secrets=[SECRET]):
                say(lab, "host-5", HOSTS["host-3"])
                say(lab, "host-5", "10.5.0.10")
                say(lab, "host-5", SERVER)
            assert capture.count(f"ip6 and esp and src host {own} and dst host {POP6}") >= 9
            self.full_sized_packets_pass_without_fragments(lab)
            self.fails_closed(lab)

    def it_has_made_its_address_itself(self, lab: Lab) -> str:
        """RFC 4862: of what its provider's router advertises, and by nothing that anybody has written down for it."""
        said = json.loads(lab["ucpe-5"].exec("ip", "-j", "-6", "address", "show", "dev", "wan", "scope", "global"))
        (own,) = [one for entry in said for one in entry.get("addr_info", ()) if one]
        assert own["local"] == made_of("2001:db8:6::", mac_of(lab, "ucpe-5", "wan"))
        assert own["dynamic"] is True
        (way,) = json.loads(lab["ucpe-5"].exec("ip", "-j", "-6", "route", "show", "default", "table", "main"))
        assert (way["protocol"], way["dev"], way["gateway"][:6]) == ("ra", "wan", "fe80::")
        return str(own["local"])

    def full_sized_packets_pass_without_fragments(self, lab: Lab) -> None:
        with lab.capture("ucpe-5:wan") as capture:
            for target in (HOSTS["host-3"], "10.5.0.10"):
                lab["host-3"].exec("iperf3", "--server", "--one-off", "--daemon")
                lab.wait_until("host-3", "tcp:5201", 20)
                lab["host-5"].exec("iperf3", "--client", target, "--bytes", "1M")
                wait_for(
                    "the server to end", lambda: not lab["host-3"].run("pgrep", "-x", "-r", "DRS", "iperf3").ok, 10
                )
        assert capture.count("ip6[6] = 44") == 0, "fragments on the WAN"

    def fails_closed(self, lab: Lab) -> None:
        """Without charon no packet of the overlay leaves, in either family: all there is are neighbours, and a box that
        speaks to its orchestrator.
        """
        box = lab["ucpe-5"]
        box.exec("sv", "-w", "10", "down", "/etc/service/charon")
        try:
            with lab.capture("ucpe-5:wan") as capture:
                for target in (HOSTS["host-3"], "10.5.0.10", SERVER6, SERVER):
                    say_in_vain(lab, "host-5", target)
            for strange in (INSIDE, "not tcp and not icmp6"):
                assert capture.count(strange) == 0, capture.frames(strange)[:5]
            assert not capture.contains(SECRET)
        finally:
            box.exec("sv", "up", "/etc/service/charon")
        lab["host-5"].must_reach(HOSTS["host-3"], 30)
