"""EV-17: cloud access.

"The terminal user selects a vPC service and a vPC connection service on the service portal to trigger VPN service
establishment between the vMSR and the vPC GW. The VPN uses the IPSec tunnel. The vMSR serves as the originating end of
the IPSec tunnel and the vPC GW as the responding end. The SDN controller sends the configuration information of the
IPSec tunnel including the interested flow specified by the user, the IP address of the responding end of IPSec and IKE
mode to the vMSR, to build the IPSec tunnel automatically." (Elastic VPN, section 2.3)

The gateway is configured over its own NETCONF, by the test in the place of the cloud platform.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.evidence.steps import step
from harness.lab import Lab, assert_encrypted
from harness.orchestrator import RefusedError
from harness.wait import wait_for
from tests.scenarios.buying import Json, Shop, items
from tests.scenarios.clouds import GATEWAY, Cloud, accesses, connected, serving, to_cloud, until_asked
from tests.scenarios.hops import ECHOES, overheard
from tests.scenarios.keys import ESP, REVOKED_WITHIN, ike_sas, readmit, revoke, tunnelled
from tests.scenarios.speaking import SECRET, cut, say
from tests.scenarios.stream import carried

pytestmark = pytest.mark.topology("scenarios")

POP = "203.0.113.2"
VPC, VPC_2 = "172.16.0.10", "172.16.0.20"
KEY, OTHER_KEY = "the-key-of-acme-and-no-others", "the-key-of-globex-and-no-others"
FIRST, SECOND = "203.0.113.21", "203.0.113.22"
ASKS, ANSWERS = "icmp[0] = 8", "icmp[0] = 0"


@pytest.fixture
def acme(shop: Shop) -> Shop:
    """Boxes 1, 2 and 3 are acme's."""
    shop.give("acme", "ucpe-1", "ucpe-2", "ucpe-3")
    return shop


def routed(shop: Shop, box: str = "ucpe-1") -> Json:
    """The network of host-1, or of host-4, which has the same address."""
    return shop.routed(box, "10.1.0.1/24")


def bridged(shop: Shop) -> Json:
    """The VLAN of host-2a."""
    return {
        "name": "branch-2",
        "device": shop.serial("ucpe-2"),
        "access": "bridged",
        "vlan": 20,
        "gateway": "10.2.0.1/24",
    }


@contextmanager
def second_address(lab: Lab) -> Iterator[None]:
    """acme's cloud has another address."""
    lab["vpc-a"].exec("ip", "address", "add", f"{VPC_2}/24", "dev", "lan")
    try:
        yield
    finally:
        lab["vpc-a"].exec("ip", "address", "del", f"{VPC_2}/24", "dev", "lan")


MODES = {
    "ikev2 with certificates": Cloud("acme", 1, FIRST),
    "ikev2 with a shared key": Cloud("acme", 1, FIRST, key=KEY),
    "ikev1-main with certificates": Cloud("acme", 1, FIRST, mode="ikev1-main"),
    "ikev1-main with a shared key": Cloud("acme", 1, FIRST, mode="ikev1-main", key=KEY),
    "ikev1-aggressive with certificates": Cloud("acme", 1, FIRST, mode="ikev1-aggressive"),
    "ikev1-aggressive with a shared key": Cloud("acme", 1, FIRST, mode="ikev1-aggressive", key=KEY),
}


@pytest.mark.parametrize("name", MODES)
def test_the_vmsr_calls_the_gateway_in_the_mode_that_was_ordered(name: str, lab: Lab, acme: Shop) -> None:
    cloud = MODES[name]
    ordered = to_cloud(cloud, routed(acme))
    with (
        lab.capture("internet:clouds", "udp port 500 or udp port 4500 or esp") as outside,
        connected(lab, acme, (cloud, ordered)),
    ):
        say(lab, "host-1", VPC)
        said = lab["vmsr-1"].exec("swanctl", "--list-sas", "--ike", "cloud_1")
        assert ("IKEv2" if cloud.mode == "ikev2" else "IKEv1") in said, said
    # RFC 2408, section 3.1: exchange types; RFC 7296, section 3.1: IKE_SA_INIT is 34.
    exchange = {"ikev2": 34, "ikev1-main": 2, "ikev1-aggressive": 4}[cloud.mode]
    # The first packet is the vMSR's, and no other is on the way but theirs.
    first = outside.frames(f"udp port 500 and udp[26] = {exchange}")[0]
    assert f"{POP}.500 > {cloud.address}.500" in first, first
    assert outside.count(f"not (host {POP} and host {cloud.address})") == 0
    assert outside.count(f"udp port 500 and udp[26] = {exchange}") >= 2


@pytest.mark.exhaustive  # it takes the gateway in anew; EV-08 has a revoked box in every run
def test_the_tunnel_to_a_revoked_gateway_ends_within_ten_seconds(lab: Lab, acme: Shop) -> None:
    """And it is not had again before the gateway is legal; the tunnels of the sites stay as they are."""
    cloud = MODES["ikev2 with certificates"]
    with connected(lab, acme, (cloud, to_cloud(cloud, routed(acme)))):
        say(lab, "host-1", VPC)
        sites = ike_sas(lab, "vmsr-1", "ucpe-1")
        assert sites
        [end] = until_asked(acme.far)
        try:
            seconds = revoke(
                lab,
                GATEWAY,
                pop=lambda: not tunnelled(lab, "vmsr-1", "cloud_1"),
                gateway=lambda: not tunnelled(lab, GATEWAY),
            )
            with lab.capture("internet:clouds") as wire:
                carried(3.0)  # in which the POP calls, again and again
                lab["host-1"].must_not_reach(VPC)
            assert not tunnelled(lab, "vmsr-1", "cloud_1"), "it came back"
        finally:
            readmit(lab, GATEWAY)
        assert max(seconds.values()) <= REVOKED_WITHIN, seconds
        assert wire.count(ESP) == 0, wire.frames(ESP)
        assert ike_sas(lab, "vmsr-1", "ucpe-1") == sites
        lab.wait_until(GATEWAY, "tcp:830", 60)
        with serving(lab, (cloud, end)):  # it came back with nothing
            lab["host-1"].must_reach(VPC, 60)


def test_packets_travel_by_the_vmsr_in_ipsec_tunnel_mode(lab: Lab, acme: Shop) -> None:
    """The document's three steps, behind an L3 and an L2 site; the whole of the cloud's network is in the flow."""
    cloud = Cloud("acme", 1, FIRST, key=KEY)
    in_vxlan = f"{ECHOES} and (udp[42:4] = 0xac10000a or udp[46:4] = 0xac10000a)"
    with connected(lab, acme, (cloud, to_cloud(cloud, routed(acme), bridged(acme)))), second_address(lab):
        for host, address, inner, said in (
            ("host-1", "10.1.0.10", "gre-ucpe-1", f"host {VPC} and icmp"),
            ("host-2a", "10.2.0.10", "ipsec-ucpe-2", f"udp dst port 4789 and {in_vxlan}"),
        ):
            for target in (VPC, VPC_2):
                lab[host].must_reach(target)
            with (
                overheard(lab, "vmsr-1", inner) as from_site,
                overheard(lab, "vmsr-1", "ipsec-c_1") as interesting,
                assert_encrypted(lab, "vmsr-1:wan", secrets=[SECRET]),
                lab.capture("internet:clouds") as outside,
                lab.capture("vpc-a:lan") as resource,
            ):
                say(lab, host, VPC)
            with step("The vMSR takes it out of the site's tunnel"):
                assert from_site.count(said) == 6, from_site.frames()
            with step("The gateway decrypts it and the cloud gets it, and answers"):
                for hop in (interesting, resource):
                    assert hop.count(f"src host {address} and dst host {VPC} and {ASKS}") == 3, hop.frames()
                    assert hop.count(f"dst host {address} and src host {VPC} and {ANSWERS}") == 3, hop.frames()
            with step("By the interesting flow it goes into IPsec to the gateway, and nothing in clear"):
                esp = f"(esp or udp port 4500) and src host {POP} and dst host {cloud.address}"
                assert outside.count(esp) >= 3, outside.frames()
                assert outside.count("net 10.0.0.0/8 or net 172.16.0.0/12") == 0


def test_the_interesting_flow_and_nothing_else(lab: Lab, acme: Shop) -> None:
    """What the user has not named does not travel, in either direction; that it would, the test before has shown."""
    cloud = Cloud("acme", 1, FIRST, key=KEY)
    ordered = to_cloud(
        cloud, routed(acme), bridged(acme), localPrefixes=["10.1.0.0/24"], remotePrefixes=["172.16.0.0/28"]
    )
    with connected(lab, acme, (cloud, ordered)), second_address(lab):
        lab["host-1"].must_reach(VPC)
        with lab.capture("internet:clouds") as outside, lab.capture("vpc-a:lan") as resource:
            lab["host-2a"].must_not_reach(VPC)  # another site of the VPN, not in the flow
            lab["host-1"].must_not_reach(VPC_2)  # another address of the cloud's network
            lab["vpc-a"].must_not_reach("10.2.0.10")
        assert resource.count("net 10.2.0.0/24 and src net 10.0.0.0/8") == 0
        assert resource.count(f"host {VPC_2}") == 0
        assert outside.count("net 10.0.0.0/8 or net 172.16.0.0/12") == 0
    lab["host-1"].must_not_reach(VPC)


@pytest.mark.parametrize("proof", ["keys", "certificates"])
def test_two_tenants_with_equal_prefixes_on_one_gateway(proof: str, lab: Lab, shop: Shop) -> None:
    shop.give("acme", "ucpe-1")
    shop.give("globex", "ucpe-4")
    keys = (KEY, OTHER_KEY) if proof == "keys" else (None, None)
    first, second = Cloud("acme", 1, FIRST, key=keys[0]), Cloud("globex", 2, SECOND, key=keys[1])
    own = routed(shop, "ucpe-4")
    with connected(lab, shop, (first, to_cloud(first, routed(shop))), (second, to_cloud(second, own))):
        for host, resource, other in (("host-1", "vpc-a", "vpc-b"), ("host-4", "vpc-b", "vpc-a")):
            lab[host].must_reach(VPC)
            with lab.capture(f"{resource}:lan") as mine, lab.capture(f"{other}:lan") as theirs:
                say(lab, host, VPC)
            assert mine.count(f"src host 10.1.0.10 and {ASKS}") == 3
            assert theirs.count("icmp") == 0


def test_aggressive_mode_with_a_shared_key_is_refused_with_its_reason(lab: Lab, acme: Shop) -> None:
    cloud = Cloud("acme", 1, FIRST, mode="ikev1-aggressive", key=KEY)
    ordered = to_cloud(cloud, routed(acme), allowInsecureAggressive=False)
    with pytest.raises(RefusedError, match="hash") as refused:
        acme.life.post(items(ordered), "acme")
    assert KEY not in str(refused.value)
    assert accesses(acme.far) == {}
    assert "cloud_" not in lab["vmsr-1"].exec("swanctl", "--list-conns")


def test_a_gateway_that_dies_is_told_and_comes_back(lab: Lab, acme: Shop) -> None:
    cloud = Cloud("acme", 1, FIRST, key=KEY)

    def state() -> str:
        (one,) = accesses(acme.far).values()
        return str(one["state"])

    with connected(lab, acme, (cloud, to_cloud(cloud, routed(acme)))):
        assert state() == "up"
        with cut(lab, "oifname clouds", "iifname clouds"):
            wait_for("the controller tells that the cloud is down", lambda: state() == "down", 60)
            lab["host-1"].must_not_reach(VPC)
        wait_for("the cloud is up again", lambda: state() == "up", 90)
        lab["host-1"].must_reach(VPC)


def test_nobody_reads_the_key_back(lab: Lab, acme: Shop) -> None:
    cloud = Cloud("acme", 1, FIRST, key=KEY)
    ordered = to_cloud(cloud, routed(acme))
    assert KEY not in str(acme.plan("acme", ordered))
    with connected(lab, acme, (cloud, ordered)):
        for component, path in (
            ("controller", "/restconf/data"),
            ("controller", "/restconf/data/elasticlab-network:network"),
            ("gro", "/tmf-api/serviceOrdering/v4/serviceOrder"),
            ("gro", "/tmf-api/serviceInventory/v4/service"),
        ):
            assert KEY not in str(acme.far.call(component, "GET", path).json())
        # Written so that it does not find itself.
        look = f"grep -rls '[{KEY[0]}]{KEY[1:]}' /var/log /proc/[0-9]*/cmdline || true"
        for node in ("stack", "vmsr-1", GATEWAY):
            assert lab[node].sh(look).strip() == "", node
