"""The packet filter's part for fragments, which pass before they are put together (-400).

To connection tracking a packet is a whole: it would put together at each box what the next tunnel cuts again. So
fragments that stay inside a tenant, where nobody asks for their connection, go on as they are (RFC 791, section 3.2);
what is for the box itself, for its servers or for the Internet is put together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from element.model import Config, Interface, Tenant
from element.plan import breakout, stations

NAME = "fragments"
MATCHES = ("ip frag-off & 0x3fff != 0", "exthdr frag exists")


def passing(config: Config, tenant: Tenant, tracked: str) -> Iterator[tuple[str, list[Interface], list[str]]]:
    """What passes as it is: a chain's name, the interfaces it comes in by, and its rules, which go to the chain
    ``tracked`` with all else. Nothing where a policy decides: it asks for ports, and for the connection."""
    ways = [b for b in config.breakouts if b.tenant == tenant.name]
    interfaces = [i for i in config.members(tenant.name) if (i.forwarding or i.forwarding6) and not i.serves]
    if interfaces and not any(b.policy for b in ways):
        whole = [
            *breakout.to_gateway(config, tenant.name),
            *stations.to_servers(config, tenant.name),
            *(f'fib daddr oifname "{b.interface}"' for b in ways),
        ]
        yield f"cut-{tenant.id}", interfaces, [*(f"{match} goto {tracked}" for match in whole), "notrack accept"]


def dispatch(ways: Iterable[tuple[str, list[Interface], list[str]]]) -> Iterator[str]:
    """Each to the chain of its interface."""
    if found := [f'"{interface.name}" : goto {name}' for name, interfaces, _ in ways for interface in interfaces]:
        yield f"iifname vmap {{ {', '.join(found)} }}"
