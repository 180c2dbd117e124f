"""Operational data for <get>: what RFC 8343, RFC 8348 and our modules call state, as RFC 7951 JSON."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from yangkit.backend import Wanted

from element.apply import nft
from element.apply.daemon import CharonError, CharonGoneError, Daemon, Message
from element.apply.ipsec import established
from element.apply.link import IFA_F_DEPRECATED, IFA_F_TENTATIVE, IFAPROT_KERNEL_RA
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

_OPERATIONAL = {"UP": "up", "DOWN": "down", "DORMANT": "dormant", "LOWERLAYERDOWN": "lower-layer-down"}
_COUNTERS = {
    "in-octets": "rx_bytes",
    "in-unicast-pkts": "rx_packets",
    "in-discards": "rx_dropped",
    "in-errors": "rx_errors",
    "out-octets": "tx_bytes",
    "out-unicast-pkts": "tx_packets",
    "out-discards": "tx_dropped",
    "out-errors": "tx_errors",
}
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
    with IPRoute() as ipr:
        links = {m.get_attr("IFLA_IFNAME"): m for m in ipr.get_links()}
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
    with IPRoute() as ipr:
        index = socket.if_nametoindex(name)
        heard = [m for m in ipr.get_addr(family=socket.AF_INET6, index=index) if m["index"] == index]
    return {"address": in_use([m for m in heard if m.get_attr("IFA_PROTO") == IFAPROT_KERNEL_RA])}


def in_use(messages: Sequence[Any]) -> list[str]:
    """One that may be another's is not; nor is one for which there is a better, though it may be good for a while
    (RFC 4862, sections 5.4 and 5.5.4): nothing begins with it."""
    sure = [m for m in messages if not m.get_attr("IFA_FLAGS") & IFA_F_TENTATIVE]
    preferred = [m for m in sure if not m.get_attr("IFA_FLAGS") & IFA_F_DEPRECATED]
    return sorted(m.get_attr("IFA_ADDRESS") for m in preferred or sure)


def _router(name: str) -> Tree:
    """Who advertises that it leads everywhere."""
    with IPRoute() as ipr:
        index = socket.if_nametoindex(name)
        routes = [m for m in ipr.get_default_routes(family=socket.AF_INET6) if m.get_attr("RTA_OIF") == index]
    routers = sorted(m.get_attr("RTA_GATEWAY") for m in routes if m["proto"] == RTPROT_RA)
    return {"router": routers[0]} if routers else {}


def _interface(interface: Interface, message: Any, boot: str) -> Tree:
    tree: Tree = {"name": interface.name}
    if message is None:
        return tree | {"oper-status": "not-present", "statistics": {"discontinuity-time": boot}}
    return tree | _of(message, boot)


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


def _fixed(name: str, message: Any, boot: str) -> Tree:
    return {"name": name, "type": _TYPES[name].value} | _of(message, boot)


def _of(message: Any, boot: str) -> Tree:
    status = message.get_attr("IFLA_OPERSTATE")
    if status == "UNKNOWN":  # tunnels know nothing of their lower layer
        status = "UP" if message["flags"] & 1 else "DOWN"
    stats = message.get_attr("IFLA_STATS64") or {}
    tree: Tree = {
        "oper-status": _OPERATIONAL.get(status, "unknown"),
        "statistics": {"discontinuity-time": boot} | _statistics(stats),
    }
    address = message.get_attr("IFLA_ADDRESS")
    if address and message["ifi_type"] == 1:  # ARPHRD_ETHER
        tree["phys-address"] = address
    return tree


def _statistics(stats: Any) -> Tree:
    """Counters of 64 bits are text in JSON (RFC 7951, section 6.1), those of 32 bits are numbers that wrap."""
    result: Tree = {}
    for leaf, name in _COUNTERS.items():
        if name in stats:
            narrow = leaf.endswith(("discards", "errors"))
            result[leaf] = stats[name] % 2**32 if narrow else str(stats[name])
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
