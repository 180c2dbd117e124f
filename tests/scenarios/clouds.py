"""The cloud platform's part, done by tests over the gateway's own NETCONF: who gets which private network, and who may
call for it. What the gateway must know of the POP is read off the controller, as a platform would.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from harness.lab import Lab
from harness.lab.netconf import session
from harness.orchestrator.client import Orchestrator
from harness.wait import wait_for
from tests.scenarios.buying import Shop, items, service

Json = Any

GATEWAY = "vpcgw-1"
#: The name in its certificate.
NAME = "vpcgw-1.elasticlab.example"
NETWORK = "/restconf/data/elasticlab-network:network"


@dataclass(frozen=True)
class Cloud:
    """A tenant's private network: the gateway's address for it, the port it is at, and how its tunnel is proved."""

    tenant: str
    number: int
    """Tells tenants apart on the gateway: port `lanN`, tunnel interface N, tenant N."""
    address: str
    mode: str = "ikev2"
    key: str | None = None
    network: str = "172.16.0"
    """Of the hosts, whose gateway is .1."""

    @property
    def identity(self) -> str:
        """With a certificate the name in it; with a key the address that is called."""
        return NAME if self.key is None else self.address

    def characteristic(self, **more: Json) -> Json:
        """What is ordered at the GRO."""
        found = {
            "gateway": self.address,
            "identity": self.identity,
            "ikeMode": self.mode,
            "remotePrefixes": [f"{self.network}.0/24"],
        }
        if self.key is not None:
            found["sharedKey"] = self.key
        if self.mode == "ikev1-aggressive" and self.key is not None:
            found["allowInsecureAggressive"] = True
        return found | more


def accesses(far: Orchestrator) -> dict[str, Json]:
    """The controller's cloud accesses, by the gateway's prefixes and VPN."""
    content = far.call("controller", "GET", NETWORK).json()["elasticlab-network:network"]
    return {one["vpn-id"]: one for one in content.get("cloud", [])}


def until_asked(far: Orchestrator, count: int = 1) -> list[Json]:
    """The ends of so many accesses, once the controller has them: the platform learns whom to expect."""

    def there() -> bool:
        found = [one for one in accesses(far).values() if one.get("end")]
        return len(found) == count

    wait_for("the controller tells who will call the gateway", there, 30)
    return [end for _, one in sorted(accesses(far).items()) for end in one["end"]]


@contextmanager
def serving(lab: Lab, *clouds: tuple[Cloud, Json]) -> Iterator[None]:
    """The gateway answers for these clouds and ends while the context lasts."""
    asyncio.run(_change(lab, _config(clouds, "merge")))
    try:
        yield
    finally:
        asyncio.run(_change(lab, _config(clouds, "remove")))


def to_cloud(cloud: Cloud, *sites: Json, **more: Json) -> Json:
    return service("site-to-dc", sites=list(sites), cloud=cloud.characteristic(**more))


@contextmanager
def connected(lab: Lab, shop: Shop, *wanted: tuple[Cloud, Json]) -> Iterator[None]:
    """Tenants order their clouds; the platform lets the POP in; the orders are completed."""
    orders = []
    with ExitStack() as stack:
        for number, (cloud, ordered) in enumerate(wanted, 1):
            body = items(ordered)
            orders.append((cloud.tenant, shop.life.post(body, cloud.tenant)))
            until_asked(shop.far, number)
        ends = until_asked(shop.far, len(wanted))
        pairs = []
        for cloud, _ in wanted:
            own = [vpn for vpn in accesses(shop.far) if _customer(shop, vpn) == cloud.tenant]
            pairs.append((cloud, next(accesses(shop.far)[vpn]["end"][0] for vpn in own)))
        assert len(ends) == len(pairs)
        stack.enter_context(serving(lab, *pairs))
        ids = {}
        for tenant, order in orders:
            document = shop.life.completed(order, 90)
            ids[tenant] = [item["service"]["id"] for item in document["serviceOrderItem"]]
        with lab.watched():
            yield
        for tenant, of_tenant in ids.items():
            shop.end(tenant, of_tenant)


def _customer(shop: Shop, vpn: str) -> str:
    """Whose VPN it is."""
    tree = shop.far.call("controller", "GET", "/restconf/data/ietf-l3vpn-svc:l3vpn-svc/vpn-services").json()
    services = tree["ietf-l3vpn-svc:vpn-services"]["vpn-service"]
    return str(next(one["customer-name"] for one in services if one["vpn-id"] == vpn))


async def _change(lab: Lab, config: str) -> None:
    client = await session(lab, GATEWAY)
    try:
        await client.edit_config(config)
        await client.commit()
    finally:
        await client.close()


def _config(clouds: Sequence[tuple[Cloud, Json]], operation: str) -> str:
    """Tenants, ports, tunnel interfaces, and connections; to be merged or removed."""
    mark = f'xmlns:nc="urn:ietf:params:xml:ns:netconf:base:1.0" nc:operation="{operation}"'
    tenants = "".join(
        f"<tenant {mark}><name>{c.tenant}</name>"
        + (f"<id>{c.number}</id>" if operation == "merge" else "")
        + "</tenant>"
        for c, _ in clouds
    )
    ports = "".join(_interfaces(cloud, mark, operation == "merge") for cloud, _ in clouds)
    # One entry for who has a certificate, whatever it is used for.
    pad = dict(entry for cloud, end in clouds for entry in _pad(cloud, end, mark, operation == "merge"))
    connections = "".join(_connection(cloud, end, mark, operation == "merge") for cloud, end in clouds)
    length = "<prefix-length>32</prefix-length>" if operation == "merge" else ""
    addresses = "".join(f"<address {mark}><ip>{c.address}</ip>{length}</address>" for c, _ in clouds)
    return (
        f'<tenants xmlns="urn:elasticlab:yang:elasticlab-tenant">{tenants}</tenants>'
        '<interfaces xmlns="urn:ietf:params:xml:ns:yang:ietf-interfaces"'
        ' xmlns:ianaift="urn:ietf:params:xml:ns:yang:iana-if-type" xmlns:ipsec="urn:elasticlab:yang:elasticlab-ipsec">'
        f'<interface><name>wan</name><ipv4 xmlns="urn:ietf:params:xml:ns:yang:ietf-ip">{addresses}</ipv4></interface>'
        f"{ports}</interfaces>"
        f'<ipsec xmlns="urn:elasticlab:yang:elasticlab-ipsec"><pad>{"".join(pad.values())}</pad>{connections}</ipsec>'
    )


def _interfaces(cloud: Cloud, mark: str, merge: bool) -> str:
    names = f"lan{cloud.number}", f"ipsec-{cloud.number}"
    if not merge:
        return "".join(f"<interface {mark}><name>{name}</name></interface>" for name in names)
    tenant = f'<tenant xmlns="urn:elasticlab:yang:elasticlab-tenant">{cloud.tenant}</tenant>'
    ip = 'ipv4 xmlns="urn:ietf:params:xml:ns:yang:ietf-ip"'
    address = f"<address><ip>{cloud.network}.1</ip><prefix-length>24</prefix-length></address>"
    return (
        f"<interface><name>{names[0]}</name><type>ianaift:ethernetCsmacd</type>{tenant}"
        f"<{ip}><forwarding>true</forwarding>{address}</ipv4></interface>"
        f"<interface><name>{names[1]}</name><type>ipsec:ipsec-tunnel</type>{tenant}"
        '<mtu xmlns="urn:elasticlab:yang:elasticlab-interface">1438</mtu>'
        f"<{ip}><forwarding>true</forwarding></ipv4>"
        f'<ipsec-tunnel xmlns="urn:elasticlab:yang:elasticlab-ipsec"><if-id>{cloud.number}</if-id></ipsec-tunnel>'
        "</interface>"
    )


def _names(cloud: Cloud) -> tuple[str, str]:
    if cloud.key is None:
        return "self", "pop"
    return f"self-{cloud.number}", f"pop-{cloud.number}"


def _pad(cloud: Cloud, end: Json, mark: str, merge: bool) -> Iterator[tuple[str, str]]:
    own, peer = _names(cloud)
    if not merge:
        for name in (own, peer):
            yield name, f"<pad-entry {mark}><name>{name}</name></pad-entry>"
        return
    proof = "<certificate>ike</certificate>" if cloud.key is None else ""
    shared = "" if cloud.key is None else f"<pre-shared><secret>{cloud.key}</secret></pre-shared>"
    yield own, f"<pad-entry><name>{own}</name><identity>{cloud.identity}</identity>{proof}</pad-entry>"
    yield peer, f"<pad-entry><name>{peer}</name><identity>{end['identity']}</identity>{shared}</pad-entry>"


def _connection(cloud: Cloud, end: Json, mark: str, merge: bool) -> str:
    if not merge:
        return f"<conn-entry {mark}><name>cloud-{cloud.number}</name></conn-entry>"
    own, peer = _names(cloud)
    insecure = cloud.mode == "ikev1-aggressive" and cloud.key is not None
    local = "".join(f"<local-prefix>{prefix}</local-prefix>" for prefix in end["remote-prefix"])
    remote = "".join(f"<remote-prefix>{prefix}</remote-prefix>" for prefix in end["local-prefix"])
    return (
        f"<conn-entry><name>cloud-{cloud.number}</name><ike-mode>{cloud.mode}</ike-mode>"
        f"<allow-insecure-aggressive>{str(insecure).lower()}</allow-insecure-aggressive><unique>never</unique>"
        f"<local><local-pad-entry-name>{own}</local-pad-entry-name><address>{cloud.address}</address></local>"
        f"<remote><remote-pad-entry-name>{peer}</remote-pad-entry-name></remote>"
        f"<spd><spd-entry><name>flow</name><interface>ipsec-{cloud.number}</interface>{local}{remote}</spd-entry></spd>"
        "</conn-entry>"
    )
