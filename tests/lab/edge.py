"""The box of topology `edge` with two tenants of equal addresses, configured at its console: nobody manages it."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Mapping, Sequence

from harness.lab import Lab
from harness.wait import wait_for

TENANTS = {"a": 1, "b": 2}
GATEWAY, HOST, FAR = "10.1.0.1", "10.1.0.10", "10.9.0.2"
GATEWAY_MAC = "02:e1:00:00:00:01"
WAN, ROUTER, WAN6 = "192.0.2.10", "192.0.2.1", "2001:db8:f::"
SERVERS = ("198.51.100.80", "198.51.100.81")
"""Addresses that are both in the Internet and where the tenants' routes lead; who answers says where it went."""
STARTUP = "/var/lib/element/startup.xml"
INTERNET, ROUTED = "internet", "far"

Entry = dict[str, str]
Policy = Sequence[Entry] | Mapping[str, Sequence[Entry]] | None
"""Of local breakout: that of both tenants, or each one's own; none: they have no breakout."""
_MARKS = itertools.count(random.randrange(250))
"""Each configuration has an address of its own, by which it is seen to be in force."""


def _tenant(name: str) -> str:
    return f'<tenant xmlns="urn:elasticlab:yang:elasticlab-tenant">{name}</tenant>'


def _interface(name: str, *, address: str | None, more: str = "", kind: str = "ethernetCsmacd") -> str:
    given = f"<address><ip>{address}</ip><prefix-length>24</prefix-length></address>" if address else ""
    return (
        f"<interface><name>{name}</name>"
        f'<type xmlns:i="urn:ietf:params:xml:ns:yang:iana-if-type">i:{kind}</type>'
        f'<ipv4 xmlns="urn:ietf:params:xml:ns:yang:ietf-ip"><forwarding>true</forwarding>{given}</ipv4>'
        f"{more}</interface>"
    )


def _routes(name: str, outside: Sequence[str]) -> str:
    hop = f"<next-hop><next-hop-address>{FAR}</next-hop-address></next-hop>"
    routes = f"<route><destination-prefix>0.0.0.0/0</destination-prefix>{hop}</route>"
    router = f"<next-hop-address>{ROUTER}</next-hop-address>"
    out = f"<next-hop><outgoing-interface>wan</outgoing-interface>{router}</next-hop>"
    routes += "".join(f"<route><destination-prefix>{a}/32</destination-prefix>{out}</route>" for a in outside)
    return (
        f"<control-plane-protocol><type>static</type><name>{name}</name>{_tenant(name)}<static-routes>"
        f'<ipv4 xmlns="urn:ietf:params:xml:ns:yang:ietf-ipv4-unicast-routing">{routes}</ipv4>'
        "</static-routes></control-plane-protocol>"
    )


def _policy(number: int, entry: Entry) -> str:
    """An entry from leaves of `matches` by their path, `destination-port/lower-port`, and its action."""
    inside: dict[str, str] = {}
    for path, value in entry.items():
        outer, _, inner = path.partition("/")
        inside[outer] = inside.get(outer, "") + (f"<{inner}>{value}</{inner}>" if inner else value)
    leaves = "".join(f"<{name}>{content}</{name}>" for name, content in inside.items() if name != "action")
    action = entry.get("action", "break-out")
    return f"<policy><name>{number}</name><matches>{leaves}</matches><action>{action}</action></policy>"


def _breakout(name: str, policy: Sequence[Entry]) -> str:
    entries = "".join(_policy(number, entry) for number, entry in enumerate(policy))
    inside = f"<internal-interface>lan-{name}</internal-interface>"
    return f"<breakout><tenant>{name}</tenant><external-interface>wan</external-interface>{inside}{entries}</breakout>"


def _underlay6() -> str:
    """The underlay's IPv6 default route."""
    hop = f"<next-hop><next-hop-address>{WAN6}1</next-hop-address></next-hop>"
    return (
        "<control-plane-protocol><type>static</type><name>underlay</name><static-routes>"
        '<ipv6 xmlns="urn:ietf:params:xml:ns:yang:ietf-ipv6-unicast-routing">'
        f"<route><destination-prefix>::/0</destination-prefix>{hop}</route></ipv6>"
        "</static-routes></control-plane-protocol>"
    )


def ipv6(address: str, more: str = "") -> str:
    """An interface's IPv6 with one address."""
    given = f"<address><ip>{address}</ip><prefix-length>64</prefix-length></address>"
    return f'<ipv6 xmlns="urn:ietf:params:xml:ns:yang:ietf-ip"><forwarding>true</forwarding>{given}{more}</ipv6>'


def _bridged(lan: str) -> str:
    """Tenant a's two links as one LAN, whose gateway is a bridge with these servers."""
    module = 'xmlns="urn:elasticlab:yang:elasticlab-bridge"'
    port = f"<bridge-port {module}><bridge>br</bridge></bridge-port>"
    own = f"<bridge {module}><mac-address>{GATEWAY_MAC}</mac-address></bridge>"
    ports = "".join(_interface(name, address=None, more=port) for name in ("lan-a", "far-a"))
    return ports + _interface("br", address=GATEWAY, more=own + _tenant("a") + lan, kind="bridge")


def configuration(policy: Policy, lan: str, mark: str, *, bridged: bool = False, outside: Sequence[str] = ()) -> str:
    """Two tenants, each with a LAN, a default route elsewhere and routes out by the uplink."""
    dhcp = '<dhcp xmlns="urn:elasticlab:yang:elasticlab-interface"/>'
    interfaces = _interface("wan", address=None, more=dhcp + ipv6(f"{WAN6}2")) + _interface(
        "mark", address=mark, kind="softwareLoopback"
    )
    interfaces += _bridged(lan) if bridged else ""
    apart = [name for name in TENANTS if not (bridged and name == "a")]
    for name in apart:
        interfaces += _interface(f"lan-{name}", address=GATEWAY, more=_tenant(name) + lan)
        interfaces += _interface(f"far-{name}", address="10.9.0.1", more=_tenant(name))
    tenants = "".join(f"<tenant><name>{name}</name><id>{number}</id></tenant>" for name, number in TENANTS.items())
    routes = _underlay6() + "".join(_routes(name, outside) for name in apart)
    policies = policy if isinstance(policy, Mapping) else dict.fromkeys(TENANTS, policy)
    nat = "".join(_breakout(name, own) for name, own in policies.items() if own is not None)
    return (
        '<config xmlns="urn:ietf:params:xml:ns:netconf:base:1.0">'
        f'<tenants xmlns="urn:elasticlab:yang:elasticlab-tenant">{tenants}</tenants>'
        f'<interfaces xmlns="urn:ietf:params:xml:ns:yang:ietf-interfaces">{interfaces}</interfaces>'
        '<routing xmlns="urn:ietf:params:xml:ns:yang:ietf-routing">'
        f"<control-plane-protocols>{routes}</control-plane-protocols></routing>"
        f'<nat xmlns="urn:elasticlab:yang:elasticlab-nat">{nat}</nat></config>'
    )


class Edge:
    """The box, and who stands around it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.box = lab["edge"]

    def configure(self, policy: Policy, lan: str = "", *, bridged: bool = False, outside: Sequence[str] = ()) -> None:
        """Start the box's software with this configuration, and wait until it is in force."""
        mark = f"100.127.255.{next(_MARKS) % 250 + 1}"
        text = configuration(policy, lan, mark, bridged=bridged, outside=outside)
        write = f"mkdir -p $(dirname {STARTUP}) && cat > {STARTUP}.new && mv {STARTUP}.new {STARTUP}"
        self.box.exec("sh", "-c", write, stdin=text)
        self.box.exec("sv", "-w", "30", "restart", "element", timeout=60)
        wait_for("the configuration", lambda: mark in self.box.exec("ip", "-4", "address"), 30)
        wait_for("the box to have its lease", lambda: WAN in self.box.exec("ip", "-4", "address", "show", "wan"), 30)
        wait_for("the default route", lambda: "default via 192.0.2.1" in self.box.exec("ip", "route"), 30)

    def static_hosts(self) -> None:
        """Hosts with equal addresses."""
        for name in TENANTS:
            self.lab[f"host-{name}"].sh(
                f"ip address flush dev lan; ip link set lan mtu 1500; ip address replace {HOST}/24 dev lan; "
                f"ip route replace default via {GATEWAY}"
            )

    def counter(self, name: str) -> int:
        """Packets of a named counter of the filter."""
        listed = json.loads(self.box.exec("nft", "-j", "list", "counters"))["nftables"]
        return int(next(e["counter"]["packets"] for e in listed if e.get("counter", {}).get("name") == name))

    def asked(self, tenant: str, server: str, *options: str) -> str:
        """Who answers a tenant's host that asks this server for its page."""
        command = ("curl", "-sS", "--max-time", "5", *options, f"http://{server}/")
        answer = self.lab[f"host-{tenant}"].run(*command)
        return answer.stdout.strip() if answer.ok else f"nobody: {answer.stderr.strip()}"

    def both(self, server: str, *options: str) -> list[str]:
        """The same of each tenant, without the tenant's letter where it is right."""
        return [self.asked(name, server, *options).removesuffix(f"-{name}") for name in TENANTS]
