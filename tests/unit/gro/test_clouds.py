"""Clouds among all that a tenant has: no address at two places, no flow that is of no site, and no end of checking."""

import ipaddress
import random
import time
from typing import Any

from gro import cloud_rules
from gro.ordered import Service, Site

from tests.unit.gro.test_characteristics import CLOUD, bridged, dc
from tests.unit.gro.test_modify import bought, modify
from tests.unit.gro.test_orders import ORDERING, V, add, site


def at(item: int, characteristic: int = 1) -> str:
    return f"/serviceOrderItem/{item}/service/serviceCharacteristic/{characteristic}/value"


def pointer(answer: Any) -> str:
    assert answer.status_code == 400, answer.text
    found: str = answer.json()["errors"][0]["pointer"]
    return found


def many(number: int, prefixes: int) -> list[dict[str, Any]]:
    """So many orders of a cloud with so many prefixes, all at one site."""
    sites: list[Any] = [{"name": "branch-1"}]
    remote = [[f"172.{16 + n // 100}.{n % 100 * 2}.{one}/32" for one in range(prefixes)] for n in range(number)]
    return [dc(str(n), sites if n else [site(1)], remotePrefixes=found) for n, found in enumerate(remote)]


async def test_a_tenant_has_no_clouds_without_end(gro: Any) -> None:
    first, *_ = await bought(gro, *many(cloud_rules.MOST, 1))
    one_more = dc("1", [{"name": "branch-1"}], remotePrefixes=["172.30.0.0/24"])
    refused = await gro.order(one_more)
    assert (pointer(refused), "at most 16" in refused.text) == (at(0), True)
    end = {"id": "2", "action": "delete", "service": {"id": first}}
    assert (await gro.finished(await gro.order(one_more, end)))["state"] == "completed", "one comes, one goes"
    assert (await gro.order(dc("1", [site(2)]), tenant="rival")).status_code == 201, "of others nobody learns"


async def test_many_clouds_with_many_prefixes_are_checked_in_no_time(gro: Any) -> None:
    begun = time.monotonic()
    body = {"serviceOrderItem": many(cloud_rules.MOST, 100)}
    plan = await gro.call("POST", f"{ORDERING}/orderPlan", body)
    assert plan.status_code == 200
    gateways = [f"10.{n // 250}.{n % 250}.1/24" for n in range(1000)]
    sites = {f"s{n}": Site.of("acme", site(1, name=f"s{n}", gateway=one)) for n, one in enumerate(gateways)}
    local = [one.replace(".1/24", ".0/25") for one in gateways[900:]]
    remote = [[f"172.{16 + n // 256}.{n % 256}.{m}/32" for m in range(100)] for n in range(300)]
    clouds = [
        Service(f"c{n}", "acme", False, tuple(sites), cloud={**CLOUD, "localPrefixes": local, "remotePrefixes": one})
        for n, one in enumerate(remote)
    ]
    assert not list(cloud_rules.clashes(cloud_rules.claims(sites.values(), clouds)))
    members = {name: [one] for name, one in sites.items()}
    assert not [fault for one in clouds[:20] for fault in cloud_rules.unserved(one, members)]
    assert not list(cloud_rules.faults(clouds[0], "elasticlab.example"))
    assert time.monotonic() - begun < 20, "all of it; comparing each with each takes minutes"


def test_clashes_are_those_that_comparing_each_with_each_finds() -> None:
    chance = random.Random(20261121)

    def prefix() -> Any:
        return ipaddress.ip_network((chance.getrandbits(6) << 26, chance.randint(3, 6)), strict=False)

    for _ in range(50):
        sites = [Site.of("acme", site(n, gateway=f"{(one := prefix())[1]}/{one.prefixlen}")) for n in range(3)]
        texts = [[str(prefix()) for _ in range(2)] for _ in range(3)]
        clouds = [Service(f"c{n}", "acme", False, (), cloud={"remotePrefixes": one}) for n, one in enumerate(texts)]
        claims = list(cloud_rules.claims(sites, clouds))
        wanted = {
            frozenset((one, other))
            for one in claims
            for other in claims
            if one[0] != other[0] and "cloud" in (one[0][0], other[0][0]) and one[1].overlaps(other[1])
        }
        assert {frozenset(pair) for pair in cloud_rules.clashes(claims)} == wanted


async def test_who_comes_later_in_an_order_is_to_blame(gro: Any) -> None:
    assert pointer(await gro.order(dc(), dc("2", [site(2)]))) == f"{at(1)}/remotePrefixes/0"
    inside = site(2, gateway="10.100.7.1/24")
    assert pointer(await gro.order(dc(), add("2", "Site to Internet", inside))) == f"{at(1, 0)}/gateway"
    assert pointer(await gro.order(add("1", "Site to Internet", inside), dc("2"))) == f"{at(1)}/remotePrefixes/0"


async def test_a_site_that_other_clouds_need_keeps_their_addresses(gro: Any) -> None:
    six = {"gateway6": "2001:db8:1::1/64"}
    away = site(1, gateway="10.77.0.1/24")
    cloud, internet, mesh = await bought(
        gro, dc(localPrefixes=["10.1.0.0/25"]), add("2", "Site to Internet", {"name": "branch-1"}),
        add("3", "Site to Site", [{"name": "branch-1"}, site(2, **six)]),
    )  # fmt: skip
    refused = await gro.order(modify(internet, site=away))
    assert (pointer(refused), cloud in refused.text) == (f"{V}/gateway", True)
    both = [modify(internet, site=away), modify(cloud, "2", cloud={**CLOUD, "localPrefixes": ["10.77.0.0/24"]})]
    done = await gro.finished(await gro.order(*both))
    assert done["state"] == "completed", done
    # The same of the family of what is beyond the tunnel.
    await bought(gro, dc("1", [{"name": "branch-2"}], remotePrefixes=["2001:db8:cafe::/48"]))
    refused = await gro.order(modify(mesh, sites=[{"name": "branch-1"}, site(2)]))
    assert pointer(refused) == f"{V}/1/gateway6"
    # And who takes a site away says which are left.
    refused = await gro.order(modify(cloud, sites=[{"name": "branch-2"}]))
    assert pointer(refused) == V


async def test_what_is_pending_may_come_or_not(gro: Any) -> None:
    cloud, internet = await bought(gro, dc(), add("2", "Site to Internet", bridged(2)))
    gro.network.controller.slow.add("acme.branch-2")
    moving = await gro.order(modify(internet, site=bridged(2, gateway="10.88.0.1/24")))
    await gro.until(moving, "inProgress", "verify", "held")
    for gateway in ("10.2.0.0/16", "10.88.0.0/16"):
        taken = await gro.order(dc("1", [site(3)], remotePrefixes=[gateway]))
        assert pointer(taken) == f"{at(0)}/remotePrefixes/0", "where the site was and where it goes"
        flow = dc("1", [{"name": "branch-2"}], remotePrefixes=["172.16.0.0/24"], localPrefixes=[gateway])
        assert pointer(await gro.order(flow)) == f"{at(0)}/localPrefixes/0"
    gro.network.controller.slow.clear()
    gro.network.controller.site("acme.branch-2", "up")
    await gro.finished(moving)
    gro.network.controller.cloud_state = "down"
    end = await gro.order({"id": "1", "action": "delete", "service": {"id": cloud}})
    await gro.until(end, "inProgress", "verify", "held")
    taken = await gro.order(dc("1", [site(3)], remotePrefixes=["10.100.1.0/24"]))
    assert pointer(taken) == f"{at(0)}/remotePrefixes/0", "its end may be called off"
    gro.network.controller.cloud_gone(cloud)
    await gro.finished(end)
    assert (await gro.order(dc("1", [site(3)], remotePrefixes=["10.100.1.0/24"]))).status_code == 201
