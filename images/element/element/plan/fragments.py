"""The packet filter's part for fragments, which pass before they are put together (-400).

To connection tracking a packet is a whole: it would put together at each box what the next tunnel cuts again. So
fragments that stay inside a tenant, where nobody asks for their connection, go on as they are (RFC 791, section 3.2);
what is for the box itself, for its servers or for the Internet is put together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from element.model import Config, Interface, Tenant
from element.plan import stations

NAME = "fragments"
MATCHES = ("ip frag-off & 0x3fff != 0", "exthdr frag exists")

Way = tuple[str, list[Interface], list[str]]
"""A chain, the interfaces by which fragments come to it, and its rules."""


def ways(config: Config, tenant: Tenant, tracked: str, leaving: Iterable[str]) -> Iterator[Way]:
    """Of a tenant's fragments those that are not ``leaving`` (rules) pass as they are; what is for the box goes to the
    chain ``tracked``. Nothing where a policy decides: it asks for ports, and for the connection."""
    interfaces = [i for i in config.members(tenant.name) if (i.forwarding or i.forwarding6) and not i.serves]
    if interfaces and not any(b.policy for b in config.breakouts if b.tenant == tenant.name):
        own = _own(config, tenant)
        to_box = [f"{family} daddr {{ {', '.join(known)} }}" for family, known in own.items() if known]
        to_box.append("ip6 daddr fe80::/10")
        rules = [*(f"{match} goto {tracked}" for match in to_box), *leaving, "notrack accept"]
        yield f"cut-{tenant.id}", interfaces, rules


def _own(config: Config, tenant: Tenant) -> dict[str, list[str]]:
    """Where a tenant finds the box and its servers, by family."""
    found = {a.partition("/")[0] for interface in config.members(tenant.name) for a in interface.addresses}
    found.update(stations.servers(config, tenant.name))
    return {
        "ip": sorted(address for address in found if ":" not in address),
        "ip6": sorted(address for address in found if ":" in address),
    }


def dispatch(ways: Iterable[Way]) -> Iterator[str]:
    """Each to the chain of its interface."""
    if found := [f'"{interface.name}" : goto {name}' for name, interfaces, _ in ways for interface in interfaces]:
        yield f"iifname vmap {{ {', '.join(found)} }}"
