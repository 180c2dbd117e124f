"""Two branches and a POP: what passes, how it travels, and what is on the wire (EV-12, EV-13, EV-15 in the demo)."""

from __future__ import annotations

import pytest

from harness.lab import Lab, assert_encrypted
from harness.lab.encryption import Unencrypted, judge, packets_protected
from harness.wait import wait_for
from tests.scenarios.speaking import does_not_come_in

pytestmark = pytest.mark.topology("demo")

HOST_1, HOST_2 = "10.1.0.10", "10.2.0.10"
GATEWAY_2 = "10.2.0.1"
SERVER = "198.51.100.80"
POP, NAT_1 = "203.0.113.2", "192.0.2.2"
SECRET = b"0123456789-what-nobody-may-read-9876543210"


def ping_with_payload(lab: Lab, source: str, target: str) -> None:
    lab[source].exec("ping", "-n", "-c3", "-i0.05", "-s64", "-p", SECRET.hex()[:32], target)


class TestReach:
    def test_branches_reach_each_other(self, lab: Lab) -> None:
        assert lab["host-1"].reaches(HOST_2)
        assert lab["host-2"].reaches(HOST_1)

    @pytest.mark.parametrize("host", ["host-1", "host-2"])
    def test_branches_reach_the_internet_through_the_pops_translation(self, lab: Lab, host: str) -> None:
        with lab.capture("internet:pop", f"host {SERVER}") as capture:
            page = lab[host].exec("curl", "-sS", "--max-time", "5", f"http://{SERVER}/")
        assert "Internet" in page
        assert capture.count(f"tcp and src host {POP} and dst host {SERVER}") > 0
        assert capture.count("src net 10.0.0.0/8 or dst net 10.0.0.0/8") == 0

    def test_the_internet_does_not_reach_into_branches(self, lab: Lab) -> None:
        assert lab["internet"].reaches(POP)
        for address, wire in ((HOST_1, "host-1:lan"), (HOST_2, "host-2:lan"), (GATEWAY_2, "host-2:lan")):
            does_not_come_in(lab, address, wire=wire, box="vmsr-1", via=POP)

    def test_boxes_and_management_are_not_reached_from_a_branch(self, lab: Lab) -> None:
        for node in ("vmsr-1", "ucpe-1", "ucpe-2"):
            assert not lab["host-1"].run("nc", "-z", "-w1", lab[node].management_address, "22").ok, (
                f"{node} answers on a port that nobody asked for"
            )
        lab["host-2"].must_not_reach("100.127.0.1")


class TestHowItTravels:
    def test_branch_1_is_gre_in_esp_in_udp_through_the_nat(self, lab: Lab) -> None:
        with lab.capture("nat-1:wan") as outside, lab.capture("ucpe-1:wan") as inside:
            ping_with_payload(lab, "host-1", HOST_2)
        assert outside.count(f"udp and src host {NAT_1} and dst host {POP} and dst port 4500") >= 3
        assert outside.count("ip proto 50") == 0
        assert inside.count("ip proto gre or udp port 4789") == 0
        assert "gre" in lab["ucpe-1"].exec("ip", "-d", "-o", "link", "show", "type", "gre")
        assert lab["ucpe-1"].run("ip", "-o", "link", "show", "type", "vxlan").stdout == ""

    def test_branch_2_is_vxlan_in_esp(self, lab: Lab) -> None:
        with lab.capture("ucpe-2:wan") as capture:
            ping_with_payload(lab, "host-2", HOST_1)
        assert capture.count(f"esp and dst host {POP}") >= 3
        assert capture.count("udp port 4789 or ip proto gre") == 0
        assert "id 1020" in lab["ucpe-2"].exec("ip", "-d", "-o", "link", "show", "type", "vxlan")

    def test_arp_for_the_gateway_travels_in_vxlan_and_is_answered_by_the_pop(self, lab: Lab) -> None:
        reply = f"vlan 20 and arp and arp[6:2] = 2 and ether src {self.gateway_mac(lab)}"
        with lab.capture("host-2:lan") as access:

            def answered() -> bool:
                """The gateway asks for its stations, too: who hears that need not ask."""
                lab["host-2"].exec("ip", "neigh", "flush", "dev", "lan.20")
                assert lab["host-2"].reaches(GATEWAY_2)
                return access.count(reply) > 0

            wait_for("an ARP reply from the gateway in VLAN 20", answered, 10)

    def gateway_mac(self, lab: Lab) -> str:
        for line in lab["vmsr-1"].exec("ip", "-o", "link", "show", "type", "vxlan").splitlines():
            return line.split("link/ether ")[1].split()[0]
        raise AssertionError("the POP has no VXLAN")

    def test_full_sized_packets_pass_both_ways_without_fragments_on_the_wan(self, lab: Lab) -> None:
        """No black hole: TCP of any size arrives, because its segments fit the tunnels."""
        for source, target, address in (("host-1", "host-2", HOST_2), ("host-2", "host-1", HOST_1)):
            with lab.capture(f"ucpe-{source[-1]}:wan") as capture:
                lab[target].exec("iperf3", "--server", "--one-off", "--daemon")
                lab.wait_until(target, "tcp:5201", 5)
                lab[source].exec("iperf3", "--client", address, "--bytes", "4M")
            assert capture.count("ip[6:2] & 0x3fff != 0") == 0, "fragments on the WAN"


class TestEncryption:
    @pytest.mark.parametrize("end", ["ucpe-1:wan", "ucpe-2:wan", "vmsr-1:wan"])
    def test_nothing_but_protected_traffic_is_on_the_wan(self, lab: Lab, end: str) -> None:
        pattern = SECRET[:16]
        with assert_encrypted(lab, end, secrets=[pattern, bytes([10, 1, 0, 10, 10, 2, 0, 10])]):
            ping_with_payload(lab, "host-1", HOST_2)
            ping_with_payload(lab, "host-2", HOST_1)

    def test_the_assertion_sees_what_is_in_clear(self, lab: Lab) -> None:
        """The same judgement over a wire that carries the traffic in clear must fail: its payload can be read there."""
        with lab.capture("host-1:lan") as capture:
            ping_with_payload(lab, "host-1", HOST_2)
        assert capture.contains(SECRET[:16])
        with pytest.raises(Unencrypted, match="outside the allow-list"):
            judge(capture)

    def test_counters_stand_still_when_nothing_is_sent(self, lab: Lab) -> None:
        lab["stack"].exec("sv", "pause", "controller")  # whose probes go through the tunnels
        try:
            before = packets_protected(lab, "ucpe-1")
            with pytest.raises(Unencrypted), assert_encrypted(lab, "ucpe-1:wan"):
                pass
            assert packets_protected(lab, "ucpe-1") - before <= 2
        finally:
            lab["stack"].exec("sv", "cont", "controller")

    def test_each_site_has_its_own_certificate_cipher_and_loopback(self, lab: Lab) -> None:
        associations = lab["vmsr-1"].exec("swanctl", "--list-sas")
        for node, loopback in (("ucpe-1", "100.127.1.1/32"), ("ucpe-2", "100.127.2.1/32")):
            assert f"{node}.elasticlab.example" in associations
            assert loopback in associations
        assert associations.count("ESTABLISHED") == 2
        assert "AES_GCM_16-256" in associations or "AES_GCM_16-128" in associations


class TestManagement:
    def test_everything_works_without_the_management_network(self, lab: Lab) -> None:
        with lab.without_management():
            assert lab["host-1"].reaches(HOST_2)
            assert lab["host-2"].reaches(SERVER)
            lab["ucpe-2"].power.cycle()
            lab["host-2"].must_reach(HOST_1, 40)

    def test_nothing_of_the_product_travels_on_it(self, lab: Lab) -> None:
        with lab.management_capture() as capture:
            ping_with_payload(lab, "host-1", HOST_2)
            ping_with_payload(lab, "host-2", SERVER)
        assert capture.count("esp or udp port 500 or udp port 4500 or udp port 4789 or proto gre") == 0
        assert capture.count("tcp port 4335 or tcp port 8572") == 0
        assert not capture.contains(SECRET[:16])
