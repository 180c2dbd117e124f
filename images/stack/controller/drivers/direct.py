"""A box's part of direct paths: GRE inside of IPsec to another site's box, and routes that hold while it works."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from yangkit import Tree

from controller.drivers import parts
from controller.drivers.peering import Link
from controller.drivers.work import End


def interfaces(links: Iterable[Link]) -> list[Tree]:
    """The two of each path, in the tenant's VRF and in the VPNs that ask for it."""
    found: list[Tree] = []
    for link in links:
        gre = (
            parts.interface(link.peer.interface("gre"), "elasticlab-gre:gre", mtu=parts.GRE_MTU - link.narrower)
            | parts.routed(ipv6=any(prefix.version == 6 for prefix in link.prefixes))
            | {"elasticlab-tenant:tenant": link.tenant, "elasticlab-tenant:segment": list(link.segments)}
            | {"elasticlab-gre:gre": parts.inside(link.here, link.peer)}
        )
        found += [parts.ipsec_interface(link.peer, link.if_id, link.narrower), gre]
    return found


def routes(links: Iterable[Link]) -> Iterator[tuple[str, Tree]]:
    """To the peers' LANs; less specific ones lead to the POP."""
    for link in links:
        for prefix in link.prefixes:
            yield str(prefix), {"outgoing-interface": link.peer.interface("gre")}


def peers(links: Iterable[Link]) -> list[End]:
    """Who is at the other ends."""
    return [link.peer for link in links]


def connections(links: Iterable[Link]) -> list[Tree]:
    """Routes follow the connection, so that the POP relays while it is down."""
    return [parts.connection(link.here, link.peer, link.address) | {"track-routes": True} for link in links]
