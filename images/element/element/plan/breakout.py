"""The packet filter's part for tenants' ways to the Internet: which connections leave here, and how they come back.

A connection's mark (conntrack) says what is decided about it: the tenant's number once it is translated, ``BREAK_OUT``
if the policy sends it out whatever the tenant's routes say. Both are set on its first packet only, the one that is
also given its translation: whatever changes later, no packet leaves with an address of the inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

from element.model import Config, Interface, Tenant
from element.nat import Breakout, Matches, Policy
from element.plan import fastpath

TENANT = 0xFFF
"""The bits of a mark that are a tenant's number (elasticlab-tenant: 1 to 4095)."""
BREAK_OUT = 0x1000
"""Of a connection: its policy entry says break-out. Of a packet: it is routed as the underlay's own are."""

COUNTERS = ("breakout-invalid", "breakout-untranslated", "breakout-unanswerable", "reply-imitated")
LAST_OWN_PORT = 4500
"""UDP ports up to this one are the box's own: DHCP, IKE, and ESP in UDP (RFC 3948) have their answers there."""

_FIRST = "ct status & confirmed == 0"
"""The first packet of a connection; ``ct state new`` are all until the first answer."""


def chains(config: Config) -> Iterator[tuple[str, list[str]]]:
    """A chain for each policy, by name: its entries in their order, and nothing for what goes to the gateway itself."""
    for breakout in config.breakouts:
        if breakout.policy:
            yield _chain(config, breakout), [*_to_gateway(config, breakout), *_entries(config, breakout)]


def imitations(config: Config) -> Iterator[str]:
    """Before conntrack: what answers a translated connection goes to the address of the translation, from outside.

    The answers' direction has no tenant's zone: from inside the same would be taken for the answer to another tenant's.
    Who is alone on a box has nobody to imitate, and may call itself by its way round.
    """
    if len(config.tenants) < 2:
        return
    members = ", ".join(f'"{i.name}"' for tenant in config.tenants for i in config.members(tenant.name))
    found = {ip_address(address) for address in _translated(config)}
    for family, version in (("ip", 4), ("ip6", 6)):
        addresses = sorted(str(a) for a in found if a.version == version)
        if members and addresses:
            into = f"{family} daddr {{ {', '.join(addresses)} }}"
            yield f"{into} iifname {{ {members} }} {_drop('reply-imitated')}"


def _translated(config: Config) -> Iterator[str]:
    """The addresses that tenants have outside."""
    for breakout in config.breakouts:
        yield from _own(config, breakout.interface)
        if breakout.address:
            yield breakout.address


def _own(config: Config, interface: str) -> list[str]:
    """The addresses of an interface."""
    granted = [grant.address for grant in config.granted if grant.interface == interface]
    return [address.partition("/")[0] for address in (*config.interface(interface).addresses, *granted)]


def marks(config: Config) -> Iterator[str]:
    """In prerouting, after conntrack: connections are decided, and packets are marked for routing."""
    for breakout in config.breakouts:
        if inside := _inside(config, breakout):
            yield from _decisions(config, breakout, inside)
    for interface in sorted({breakout.interface for breakout in config.breakouts}):
        # Replies arrive in the underlay: the mark, which is the tenant's number, routes them into the VRF.
        translated = f"ct direction reply ct mark & {TENANT:#x} != 0"
        yield f'{translated} iifname "{interface}" meta mark set ct mark & {TENANT:#x}'


def leaving(config: Config, tenant: Tenant) -> Iterator[str]:
    """Out from a tenant's interfaces inside."""
    for breakout in _open(config):
        if breakout.tenant == tenant.name:
            out = f'meta sdifname {_inside(config, breakout)} oifname "{breakout.interface}"'
            verdicts = ", ".join(f'"{i.name}" : {fastpath.verdict(i)}' for i in _insiders(config, breakout))
            translated = f"ct mark & {TENANT:#x} == {tenant.id}"
            yield f'{translated} oifname "{breakout.interface}" meta sdifname vmap {{ {verdicts} }}'
            yield from (f"{out} {like} {_drop('breakout-unanswerable')}" for like in _unanswerable(config, breakout))
            yield f"{out} {_FIRST} ct mark set ct mark | {tenant.id} accept"
            yield f"{out} {_drop('breakout-untranslated')}"


def _unanswerable(config: Config, breakout: Breakout) -> Iterator[str]:
    """ESP by an address that the box's own tunnels end at: it has no ports, and what answers would be theirs."""
    if config.connections:
        yield "meta nfproto ipv6 meta l4proto esp" if _apart(config, breakout) else "meta l4proto esp"


def _apart(config: Config, breakout: Breakout) -> bool:
    """Whether a tenant's address outside is not the box's own."""
    return breakout.address is not None and breakout.address not in _own(config, breakout.interface)


def esp_is_own(config: Config) -> bool:
    """Whether all ESP in the underlay is the box's own."""
    return not any(_apart(config, breakout) for breakout in config.breakouts)


def replies(config: Config) -> Iterator[str]:
    """In only what answers, and only to the tenant whose connection it is."""
    if ways := [
        f'"{breakout.interface}" . "{inside.name}" . {config.tenant(breakout.tenant).id} : {fastpath.verdict(inside)}'
        for breakout in _open(config)
        for inside in _insiders(config, breakout)
    ]:
        answers = "ct state established,related ct direction reply"
        yield f"{answers} iifname . oifname . meta mark vmap {{ {', '.join(ways)} }}"


def fast_interfaces(config: Config) -> set[str]:
    """Where the fast path of what leaves begins: inside, and outside for what answers."""
    found = set()
    for breakout in _open(config):
        if fast := [i.name for i in _insiders(config, breakout) if fastpath.is_fast(i)]:
            found |= {breakout.interface, *fast}
    return found


def _open(config: Config) -> Iterator[Breakout]:
    """The ways out that have somebody inside and lead somewhere."""
    for breakout in config.breakouts:
        outside = config.interface(breakout.interface)
        if _insiders(config, breakout) and (outside.forwarding or outside.forwarding6):
            yield breakout


def translation(config: Config) -> Iterator[str]:
    """Source NAT (NAPT), to the interface's own address unless another is given."""
    for breakout in config.breakouts:
        number = config.tenant(breakout.tenant).id
        ours = f'oifname "{breakout.interface}" ct mark & {TENANT:#x} == {number}'
        ports = f":{LAST_OWN_PORT + 1}-65535"
        if breakout.address:
            yield f"{ours} meta nfproto ipv4 meta l4proto udp snat ip to {breakout.address}{ports}"
            yield f"{ours} meta nfproto ipv4 snat ip to {breakout.address}"
        # Of either family to the interface's own address, of RFC 6724's choice: tenants may have equal prefixes.
        yield f"{ours} meta l4proto udp masquerade to {ports}"
        yield f"{ours} masquerade"


def _drop(counter: str) -> str:
    return f'counter name "{counter}" drop'


def _insiders(config: Config, breakout: Breakout) -> list[Interface]:
    return [i for i in config.insiders(breakout) if i.forwarding or i.forwarding6]


def _inside(config: Config, breakout: Breakout) -> str:
    return _names(_insiders(config, breakout))


def _names(interfaces: list[Interface]) -> str:
    return "{ " + ", ".join(f'"{i.name}"' for i in interfaces) + " }" if interfaces else ""


def _chain(config: Config, breakout: Breakout) -> str:
    return f"policy-{config.tenant(breakout.tenant).id}"


def _decisions(config: Config, breakout: Breakout, inside: str) -> Iterator[str]:
    if not breakout.policy:
        return
    # What conntrack cannot place would follow the routes, which are not where its connection went.
    yield f"iifname {inside} ct state invalid {_drop('breakout-invalid')}"
    yield f"iifname {inside} {_FIRST} jump {_chain(config, breakout)}"
    broken_out = f"ct direction original ct mark & {BREAK_OUT:#x} == {BREAK_OUT:#x}"
    yield f"iifname {inside} {broken_out} meta mark set {BREAK_OUT:#x}"


def _to_gateway(config: Config, breakout: Breakout) -> Iterator[str]:
    """Packets to the gateway itself and to all on a link do not leave."""
    own = [ip_interface(a) for i in config.members(breakout.tenant) for a in i.addresses]
    v4 = {str(a.ip) for a in own if a.version == 4}
    v4 |= {str(a.network.broadcast_address) for a in own if a.version == 4 and a.network.prefixlen < 31}
    v6 = {str(a.ip) for a in own if a.version == 6}
    yield f"ip daddr {{ {', '.join(['224.0.0.0/4', '255.255.255.255', *sorted(v4)])} }} return"
    yield f"ip6 daddr {{ {', '.join(['fe80::/10', 'ff00::/8', *sorted(v6)])} }} return"


def _entries(config: Config, breakout: Breakout) -> Iterator[str]:
    for entry in breakout.policy:
        for matches in (entry.matches, *_of_resolvers(config, breakout, entry.matches)):
            for match in _matches(matches):
                yield f"{match} {_verdict(entry)}".strip()


def _of_resolvers(config: Config, breakout: Breakout, matches: Matches) -> Iterator[Matches]:
    """What a LAN's DNS server asks, it asks as the gateway, although it has another address yet (element/lan)."""
    if not matches.source:
        return
    network = ip_network(matches.source, strict=False)
    for near in config.insiders(breakout):
        if near.serves and any(ip_interface(a).ip in network for a in config.interface(near.serves).addresses):
            ends = [ip_interface(a).ip for a in near.addresses]
            yield from (replace(matches, source=str(end + 1)) for end in ends if end.version == network.version)


def _verdict(entry: Policy) -> str:
    return f"ct mark set ct mark | {BREAK_OUT:#x} return" if entry.break_out else "return"


def _matches(matches: Matches) -> Iterator[str]:
    """The same for each family; one rule for both when nothing tells them apart."""
    prefixes = [p for p in (matches.source, matches.destination) if p]
    versions = {ip_network(p, strict=False).version for p in prefixes}
    if not versions and matches.dscp is None:
        yield " ".join(_upper(matches))
    for version, family in ((4, "ip"), (6, "ip6")):
        if versions == {version} or (not versions and matches.dscp is not None):
            yield " ".join((*_lower(matches, family), *_upper(matches)))


def _lower(matches: Matches, family: str) -> Iterator[str]:
    if matches.source:
        yield f"{family} saddr {ip_network(matches.source, strict=False)}"
    if matches.destination:
        yield f"{family} daddr {ip_network(matches.destination, strict=False)}"
    if matches.dscp is not None:
        yield f"{family} dscp {matches.dscp}"


def _upper(matches: Matches) -> Iterator[str]:
    if matches.protocol is not None:
        yield f"meta l4proto {matches.protocol}"
    for direction, ports in (("sport", matches.source_ports), ("dport", matches.destination_ports)):
        if ports:
            yield f"th {direction} {ports[0]}-{ports[1]}" if ports[0] < ports[1] else f"th {direction} {ports[0]}"
