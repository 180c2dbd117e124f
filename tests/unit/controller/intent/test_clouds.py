"""Cloud accesses: what is programmed for them, and what is refused with its place and a remedy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from controller.intent import MODULES, DeviceFacts, allocate, check_devices, compile, join, plan, pops, read
from controller.operational.clouds import judge
from controller.operational.sites import Evidence
from controller.southbound.status import View
from yangkit import ApplyError, Schema, Tree
from yangkit.paths import parse

from tests.work import spent

MODELS = Path(__file__).parents[4] / "models" / "yang"
ROOT = "ietf-l3vpn-svc:l3vpn-svc"
SECRET = "a-key-that-nobody-reads-back"
SEGMENT = "elasticlab-tenant:segment"
NOTHING = read({})


def _cloud(**gateway: Any) -> Tree:
    where = {"address": "198.51.100.9", "identity": "gateway.cloud.example", "remote-prefix": ["172.16.0.0/16"]}
    return {"cloud-identifier": "vpc", "elasticlab-access:gateway": where | gateway}


def _add(tree: Tree, index: int, cloud: Tree) -> Tree:
    """Give a VPN of the demo a cloud access: 0 and 1 reach the Internet, 2 connects both sites."""
    root = tree[ROOT]
    vpn = root["vpn-services"]["vpn-service"][index]
    vpn.setdefault("cloud-accesses", {}).setdefault("cloud-access", []).append(cloud)
    known = root["vpn-profiles"]["valid-provider-identifiers"]["cloud-identifier"]
    if {"id": cloud["cloud-identifier"]} not in known:
        known.append({"id": cloud["cloud-identifier"]})
    return cloud


def _named(entries: list[Tree], name: str) -> Tree:
    (found,) = [entry for entry in entries if entry["name"] == name]
    return found


def _interface(tree: Tree, name: str) -> Tree:
    return _named(tree["ietf-interfaces:interfaces"]["interface"], name)


def _ipsec(tree: Tree) -> tuple[list[Tree], list[Tree]]:
    ipsec = tree["elasticlab-ipsec:ipsec"]
    return ipsec["pad"]["pad-entry"], ipsec["conn-entry"]


def _valid(tree: Tree, schema: Schema) -> None:
    tree["ietf-interfaces:interfaces"]["interface"].append({"name": "wan", "type": "iana-if-type:ethernetCsmacd"})
    schema.validate(tree)


def test_the_service_model_has_clouds(demo: Tree) -> None:
    _add(demo, 2, _cloud(**{"shared-key": SECRET, "ike-mode": "ikev1-main"}))
    Schema([MODELS], MODULES).validate(demo)
    (cloud,) = read(demo).vpns["between"].clouds
    assert (cloud.identifier, cloud.ike_mode, cloud.shared_key) == ("vpc", "ikev1-main", SECRET)
    assert SECRET not in repr(read(demo))


def test_the_pop_calls_the_gateway_and_protects_the_flow_and_nothing_else(
    demo: Tree, build: Callable[..., dict[str, Tree]], schema_of: Callable[[str], Schema]
) -> None:
    before = build(demo)
    _add(demo, 2, _cloud())
    after = build(demo)
    assert {name for name in after if after[name] != before[name]} == {"vmsr-1"}, "boxes need nothing for it"
    tree = after["vmsr-1"]
    interface = _interface(tree, "ipsec-c_1")
    assert (interface["elasticlab-tenant:tenant"], interface[SEGMENT]) == ("acme", ["between"])
    pad, connections = _ipsec(tree)
    assert _named(pad, "gateway.cloud.example") == {
        "name": "gateway.cloud.example",
        "identity": "gateway.cloud.example",
    }
    connection = _named(connections, "cloud_1")
    assert connection["autostartup"] == "start"
    assert connection["local"] == {"local-pad-entry-name": "self", "address": "203.0.113.2"}
    assert connection["remote"] == {"remote-pad-entry-name": "gateway.cloud.example", "address": "198.51.100.9"}
    (flow,) = connection["spd"]["spd-entry"]
    assert flow["local-prefix"] == ["10.1.0.0/24", "10.2.0.0/24"]
    assert flow["remote-prefix"] == ["172.16.0.0/16"]
    assert connection["unique"] == "never"
    _valid(tree, schema_of("vmsr-1"))


@pytest.mark.parametrize(("address", "width"), [("198.51.100.9", 1438), ("2001:db8:99::9", 1418)])
def test_a_tunnel_outside_in_ipv6_is_narrower(
    address: str, width: int, demo: Tree, build: Callable[..., dict[str, Tree]]
) -> None:
    _add(demo, 2, _cloud(address=address))
    assert _interface(build(demo)["vmsr-1"], "ipsec-c_1")["elasticlab-interface:mtu"] == width


def test_the_flow_is_what_the_user_gave(demo: Tree, build: Callable[..., dict[str, Tree]]) -> None:
    _add(demo, 2, _cloud(**{"local-prefix": ["10.1.0.128/25"], "remote-prefix": ["172.16.2.0/24", "172.16.1.0/24"]}))
    (flow,) = _named(_ipsec(build(demo)["vmsr-1"])[1], "cloud_1")["spd"]["spd-entry"]
    assert (flow["local-prefix"], flow["remote-prefix"]) == (["10.1.0.128/25"], ["172.16.1.0/24", "172.16.2.0/24"])


@pytest.mark.parametrize("admission", [{"permit-site": ["branch-1"]}, {"deny-site": ["branch-2"]}])
def test_a_site_that_may_not_is_in_no_segment_with_the_cloud(
    admission: Tree, demo: Tree, build: Callable[..., dict[str, Tree]]
) -> None:
    _add(demo, 2, _cloud()).update(admission)
    tree = build(demo)["vmsr-1"]
    assert _interface(tree, "ipsec-c_1")[SEGMENT] == ["cloud:1"]
    assert "cloud:1" in _interface(tree, "gre-ucpe-1")[SEGMENT]
    assert "cloud:1" not in _interface(tree, "vxlan-1020")[SEGMENT]
    (flow,) = _named(_ipsec(tree)[1], "cloud_1")["spd"]["spd-entry"]
    assert flow["local-prefix"] == ["10.1.0.0/24"]
    assert "cloud:1" not in str(build(demo)["ucpe-1"])


@pytest.mark.parametrize("mode", ["ikev2", "ikev1-main", "ikev1-aggressive"])
def test_every_mode_with_a_shared_key(
    mode: str, demo: Tree, build: Callable[..., dict[str, Tree]], schema_of: Callable[[str], Schema]
) -> None:
    extra = {"allow-insecure-aggressive": True} if mode == "ikev1-aggressive" else {}
    _add(demo, 2, _cloud(**{"shared-key": SECRET, "ike-mode": mode, **extra}))
    tree = build(demo)["vmsr-1"]
    pad, connections = _ipsec(tree)
    assert _named(pad, "self_1") == {"name": "self_1", "identity": "cloud-1.vmsr-1.elasticlab.example"}
    assert _named(pad, "cloud_1")["pre-shared"] == {"secret": SECRET}
    assert _named(connections, "cloud_1").get("ike-mode", "ikev2") == mode
    _valid(tree, schema_of("vmsr-1"))


def _two_tenants(demo: Tree, **gateway: Any) -> Tree:
    """Two tenants with equal prefixes at one gateway, and equal prefixes behind it."""
    root = demo[ROOT]
    services = root["vpn-services"]["vpn-service"]
    services.pop(2)
    services[1]["customer-name"] = "globex"
    for site, vpn in zip(root["sites"]["site"], services, strict=True):
        site.pop("vpn-policies")
        (access,) = site["site-network-accesses"]["site-network-access"]
        access["vpn-attachment"] = {"vpn-id": vpn["vpn-id"]}
        access["ip-connection"]["ipv4"]["addresses"] = {"provider-address": "10.1.0.1", "prefix-length": 24}
    for index in (0, 1):
        _add(demo, index, _cloud(**gateway))
    return demo


@pytest.mark.parametrize("gateway", [{}, {"shared-key": SECRET}])
def test_two_tenants_with_equal_prefixes_at_one_gateway(
    gateway: Tree, demo: Tree, build: Callable[..., dict[str, Tree]], schema_of: Callable[[str], Schema]
) -> None:
    tree = build(_two_tenants(demo, **gateway))["vmsr-1"]
    tenants = {name: _interface(tree, name)["elasticlab-tenant:tenant"] for name in ("ipsec-c_1", "ipsec-c_2")}
    assert tenants == {"ipsec-c_1": "acme", "ipsec-c_2": "globex"}
    pad, connections = _ipsec(tree)
    flows = [_named(connections, name)["spd"]["spd-entry"][0] for name in ("cloud_1", "cloud_2")]
    assert flows[0]["local-prefix"] == flows[1]["local-prefix"]
    assert flows[0]["interface"] != flows[1]["interface"]
    ours = [entry["identity"] for entry in pad if entry["name"].startswith("self_")]
    assert len(set(ours)) == (2 if gateway else 0), "a shared key is known by our identity"
    _valid(tree, schema_of("vmsr-1"))


def test_a_long_identity_of_two_tenants_is_one_entry(
    demo: Tree, build: Callable[..., dict[str, Tree]], schema_of: Callable[[str], Schema]
) -> None:
    tree = build(_two_tenants(demo, identity=f"{'a' * 60}.{'b' * 60}.example"))["vmsr-1"]
    _valid(tree, schema_of("vmsr-1"))


def test_clouds_keep_their_numbers_and_give_them_back(demo: Tree, inventory: dict[str, DeviceFacts]) -> None:
    intent = read(demo)
    before = allocate(intent, pops(inventory), {}).table
    _add(demo, 2, _cloud())
    with_cloud = allocate(read(demo), pops(inventory), before).table
    assert before.items() < with_cloud.items(), "sites keep what they have"
    assert allocate(intent, pops(inventory), with_cloud).table == before


def test_a_cloud_waits_for_its_sites(demo: Tree, inventory: dict[str, DeviceFacts]) -> None:
    _add(demo, 2, _cloud())
    intent = read(demo)
    numbers = allocate(intent, pops(inventory), {})
    assert len(join(intent, inventory, numbers).clouds) == 1
    known = {"vmsr-1": inventory["vmsr-1"]}
    assert not join(intent, known, numbers).clouds
    assert "ipsec-c_1" not in str(compile(intent, known, numbers))


def test_selectors_do_not_move_while_a_device_is_away(demo: Tree, inventory: dict[str, DeviceFacts]) -> None:
    _add(demo, 2, _cloud())
    intent = read(demo)
    numbers = allocate(intent, pops(inventory), {})
    (whole,) = join(intent, inventory, numbers).clouds.values()
    del inventory["ucpe-2"]
    (less,) = join(intent, inventory, numbers).clouds.values()
    assert less.local == whole.local


def test_a_plan_shows_no_key(
    demo: Tree, build: Callable[..., dict[str, Tree]], schema_of: Callable[[str], Schema]
) -> None:
    before = build(demo)
    cloud = _add(demo, 2, _cloud(**{"shared-key": SECRET}))
    new = plan(before, build(demo), schema_of)
    assert any("pre-shared" in str(edit.config) for edit in new)
    assert SECRET not in str(new)
    with_key = build(demo)
    cloud["elasticlab-access:gateway"]["shared-key"] = f"{SECRET}-2"
    (changed,) = plan(with_key, build(demo), schema_of)
    assert (changed.operation, changed.target.endswith("pad-entry[name='cloud_1']")) == ("replace", True)
    assert SECRET not in str(changed)


WRONG: dict[str, tuple[Tree, str, str]] = {
    "no address": ({"address": None}, "gateway/address", "give its address"),
    "no identity": ({"identity": None}, "gateway/identity", "nobody else is believed"),
    "no prefix": ({"remote-prefix": None}, "gateway/remote-prefix", "give the cloud's prefixes"),
    "no name": ({"identity": "Not a name"}, "gateway/identity", "domain name"),
    "address and certificates": ({"identity": "198.51.100.9"}, "gateway/identity", "certificates carry names"),
    "aggressive with a shared key": (
        {"ike-mode": "ikev1-aggressive", "shared-key": SECRET},
        "gateway/ike-mode",
        "hash of the shared key to anybody who asks",
    ),
    "a site's prefix": ({"remote-prefix": ["10.2.0.0/16"]}, "gateway/remote-prefix", "10.2.0.0/24 of site 'branch-2'"),
    "everything": ({"remote-prefix": ["0.0.0.0/0"]}, "gateway/remote-prefix", "cannot be carried"),
    "multicast": ({"local-prefix": ["224.0.0.0/4"]}, "gateway/local-prefix", "cannot be carried"),
    "both sides": ({"local-prefix": ["172.16.1.0/24"]}, "gateway/remote-prefix", "both sides"),
    "two families": ({"local-prefix": ["2001:db8::/64"]}, "gateway/local-prefix", "no IPv6 prefix"),
    "nobody's prefix": (
        {"local-prefix": ["10.1.0.0/25", "10.77.0.0/24"]},
        "gateway/local-prefix",
        "no site that may use the cloud has addresses of 10.77.0.0/24",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_refused_with_place_and_remedy(name: str, demo: Tree) -> None:
    change, place, word = WRONG[name]
    gateway = _cloud()["elasticlab-access:gateway"] | change
    gateway = {leaf: value for leaf, value in gateway.items() if value is not None}
    _add(demo, 2, {"cloud-identifier": "vpc", "elasticlab-access:gateway": gateway})
    with pytest.raises(ApplyError) as caught:
        read(demo)
    assert word in caught.value.message
    assert caught.value.path is not None
    assert caught.value.path.endswith(place), caught.value.path
    assert caught.value.path.startswith(f"/{ROOT}/vpn-services/vpn-service[vpn-id='between']")
    list(parse(caught.value.path))
    assert SECRET not in caught.value.message


def test_aggressive_mode_is_for_who_insists_or_has_certificates(demo: Tree) -> None:
    gateway = _add(demo, 2, _cloud(**{"ike-mode": "ikev1-aggressive"}))["elasticlab-access:gateway"]
    assert read(demo)
    gateway |= {"shared-key": SECRET, "allow-insecure-aggressive": True}
    assert read(demo)


def test_two_clouds_of_a_tenant_have_prefixes_of_their_own(demo: Tree) -> None:
    _add(demo, 0, _cloud())
    _add(demo, 1, _cloud(**{"remote-prefix": ["172.16.9.0/24"]}))
    with pytest.raises(ApplyError, match=r"overlaps 172\.16\.0\.0/16 of cloud 'vpc' of VPN 'internet-1'") as caught:
        read(demo)
    assert "internet-2" in str(caught.value.path)


def test_prefixes_that_are_ours_are_those_of_sites_that_may(demo: Tree) -> None:
    cloud = _add(demo, 2, _cloud(**{"local-prefix": ["10.2.0.0/25"]}))
    assert read(demo)
    cloud["elasticlab-access:gateway"]["local-prefix"] = ["10.2.0.0/15", "10.2.0.0/16", "10.2.0.0/25"]
    assert read(demo), "each of them, also of those inside of others"
    cloud["permit-site"] = ["branch-1"]
    with pytest.raises(ApplyError, match=r"10\.2\.0\.0/15"):
        read(demo)
    demo[ROOT]["sites"]["site"].clear()
    del cloud["permit-site"]
    assert read(demo), "without any site it waits for them"


def test_a_site_that_changes_leaves_no_cloud_without_its_prefixes(demo: Tree) -> None:
    """Whichever of its VPNs it is changed through: the cloud is of another one."""
    _add(demo, 2, _cloud(**{"local-prefix": ["10.1.0.0/25"]}))
    before = read(demo)
    (access,) = demo[ROOT]["sites"]["site"][0]["site-network-accesses"]["site-network-access"]
    access["ip-connection"]["ipv4"]["addresses"]["provider-address"] = "10.77.0.1"
    with pytest.raises(ApplyError, match=r"no site that may use the cloud has addresses of 10\.1\.0\.0/25"):
        read(demo, before)


def test_overlaps_are_found_through_wider_prefixes_of_the_same_cloud(demo: Tree) -> None:
    """In order, the neighbour of the second cloud's prefix is one that has nothing to do with it."""
    _add(demo, 0, _cloud(**{"remote-prefix": ["172.16.0.0/16", "172.16.1.0/24"]}))
    _add(demo, 1, _cloud(**{"remote-prefix": ["172.16.2.0/24", "2001:db8:9::/48"], "identity": "other.example"}))
    with pytest.raises(ApplyError, match=r"172\.16\.2\.0/24 overlaps 172\.16\.0\.0/16 of cloud 'vpc'"):
        read(demo)


def test_many_prefixes_are_checked_in_a_moment(demo: Tree) -> None:
    """Every prefix with every other would be 128 million comparisons."""
    services = demo[ROOT]["vpn-services"]["vpn-service"]
    for number in range(160):
        prefixes = [f"172.{16 + number // 16}.{16 * (number % 16) + n // 16}.{16 * (n % 16)}/28" for n in range(100)]
        name = f"cloud-{number:03}"
        services.append({"vpn-id": name, "customer-name": "acme"})
        _add(demo, len(services) - 1, _cloud(**{"remote-prefix": prefixes}))
    with spent() as work:
        read(demo)
    assert work.seconds < 8


def test_only_members_are_named(demo: Tree) -> None:
    _add(demo, 0, _cloud())["permit-site"] = ["branch-2"]
    with pytest.raises(ApplyError, match="not in VPN 'internet-1'"):
        read(demo)


def test_nobody_takes_a_devices_name(demo: Tree, inventory: dict[str, DeviceFacts]) -> None:
    _add(demo, 2, _cloud(identity="ucpe-2.elasticlab.example"))
    with pytest.raises(ApplyError, match="a device of the operator's"):
        check_devices(NOTHING, read(demo), inventory)
    gateway = dataclasses.replace(inventory["ucpe-1"], name="vpcgw-1", model="vpcgw-x86", personality="")
    check_devices(NOTHING, read(_renamed(demo, "vpcgw-1.elasticlab.example")), inventory | {"vpcgw-1": gateway})


def _renamed(demo: Tree, identity: str) -> Tree:
    service = demo[ROOT]["vpn-services"]["vpn-service"][2]
    service["cloud-accesses"]["cloud-access"][0]["elasticlab-access:gateway"]["identity"] = identity
    return demo


@pytest.mark.parametrize(
    "identity", ["elasticlab.example", "cloud-1.vmsr-1.elasticlab.example", "any.thing.below.elasticlab.example"]
)
def test_nobody_takes_a_name_of_the_operators_own(identity: str, demo: Tree, inventory: dict[str, DeviceFacts]) -> None:
    """POPs call themselves so towards clouds with shared keys: of two equal peers they take neither."""
    _add(demo, 2, _cloud(identity=identity))
    with pytest.raises(ApplyError, match="a name of the operator's own") as caught:
        check_devices(NOTHING, read(demo), inventory)
    assert str(caught.value.path).endswith("elasticlab-access:gateway/identity")
    for other in ("gateway.elasticlab.example.org", "notelasticlab.example"):
        check_devices(NOTHING, read(_renamed(demo, other)), inventory)
    with pytest.raises(ApplyError):
        check_devices(NOTHING, read(_renamed(demo, "cloud-1.pop.other.example")), inventory, "Other.Example")


class TestADeviceThatTakesTheNameOfAGateway:
    """It was nobody's when the cloud was ordered; then a device of that name came."""

    def test_is_nobody_elses_affair(self, demo: Tree, inventory: dict[str, DeviceFacts]) -> None:
        came = inventory.pop("ucpe-2")
        _add(demo, 0, _cloud(identity="ucpe-2.elasticlab.example"))
        root = demo[ROOT]
        between, second = root["vpn-services"]["vpn-service"].pop(), root["sites"]["site"].pop()
        root["sites"]["site"][0].pop("vpn-policies")
        root["sites"]["site"][0]["site-network-accesses"]["site-network-access"][0]["vpn-attachment"] = {
            "vpn-id": "internet-1"
        }
        before = read(demo)
        check_devices(NOTHING, before, inventory)
        root["vpn-services"]["vpn-service"].append(between | {"customer-name": "globex"})
        second.pop("vpn-policies")
        second["site-network-accesses"]["site-network-access"][0]["vpn-attachment"] = {"vpn-id": "internet-2"}
        root["vpn-services"]["vpn-service"][1]["customer-name"] = "globex"
        root["sites"]["site"].append(second)
        after = read(demo, before)
        check_devices(before, after, inventory | {"ucpe-2": came})
        check_devices(after, before, inventory | {"ucpe-2": came})
        with pytest.raises(ApplyError, match="a device of the operator's"):
            check_devices(NOTHING, after, inventory | {"ucpe-2": came})

    def test_has_it_and_the_cloud_is_not_built(
        self, demo: Tree, inventory: dict[str, DeviceFacts], schema_of: Callable[[str], Schema]
    ) -> None:
        came = inventory.pop("ucpe-2")
        cloud = _add(demo, 2, _cloud(identity="ucpe-2.elasticlab.example"))
        intent = read(demo)
        numbers = allocate(intent, pops(inventory), {})
        network = join(intent, inventory, numbers)
        assert (len(network.clouds), network.barred) == (1, {})
        inventory["ucpe-2"] = came
        network = join(intent, inventory, numbers)
        assert not network.clouds
        (reason,) = network.barred.values()
        assert "a device of the operator's" in reason
        tree = compile(intent, inventory, numbers)["vmsr-1"]
        assert [entry["name"] for entry in _ipsec(tree)[0]] == ["self", "ucpe-1", "ucpe-2"]
        _valid(tree, schema_of("vmsr-1"))
        cloud["elasticlab-access:gateway"]["identity"] = "gateway.cloud.example"
        check_devices(intent, read(demo), inventory)
        assert len(join(read(demo), inventory, numbers).clouds) == 1

    def test_makes_the_cloud_failed(self, demo: Tree, inventory: dict[str, DeviceFacts]) -> None:
        _add(demo, 2, _cloud(identity="ucpe-2.elasticlab.example"))
        intent = read(demo)
        network = join(intent, inventory, allocate(intent, pops(inventory), {}))
        (cloud,) = intent.vpns["between"].clouds
        judged = judge(cloud, "up", Evidence(View(network), {}, {}, {}, {}, {}, 0.0))
        assert (judged.state, judged.reason) == ("failed", network.barred[cloud.key])


def test_a_vpn_with_a_cloud_needs_one_site(demo: Tree) -> None:
    root = demo[ROOT]
    root["sites"]["site"].pop()
    with pytest.raises(ApplyError, match="add another"):
        read(demo)
    _add(demo, 2, _cloud())
    assert read(demo)


def test_no_vpn_has_the_name_of_a_clouds_segment(demo: Tree) -> None:
    text = demo[ROOT]["vpn-services"]["vpn-service"][0]
    text["vpn-id"] = "cloud:1"
    with pytest.raises(ApplyError, match="rename the VPN"):
        read(demo)
