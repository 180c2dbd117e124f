"""The packet filter of an element: one ruleset, two tables (``inet`` and ``bridge``), named counters.

Linux accepts VXLAN from any source for any VNI, GRE from any interface, and policies fail open; so the filter ties
each tunnel to its site's IPsec interface, in both directions. Everything refused by design has a counter with a name.

A packet passes most of these rules in vain, four times and more on its way through a box. So a rule asks first what is
cheap to know and seldom so (a protocol), and the names of interfaces, which nft copies and hashes, last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from element.connections import Flow
from element.model import Config, Interface, Kind, Tenant
from element.plan import breakout, fastpath, firewall6, firewall_line, fragments, frames, stations, uplinks
from element.plan.resources import MANAGEMENT, FlowTable, Ruleset

TABLE = "elastic"
NETCONF_PORTS = (830, 6513)

COUNTERS = (
    "management-denied",
    "management-forwarding",
    "fragment-in-clear",
    "vxlan-in-clear",
    "vxlan-foreign-vni",
    "gre-in-clear",
    "gre-foreign",
    "flow-foreign",
    "overlay-leak",
    "private-line-denied",
    "input-denied",
    "forwarding-denied",
    *breakout.COUNTERS,
)
_VNI = "@th,96,24"
"""The VNI of RFC 7348, section 5. Not nft's ``vxlan vni``: it looks into the inner packet and, with Linux 7.3, matches
nothing unless that is IP, so that ARP would be lost."""
_SEEN = "ct state != invalid"
"""Before conntrack: what it has tracked before, or was told not to track."""
_ZONES = "zones"
_UNPROVEN = "unproven"


def ruleset(config: Config) -> Ruleset:
    """The filter for a configuration; without one it lets nothing in but NETCONF on the management network."""
    text = "\n".join(
        [
            f"table inet {TABLE} {{",
            *(f"  counter {name} {{ }}" for name in COUNTERS),
            fastpath.declaration(),
            *_chain("arriving", "prerouting priority -450; policy accept", _arriving(config)),
            *_chain("sending", "output priority raw; policy accept", _sending(config)),
            *(line for name, rules in _shared(config) for line in _called(name, rules)),
            *(line for tenant in config.tenants for line in _chains_of(config, tenant)),
            *_chain("marks", "prerouting priority mangle; policy accept", _marks(config)),
            *_chain("input", "input priority filter; policy drop", _input(config)),
            *_chain("forwarding", "forward priority filter; policy drop", _forward(config)),
            *_chain("redirection", "prerouting priority dstnat; policy accept", stations.redirection(config), "nat"),
            *_chain("translation", "postrouting priority srcnat; policy accept", _translation(config), "nat"),
            "}",
            f"table bridge {TABLE} {{",
            *(f"  counter {name} {{ }}" for name in frames.COUNTERS),
            *(line for name, rules in frames.chains(config) for line in _called(name, rules)),
            *_chain("frames", "prerouting priority 0; policy accept", frames.frames(config)),
            *_chain("segments", "forward priority 0; policy accept", frames.segments(config)),
            "}",
        ]
    )
    return Ruleset(revision=hashlib.sha256(text.encode()).hexdigest()[:16], text=text)


def _chains_of(config: Config, tenant: Tenant) -> Iterator[str]:
    """Where what comes from a tenant may go."""
    for group in _within(config, tenant):
        if not group.is_alone:
            yield from _called(group.chain, [f"meta sdifname vmap {_set(group.verdicts)}"])
    yield from _called(_leaving(tenant), _from_tenant(config, tenant))


def flow_table(config: Config, rules: Ruleset) -> Iterator[FlowTable]:
    """The devices of the fast path: the interfaces that its packets come in by."""
    members = (i for tenant in config.tenants for i in config.members(tenant.name) if i.forwarding or i.forwarding6)
    found = {i.name for i in members if fastpath.is_fast(i)} | breakout.fast_interfaces(config)
    if found:
        yield FlowTable(tuple(sorted(found)), rules.revision)


def _chain(name: str, hook: str, rules: Iterable[str], kind: str = "filter") -> list[str]:
    """A chain that the kernel calls. Without rules none: it would do so for nothing, for every packet."""
    listed = [f"    {rule}" for rule in rules]
    return [f"  chain {name} {{", f"    type {kind} hook {hook};", *listed, "  }"] if listed else []


def _called(name: str, rules: Iterable[str]) -> list[str]:
    """A chain that others jump to."""
    return [f"  chain {name} {{", *(f"    {rule}" for rule in rules), "  }"]


def _set(items: Iterable[str]) -> str:
    """An anonymous set."""
    return "{ " + ", ".join(items) + " }"


def _names(interfaces: Iterable[Interface | str]) -> str:
    return _set(f'"{i if isinstance(i, str) else i.name}"' for i in interfaces)


def _drop(counter: str) -> str:
    return f'counter name "{counter}" drop'


def _shared(config: Config) -> Iterator[tuple[str, list[str]]]:
    """Chains that others jump to, but for those of each tenant."""
    cut = [way for t in config.tenants for way in fragments.ways(config, t, _zone(t), _zone_of_what_leaves(config, t))]
    yield from _zones_inside(config)
    yield from ((name, rules) for name, _, rules in cut)
    yield fragments.NAME, [*_clear(config), *_impostors(config), *fragments.dispatch(cut), f"goto {_ZONES}"]
    yield _ZONES, [*_impostors(config), *_zones_of_arrivals(config)]
    yield fastpath.PASSED, fastpath.passed()
    yield from _unproven(config)
    yield from breakout.chains(config)


def _arriving(config: Config) -> Iterator[str]:
    """Before conntrack, and before fragments are put together (priority -400).

    One chain for both: each costs every packet of a tunnel as much as some rules. What has no connection is left alone
    there, so fragments of it stay fragments until the box itself has them (RFC 791, section 3.2). Of UDP only the
    first has ports: all of them are put together and tracked.
    """
    if config.tenants:
        # It has been here by its own interface, and comes once more by its VRF.
        yield f"{_SEEN} accept"
    yield from _untracked(config, "iifname")
    yield from (f"{match} goto {fragments.NAME}" for match in fragments.MATCHES)
    yield from _untracked_udp(config, "iifname", "dport")
    yield f"goto {_ZONES}"


def _clear(config: Config) -> Iterator[str]:
    """Fragments for the overlay's loopbacks come out of IPsec, or by a private line that ends there.

    Here only addresses tell whose they are, so that what was sent in clear would complete what came through a tunnel.
    Tenants are kept apart there by their VRFs and zones.
    """
    loopbacks = sorted({p for flow in _flows(config, None) for p in flow.local})
    inside = [i.name for i in config.interfaces if i.tenant or i.kind is Kind.IPSEC]
    ended = firewall_line.ends(config, loopbacks)
    known = _names(["lo", *(t.name for t in config.tenants), *inside, *ended])
    for family, _, prefixes in _by_family(loopbacks):
        yield f"{family} daddr {_set(prefixes)} iifname != {known} {_drop('fragment-in-clear')}"


def _impostors(config: Config) -> Iterator[str]:
    """What comes from a tenant and says that it is what it is not."""
    if interfaces := sorted({flow.interface for flow in _flows_of_tenants(config)}):
        yield f"meta ipsec missing iifname {_names(interfaces)} jump {_UNPROVEN}"
    yield from breakout.imitations(config)


def _zones_of_arrivals(config: Config) -> Iterator[str]:
    """Each to the chain of its tenant."""
    if zones := [f'"{name}" : goto {_zone(tenant)}' for tenant in config.tenants for name in _inside(config, tenant)]:
        yield f"iifname vmap {_set(zones)}"


def _unproven(config: Config) -> Iterator[tuple[str, list[str]]]:
    """Of what came by a tenant's IPsec interface and no longer says so, nothing passes but the flow's own.

    Linux forgets it where it gathers packets and finds a tenant's own ESP in one (esp4_gro_receive). The kernel then
    knows no interface to find a policy by (RFC 4301, section 5.2, step 4), and lets pass what has none.
    """
    if flows := _flows_of_tenants(config):
        yield _UNPROVEN, [*(rule for flow in flows for rule in _of_a_flow(flow)), _drop("flow-foreign")]


def _of_a_flow(flow: Flow) -> Iterator[str]:
    local = {family: prefixes for family, _, prefixes in _by_family(flow.local)}
    for family, _, remote in _by_family(flow.remote):
        ends = f"{family} saddr {_set(remote)} {family} daddr {_set(local[family])}"
        yield f'iifname "{flow.interface}" {ends} return'


def _sending(config: Config) -> Iterator[str]:
    """What the box sends, before conntrack: tunnels pass here as what they carry leaves, and once more as ESP."""
    yield from _untracked(config, "oifname")
    yield from _untracked_udp(config, "oifname", "sport")
    yield from firewall_line.excepted(config, _VNI)
    yield from _leaks(config)
    yield from firewall_line.leaving(config)
    yield from _zones_of_own(config)


def _untracked(config: Config, direction: str) -> Iterator[str]:
    """No rule asks for the connection of a tunnel's outer packets: conntrack sees each packet once, as its tenant's.

    ESP first, for it is most of all. It is tracked where a tenant has an address of its own outside, and may have ESP
    of its own there.
    """
    if (underlay := _underlay(config)) and breakout.esp_is_own(config):
        yield f"meta l4proto esp {direction} {_names(underlay)} notrack accept"
    if through := _through_ipsec(config, Kind.GRE):
        yield f"meta l4proto gre {direction} {_names(through)} notrack accept"


def _untracked_udp(config: Config, direction: str, own_port: str) -> Iterator[str]:
    """The same of tunnels in UDP."""
    if underlay := _underlay(config):
        yield f"udp {own_port} 4500 {direction} {_names(underlay)} notrack accept"
    if through := _through_ipsec(config, Kind.VXLAN):
        yield f"udp dport 4789 {direction} {_names(through)} notrack accept"


def _through_ipsec(config: Config, kind: Kind) -> list[str]:
    """The IPsec interfaces that tunnels of a kind run through."""
    lines = {line.name for line in firewall_line.lines(config)}
    return sorted({i.tunnel.underlay for i in config.of_kind(kind) if i.tunnel} - lines)


def _zones_inside(config: Config) -> Iterator[tuple[str, list[str]]]:
    """A conntrack zone a tenant, on the VRF device and on its members, for both directions of what stays inside.

    What leaves by a breakout has no zone on its way back: replies come in at the underlay, and only translation tells
    connections of two tenants apart. Were it so inside too, conntrack would change ports of what it finds twice, and
    lose what has none (ESP, OSPF). Both directions of a connection must come to the same: so the destination decides,
    unless the tenant has a policy that decides otherwise (plan/breakout.py).
    """
    for tenant in config.tenants:
        if any(b.policy for b in config.breakouts if b.tenant == tenant.name):
            yield _zone(tenant), [_original_zone(tenant)]
        else:
            yield _zone(tenant), [*_zone_of_what_leaves(config, tenant), f"ct zone set {tenant.id}"]


def _zone_of_what_leaves(config: Config, tenant: Tenant) -> Iterator[str]:
    """The route says what leaves by a breakout."""
    for b in config.breakouts:
        if b.tenant == tenant.name:
            yield f'fib daddr oifname "{b.interface}" {_original_zone(tenant)}'


def _original_zone(tenant: Tenant) -> str:
    return f"ct original zone set {tenant.id} accept"


def _zones_of_own(config: Config) -> Iterator[str]:
    """The same of what the box sends, of which nothing leaves by a breakout."""
    by_policy = {b.tenant for b in config.breakouts if b.policy}
    for rule, tenants in (
        ("ct original zone set oifname map {} accept", [t for t in config.tenants if t.name in by_policy]),
        ("ct zone set oifname map {}", [t for t in config.tenants if t.name not in by_policy]),
    ):
        if zones := [f'"{name}" : {tenant.id}' for tenant in tenants for name in _inside(config, tenant)]:
            yield rule.format(_set(zones))


def _inside(config: Config, tenant: Tenant) -> list[str]:
    """A tenant's VRF and its members."""
    return [tenant.name, *(i.name for i in config.members(tenant.name))]


def _zone(tenant: Tenant) -> str:
    """The name of the chain that gives what comes from a tenant its zone."""
    return f"zone-{tenant.id}"


def _marks(config: Config) -> Iterator[str]:
    yield from breakout.marks(config)
    yield from firewall6.senders(config)


def _input(config: Config) -> Iterator[str]:
    """First what every packet of a tunnel passes, twice: as ESP, then as what was in it."""
    underlay = _underlay(config)
    ports = _names(underlay)
    if underlay:
        yield f"meta l4proto esp iifname {ports} accept"
        yield f"udp dport {{ 500, 4500 }} iifname {ports} accept"
    yield from _tunnels(config)
    yield 'iifname "lo" accept'
    yield f'iifname "{MANAGEMENT}" tcp dport {_set(str(p) for p in NETCONF_PORTS)} accept'
    yield f'iifname "{MANAGEMENT}" ct state established,related accept'
    yield f'iifname "{MANAGEMENT}" icmp type echo-request accept'
    yield f'iifname "{MANAGEMENT}" icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert, echo-request }} accept'
    yield f'iifname "{MANAGEMENT}" {_drop("management-denied")}'
    yield from _overlay_input(config)
    if underlay:
        yield f"iifname {ports} icmp type {{ destination-unreachable, time-exceeded, parameter-problem }} accept"
        yield f"iifname {ports} icmp type echo-request limit rate 50/second accept"
        yield f"iifname {ports} icmp type echo-reply ct state established accept"
        if len(uplinks.find(config)) > 1:
            # What a peer answers to the question whether an uplink leads to it (element/uplinks.py).
            yield f"iifname {ports} udp sport 500 ct state established accept"
        if leased := [i for i in underlay if i.dhcp]:
            # Renewals are answered by UDP; what else DHCP says, udhcpc hears below the filter (RFC 2131, section 4.1).
            yield f"iifname {_names(leased)} udp sport 67 udp dport 68 accept"
        yield from firewall6.underlay(underlay)
        # Answers of those whom the box itself calls: its bootstrap server and its controller.
        for family, version in (("ip", 4), ("ip6", 6)):
            if contacts := sorted({c for c in config.contacts if ip_address(c[0]).version == version}):
                called = _set(f"{address} . {port}" for address, port in contacts)
                yield f"iifname {ports} {family} saddr . tcp sport {called} ct state established accept"
    if config.tenants:
        # A gateway answers pings and is told of errors; it offers tenants nothing else.
        yield from stations.listen(config)
        vrfs = _names(t.name for t in config.tenants)
        yield f"iifname {vrfs} icmp type echo-request limit rate 100/second accept"
        yield from firewall6.tenants(config)
        yield f"iifname {vrfs} ct state established,related accept"
    yield _drop("input-denied")


def _tunnels(config: Config) -> Iterator[str]:
    """Each VNI and each GRE peer is bound to its site's IPsec interface, by which nothing comes that was not decrypted.

    The packet itself is not asked (``meta ipsec``): where Linux gathers packets and finds a tenant's own ESP in one, it
    forgets that the outer one was decrypted (esp4_gro_receive).
    """
    lines = {line.name for line in firewall_line.lines(config)}
    if gres := [i.tunnel for i in config.of_kind(Kind.GRE) if i.tunnel]:
        pairs = _set(f'"{t.underlay}" . {t.remote} . {t.local}' for t in gres)
        yield f"meta l4proto gre iifname . ip saddr . ip daddr {pairs} accept"
    if vxlans := [i.tunnel for i in config.of_kind(Kind.VXLAN) if i.tunnel and i.tunnel.underlay not in lines]:
        triples = _set(f'"{t.underlay}" . {t.remote} . {t.vni}' for t in vxlans)
        yield f"udp dport 4789 iifname . ip saddr . {_VNI} {triples} accept"


def _overlay_input(config: Config) -> Iterator[str]:
    """What else would be a tunnel's, and what the overlay's own loopbacks say to each other."""
    yield from firewall_line.arriving(config, _VNI)
    inner = list(config.of_kind(Kind.IPSEC))
    clear = f"iifname != {_names(inner)} " if inner else ""
    yield f"udp dport 4789 {clear}{_drop('vxlan-in-clear')}"
    yield f"udp dport 4789 {_drop('vxlan-foreign-vni')}"
    yield f"meta l4proto gre {clear}{_drop('gre-in-clear')}"
    yield f"meta l4proto gre {_drop('gre-foreign')}"
    for flow in _flows(config, None):
        for family, icmp, prefixes in _by_family(flow.remote):
            inside = f'iifname "{flow.interface}" meta ipsec exists {family} saddr {_set(prefixes)} {icmp} type'
            yield f"{inside} echo-request limit rate 50/second accept"
            yield f"{inside} {{ echo-reply, destination-unreachable, time-exceeded }} accept"


def _flows(config: Config, tenant: str | None) -> list[Flow]:
    """The flows of a tenant's own packets, or those of the overlay."""
    flows = (flow for connection in config.connections for flow in connection.flows)
    return [flow for flow in flows if config.interface(flow.interface).tenant == tenant]


def _flows_of_tenants(config: Config) -> list[Flow]:
    return [flow for tenant in config.tenants for flow in _flows(config, tenant.name)]


def _by_family(prefixes: Iterable[str]) -> Iterator[tuple[str, str, list[str]]]:
    """Prefixes with what nft calls their family and its ICMP; nothing for a family that has none."""
    known = list(prefixes)
    for family, icmp, version in (("ip", "icmp", 4), ("ip6", "icmpv6", 6)):
        if found := [p for p in known if ip_network(p).version == version]:
            yield family, icmp, found


def _underlay(config: Config) -> list[Interface]:
    """What was plugged in and is no tenant's, no bridge's, and no private line."""
    return [i for i in config.of_kind(Kind.ETHERNET) if i.tenant is None and i.port is None and not i.private_line]


def _forward(config: Config) -> Iterator[str]:
    """First what says where the others may go, which is most of all; what is left is refused, and counted."""
    yield from _leaks(config)
    yield from firewall6.forwarding(config)
    yield "tcp flags syn tcp option maxseg size set rt mtu"
    yield from stations.forward(config)
    if config.tenants:
        # However many tenants there are, a packet passes the rules of its own only.
        jumps = _set(f'"{tenant.name}" : jump {_leaving(tenant)}' for tenant in config.tenants)
        yield f"iifname vmap {jumps}"
    yield from breakout.replies(config)
    yield f'iifname "{MANAGEMENT}" {_drop("management-forwarding")}'
    yield f'oifname "{MANAGEMENT}" {_drop("management-forwarding")}'
    yield from firewall_line.leaving(config)
    yield _drop("forwarding-denied")


def _leaving(tenant: Tenant) -> str:
    """The name of the chain of what comes from a tenant."""
    return f"from-{tenant.id}"


def _from_tenant(config: Config, tenant: Tenant) -> Iterator[str]:
    """Where what comes from a tenant may go.

    A packet that came in through a VRF has the VRF as its interface, the real one is its slave device.
    """
    if underlay := _underlay(config):
        # Routes and their blackholes keep a tenant's flows in their tunnels; this says it once more.
        remote = sorted({p for flow in _flows(config, tenant.name) for p in flow.remote})
        for family, _, prefixes in _by_family(p for p in remote if not p.endswith("/0")):
            yield f"{family} daddr {_set(prefixes)} oifname {_names(underlay)} {_drop('overlay-leak')}"
    groups = list(_within(config, tenant))
    if back := [f'"{i.name}" . {one}' for g in groups if g.is_alone for i in g.out for one in g.verdicts]:
        yield f"oifname . meta sdifname vmap {_set(back)}"
    if ways := [f'"{i.name}" : {g.way}' for g in groups for i in g.out]:
        yield f"oifname vmap {_set(ways)}"
    yield from breakout.leaving(config, tenant)


@dataclass(frozen=True)
class _Group:
    """Interfaces that the same may go to, for they are in the same segments."""

    chain: str
    out: list[Interface]
    verdicts: list[str]
    """By where it comes from."""

    @property
    def is_alone(self) -> bool:
        """One interface with segments of its own. A POP may have hundreds, whose chains would be most of its filter: a
        look at both ends at once does for all of them."""
        return len(self.verdicts) == 1

    @property
    def way(self) -> str:
        return "return" if self.is_alone else f"goto {self.chain}"


def _within(config: Config, tenant: Tenant) -> Iterator[_Group]:
    inside = [i for i in config.members(tenant.name) if i.forwarding or i.forwarding6]
    alike: dict[tuple[frozenset[str], bool], list[Interface]] = {}
    places: dict[str, list[int]] = {}  # of a segment's interfaces: there may be as many segments as these
    for place, interface in enumerate(inside):
        alike.setdefault((interface.of_segments, fastpath.is_fast(interface)), []).append(interface)
        for segment in interface.of_segments:
            places.setdefault(segment, []).append(place)
    for number, ((segments, fast), out) in enumerate(alike.items()):
        sources = [inside[place] for place in sorted({place for segment in segments for place in places[segment]})]
        verdicts = [f'"{i.name}" : {fastpath.verdict(i) if fast else "accept"}' for i in sources]
        yield _Group(f"within-{tenant.id}-{number}", out, verdicts)


def _translation(config: Config) -> Iterator[str]:
    yield from breakout.translation(config)
    yield from stations.translation(config)


def _leaks(config: Config) -> Iterator[str]:
    """Nothing of the overlay leaves but through IPsec, whatever routes and policies say: of what the box sends, and of
    what it forwards. What becomes ESP passes with the name of the IPsec interface; a policy outside of one there is
    none.
    """
    inner = [i.name for i in config.of_kind(Kind.IPSEC)]
    in_clear = f"oifname != {_names(['lo', *inner])} {_drop('overlay-leak')}"
    yield f"udp dport 4789 {in_clear}"
    yield f"meta l4proto gre {in_clear}"
    loopbacks = sorted({p for flow in _flows(config, None) for p in flow.local})
    for family, _, prefixes in _by_family(loopbacks):
        yield f"{family} saddr {_set(prefixes)} {in_clear}"
    yield from firewall6.leaks(config, _underlay(config))
