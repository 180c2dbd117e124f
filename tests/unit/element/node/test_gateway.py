"""The third personality, a gateway of private clouds: what it takes, and that nobody is told its shared keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from element.model import read
from element.plan.desired import desired
from yangkit import Schema

from tests.unit.element.node.test_schema import schema_of, started

REPOSITORY = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def schema() -> Schema:
    return schema_of("vpcgw")


SECRET = "psk-0123456789-abcdefghij"
GATEWAY = f"""
<tenants xmlns="urn:elasticlab:yang:elasticlab-tenant"><tenant><name>acme</name><id>1</id></tenant></tenants>
<interfaces xmlns="urn:ietf:params:xml:ns:yang:ietf-interfaces"
    xmlns:ipsec="urn:elasticlab:yang:elasticlab-ipsec"><interface>
  <name>ipsec-acme</name><type>ipsec:ipsec-tunnel</type>
  <tenant xmlns="urn:elasticlab:yang:elasticlab-tenant">acme</tenant>
  <ipsec-tunnel xmlns="urn:elasticlab:yang:elasticlab-ipsec"><if-id>1</if-id></ipsec-tunnel>
</interface></interfaces>
<ipsec xmlns="urn:elasticlab:yang:elasticlab-ipsec">
  <pad>
    <pad-entry><name>self</name><identity>203.0.113.10</identity></pad-entry>
    <pad-entry><name>pop</name><identity>vmsr-1.example</identity>
      <pre-shared><secret>{SECRET}</secret></pre-shared></pad-entry>
  </pad>
  <conn-entry>
    <name>acme</name><ike-mode>ikev2</ike-mode>
    <local><local-pad-entry-name>self</local-pad-entry-name><address>203.0.113.10</address></local>
    <remote><remote-pad-entry-name>pop</remote-pad-entry-name></remote>
    <spd><spd-entry><name>acme</name><interface>ipsec-acme</interface>
      <local-prefix>10.9.0.0/24</local-prefix><remote-prefix>10.1.0.0/24</remote-prefix></spd-entry></spd>
  </conn-entry>
</ipsec>"""
SELF = "<identity>203.0.113.10</identity>"
PEER = "<identity>vmsr-1.example</identity>"
WRONG_GATEWAY = {
    "aggressive with a shared key": ("ikev2", "ikev1-aggressive", "Aggressive mode shows a hash"),
    "a short key": (SECRET, SECRET[:19], "20 to 256 characters"),
    "a key with a space": (SECRET, f"{SECRET} {SECRET}", "printable ASCII"),
    "key and certificate": (PEER, f"{PEER}<certificate>ike</certificate>", "has no shared key"),
    "address and certificate": (SELF, f"{SELF}<certificate>ike</certificate>", "exact domain name: an address only"),
    "neither key nor certificate": (f"<pre-shared><secret>{SECRET}</secret></pre-shared>", "", "no shared key"),
    "flow without an interface": (">ipsec-acme</interface>", ">wan</interface>", "wan"),
    "both ends the same": ("10.9.0.0/24", "10.1.0.0/24", "Both ends of the selector"),
    "GRE": (
        "</interface></interfaces>",
        '<gre xmlns="urn:elasticlab:yang:elasticlab-gre"><local-address>192.0.2.1</local-address></gre>'
        "</interface></interfaces>",
        "gre",
    ),
}


async def test_a_gateway_of_private_clouds_takes_its_configuration(schema: Schema, tmp_path: Path) -> None:
    stores = await started(schema, tmp_path, GATEWAY)
    assert stores.problem is None
    assert desired(read(stores.running))
    aggressive = "ikev1-aggressive</ike-mode><allow-insecure-aggressive>true</allow-insecure-aggressive>"
    allowed = await started(schema, tmp_path, GATEWAY.replace("ikev2</ike-mode>", aggressive))
    assert allowed.problem is None


async def test_what_the_guide_shows_is_valid(schema: Schema, tmp_path: Path) -> None:
    guide = (REPOSITORY / "docs/how-to/gateway.md").read_text()
    stores = await started(schema, tmp_path, guide.split("```xml\n")[1].split("```")[0])
    assert stores.problem is None
    assert desired(read(stores.running))


@pytest.mark.parametrize("case", WRONG_GATEWAY)
async def test_what_a_gateway_cannot_is_refused_and_the_key_not_told(
    schema: Schema, tmp_path: Path, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    right, wrong, sentence = WRONG_GATEWAY[case]
    assert right in GATEWAY
    stores = await started(schema, tmp_path, GATEWAY.replace(right, wrong))
    assert stores.problem is not None
    assert sentence in stores.problem
    assert SECRET[:19] not in stores.problem + caplog.text


def modes(folder: Path) -> dict[str, int]:
    """Of the files that hold the key."""
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir() if SECRET in path.read_text()}


async def test_files_that_hold_a_key_are_their_owners_alone(schema: Schema, tmp_path: Path) -> None:
    """Also a refused one, which is kept."""
    stores = await started(schema, tmp_path, GATEWAY)
    tree = stores.running
    tree["elasticlab-tenant:tenants"]["tenant"].append({"name": "beta", "id": 2})
    await stores.replace_running(tree)
    assert modes(tmp_path) == {"startup.xml": 0o600}
    refused = await started(schema, tmp_path, GATEWAY.replace("ikev2", "ikev1-aggressive"))
    assert refused.problem is not None
    assert modes(tmp_path) == {"startup.xml.refused": 0o600}
