"""The translation of orders into RFC 8299: what each service becomes, and that the YANG modules agree."""

from pathlib import Path
from typing import Any

import pytest
from gro import ordered, sdno
from gro.ordered import Service, Site

ONE = Site("acme", "branch-1", "S1", "routed", "10.1.0.1/24", device_name="ucpe-1")
TWO = Site("acme", "branch-2", "S2", "bridged", "10.2.0.1/24", vlan=7, device_name="ucpe-2")
SITES = {"branch-1": ONE, "branch-2": TWO}
INTERNET = Service("aaaa", "acme", True, ("branch-1",))
MESH = Service("bbbb", "acme", False, ("branch-1", "branch-2"))


def edits(change: ordered.Change) -> list[tuple[str, str]]:
    prefix = sdno.ROOT
    return [
        (edit["operation"], edit["target"].removeprefix(prefix))
        for edit in sdno.patch(change, "p")["ietf-yang-patch:yang-patch"]["edit"]
    ]


def access(instance: dict[str, Any]) -> dict[str, Any]:
    return instance["site-network-accesses"]["site-network-access"][0]


def test_site_to_internet_is_a_vpn_with_translated_cloud_access() -> None:
    instance = sdno.vpn_service(INTERNET)
    assert (instance["vpn-id"], instance["customer-name"]) == ("aaaa", "acme")
    cloud = instance["cloud-accesses"]["cloud-access"]
    assert cloud == [{"cloud-identifier": "internet", "address-translation": {"nat44": {"enabled": True}}}]


def test_site_to_site_is_any_to_any_without_cloud_access() -> None:
    instance = sdno.vpn_service(MESH)
    assert instance["vpn-service-topology"] == "ietf-l3vpn-svc:any-to-any"
    assert "cloud-accesses" not in instance


def test_a_site_in_one_vpn_is_attached_directly() -> None:
    instance = sdno.site(ONE, ["aaaa"])
    assert access(instance)["vpn-attachment"]["vpn-id"] == "aaaa"
    assert "vpn-policies" not in instance


def test_a_site_in_several_vpns_has_a_policy_that_names_all() -> None:
    instance = sdno.site(ONE, ["aaaa", "bbbb"])
    [entry] = instance["vpn-policies"]["vpn-policy"][0]["entries"]
    assert [one["vpn-id"] for one in entry["vpn"]] == ["aaaa", "bbbb"]
    assert access(instance)["vpn-attachment"] == {"vpn-policy-id": "all"}


def test_a_sites_lan_is_in_our_augmentation_and_its_gateway_in_rfc_8299() -> None:
    found = access(sdno.site(TWO, ["bbbb"]))
    assert found["elasticlab-access:access"] == {"device": "ucpe-2", "port": "lan", "mode": "bridged", "vlan": 7}
    ipv4 = found["ip-connection"]["ipv4"]
    assert ipv4["addresses"] == {"provider-address": "10.2.0.1", "prefix-length": 24}
    assert "vlan" not in access(sdno.site(ONE, ["bbbb"]))["elasticlab-access:access"]


def test_a_device_that_nobody_named_cannot_be_in_the_network() -> None:
    """The model knows devices by the registry's names, orders by serial numbers."""
    with pytest.raises(ValueError, match="name of device S1 is not known"):
        sdno.site(Site("acme", "branch-1", "S1", "routed", "10.1.0.1/24"), ["aaaa"])


def test_a_site_without_vpn_has_no_place() -> None:
    with pytest.raises(ValueError, match=r"acme\.branch-1 is in no VPN"):
        sdno.site(ONE, [])


def test_the_first_service_makes_vpn_and_site() -> None:
    change = ordered.change([], SITES, [INTERNET], [])
    assert edits(change) == [
        ("merge", "/vpn-profiles/valid-provider-identifiers/cloud-identifier=internet"),
        ("replace", "/vpn-services/vpn-service=aaaa"),
        ("replace", "/sites/site=acme.branch-1"),
    ]


def test_a_second_service_rewrites_the_site_that_it_shares() -> None:
    change = ordered.change([INTERNET], SITES, [MESH], [])
    assert [(one.name, vpns) for one, vpns in change.sites] == [("branch-1", ("aaaa", "bbbb")), ("branch-2", ("bbbb",))]


def test_a_removed_service_takes_only_the_sites_that_nothing_else_uses() -> None:
    change = ordered.change([INTERNET, MESH], SITES, [], ["bbbb"])
    assert edits(change) == [
        ("replace", "/sites/site=acme.branch-1"),
        ("remove", "/sites/site=acme.branch-2"),
        ("remove", "/vpn-services/vpn-service=bbbb"),
    ]


def test_one_order_may_remove_and_add() -> None:
    change = ordered.change([INTERNET], SITES, [MESH], ["aaaa"])
    assert [(one.name, vpns) for one, vpns in change.sites] == [("branch-1", ("bbbb",)), ("branch-2", ("bbbb",))]
    assert (change.gone_vpns, change.gone_sites) == (("aaaa",), ())


def test_done_again_it_is_the_same() -> None:
    assert ordered.change([INTERNET, MESH], SITES, [MESH], []) == ordered.change([INTERNET], SITES, [MESH], [])


def test_sites_of_two_tenants_keep_apart() -> None:
    assert Site("rival", "branch-1", "S9", "routed", "10.1.0.1/24").id != ONE.id


def test_the_yang_modules_accept_every_translation() -> None:
    schema = pytest.importorskip("yangkit.schema", reason="libyang is in the tools image only")
    features = ("cloud-access", "ipv4", "ipv6", "lan-tag")
    wanted = [schema.Module("ietf-l3vpn-svc", features), schema.Module("elasticlab-access")]
    loaded = schema.Schema([Path(__file__).parents[3] / "models" / "yang"], wanted)
    loaded.validate(sdno.tree(ordered.change([], SITES, [INTERNET, MESH], [])))


def test_the_controller_understands_every_translation() -> None:
    """The two meet at the service model only; here the other side reads it with its own eyes."""
    pytest.importorskip("_libyang", reason="libyang is in the tools image only")
    intent = pytest.importorskip("controller.service.intent")
    found = intent.parse(sdno.tree(ordered.change([], SITES, [INTERNET, MESH], [])))
    assert len(found.sites) == 2
