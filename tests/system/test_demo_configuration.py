"""Configuration over NETCONF: removed without a trace, refused as a whole, restored after a lost confirmation.

The controller would repair what is done to a box here, so it stands still meanwhile.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from lxml import etree
from yangkit.client import NetconfClient
from yangkit.errors import RpcError

from harness.lab import Lab
from harness.lab.netconf import session
from harness.orchestrator import plug
from harness.orchestrator.client import Orchestrator
from harness.wait import Deadline, wait_for

pytestmark = pytest.mark.topology("demo")

HOST_1, HOST_2 = "10.1.0.10", "10.2.0.10"
# What a box has without any configuration of ours; `lo` and `eth0` and the plugged links are the lab's.
LOOKS = (
    "ip -o link | cut -d: -f2 | cut -d@ -f1 | sort",
    "ip -o address show scope global | awk '{print $2, $4}' | grep -v ^eth0 || true",
    "ip route show table all | grep -v 'dev eth0\\|dev lo\\|^local\\|^broadcast\\|^multicast\\|^ff00\\|^fe80' || true",
    "ip rule | grep -v 'lookup local$\\|lookup main$\\|lookup default$\\|lookup .l3mdev' || true",
    # Without what each packet changes: sequence numbers, the window of those that came.
    "ip xfrm state list nokeys | grep -E '^src|proto|if_id|encap|aead|auth|sel ' || true; ip xfrm policy list nosock",
    "bridge fdb show | grep -v 'dev \\(wan\\|lan\\|eth0\\)' || true",
    "swanctl --list-conns; swanctl --list-sas | grep -o '#[0-9]*, [A-Z]*' || true",
)

# Valid by the schema, and two parts are fine; but the kernel has one interface a VNI, and vxlan-1020 is there.
IMPOSSIBLE = """<interfaces xmlns="urn:ietf:params:xml:ns:yang:ietf-interfaces"
    xmlns:ianaift="urn:ietf:params:xml:ns:yang:iana-if-type" xmlns:el-vxlan="urn:elasticlab:yang:elasticlab-vxlan">
  <interface><name>another</name><type>ianaift:softwareLoopback</type>
    <ipv4 xmlns="urn:ietf:params:xml:ns:yang:ietf-ip">
      <address><ip>100.127.99.1</ip><prefix-length>32</prefix-length></address></ipv4></interface>
  <interface><name>vxlan-again</name><type>el-vxlan:vxlan</type>
    <vxlan xmlns="urn:elasticlab:yang:elasticlab-vxlan"><vni>VNI</vni>
      <local-address>100.127.0.1</local-address><remote-address>100.127.1.1</remote-address>
      <underlay>ipsec-ucpe-1</underlay></vxlan></interface>
</interfaces>"""


def traces(lab: Lab, box: str) -> dict[str, str]:
    return {look: lab[box].sh(look).strip() for look in LOOKS}


def settled(lab: Lab, box: str) -> dict[str, str]:
    """The traces once they stay: after a restart of tunnels charon closes what was negotiated twice a moment later."""
    seen = [traces(lab, box)]

    def same() -> bool:
        seen.append(traces(lab, box))
        return seen[-1] == seen[-2]

    wait_for(f"{box} to settle", same, 20)
    return seen[-1]


@pytest.fixture(params=["ucpe-1", "ucpe-2", "vmsr-1"])
def box(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def alone(lab: Lab) -> Iterator[None]:
    """Nobody else configures boxes; afterwards the controller has them all again, and finds them as it wants them."""
    lab["stack"].exec("sv", "pause", "controller")
    try:
        yield
    finally:
        lab["stack"].exec("sv", "cont", "controller")
        far, deadline = Orchestrator.of(lab), Deadline(60)
        plug.wait_until_managed(far, plug.wiring(lab.topology, lab.factory), deadline)
        plug.wait_until_up(far, deadline)


async def running(lab: Lab, box: str) -> str:
    """The whole configuration of a box, as it can be given back to it."""
    async with await session(lab, box) as reading:
        data = await reading.get_config("running")
        return "".join(etree.tostring(child, encoding="unicode") for child in data)


@pytest.fixture
async def wanted(lab: Lab, box: str, alone: None) -> str:
    """What the controller has made of the orders."""
    return await running(lab, box)


@pytest.fixture
async def client(lab: Lab, box: str, wanted: str) -> AsyncIterator[NetconfClient]:
    """A session whose box is as it was afterwards."""
    async with await session(lab, box) as opened:
        yield opened
    async with await session(lab, box) as restoring:
        await restoring.discard()
        await restoring.edit_config(wanted, target="candidate", default_operation="replace")
        await restoring.commit()
    for host, address in (("host-1", HOST_2), ("host-2", HOST_1)):
        lab[host].must_reach(address, 30)


async def test_removing_the_configuration_leaves_no_trace(lab: Lab, box: str, client: NetconfClient) -> None:
    await client.edit_config("", default_operation="replace")
    await client.commit()
    plugged = sorted(["lo", "eth0", *lab.topology.interfaces(box)])
    found = traces(lab, box)
    assert found.pop(LOOKS[0]).split() == plugged
    assert {look: said for look, said in found.items() if said} == {}
    lab["host-1"].must_not_reach(HOST_2)


async def test_configuring_it_twice_changes_nothing(lab: Lab, box: str, client: NetconfClient, wanted: str) -> None:
    before = settled(lab, box)
    await client.edit_config(wanted, target="candidate", default_operation="replace")
    await client.commit()
    assert traces(lab, box) == before


async def test_an_invalid_value_is_refused_with_its_place_and_changes_nothing(
    lab: Lab, box: str, client: NetconfClient
) -> None:
    before = settled(lab, box)
    wrong = """<interfaces xmlns="urn:ietf:params:xml:ns:yang:ietf-interfaces"><interface><name>wan</name>
      <ipv4 xmlns="urn:ietf:params:xml:ns:yang:ietf-ip"><address><ip>203.0.113.999</ip></address></ipv4>
    </interface></interfaces>"""
    with pytest.raises(RpcError) as refusal:
        await client.edit_config(wrong, target="candidate")
    assert refusal.value.tag == "invalid-value"
    assert "203.0.113.999" in str(refusal.value)
    assert traces(lab, box) == before


@pytest.mark.parametrize("box", ["vmsr-1"], indirect=True)
@pytest.mark.parametrize(
    ("vni", "tag", "said"),
    [
        (1020, "invalid-value", "VNI 1020 is that of interface"),
        (4711, "operation-failed", "theirs has VNI 4711"),
    ],
    ids=["by the element", "by the kernel"],
)
async def test_what_cannot_be_is_refused_as_a_whole(
    lab: Lab, box: str, client: NetconfClient, vni: int, tag: str, said: str
) -> None:
    """A configuration that the schema allows, and the element or the kernel does not: none of its parts stays."""
    lab[box].sh("ip link add theirs type vxlan id 4711 dstport 4789 local 127.0.0.1")
    before = settled(lab, box)
    await client.edit_config(IMPOSSIBLE.replace("VNI", str(vni)), target="candidate")
    with pytest.raises(RpcError) as refusal:
        await client.commit()
    assert refusal.value.tag == tag
    assert said in str(refusal.value)
    assert traces(lab, box) == before
    lab[box].sh("ip link delete theirs")
    await client.discard()
    assert lab["host-1"].reaches(HOST_2)


async def test_a_confirmed_commit_that_is_not_confirmed_is_taken_back(
    lab: Lab, box: str, client: NetconfClient
) -> None:
    before = settled(lab, box)
    await client.edit_config("", default_operation="replace")
    await client.commit(confirmed=True, confirm_timeout=6, persist="a-test")
    lab["host-1"].must_not_reach(HOST_2)
    wait_for("the configuration to be back", lambda: lab["host-1"].reaches(HOST_2, within=0.3), 30)
    same = [look for look in LOOKS if not look.startswith(("ip xfrm", "swanctl", "bridge"))]
    now = traces(lab, box)
    assert {look: now[look] for look in same} == {look: before[look] for look in same}
