"""What cannot be carried out is refused with its place and a remedy, never passed over."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from controller import drivers
from controller.drivers import Driver
from controller.intent import MODULES, DeviceFacts, check_devices, read
from controller.intent import parse as accepted
from yangkit import ApplyError, Schema, Tree
from yangkit.paths import parse

MODELS = Path(__file__).parents[4] / "models" / "yang"
ROOT = "ietf-l3vpn-svc:l3vpn-svc"
NOTHING = read({})
UNSUPPORTED, INVALID = "operation-not-supported", "invalid-value"
GATEWAY: Tree = {
    "elasticlab-access:gateway": {
        "address": "198.51.100.9",
        "identity": "gateway.cloud.example",
        "remote-prefix": ["172.16.0.0/16"],
    }
}


def _vpn(tree: Tree, index: int) -> Tree:
    entry: Tree = tree[ROOT]["vpn-services"]["vpn-service"][index]
    return entry


def _site(tree: Tree, index: int) -> Tree:
    entry: Tree = tree[ROOT]["sites"]["site"][index]
    return entry


def _access(tree: Tree, index: int) -> Tree:
    entry: Tree = _site(tree, index)["site-network-accesses"]["site-network-access"][0]
    return entry


def _cloud(tree: Tree) -> Tree:
    entry: Tree = _vpn(tree, 0)["cloud-accesses"]["cloud-access"][0]
    return entry


def _addresses(tree: Tree, index: int = 0) -> Tree:
    entry: Tree = _access(tree, index)["ip-connection"]["ipv4"]["addresses"]
    return entry


def _box(tree: Tree, index: int = 0) -> Tree:
    entry: Tree = _access(tree, index)["elasticlab-access:access"]
    return entry


def _policy(tree: Tree) -> Tree:
    entry: Tree = _site(tree, 0)["vpn-policies"]["vpn-policy"][0]["entries"][0]
    return entry


def _use(tree: Tree, index: int, device: str) -> None:
    _box(tree, index)["device"] = device
    _access(tree, index)["device-reference"] = device
    _site(tree, index)["devices"]["device"][0]["device-id"] = device


Change = Callable[[Tree], Any]
# What is wrong, its error-tag, the end of its path, a word of the message.
WRONG: dict[str, tuple[Change, str, str, str]] = {
    "no tenant": (lambda t: _vpn(t, 0).pop("customer-name"), INVALID, "customer-name", "tenant"),
    "tenant's name": (lambda t: _vpn(t, 0).update({"customer-name": "A b"}), INVALID, "customer-name", "lower case"),
    "reserved tenant": (lambda t: _vpn(t, 0).update({"customer-name": "wan"}), INVALID, "customer-name", "rename"),
    "hub and spoke": (
        lambda t: _vpn(t, 2).update({"vpn-service-topology": "ietf-l3vpn-svc:hub-spoke"}),
        UNSUPPORTED,
        "vpn-service-topology",
        "all sites",
    ),
    "multicast": (lambda t: _vpn(t, 2).update({"multicast": {"enabled": True}}), UNSUPPORTED, "multicast", "leave"),
    "a cloud that is translated": (
        lambda t: _cloud(t).update({"cloud-identifier": "x", **GATEWAY}),
        UNSUPPORTED,
        "address-translation",
        "leave it out",
    ),
    "no translation": (lambda t: _cloud(t).pop("address-translation"), UNSUPPORTED, "nat44/enabled", "true"),
    "own address": (
        lambda t: _cloud(t)["address-translation"]["nat44"].update({"nat44-customer-address": "192.0.2.9"}),
        UNSUPPORTED,
        "nat44-customer-address",
        "leave",
    ),
    "stranger permitted": (lambda t: _cloud(t).update({"permit-site": ["x"]}), INVALID, "='internet']", "not in VPN"),
    "customer-managed": (
        lambda t: _site(t, 0)["management"].update({"type": "ietf-l3vpn-svc:customer-managed"}),
        UNSUPPORTED,
        "management/type",
        "operator",
    ),
    "start later": (
        lambda t: _site(t, 0).update({"requested-site-start": "2027-01-01T00:00:00Z"}),
        UNSUPPORTED,
        "requested-site-start",
        "leave",
    ),
    "device list": (
        lambda t: _site(t, 0)["devices"]["device"].append({"device-id": "x"}),
        UNSUPPORTED,
        "device[device-id='x']",
        "alone",
    ),
    "another device": (
        lambda t: _access(t, 0).update({"device-reference": "x"}),
        INVALID,
        "device-reference",
        "same",
    ),
    "single, and two": (
        lambda t: _site(t, 0).update({"site-vpn-flavor": "ietf-l3vpn-svc:site-vpn-flavor-single"}),
        INVALID,
        "site-vpn-flavor",
        "multi",
    ),
    "nni": (
        lambda t: _site(t, 0).update({"site-vpn-flavor": "ietf-l3vpn-svc:site-vpn-flavor-nni"}),
        UNSUPPORTED,
        "site-vpn-flavor",
        "give",
    ),
    "no access": (lambda t: _site(t, 0).pop("site-network-accesses"), INVALID, "site-network-accesses", "exactly one"),
    "two accesses": (
        lambda t: _site(t, 0)["site-network-accesses"]["site-network-access"].append(
            {**_access(t, 0), "site-network-access-id": "second"}
        ),
        UNSUPPORTED,
        "site-network-accesses",
        "exactly one",
    ),
    "prefix filter": (
        lambda t: _policy(t).update({"filters": {"filter": [{"type": "ipv4"}]}}),
        UNSUPPORTED,
        "filters",
        "leave",
    ),
    "spoke": (
        lambda t: _policy(t)["vpn"][0].update({"site-role": "ietf-l3vpn-svc:spoke-role"}),
        UNSUPPORTED,
        "site-role",
        "equal",
    ),
    "unknown VPN": (
        lambda t: _policy(t)["vpn"][0].update({"vpn-id": "x"}),
        INVALID,
        "vpn-attachment",
        "does not exist",
    ),
    "no VPN": (lambda t: _policy(t).pop("vpn"), INVALID, "vpn-policy-id", "names no VPN"),
    "unknown policy": (
        lambda t: _access(t, 0)["vpn-attachment"].update({"vpn-policy-id": "x"}),
        INVALID,
        "vpn-policy-id",
        "no vpn-policy",
    ),
    "not attached": (lambda t: _access(t, 0).pop("vpn-attachment"), INVALID, "vpn-attachment", "attach"),
    "bandwidth": (
        lambda t: _access(t, 0)["service"].update({"svc-input-bandwidth": "1000000"}),
        UNSUPPORTED,
        "svc-input-bandwidth",
        "best effort",
    ),
    "MTU": (lambda t: _access(t, 0)["service"].update({"svc-mtu": 1500}), UNSUPPORTED, "svc-mtu", "1414"),
    "BGP": (
        lambda t: _access(t, 0).update({"routing-protocols": {"routing-protocol": [{"type": "ietf-l3vpn-svc:bgp"}]}}),
        UNSUPPORTED,
        "routing-protocol[type='ietf-l3vpn-svc:bgp']/type",
        "direct",
    ),
    "DHCP": (
        lambda t: _access(t, 0)["ip-connection"]["ipv4"].update(
            {"address-allocation-type": "ietf-l3vpn-svc:provider-dhcp-relay"}
        ),
        UNSUPPORTED,
        "address-allocation-type",
        "static-address or provider-dhcp",
    ),
    "customer address": (
        lambda t: _addresses(t).update({"customer-address": "10.1.0.9"}),
        UNSUPPORTED,
        "customer-address",
        "leave",
    ),
    "no gateway": (lambda t: _addresses(t).pop("provider-address"), INVALID, "provider-address", "gateway"),
    "gateway is network": (
        lambda t: _addresses(t).update({"provider-address": "10.1.0.0"}),
        INVALID,
        "provider-address",
        "10.1.0.1",
    ),
    "gateway is broadcast": (
        lambda t: _addresses(t).update({"provider-address": "10.1.0.255"}),
        INVALID,
        "provider-address",
        "no host",
    ),
    "multicast LAN": (
        lambda t: _addresses(t).update({"provider-address": "224.0.1.1"}),
        INVALID,
        "provider-address",
        "unicast",
    ),
    "tiny LAN": (lambda t: _addresses(t).update({"prefix-length": 31}), INVALID, "prefix-length", "/30"),
    "huge LAN": (lambda t: _addresses(t).update({"prefix-length": 0}), INVALID, "prefix-length", "/8"),
    "overlap": (
        lambda t: _addresses(t, 1).update({"provider-address": "10.1.0.129", "prefix-length": 25}),
        INVALID,
        "provider-address",
        "overlaps 10.1.0.0/24 of site 'branch-1'",
    ),
    "port twice": (lambda t: _use(t, 1, "ucpe-1"), INVALID, "access/port", "used by the routed site 'branch-1'"),
    "no device": (lambda t: _box(t).pop("device"), INVALID, "access/device", "name the device"),
    "device's name": (lambda t: _use(t, 0, "no_label"), INVALID, "access/device", "no name"),
    "no mode": (lambda t: _box(t).pop("mode"), INVALID, "access/mode", "routed or bridged"),
    "VLAN and routed": (lambda t: _box(t).update({"vlan": 5}), UNSUPPORTED, "access/vlan", "bridged"),
    "one site in a VPN": (
        lambda t: _policy(t).update({"vpn": [{"vpn-id": "internet-1"}]}),
        INVALID,
        "vpn-service[vpn-id='between']",
        "add another",
    ),
    "two tenants": (lambda t: _vpn(t, 0).update({"customer-name": "other"}), INVALID, "vpn-attachment", "one tenant"),
}


@pytest.mark.parametrize("name", WRONG)
def test_refused_with_place_and_remedy(name: str, demo: Tree) -> None:
    change, tag, place, word = WRONG[name]
    change(demo)
    with pytest.raises(ApplyError) as caught:
        read(demo)
    assert (caught.value.tag, word in caught.value.message) == (tag, True), caught.value.message
    assert caught.value.path is not None
    assert caught.value.path.startswith(f"/{ROOT}/")
    assert caught.value.path.endswith(place), caught.value.path
    list(parse(caught.value.path))  # an instance identifier


def test_the_demo_is_valid_in_the_service_model(demo: Tree) -> None:
    Schema([MODELS], MODULES).validate(demo)
    intent = read(demo)
    assert [s.id for s in intent.sites] == ["branch-1", "branch-2"]
    assert intent.tenant(intent.sites[0]) == "acme"


def test_nothing_is_an_intent() -> None:
    assert read({}).sites == ()
    assert read({ROOT: {"vpn-services": {}, "sites": {}}}).sites == ()


def test_equal_prefixes_of_two_tenants_are_fine(demo: Tree) -> None:
    _vpn(demo, 1)["customer-name"] = "other"
    demo[ROOT]["vpn-services"]["vpn-service"].pop(2)
    for index, name in ((0, "internet-1"), (1, "internet-2")):
        _site(demo, index).pop("vpn-policies")
        _access(demo, index)["vpn-attachment"] = {"vpn-id": name}
    _addresses(demo, 1)["provider-address"] = "10.1.0.1"
    assert {s.gateway.network.with_prefixlen for s in read(demo).sites} == {"10.1.0.0/24"}


@pytest.mark.parametrize("driver", drivers.every(), ids=lambda driver: driver.name)
def test_no_tenant_has_the_name_of_a_port(driver: Driver, demo: Tree) -> None:
    """It would be the name of two interfaces of a device."""
    ports = [port.replace("[0-9]", "7") for port in driver.ports]
    assert driver.line_port is not None
    for name in (*ports, driver.line_port):
        _vpn(demo, 1)["customer-name"] = name
        with pytest.raises(ApplyError, match="rename the tenant") as caught:
            read(demo)
        assert str(caught.value.path).endswith("customer-name")


def test_what_was_accepted_under_other_rules_stops_nobody_else(demo: Tree) -> None:
    _vpn(demo, 1)["customer-name"] = "line"
    _site(demo, 1).pop("vpn-policies")
    _access(demo, 1)["vpn-attachment"] = {"vpn-id": "internet-2"}
    _vpn(demo, 2).update({"cloud-accesses": {"cloud-access": [{"cloud-identifier": "vpc", **GATEWAY}]}})
    gateway = _vpn(demo, 2)["cloud-accesses"]["cloud-access"][0]["elasticlab-access:gateway"]
    gateway = gateway | {"local-prefix": ["10.77.0.0/24"]}
    _vpn(demo, 2)["cloud-accesses"]["cloud-access"][0]["elasticlab-access:gateway"] = gateway
    before = accepted(demo)
    for words in ("rename the tenant", "no site that may use the cloud"):
        with pytest.raises(ApplyError, match=words):
            read(demo)
        assert read(demo, before)
        _vpn(demo, 1)["customer-name"] = "globex"
    _cloud(demo)["deny-site"] = ["branch-1"]
    assert read(demo, before), "somebody else's change"
    gateway["remote-prefix"] = ["172.17.0.0/16"]
    with pytest.raises(ApplyError, match="no site that may use the cloud"):
        read(demo, before)


@pytest.mark.parametrize("name", ["tunl0", "gre0", "erspan0", "ip6tnl0", "ip6gre0", "sit0", "dummy0", "bond0", "ifb1"])
def test_no_tenant_has_the_name_of_an_interface_of_linux(name: str, demo: Tree) -> None:
    _vpn(demo, 1)["customer-name"] = name
    with pytest.raises(ApplyError, match="rename the tenant"):
        read(demo)


def test_permit_and_deny_decide_who_reaches_the_internet(demo: Tree) -> None:
    intent = read(demo)
    assert all(intent.reaches_internet(s) for s in intent.sites)
    _cloud(demo)["deny-site"] = ["branch-1"]
    intent = read(demo)
    assert [intent.reaches_internet(s) for s in intent.sites] == [False, True]


@pytest.mark.parametrize(
    ("change", "place", "word"),
    [
        ({"personality": "other"}, "device", "no driver"),
        ({"model": "unheard-of"}, "device", "no driver"),
        ({"model": "vmsr-x86", "personality": "vmsr"}, "device", "serves no site"),
    ],
)
def test_devices_that_cannot_are_refused(
    change: dict[str, str], place: str, word: str, demo: Tree, inventory: dict[str, DeviceFacts]
) -> None:
    inventory["ucpe-1"] = dataclasses.replace(inventory["ucpe-1"], **change)  # type: ignore[arg-type]
    with pytest.raises(ApplyError, match=word) as caught:
        check_devices(NOTHING, read(demo), inventory)
    assert str(caught.value.path).endswith(f"elasticlab-access:access/{place}")


@pytest.mark.parametrize("newcomer", [0, 1])
def test_who_comes_second_is_told_and_nothing_of_the_other(newcomer: int, demo: Tree) -> None:
    """Whatever their names are: an error's path and text go to whoever has ordered."""
    _vpn(demo, 1)["customer-name"] = "globex"
    for index in (0, 1):
        _site(demo, index).pop("vpn-policies")
        _access(demo, index)["vpn-attachment"] = {"vpn-id": _vpn(demo, index)["vpn-id"]}
        _box(demo, index)["port"] = f"lan{index}"
    _vpn(demo, 2)["elasticlab-access:direct-paths"] = False
    before = read(demo)
    _use(demo, newcomer, _box(demo, 1 - newcomer)["device"])
    with pytest.raises(ApplyError, match=r"device ucpe-\d serves another tenant: give another device") as caught:
        read(demo, before)
    name = _site(demo, newcomer)["site-id"]
    assert f"site[site-id='{name}']" in str(caught.value.path)
    other = _site(demo, 1 - newcomer)["site-id"]
    assert other not in f"{caught.value.message}{caught.value.path}"


def test_a_box_that_has_been_replaced_by_another_model_blocks_nobody(
    demo: Tree, inventory: dict[str, DeviceFacts]
) -> None:
    before = read(demo)
    inventory["ucpe-1"] = dataclasses.replace(inventory["ucpe-1"], model="unheard-of")
    _addresses(demo)["provider-address"] = "10.1.0.2"
    check_devices(before, read(demo), inventory)
    _site(demo, 1)["site-id"] = "another"
    check_devices(before, read(demo), inventory)
    _box(demo)["port"] = "lan2"
    with pytest.raises(ApplyError, match="no driver"):
        check_devices(before, read(demo), inventory)


@pytest.mark.parametrize("port", ["wan", "eth0", "br-lan"])
def test_only_ports_for_sites_are_sold(port: str, demo: Tree, inventory: dict[str, DeviceFacts]) -> None:
    _box(demo)["port"] = port
    with pytest.raises(ApplyError, match="has no port"):
        check_devices(NOTHING, read(demo), inventory)


def test_unknown_devices_are_waited_for(demo: Tree) -> None:
    check_devices(NOTHING, read(demo), {})
