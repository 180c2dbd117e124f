"""The models as libyang sees them: what the controller makes of the demo's orders is valid, wrong values are
refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from element import factory
from element.model import read
from element.nat import Matches, Policy
from element.plan.desired import desired
from element.plan.difference import difference
from yangkit import Datastores, Module, NullBackend, Schema

REPOSITORY = Path(__file__).parents[4]
SITES = REPOSITORY / "tests/unit/controller/intent/golden"


def schema_of(personality: str) -> Schema:
    offers = factory.personality(personality)
    return Schema([REPOSITORY / "models/yang"], [Module(o.module, o.features) for o in offers])


@pytest.fixture(scope="module")
def schemas() -> dict[str, Schema]:
    return {name: schema_of(name) for name in ("ucpe", "vmsr")}


async def started(schema: Schema, folder: Path, content: str) -> Datastores:
    """Datastores that start with this configuration; ``problem`` says why not."""
    startup = folder / "startup.xml"
    startup.write_text(f'<config xmlns="urn:ietf:params:xml:ns:netconf:base:1.0">{content}</config>')
    stores = Datastores(schema, NullBackend(), startup=startup)
    await stores.start()
    await stores.close()
    return stores


@pytest.mark.parametrize("site", sorted(path.stem for path in SITES.glob("*.xml")))
async def test_sites_of_the_demo_are_valid_and_can_be_planned(
    schemas: dict[str, Schema], tmp_path: Path, site: str
) -> None:
    stores = await started(schemas[site.partition("-")[0]], tmp_path, (SITES / f"{site}.xml").read_text())
    assert stores.problem is None
    wanted = desired(read(stores.running))
    assert wanted
    assert not difference(wanted, wanted)


WRONG = {
    "identity by address": (">ucpe-1.elasticlab.example<", ">192.0.2.2<", "exact domain name"),
    "identity with a wildcard": (">ucpe-1.elasticlab.example<", ">*.elasticlab.example<", "exact domain name"),
    "group address": ("02:e1:00:00:00:20", "03:e1:00:00:00:20", "unicast MAC"),
    "VNI out of range": ("<vni>1020<", "<vni>16777215<", "between 1 and 16777214"),
    "if-id twice": ("<if-id>2<", "<if-id>1<", "cannot share an if-id"),
    "tunnel over a plain interface": ("<underlay>ipsec-ucpe-1<", "<underlay>wan<", "ipsec-tunnel"),
    "unknown tenant": (">acme</tenant>\n    <gre", ">nobody</tenant>\n    <gre", "nobody"),
    "tenant named as an interface": ("<name>overlay<", "<name>acme<", "name of an interface"),
    "one end twice": ("<remote-address>100.127.1.1<", "<remote-address>100.127.0.1<", "same"),
    "ESP without AES-GCM": (
        "<spd>\n      <spd-entry>\n        <name>overlay</name>\n        <interface>ipsec-ucpe-1<",
        "<esp-proposal>aes128-sha1</esp-proposal><spd>\n      <spd-entry>\n        <name>overlay</name>\n"
        "        <interface>ipsec-ucpe-1<",
        "AES-GCM",
    ),
    "start without an address": ("<autostartup>add<", "<autostartup>start<", "must know the peer's address"),
    "a key in the configuration": (
        "<certificate>ike<",
        "<private-key>MII</private-key><certificate>ike<",
        "private-key",
    ),
    "segment without a tenant": (
        "<name>overlay</name>\n    <description",
        '<name>overlay</name><segment xmlns="urn:elasticlab:yang:elasticlab-tenant">vpn-1</segment>\n    <description',
        "Only an interface of a tenant",
    ),
    "another domain's interface goes out": (
        "<external-interface>wan<",
        "<internal-interface>overlay</internal-interface><external-interface>wan<",
        "belongs to the breakout's tenant",
    ),
    "addresses and DHCP": (
        "<name>wan</name>",
        '<name>wan</name><dhcp xmlns="urn:elasticlab:yang:elasticlab-interface"/>',
        "addresses or DHCP",
    ),
    "DHCP on a loopback": (
        "<name>overlay</name>",
        '<name>overlay</name><dhcp xmlns="urn:elasticlab:yang:elasticlab-interface"/>',
        "dhcp",
    ),
    "SLAAC without IPv6": (
        "<name>wan</name>",
        '<name>wan</name><slaac xmlns="urn:elasticlab:yang:elasticlab-interface"/>',
        "heard where there is IPv6",
    ),
    "DHCPv6 without IPv6": (
        "<name>wan</name>",
        '<name>wan</name><dhcp6 xmlns="urn:elasticlab:yang:elasticlab-interface"/>',
        "had where there is IPv6",
    ),
    "DHCPv6 beside SLAAC": (
        "<name>wan</name>",
        '<name>wan</name><ipv6 xmlns="urn:ietf:params:xml:ns:yang:ietf-ip"/>'
        '<slaac xmlns="urn:elasticlab:yang:elasticlab-interface"/>'
        '<dhcp6 xmlns="urn:elasticlab:yang:elasticlab-interface"/>',
        "DHCPv6 or SLAAC: one of them",
    ),
    "one identity twice": (
        "<identity>ucpe-2.elasticlab.example<",
        "<identity>ucpe-1.elasticlab.example<",
        "Two entries have the same identity",
    ),
    "long interface name": ("<name>wan<", "<name>a-name-that-is-too-long<", "1 to 15 characters"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_wrong_values_are_refused_with_a_sentence(schemas: dict[str, Schema], tmp_path: Path, case: str) -> None:
    right, wrong, sentence = WRONG[case]
    content = (SITES / "vmsr-1.xml").read_text()
    assert right in content
    stores = await started(schemas["vmsr"], tmp_path, content.replace(right, wrong))
    assert stores.problem is not None
    assert sentence in stores.problem
    assert "acme" not in str(stores.running)


async def test_segments_and_internal_interfaces_are_read(schemas: dict[str, Schema], tmp_path: Path) -> None:
    content = (SITES / "vmsr-1.xml").read_text()
    tenant = ">acme</tenant>\n    <gre"
    segment = '>acme</tenant><segment xmlns="urn:elasticlab:yang:elasticlab-tenant">vpn-1</segment>\n    <gre'
    inside = "<internal-interface>gre-ucpe-1</internal-interface><external-interface>wan<"
    changed = content.replace(tenant, segment, 1).replace("<external-interface>wan<", inside)
    stores = await started(schemas["vmsr"], tmp_path, changed)
    assert stores.problem is None
    config = read(stores.running)
    assert {i.name: i.of_segments for i in config.members("acme")} == {"vxlan-1020": {"acme"}, "gre-ucpe-1": {"vpn-1"}}
    assert [i.name for i in config.insiders(config.breakouts[0])] == ["gre-ucpe-1"]


NAT = """<nat xmlns="urn:elasticlab:yang:elasticlab-nat"><breakout><tenant>acme</tenant>
<external-interface>wan</external-interface><policy><name>web</name><matches>{}</matches><action>break-out</action></policy>
</breakout></nat>"""


async def test_a_ucpe_translates_what_its_policy_says(schemas: dict[str, Schema], tmp_path: Path) -> None:
    web = "<dscp>46</dscp><protocol>6</protocol><destination-port><lower-port>443</lower-port></destination-port>"
    stores = await started(schemas["ucpe"], tmp_path, (SITES / "ucpe-1.xml").read_text() + NAT.format(web))
    assert stores.problem is None
    [policy] = read(stores.running).breakouts[0].policy
    assert policy == Policy(Matches(dscp=46, protocol=6, destination_ports=(443, 443)), break_out=True)


IMPOSSIBLE = {
    "ports of ICMP": (
        "<protocol>1</protocol><source-port><lower-port>7</lower-port></source-port>",
        "Ports are those of protocol 6",
    ),
    "range that goes down": (
        "<protocol>6</protocol><source-port><lower-port>7</lower-port><upper-port>6</upper-port></source-port>",
        "goes up",
    ),
    "range without a beginning": (
        "<protocol>6</protocol><source-port><upper-port>6</upper-port></source-port>",
        "goes up",
    ),
    "two families": (
        "<source-prefix>10.0.0.0/8</source-prefix><destination-prefix>2001:db8::/32</destination-prefix>",
        "one family",
    ),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
async def test_a_policy_that_matches_nothing_is_refused(schemas: dict[str, Schema], tmp_path: Path, case: str) -> None:
    matches, sentence = IMPOSSIBLE[case]
    stores = await started(schemas["ucpe"], tmp_path, (SITES / "ucpe-1.xml").read_text() + NAT.format(matches))
    assert stores.problem is not None
    assert sentence in stores.problem


def test_an_unknown_personality_is_refused() -> None:
    with pytest.raises(factory.FactoryError, match="known are ucpe, vmsr"):
        factory.personality("toaster")


def test_a_box_without_identity_says_so(tmp_path: Path) -> None:
    with pytest.raises(factory.FactoryError, match="no factory identity"):
        factory.identity(tmp_path)


def test_an_identity_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "identity.json").write_text('{"serial": "1"}')
    with pytest.raises(factory.FactoryError, match="not a factory identity"):
        factory.identity(tmp_path)
