"""Operational data for <get>: what RFC 8343, RFC 8348 and our modules call state, as RFC 7951 JSON."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from yangkit.backend import Wanted

from element.apply import nft, told
from element.apply.daemon import CharonError, CharonGoneError, Daemon, Message
from element.apply.ipsec import established
from element.apply.link import IFA_F_DEPRECATED, IFA_F_TENTATIVE, IFAPROT_KERNEL_RA, IFF_UP
from element.apply.told import AddressTold, LinkTold
from element.connections import Connection
from element.dhcp.lease import Lease
from element.factory import Identity
from element.lan.daemons import Folders, lease_list
from element.lan.leases import Given
from element.model import Config, Interface, Kind
from element.plan.resources import MANAGEMENT

Tree = dict[str, Any]
Leases = Mapping[int, Mapping[str, Lease]]
"""By version of IP and interface."""

RTPROT_RA = 9
ARPHRD_ETHER = 1

# Numbers of IF_OPER_* (linux/if.h).
_UNKNOWN, _DOWN, _UP = 0, 2, 6
_OPERATIONAL = {_UP: "up", _DOWN: "down", 5: "dormant", 3: "lower-layer-down"}
_COUNTERS = (
    "in-unicast-pkts",
    "out-unicast-pkts",
    "in-octets",
    "out-octets",
    "in-errors",
    "out-errors",
    "in-discards",
    "out-discards",
)
"""In the order of struct rtnl_link_stats64."""
# What is there without being configured has a type too.
_TYPES = {MANAGEMENT: Kind.ETHERNET}


def collect(
    wanted: Wanted, charon: Daemon, config: Config, identity: Identity, leases: Leases, stations: Folders
) -> Tree:
    """Everything that is state, or what is wanted of it: each part costs a question to the kernel or to charon."""
    parts: dict[str, Callable[[], Tree]] = {
        "ietf-interfaces:interfaces": lambda: {"interface": interfaces(config, leases, stations)},
        "elasticlab-ipsec:ipsec": lambda: {"conn-entry": connections(charon, config)},
        "elasticlab-firewall:firewall": lambda: {"counter": counters()},
        "ietf-hardware:hardware": lambda: {"component": [_chassis(identity)]},
    }
    return {name: part() for name, part in parts.items() if wanted is None or name in wanted}


def interfaces(config: Config, leases: Leases, stations: Folders) -> list[Tree]:
    """Configured interfaces, there or not, and the management's."""
    boot = _boot_time()
    links = {link.name: link for link in told.links(counted=True)}
    result = [_interface(i, links.get(i.name), boot) for i in config.interfaces]
    for interface, tree in zip(config.interfaces, result, strict=True):
        if given := [_given(lease) for lease in lease_list(interface, stations)]:
            tree["elasticlab-lan:dhcp-server"] = {"lease": given}
    taken = {(grant.version, grant.interface) for grant in config.granted}
    for interface, tree in zip(config.interfaces, result, strict=True):
        name = interface.name
        if (4, name) in taken and (lease := leases[4].get(name)):
            tree["elasticlab-interface:dhcp"] = {"lease": _lease(lease)}
        if interface.slaac and name in links:
            tree["elasticlab-interface:slaac"] = _told(name) | _router(name)
        if interface.dhcp6 and name in links:
            lease = leases[6].get(name) if (6, name) in taken else None
            leased = {"lease": {"address": str(lease.address.ip)}} if lease else {}
            tree["elasticlab-interface:dhcp6"] = leased | _router(name)
    return result + [_fixed(name, links[name], boot) for name in _TYPES if name in links]


def _told(name: str) -> Tree:
    """Addresses that the kernel has made of routers' advertisements."""
    index = socket.if_nametoindex(name)
    return {"address": in_use([a for a in told.addresses() if a.link == index and a.protocol == IFAPROT_KERNEL_RA])}


def in_use(addresses: Sequence[AddressTold]) -> list[str]:
    """One that may be another's is not; nor is one for which there is a better, though it may be good for a while
    (RFC 4862, sections 5.4 and 5.5.4): nothing begins with it."""
    sure = [a for a in addresses if not a.flags & IFA_F_TENTATIVE]
    preferred = [a for a in sure if not a.flags & IFA_F_DEPRECATED]
    return sorted(a.address for a in preferred or sure)


def _router(name: str) -> Tree:
    """Who advertises that it leads everywhere."""
    index = socket.if_nametoindex(name)
    routes = [route for route in told.routes(socket.AF_INET6, RTPROT_RA) if route.link == index]
    routers = sorted(route.gateway for route in routes if route.prefix == "::/0" and route.gateway)
    return {"router": routers[0]} if routers else {}


def _interface(interface: Interface, link: LinkTold | None, boot: str) -> Tree:
    tree: Tree = {"name": interface.name}
    if link is None:
        return tree | {"oper-status": "not-present", "statistics": {"discontinuity-time": boot}}
    return tree | _of(link, boot)


def _lease(lease: Lease) -> Tree:
    tree: Tree = {"address": str(lease.address.ip), "prefix-length": lease.address.network.prefixlen}
    if lease.router:
        tree["router"] = str(lease.router)
    return tree | ({"bootstrap-server": list(lease.servers)} if lease.servers else {})


def _given(lease: Given) -> Tree:
    """What a station has; without an end it expires never, which has no date."""
    tree: Tree = {"address": str(lease.address), "mac-address": lease.mac}
    tree |= {"host-name": lease.host_name} if lease.host_name else {}
    return tree | ({"expires": _date(lease.expires)} if lease.expires else {})


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _fixed(name: str, link: LinkTold, boot: str) -> Tree:
    return {"name": name, "type": _TYPES[name].value} | _of(link, boot)


def _of(link: LinkTold, boot: str) -> Tree:
    status = link.operational_state
    if status == _UNKNOWN:  # tunnels know nothing of their lower layer
        status = _UP if link.flags & IFF_UP else _DOWN
    tree: Tree = {
        "oper-status": _OPERATIONAL.get(status, "unknown"),
        "statistics": {"discontinuity-time": boot} | _statistics(link.statistics),
    }
    if link.mac and link.type == ARPHRD_ETHER:
        tree["phys-address"] = link.mac
    return tree


def _statistics(counted: Sequence[int]) -> Tree:
    """Counters of 64 bits are text in JSON (RFC 7951, section 6.1), those of 32 bits are numbers that wrap."""
    result: Tree = {}
    for leaf, count in zip(_COUNTERS, counted, strict=True):
        narrow = leaf.endswith(("discards", "errors"))
        result[leaf] = count % 2**32 if narrow else str(count)
    return result


def connections(charon: Daemon, config: Config) -> list[Tree]:
    """The security associations of each connection."""
    try:
        associations = charon.associations()
    except (CharonGoneError, CharonError):
        associations = []
    return [_connection(c, [sa for sa in associations if sa["name"] == c.name]) for c in config.connections]


def _connection(connection: Connection, associations: list[Message]) -> Tree:
    flows = {child.name: child.flow.name for child in connection.children}
    children = [child for sa in associations for child in sa.get("child-sas", {}).values()]
    state = {
        "established": established(flows, associations),
        "ike-sa": [_ike_sa(sa) for sa in associations],
        "child-sa": [_child_sa(child, flows.get(child["name"])) for child in children],
    }
    return {"name": connection.name, "state": {k: v for k, v in state.items() if v != []}}


def _ike_sa(sa: Message) -> Tree:
    tree: Tree = {
        "unique-id": int(sa["uniqueid"]),
        "ike-state": sa["state"],
        "initiator": sa.get("initiator") == "yes",
        "local-address": sa.get("local-host"),
        "remote-address": sa.get("remote-host"),
        "remote-identity": sa.get("remote-id"),
        "nat-any": sa.get("nat-any") == "yes",
        "encryption-algorithm": _algorithm(sa),
        "established-for": int(sa["established"]) if "established" in sa else None,
    }
    # Before an SA is there its ends are unknown, which charon writes %any.
    return {k: v for k, v in tree.items() if v is not None and "%any" not in str(v)}


def _child_sa(child: Message, flow: str | None) -> Tree:
    tree: Tree = {
        "unique-id": int(child["uniqueid"]),
        "spd-entry": flow,
        "child-state": child["state"],
        "spi-in": child.get("spi-in"),
        "spi-out": child.get("spi-out"),
        "encapsulated-in-udp": child.get("encap") == "yes",
        "encryption-algorithm": _algorithm(child),
        "in-octets": child.get("bytes-in"),
        "in-packets": child.get("packets-in"),
        "out-octets": child.get("bytes-out"),
        "out-packets": child.get("packets-out"),
        "installed-for": int(child["install-time"]) if "install-time" in child else None,
    }
    return {k: v for k, v in tree.items() if v is not None}


def _algorithm(sa: Message) -> str | None:
    parts = (sa.get("encr-alg"), sa.get("encr-keysize"))
    return "-".join(p for p in parts if p) or None


def counters() -> list[Tree]:
    """The packet filter's counters."""
    return [
        {"name": name, "matched-packets": str(packets), "matched-octets": str(octets)}
        for name, (packets, octets) in sorted(nft.counters().items())
    ]


def _chassis(identity: Identity) -> Tree:
    return {
        "name": "chassis",
        "class": "iana-hardware:chassis",
        "serial-num": identity.serial,
        "model-name": identity.model,
    }


def _boot_time() -> str:
    """When this machine started: /proc/stat, btime."""
    lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    seconds = next(int(line.split()[1]) for line in lines if line.startswith("btime"))
    return _date(seconds)
