"""What can be said of a site and of a cloud: translated as RFC 8299 and elasticlab-access have it, or refused by the
pointer of its member before anything is reserved; and what is secret stays so.
"""

import asyncio
import ipaddress
import random
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from gro import ordered, sdno, site_rules
from gro.ordered import Service, Site

from tests.unit.gro.test_orders import S, V, add, services, site

ORDERING = "/tmf-api/serviceOrdering/v4"
KEY = "a-key-that-is-'nobodys'-<business>&-1"
CLOUD = {"gateway": "192.0.2.9", "identity": "vpc.example", "remotePrefixes": ["10.100.0.0/16"]}
RULES = [
    {"name": "voice", "dscp": 46, "action": "pop"},
    {"name": "web", "protocol": "tcp", "destination": "198.51.100.0/24", "destinationPort": "8000-8100",
     "action": "local"},
    {"name": "ping6", "protocol": "icmp", "source": "2001:db8:1::/64", "action": "local"},
    {"name": "dns", "protocol": "udp", "sourcePort": "53", "action": "pop"},
]  # fmt: skip


def bridged(number: int, **more: Any) -> dict[str, Any]:
    return site(number, access="bridged", **more)


def dc(item: str = "1", sites: list[Any] | None = None, **cloud: Any) -> dict[str, Any]:
    characteristics = [
        {"name": "sites", "value": [site(1)] if sites is None else sites},
        {"name": "cloud", "value": {**CLOUD, **cloud}},
    ]
    service = {"serviceSpecification": {"id": "site-to-dc"}, "serviceCharacteristic": characteristics}
    return {"id": item, "action": "add", "service": service}


# -- translation --


def access(value: dict[str, Any]) -> dict[str, Any]:
    instance = sdno.site(Site.of("acme", value, "ucpe-1"), ["aaaa"])
    return instance["site-network-accesses"]["site-network-access"][0]  # type: ignore[no-any-return]


def test_dhcp_is_the_providers_and_its_range_explicit() -> None:
    found = access(site(1, dhcp={"start": "10.1.0.100", "end": "10.1.0.199"}))["ip-connection"]["ipv4"]
    group = {"group-id": "lan", "start-address": "10.1.0.100", "end-address": "10.1.0.199"}
    assert found == {
        "address-allocation-type": "ietf-l3vpn-svc:provider-dhcp",
        "provider-dhcp": {
            "provider-address": "10.1.0.1", "prefix-length": 24, "customer-addresses": {"address-group": [group]}
        },
    }  # fmt: skip


def test_stations_make_ipv6_addresses_where_they_can() -> None:
    found = access(site(1, gateway6="2001:db8:1::1/64"))["ip-connection"]["ipv6"]
    addresses = {"provider-address": "2001:db8:1::1", "prefix-length": 64}
    assert found == {"address-allocation-type": "ietf-l3vpn-svc:slaac", "elasticlab-access:slaac": addresses}
    found = access(site(1, gateway6="2001:db8:1::1/112"))["ip-connection"]["ipv6"]
    addresses = {"provider-address": "2001:db8:1::1", "prefix-length": 112}
    assert found == {"address-allocation-type": "ietf-l3vpn-svc:static-address", "addresses": addresses}


def test_rules_of_local_internet_access_keep_their_order_and_say_the_same() -> None:
    found = access(site(1, localInternet={"default": "pop", "rules": RULES}))["elasticlab-access:access"]
    assert found["local-internet"] == {
        "default": "pop",
        "rule": [
            {"name": "voice", "matches": {"dscp": 46}, "action": "pop"},
            {"name": "web", "action": "local", "matches": {
                "protocol": 6, "destination-prefix": "198.51.100.0/24",
                "destination-port": {"lower-port": 8000, "upper-port": 8100}}},
            {"name": "ping6", "matches": {"protocol": 58, "source-prefix": "2001:db8:1::/64"}, "action": "local"},
            {"name": "dns", "matches": {"protocol": 17, "source-port": {"lower-port": 53}}, "action": "pop"},
        ],
    }  # fmt: skip


def test_what_would_be_so_anyway_is_not_said_to_the_network() -> None:
    plain = access(site(1))
    assert access(site(1, encapsulation="gre", transport="ipsec")) == plain
    assert access(site(1, encapsulation="none"))["elasticlab-access:access"]["encapsulation"] == "none"
    assert access(bridged(1, transport="private-line"))["elasticlab-access:access"]["transport"] == "private-line"


@pytest.fixture
def everything() -> dict[str, Any]:
    """A change in which every characteristic occurs."""
    values = [
        site(1, gateway6="2001:db8:1::1/64", encapsulation="none", dns={"domain": "b", "forwarders": ["9.9.9.9"]},
             dhcp={"start": "10.1.0.100", "end": "10.1.0.199"}, localInternet={"default": "pop", "rules": RULES}),
        bridged(2, vlan=7, transport="private-line", dns={}),
        site(3, localInternet={}),
    ]  # fmt: skip
    sites = {value["name"]: Site.of("acme", value, f"ucpe-{n}") for n, value in enumerate(values)}
    more = {"ikeMode": "ikev1-aggressive", "allowInsecureAggressive": True, "localPrefixes": ["10.1.0.0/24"]}
    made = [
        Service("aaaa", "acme", True, ("branch-1",)),
        Service("bbbb", "acme", False, ("branch-1", "branch-2"), direct_paths=True),
        Service("cccc", "acme", False, ("branch-1", "branch-3"), cloud={**CLOUD, **more}, shared_key=KEY),
    ]
    return sdno.tree(ordered.change([], sites, made, []))


def test_the_yang_modules_accept_every_characteristic(everything: dict[str, Any]) -> None:
    schema = pytest.importorskip("yangkit.schema", reason="libyang is in the tools image only")
    features = ("cloud-access", "ipv4", "ipv6", "lan-tag")
    wanted = [schema.Module("ietf-l3vpn-svc", features), schema.Module("elasticlab-access")]
    schema.Schema([Path(__file__).parents[3] / "models" / "yang"], wanted).validate(everything)
    (_, mesh, cloud) = everything["ietf-l3vpn-svc:l3vpn-svc"]["vpn-services"]["vpn-service"]
    assert mesh["elasticlab-access:direct-paths"] is True
    (found,) = cloud["cloud-accesses"]["cloud-access"]
    assert found == {
        "cloud-identifier": "vpc",
        "elasticlab-access:gateway": {
            "address": "192.0.2.9", "identity": "vpc.example", "ike-mode": "ikev1-aggressive", "shared-key": KEY,
            "allow-insecure-aggressive": True, "local-prefix": ["10.1.0.0/24"], "remote-prefix": ["10.100.0.0/16"],
        },
    }  # fmt: skip


# -- refusals --


def rule(**more: Any) -> dict[str, Any]:
    return {"name": "r", "action": "local", **more}


def local(*rules: Any) -> dict[str, Any]:
    return site(1, localInternet={"rules": list(rules)})


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (site(1, vlan=7), "/vlan"),
        (bridged(1, encapsulation="gre"), "/encapsulation"),
        (bridged(1, encapsulation="none"), "/encapsulation"),
        (site(1, encapsulation="vxlan"), "/encapsulation"),
        (site(1, encapsulation="ip"), "/encapsulation"),
        (site(1, transport="private-line"), "/transport"),
        (bridged(1, transport="private-line", port="line"), "/port"),
        (bridged(1, localInternet={}), "/localInternet"),
        (site(1, gateway6="2001:db8::/64"), "/gateway6"),
        (site(1, gateway6="fe80::1/64"), "/gateway6"),
        (site(1, gateway6="::ffff:10.0.0.1/120"), "/gateway6"),
        (site(1, gateway6="10.1.0.1/24"), "/gateway6"),
        (site(1, gateway6="2001:db8::1/127"), "/gateway6"),
        (site(1, gateway6="2001:db8::1/31"), "/gateway6"),
        (site(1, gateway6="fec0::1/64"), "/gateway6"),
        (site(1, gateway="10.1.0.0/31"), "/gateway"),
        (site(1, gateway="10.1.0.1/32"), "/gateway"),
        (site(1, gateway="10.1.0.1/7"), "/gateway"),
        (site(1, gateway="240.0.0.1/24"), "/gateway"),
        (site(1, gateway="0.1.2.3/24"), "/gateway"),
        (site(1, gateway="169.254.1.1/24"), "/gateway"),
        (site(1, name="branch-1\n"), "/name"),
        (site(1, gateway="10.1.0.1/24\n"), "/gateway"),
        (site(1, dhcp={"start": "10.1.0.100"}), "/dhcp"),
        (site(1, dhcp={"start": "10.1.0.100", "end": "10.1.1.5"}), "/dhcp/end"),
        (site(1, dhcp={"start": "10.1.0.100", "end": "10.1.0.255"}), "/dhcp/end"),
        (site(1, dhcp={"start": "10.1.0.100", "end": "10.1.0.99"}), "/dhcp/end"),
        (site(1, dhcp={"start": "10.1.0.0", "end": "10.1.0.99"}), "/dhcp/start"),
        (site(1, dhcp={"start": "10.1.0.1", "end": "10.1.0.99"}), "/dhcp/start"),
        (site(1, dns={"domain": "Not A Domain"}), "/dns/domain"),
        (site(1, dns={"forwarders": ["dns.example"]}), "/dns/forwarders/0"),
        (site(1, dns={"forwarders": ["9.9.9.9", "9.9.9.9"]}), "/dns/forwarders"),
        (site(1, localInternet={"default": "moon"}), "/localInternet/default"),
        (local(rule(), rule()), "/localInternet/rules/1/name"),
        (local({"name": "r"}), "/localInternet/rules/0"),
        (local(rule(source="10.1.0.1/24")), "/localInternet/rules/0/source"),
        (local(rule(source="10.1.0.0/24", destination="2001:db8::/32")), "/localInternet/rules/0/destination"),
        (local(rule(destinationPort="443")), "/localInternet/rules/0/destinationPort"),
        (local(rule(protocol="icmp", sourcePort="443")), "/localInternet/rules/0/sourcePort"),
        (local(rule(protocol="tcp", sourcePort="443-80")), "/localInternet/rules/0/sourcePort"),
        (local(rule(protocol="tcp", sourcePort="70000")), "/localInternet/rules/0/sourcePort"),
        (local(rule(protocol="smtp")), "/localInternet/rules/0/protocol"),
        (local(rule(dscp=64)), "/localInternet/rules/0/dscp"),
        (local(rule(colour="red")), "/localInternet/rules/0"),
        (local(rule(name="r\n")), "/localInternet/rules/0/name"),
    ],
)
async def test_a_bad_site_is_refused_by_the_pointer_of_its_member(gro: Any, value: Any, place: str) -> None:
    answer = await gro.order(add("1", "Site to Internet", value))
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, V + place), answer.text
    assert (await gro.call("GET", "/sites")).json() == []


C = f"{S}/serviceCharacteristic/1/value"


@pytest.mark.parametrize(
    ("item", "pointer"),
    [
        (dc(sites=[]), V),
        (dc(gateway="vpc.example"), f"{C}/gateway"),
        (dc(identity=""), f"{C}/identity"),
        (dc(identity="GW_Bad"), f"{C}/identity"),
        (dc(identity="VPC.example"), f"{C}/identity"),
        (dc(identity="vpc"), f"{C}/identity"),
        (dc(identity="192.0.2.9"), f"{C}/identity"),
        (dc(identity="elasticlab.example", sharedKey=KEY), f"{C}/identity"),
        (dc(identity="cloud-1.vmsr-1.elasticlab.example"), f"{C}/identity"),
        (dc(identity="cloud-1.vmsr-1.elasticlab.example", sharedKey=KEY), f"{C}/identity"),
        (dc(ikeMode="ikev3"), f"{C}/ikeMode"),
        (dc(ikeMode="ikev1-aggressive", sharedKey=KEY), f"{C}/ikeMode"),
        (dc(remotePrefixes=[]), f"{C}/remotePrefixes"),
        (dc(remotePrefixes=["10.1.0.0/16"]), f"{C}/remotePrefixes/0"),
        (dc(remotePrefixes=["10.100.0.0/16", "10.100.1.0/24"]), f"{C}/remotePrefixes/1"),
        (dc(remotePrefixes=["2001:db8::/32"]), f"{C}/remotePrefixes/0"),
        (dc(remotePrefixes=["10.100.0.0/16", "127.0.0.0/8"]), f"{C}/remotePrefixes/1"),
        (dc(remotePrefixes=["0.0.0.0/0"]), f"{C}/remotePrefixes/0"),
        (dc(localPrefixes=["10.1.0.0/24"], remotePrefixes=["10.0.0.0/8"]), f"{C}/remotePrefixes/0"),
        (
            dc(sites=[site(1, gateway6="2001:db8:1::1/64")], localPrefixes=["10.1.0.0/24", "2001:db8:1::/64"]),
            f"{C}/localPrefixes/1",
        ),
        (dc(localPrefixes=["10.9.0.0/16"]), f"{C}/localPrefixes/0"),
        (dc(localPrefixes=["10.1.0.5/24"]), f"{C}/localPrefixes/0"),
    ],
)
async def test_a_bad_cloud_is_refused_by_the_pointer_of_its_member(gro: Any, item: Any, pointer: str) -> None:
    answer = await gro.order(item)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, pointer), answer.text


@pytest.mark.parametrize(
    ("identity", "key"),
    [("gw.vpc.example", {}), ("vpcgw-1.elasticlab.example", {}), ("192.0.2.9", {"sharedKey": KEY}),
     ("2001:db8::9", {"sharedKey": KEY}), ("notelasticlab.example", {})],
)  # fmt: skip
async def test_an_identity_is_a_name_or_with_a_key_an_address(gro: Any, identity: str, key: dict[str, Any]) -> None:
    """Of the operator's domain only that of a device, which the operator's own gateways are."""
    done = await gro.finished(await gro.order(dc(identity=identity, **key)))
    assert done["state"] == "completed", done


async def test_what_is_no_lan_is_told_with_what_would_be(gro: Any) -> None:
    refused = await gro.order(add("1", "Site to Internet", site(1, gateway="10.1.0.1/31")))
    assert refused.json()["detail"] == "10.1.0.0/31 is no LAN: give a prefix of /8 to /30"
    refused = await gro.order(add("1", "Site to Internet", site(1, gateway="10.1.0.255/24")))
    assert refused.json()["detail"] == "10.1.0.255 is no host of 10.1.0.0/24: give 10.1.0.1, for example"


async def test_clouds_and_sites_of_a_tenant_do_not_share_addresses(gro: Any) -> None:
    await gro.finished(await gro.order(dc()))
    again = await gro.order(dc(sites=[site(2)], remotePrefixes=["10.100.7.0/24"]))
    assert again.json()["errors"][0]["pointer"] == f"{C}/remotePrefixes/0"
    inside = await gro.order(add("1", "Site to Internet", site(2, gateway="10.100.7.1/24")))
    assert inside.json()["errors"][0]["pointer"] == f"{V}/gateway"


async def test_to_leave_at_the_pop_needs_the_internet_there(gro: Any) -> None:
    split = {"default": "local", "rules": [RULES[0]]}
    mesh = add("1", "Site to Site", [site(1, localInternet=split), site(2)])
    refused = await gro.order(mesh)
    assert refused.json()["errors"][0]["pointer"] == f"{V}/0/localInternet"
    done = await gro.finished(await gro.order(mesh, add("2", "Site to Internet", {"name": "branch-1"})))
    assert done["state"] == "completed", done
    internet = next(one for one in await services(gro) if one["serviceSpecification"]["id"] == "site-to-internet")
    alone = await gro.order({"id": "1", "action": "delete", "service": {"id": internet["id"]}})
    assert (alone.status_code, alone.json()["errors"][0]["pointer"]) == (400, f"{S}/id")
    ends = [{"id": one["id"], "action": "delete", "service": {"id": one["id"]}} for one in await services(gro)]
    assert (await gro.finished(await gro.order(*ends)))["state"] == "completed"


# -- several sites a device --


async def test_a_device_serves_several_sites_of_a_tenant(gro: Any) -> None:
    sites = [
        site(1),
        bridged(2, device="S1", port="lan2"),
        bridged(3, device="S1", port="lan2", vlan=7),
        bridged(4, device="S1", port="lan3", vlan=7),
    ]
    done = await gro.finished(await gro.order(add("1", "Site to Site", sites)))
    assert done["state"] == "completed", done
    more = bridged(5, device="S1", port="lan3", vlan=8)
    assert (await gro.finished(await gro.order(add("1", "Site to Internet", more))))["state"] == "completed"
    assert {one["device"] for one in (await gro.call("GET", "/sites")).json()} == {"S1"}
    first, second = await services(gro)
    ended = await gro.finished(await gro.order({"id": "1", "action": "delete", "service": {"id": first["id"]}}))
    assert ended["state"] == "completed"
    assert [one["name"] for one in (await gro.call("GET", "/sites")).json()] == ["branch-5"], "each for itself"
    assert gro.network.controller.ordered == {"vpns": {second["id"]}, "sites": {"acme.branch-5"}}


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (site(3, device="S1", port="lan3"), "/device"),
        (bridged(3, device="S1", port="lan2"), "/port"),
        (bridged(3, device="S1", port="lan3", vlan=7), "/vlan"),
        (bridged(3, device="S1", vlan=7), "/port"),
    ],
)
async def test_a_place_at_a_device_is_one_sites(gro: Any, value: dict[str, Any], place: str) -> None:
    """Held or not: who has ordered it first has it, until it is cancelled."""
    await gro.network.unplug_all()
    sites = [site(1), bridged(2, device="S1", port="lan2"), bridged(4, device="S1", port="lan3", vlan=7)]
    held = await gro.order(add("1", "Site to Site", sites))
    await gro.until(held, "held")
    refused = await gro.order(add("1", "Site to Internet", value))
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, V + place)
    rivals = await gro.order(add("1", "Site to Internet", value), tenant="rival")
    assert rivals.status_code == 201, "of what others have ordered nobody learns"
    await gro.call("POST", f"{ORDERING}/cancelServiceOrder", {"serviceOrder": {"id": held.json()["id"]}})
    await gro.finished(held)
    assert (await gro.order(add("1", "Site to Internet", value))).status_code == 201


async def test_of_two_orders_for_a_port_at_once_one_has_it(gro: Any) -> None:
    wishes = [add("1", "Site to Internet", bridged(number, device="S1", vlan=7)) for number in range(1, 9)]
    answers = await asyncio.gather(*map(gro.order, wishes))
    assert sorted(answer.status_code for answer in answers) == [201, *[400] * 7]
    (made,) = (answer for answer in answers if answer.status_code == 201)
    await gro.finished(made)


# -- clouds and plans --


async def test_an_order_of_a_cloud_waits_until_it_is_reached_and_until_it_is_gone(gro: Any) -> None:
    network = gro.network.controller
    network.cloud_state = "down"
    order = await gro.order(dc())
    waiting = await gro.until(order, "inProgress", "verify", "held")
    service = order.json()["serviceOrderItem"][0]["service"]["id"]
    assert waiting["milestone"][-1]["message"] == f"the cloud of service {service} is down"
    network.cloud(service, "up")
    done = await gro.finished(order)
    assert done["milestone"][3]["evidence"][f"cloud of {service}"] == {"state": "up"}
    end = await gro.order({"id": "1", "action": "delete", "service": {"id": service}})
    await gro.until(end, "inProgress", "verify", "held")
    network.cloud_gone(service)
    assert (await gro.finished(end))["state"] == "completed"


async def test_a_cloud_that_cannot_be_fails_its_order_and_leaves_nothing(gro: Any) -> None:
    network = gro.network.controller
    network.cloud_state = "failed"
    failed = await gro.finished(await gro.order(dc(sharedKey=KEY)))
    assert (failed["state"], network.ordered) == ("failed", {"vpns": set(), "sites": set()})
    assert "the cloud of service" in failed["errorMessage"][0]["reason"]


async def test_a_plan_passes_on_what_the_controller_notes(gro: Any) -> None:
    note = {"site": "acme.branch-1", "peer": "acme.branch-2", "text": "both behind NAT: relayed by the POP"}
    gro.network.controller.notes = [note]
    mesh = add("1", "Site to Site", [site(1), site(2)])
    mesh["service"]["serviceCharacteristic"].append({"name": "directPaths", "value": True})
    plan = (await gro.call("POST", f"{ORDERING}/orderPlan", {"serviceOrderItem": [mesh]})).json()
    assert plan["note"] == [note]
    (vpn,) = (
        edit["value"]["ietf-l3vpn-svc:vpn-service"][0] for edit in plan["intent"] if "vpn-service=" in edit["target"]
    )
    assert vpn["elasticlab-access:direct-paths"] is True


# -- secrets --


async def test_a_shared_key_goes_to_the_controller_and_to_nobody_else(gro: Any, tmp_path: Path, caplog: Any) -> None:
    caplog.set_level("DEBUG")
    for api in ("serviceOrdering", "serviceInventory"):
        await gro.call("POST", f"/tmf-api/{api}/v4/hub", {"callback": gro.listener.url})
    order = dc(sharedKey=KEY)
    planned = await gro.call("POST", f"{ORDERING}/orderPlan", {"serviceOrderItem": [order]})
    assert planned.status_code == 200
    assert "nobodys" in str(gro.network.controller.plans), "the plan is of what would be"
    made = await gro.order(order)
    done = await gro.finished(made)
    assert done["state"] == "completed", done
    (vpn,) = gro.network.controller.intent["vpn-services"]["vpn-service"]
    assert vpn["cloud-accesses"]["cloud-access"][0]["elasticlab-access:gateway"]["shared-key"] == KEY
    told = await gro.listener.until("completed")
    (service,) = await services(gro)
    shown = [planned.text, made.text, str(done), str(told), str(service), caplog.text]
    shown += [(await gro.call("GET", path, tenant=None)).text for path in (
        f"{ORDERING}/serviceOrder", f"{made.json()['href']}/events", "/sites", service["href"])]  # fmt: skip
    shown += [str(record) for record in gro.desk.engine.journal.records(made.json()["id"])]
    assert not [text for text in shown if KEY in text or "nobodys" in text]
    assert service["serviceCharacteristic"][1]["value"] == CLOUD
    assert (tmp_path / "gro.sqlite").stat().st_mode & 0o777 == 0o600

    end = {"id": "1", "action": "delete", "service": {**order["service"], "id": service["id"]}}
    deleted = await gro.order(end)
    assert KEY not in deleted.text, "nor what somebody repeats"
    assert (await gro.finished(deleted))["state"] == "completed"
    with sqlite3.connect(tmp_path / "gro.sqlite") as connection:
        assert connection.execute("SELECT DISTINCT secret FROM service").fetchall() == [(None,)]


@pytest.mark.parametrize("key", ["too-short-and-secret", "secret blanks are not accepted", "secret" * 50, 424242, {}])
async def test_a_refused_key_is_in_no_text(gro: Any, key: Any) -> None:
    key = key[:12] if key == "too-short-and-secret" else key
    refused = await gro.order(dc(sharedKey=key))
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, f"{C}/sharedKey")
    assert str(key) not in refused.text or key == {}
    odd = dc()
    odd["service"]["serviceCharacteristic"][1]["value"] = [{"sharedKey": KEY}]
    refused = await gro.order(odd)
    assert (refused.status_code, KEY in refused.text) == (400, False)


async def test_a_controller_that_repeats_a_key_is_not_repeated(gro: Any) -> None:
    gro.network.controller.refusal = f"invalid value {KEY!r} of shared-key"
    failed = await gro.finished(await gro.order(dc(sharedKey=KEY)))
    assert failed["state"] == "failed"
    assert "invalid value" in failed["errorMessage"][0]["reason"]
    assert "nobodys" not in str(failed)


def test_overlaps_are_those_that_comparing_each_with_each_finds() -> None:
    chance = random.Random(20261121)
    for _ in range(50):
        prefixes = [ipaddress.ip_network((chance.getrandbits(5) << 27, chance.randint(2, 5)), strict=False)
                    for _ in range(8)]  # fmt: skip
        sites = {
            f"s{n}": Site.of("acme", bridged(1, name=f"s{n}", device=f"D{n}", gateway=f"{one[1]}/{one.prefixlen}"))
            for n, one in enumerate(prefixes)
        }
        fresh = dict(list(sites.items())[4:])
        others = [site for name, site in sites.items() if name not in fresh]
        found = {name for name, _ in site_rules.neighbours(fresh, others)}
        before = list(others)
        wanted = set()
        for name, one in fresh.items():
            if any(one.network.overlaps(other.network) for other in before):
                wanted.add(name)
            before.append(one)
        assert found == wanted


async def test_a_thousand_sites_are_checked_in_no_time(gro: Any) -> None:
    sites = [
        site(1, name=f"s{n}", device=f"D{n}", gateway=f"10.{n // 250}.{n % 250}.1/24", gateway6=f"2001:db8:{n:x}::1/64")
        for n in range(1000)
    ]
    sites[-1]["gateway"] = sites[0]["gateway"]
    begun = time.monotonic()
    refused = await gro.order(add("1", "Site to Site", sites))
    assert refused.json()["errors"][0]["pointer"] == f"{V}/999/gateway"
    assert time.monotonic() - begun < 10, "all of it; comparing each with each takes minutes"
