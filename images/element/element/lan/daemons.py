"""Which programs run for a configuration, with which rights, and what they are told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from element.lan import dnsmasq, leases, radvd, resolver
from element.lan.checks import network
from element.model import Config, Interface

USER, GROUP = "dnsmasq", "nogroup"
"""Not root: from the first instruction on, with the capabilities named for each and no way to others."""
_KEPT = ("--clear-groups", "--no-new-privs", "--pdeathsig", "TERM")


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the programs have what they are told, and what they have given."""

    told: Path
    given: Path
    behind: Path
    """The script that runs a program in a network of its own."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """A program of an interface; another text or command is another program."""

    name: str
    interface: str
    command: tuple[str, ...]
    file: Path
    text: str
    given: Path | None = None
    """Its leases, which go when it is no longer wanted."""


def daemons(config: Config, folders: Folders) -> Iterator[Daemon]:
    """All that are wanted."""
    links = resolver.links(config)
    for interface in config.interfaces:
        if not interface.enabled or not interface.tenant:
            continue
        if interface.dhcp_server:
            yield _dhcp(interface, folders)
        if interface.name in links:
            yield _dns(interface, links[interface.name], folders)
        if interface.advertisements and interface.ipv6:
            yield _router(interface, folders)


def lease_file(interface: Interface, folders: Folders) -> Path:
    """A tenant's own: nobody inherits another's stations with an interface. No name has a colon, and many a dot."""
    return folders.given / f"{interface.tenant}:{interface.name}"


def lease_list(interface: Interface, folders: Folders) -> tuple[leases.Given, ...]:
    """What is given on an interface."""
    own = network(interface, interface.dhcp_server) if interface.dhcp_server else None
    return leases.read(lease_file(interface, folders), own.network) if own else ()


def hosts_file(interface: str, folders: Folders) -> Path:
    """The names that an interface's DNS server knows."""
    return folders.told / f"{interface}.hosts"


def _limited(*capabilities: str) -> tuple[str, ...]:
    rights = ",".join(("-all", *(f"+{name}" for name in capabilities)))
    kinds = ("--bounding-set", "--inh-caps", "--ambient-caps")
    limits = (word for kind in kinds for word in (kind, rights))
    return ("setpriv", "--reuid", USER, "--regid", GROUP, *_KEPT, *limits)


def _dhcp(interface: Interface, folders: Folders) -> Daemon:
    if interface.dhcp_server is None:
        raise ValueError(interface.name)
    file, given = folders.told / f"{interface.name}.dhcp", lease_file(interface, folders)
    # NET_RAW binds to a device, NET_ADMIN answers stations that have no address yet (an entry of the ARP table).
    rights = _limited("net_bind_service", "net_raw", "net_admin")
    command = (*rights, "dnsmasq", "--keep-in-foreground", f"--conf-file={file}")
    text = dnsmasq.dhcp(interface, interface.dhcp_server, given)
    return Daemon(f"{interface.name}: DHCP", interface.name, command, file, text, given)


def _dns(interface: Interface, link: resolver.Link, folders: Folders) -> Daemon:
    if interface.dns is None:
        raise ValueError(interface.name)
    file = folders.told / f"{interface.name}.dns"
    ends = [(f"{link.far[0]}/31", link.near[0])] + ([(f"{link.far[1]}/127", link.near[1])] if interface.ipv6 else [])
    place = ("unshare", "--net", str(folders.behind), link.name, *(word for end in ends for word in end), "--")
    command = (*place, *_limited("net_bind_service"), "dnsmasq", "--keep-in-foreground", f"--conf-file={file}")
    text = dnsmasq.dns(interface.dns, link, hosts_file(interface.name, folders), ipv6=interface.ipv6)
    # The VRF is in the text's first line: in another the link's near end is another's.
    return Daemon(f"{interface.name}: DNS", interface.name, command, file, f"# {interface.tenant}\n{text}")


def _router(interface: Interface, folders: Folders) -> Daemon:
    if interface.advertisements is None:
        raise ValueError(interface.name)
    file = folders.told / f"{interface.name}.ra"
    pid = folders.given / f".{interface.name}.pid"
    told = ("--nodaemon", "--config", str(file), "--logmethod", "stderr", "--pidfile", str(pid))
    text = radvd.text(interface, interface.advertisements)
    command = (*_limited("net_raw"), "radvd", *told)
    return Daemon(f"{interface.name}: router advertisements", interface.name, command, file, text)
