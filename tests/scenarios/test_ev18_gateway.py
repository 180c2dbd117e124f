"""EV-18: two tenants with the same addresses on one vMSR and one VPC gateway.

Both have a routed site 10.1.0.0/24 with a host 10.1.0.10, behind one NAT router, and a private cloud with a host
172.16.0.10. One of them, acme, tries what it can to get at the other, globex, from inside of its own valid tunnels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from harness.host.channel import AgentError
from harness.lab import Lab
from harness.wait import wait_for
from tests.scenarios import calls, forgery
from tests.scenarios.buying import Json, Kept, Shop
from tests.scenarios.clouds import GATEWAY, Cloud, connected, to_cloud
from tests.scenarios.forgery import COUNT, dropped, loopback, mac_of, refused
from tests.scenarios.hops import overheard

pytestmark = pytest.mark.topology("scenarios")

HOST, VPC = "10.1.0.10", "172.16.0.10"
FAR_HOST, FAR_VPC = "10.5.0.10", "172.16.0.20"
"""What globex has and acme has not: another site, and another host in its cloud."""
POP, UCPE_3 = "203.0.113.2", "192.0.2.10"
MARK = b"acme-was-here"
PAYLOAD = f"UDP(dport=9999) / Raw({MARK!r})"
ESP = f"Raw(bytes.fromhex('0000123400000001') + {MARK!r})"
"""As much of RFC 4303 as somebody sees who has no key: an SPI and a sequence number."""
ACME = Cloud("acme", 1, "203.0.113.21", key="the-key-of-acme-and-no-others")
GLOBEX = Cloud("globex", 2, "203.0.113.22", key="the-key-of-globex-and-no-others")


@pytest.fixture
def shared(lab: Lab, kept: Kept) -> Lab:
    """Both tenants have their sites and clouds."""
    kept.have(lambda: services(lab))
    return lab


@contextmanager
def services(lab: Lab) -> Iterator[None]:
    shop = Shop(lab)
    shop.give("acme", "ucpe-1")
    shop.give("globex", "ucpe-4", "ucpe-3")

    def site(box: str, gateway: str = "10.1.0.1/24") -> Json:
        return {"name": f"at-{box}", "device": shop.serial(box), "access": "routed", "gateway": gateway}

    first = to_cloud(ACME, site("ucpe-1"), remotePrefixes=["172.16.0.0/28"])
    second = to_cloud(GLOBEX, site("ucpe-4"), site("ucpe-3", "10.5.0.1/24"))
    lab["vpc-b"].exec("ip", "address", "replace", f"{FAR_VPC}/24", "dev", "lan")
    try:
        with connected(lab, shop, (ACME, first), (GLOBEX, second)):
            yield
    finally:
        lab["vpc-b"].exec("ip", "address", "del", f"{FAR_VPC}/24", "dev", "lan")
        shop.life.clear()


def way(lab: Lab, tenant: str) -> str:
    """The interface of the vMSR's tunnel to a tenant's cloud."""
    found = re.search(r" dev (\S+)", lab["vmsr-1"].exec("ip", "-o", "route", "get", VPC, "vrf", tenant))
    assert found is not None
    return found[1]


class TestEqualConnections:
    """One source address and port, one server's address and port, twice: told apart by nothing but the tenant."""

    def test_each_reaches_its_own_cloud_unchanged_and_a_reset_of_one_ends_no_other(self, shared: Lab) -> None:
        with (
            calls.serving(shared, "vpc-a", VPC, 1, "acme") as ours,
            calls.serving(shared, "vpc-b", VPC, 1, "acme") as theirs,
            ThreadPoolExecutor(2) as pool,
        ):
            callers = [
                pool.submit(calls.call, shared[host], who, "lan", HOST, VPC, "acme")
                for host, who in (("host-1", "acme"), ("host-4", "globex"))
            ]
            ours.until_called()
            theirs.until_called()
            held = {box: calls.tracked(shared[box]) for box in ("vmsr-1", GATEWAY)}
            ours.go_on()
            first = ours.result()
            theirs.go_on()
            second = theirs.result()
            for caller in callers:
                caller.result()
        assert (first["reset"], first["alive"]) == (True, []), "acme's reset arrived"
        assert second["alive"] == ["globex"]
        # Nothing on the way had to make a difference between them that was none.
        assert first["sources"] == second["sources"] == [[HOST, calls.SOURCE_PORT]]
        for box, connections in held.items():
            assert len(connections) == 2, f"{box}: {connections}"
            assert len({(one.first, one.answers) for one in connections}) == 1, f"{box}: {connections}"
            assert len({one.zone for one in connections} - {0}) == 2, f"{box}: {connections}"


class TestTheCloudsTunnel:
    """Who owns the vMSR's end of acme's tunnel sends by it what is globex's."""

    @pytest.mark.parametrize(
        ("source", "target"), [(FAR_HOST, VPC), (HOST, FAR_VPC)], ids=["foreign source", "foreign target"]
    )
    def test_what_is_not_of_its_flow_ends_at_the_gateway(self, shared: Lab, source: str, target: str) -> None:
        forged = forgery.packet(shared, "host-1", f"IP(src={source!r}, dst={target!r}) / {PAYLOAD}")
        before = refused(shared, GATEWAY, "XfrmInNoPols")
        ours = way(shared, "acme")
        with (
            shared.capture("vpc-a:lan") as own,
            shared.capture("vpc-b:lan") as victim,
            overheard(shared, GATEWAY, "ipsec-1") as arrived,
        ):
            with forgery.admitted(shared["vmsr-1"], ours, f"{source}/32", f"{target}/32"):
                forgery.send_by(shared["vmsr-1"], ours, VPC, forged)
            wait_for("the gateway to refuse", lambda: refused(shared, GATEWAY, "XfrmInNoPols") >= before + COUNT, 10)
        assert arrived.count(f"src host {source} and dst host {target} and udp") == COUNT, arrived.frames()
        assert not own.contains(MARK)
        assert not victim.contains(MARK)

    @pytest.mark.parametrize(
        "inside", [ESP, f"GRE() / IP(src={HOST!r}, dst={VPC!r}, proto=50) / {ESP}"], ids=["", "in GRE"]
    )
    def test_nor_does_what_makes_linux_forget_that_it_came_by_ipsec(self, shared: Lab, inside: str) -> None:
        """A tenant's own ESP: of what looks like that the kernel asks no policy any more."""
        proto = 50 if inside == ESP else 47
        forged = forgery.packet(shared, "host-1", f"IP(src={FAR_HOST!r}, dst={VPC!r}, proto={proto}) / {inside}")
        before = dropped(shared, GATEWAY, "flow-foreign")
        ours = way(shared, "acme")
        with shared.capture("vpc-a:lan") as own, overheard(shared, GATEWAY, "ipsec-1") as arrived:
            with forgery.admitted(shared["vmsr-1"], ours, f"{FAR_HOST}/32", f"{VPC}/32"):
                forgery.send_by(shared["vmsr-1"], ours, VPC, forged)
            wait_for("it to be counted", lambda: dropped(shared, GATEWAY, "flow-foreign") >= before + COUNT, 10)
        assert arrived.count(f"src host {FAR_HOST} and dst host {VPC} and ip proto {proto}") == COUNT, arrived.frames()
        assert not own.contains(MARK)

    @pytest.mark.parametrize(("source", "target"), [(FAR_HOST, VPC), (HOST, FAR_VPC)])
    def test_the_same_in_the_tunnel_whose_it_is_does_arrive(self, shared: Lab, source: str, target: str) -> None:
        """The twin: what is refused above is refused for its tunnel."""
        packet = forgery.packet(shared, "host-1", f"IP(src={source!r}, dst={target!r}) / {PAYLOAD}")
        with shared.capture("vpc-b:lan") as victim:
            forgery.send_by(shared["vmsr-1"], way(shared, "globex"), VPC, packet)
            shared["host-3"].must_reach(FAR_VPC)
        assert victim.count(f"src host {source} and dst host {target} and udp") == COUNT
        assert victim.contains(MARK)


class TestGre:
    """Routed sites are told apart by the ends of their GRE, which are bound to their tunnels."""

    def gre(self, source: str, target: str) -> str:
        """A packet of the victim's site to the victim's cloud."""
        return f"IP(src={source!r}, dst={target!r}) / GRE() / IP(src='10.1.0.66', dst={VPC!r}) / {PAYLOAD}"

    def test_the_ends_of_another_tenant_in_a_valid_tunnel_are_refused(self, shared: Lab) -> None:
        source, target = loopback(shared, "ucpe-4"), loopback(shared, "vmsr-1")
        forged = forgery.packet(shared, "host-1", self.gre(source, target))
        before = dropped(shared, "vmsr-1", "gre-foreign")
        box = shared["ucpe-1"]
        with (
            shared.capture("vpc-a:lan") as own,
            shared.capture("vpc-b:lan") as victim,
            overheard(shared, "vmsr-1", "ipsec-ucpe-1") as arrived,
        ):
            with forgery.admitted(box, "ipsec-vmsr-1", f"{source}/32", f"{target}/32"):
                forgery.send_by(box, "ipsec-vmsr-1", target, forged)
            wait_for("it to be counted", lambda: dropped(shared, "vmsr-1", "gre-foreign") >= before + COUNT, 10)
        assert arrived.count(f"ip proto gre and src host {source}") == COUNT, arrived.frames()
        assert not own.contains(MARK)
        assert not victim.contains(MARK)

    def test_the_same_from_the_box_whose_it_is_does_arrive(self, shared: Lab) -> None:
        """The twin of the test above."""
        source, target = loopback(shared, "ucpe-4"), loopback(shared, "vmsr-1")
        packet = forgery.packet(shared, "host-1", self.gre(source, target))
        with shared.capture("vpc-b:lan") as victim:
            forgery.send_by(shared["ucpe-4"], "ipsec-vmsr-1", target, packet)
            wait_for(
                "it to arrive", lambda: victim.count("src host 10.1.0.66 and udp") == COUNT, 10, retry_on=(AgentError,)
            )
        assert victim.contains(MARK)

    @pytest.mark.parametrize("outside", [False, True], ids=["between loopbacks", "between public addresses"])
    def test_in_clear_it_is_refused(self, shared: Lab, outside: bool) -> None:
        """From the Internet, between the ends that the tunnel of globex's other site has."""
        source, target = (UCPE_3, POP) if outside else (loopback(shared, "ucpe-3"), loopback(shared, "vmsr-1"))
        frame = f"Ether(dst={mac_of(shared, 'vmsr-1', 'wan')!r}) / {self.gre(source, target)}"
        before = dropped(shared, "vmsr-1", "gre-in-clear")
        with shared.capture("vmsr-1:wan", "ip proto gre") as wan, shared.capture("vpc-b:lan") as victim:
            forgery.send_frames(shared, "internet", frame, "pop")
            wait_for("it to be counted", lambda: dropped(shared, "vmsr-1", "gre-in-clear") >= before + COUNT, 10)
        assert wan.count(f"src host {source}") == COUNT
        assert not victim.contains(MARK)
