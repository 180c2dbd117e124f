"""Stations that know nothing when they come: their addresses and names are those that their gateway gives them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address

from harness.lab import Lab
from harness.lab.netconf import session
from harness.wait import wait_for
from tests.scenarios.buying import Json, Shop, service

FORWARDER, WEB, WEB_ADDRESS = "198.51.100.80", "www.example.org", "203.0.113.99"
"""The DNS server in the Internet, and what it knows."""
DOMAIN = "office.example"
_LAN = "urn:elasticlab:yang:elasticlab-lan"


def port(host: str) -> str:
    """The interface of a host of topology `scenarios` that is in its site's LAN."""
    return {"host-2a": "lan.20", "host-2b": "lan.30"}.get(host, "lan")


@contextmanager
def newcomers(lab: Lab, *hosts: str) -> Iterator[None]:
    """These hosts have no address of their own, and the Internet has a DNS server; all as it was afterwards."""
    looks = {one: lab[one].exec("ip", "-4", "-o", "address", "show", port(one)).split()[3] for one in hosts}
    routes = {one: lab[one].exec("ip", "route", "show", "default").strip() for one in hosts}
    try:
        for host in hosts:
            lab[host].sh(f"ip address flush dev {port(host)}; rm -f /etc/resolv.conf")
        lab["internet"].sh(
            f"dnsmasq --conf-file=/dev/null --listen-address={FORWARDER} --bind-interfaces --no-resolv --no-hosts "
            f"--address=/{WEB}/{WEB_ADDRESS} --pid-file=/run/dns.pid"
        )
        yield
    finally:
        lab["internet"].sh("[ ! -e /run/dns.pid ] || kill $(cat /run/dns.pid); rm -f /run/dns.pid")
        for host in hosts:
            own = port(host)
            lab[host].sh(f"ip address flush dev {own}; ip address replace {looks[host]} dev {own}")
            lab[host].sh(f"ip route replace {routes[host]}; rm -f /etc/resolv.conf")


def served(shop: Shop, box: str, name: str, gateway: str, first: str, last: str, **more: Json) -> Json:
    """A site to the Internet whose stations are served."""
    place = {
        "name": name,
        "device": shop.serial(box),
        "gateway": gateway,
        "dhcp": {"start": first, "end": last},
        "dns": {"domain": DOMAIN, "forwarders": [FORWARDER]},
        **more,
    }
    return service("site-to-internet", site=place)


def address_of(lab: Lab, host: str, name: str) -> str:
    """What a station gets that calls itself so."""
    own = port(host)
    lab[host].exec("busybox", "udhcpc", "-i", own, "-n", "-q", "-t", "8", "-T", "2", "-x", f"hostname:{name}")
    return lab[host].exec("ip", "-4", "-o", "address", "show", own).split()[3].partition("/")[0]


def resolve(lab: Lab, host: str, name: str) -> str:
    """The address of a name, by the station's own resolver: it asks twice, for a second each, and not for ten."""
    answer = lab[host].run("env", "RES_OPTIONS=timeout:1 attempts:2", "getent", "ahostsv4", name, timeout=30)
    return answer.stdout.split()[0] if answer.ok else "unknown"


def name_of(lab: Lab, host: str, address: str, server: str) -> str:
    """What a server says of whose address it is. drill itself would ask for 15 s."""
    return lab[host].run("timeout", "3", "drill", "-x", address, f"@{server}").stdout


def wait_for_name(lab: Lab, host: str, name: str, expected: str) -> None:
    wait_for(f"{name} at {host}", lambda: resolve(lab, host, name) == expected, 30)


async def leased(lab: Lab, box: str) -> dict[str, str]:
    """Host names by address, as the box tells them over NETCONF."""
    async with await session(lab, box) as reading:
        data = await reading.get()
    leases = data.iter(f"{{{_LAN}}}lease")
    return {one.findtext(f"{{{_LAN}}}address", ""): one.findtext(f"{{{_LAN}}}host-name", "") for one in leases}


def made_of(prefix: str, mac: str) -> str:
    """RFC 4291, appendix A: an address of a prefix of 64 bits and an interface."""
    octets = bytearray.fromhex(mac.replace(":", ""))
    octets[0] ^= 2
    return str(IPv6Address(IPv6Address(prefix).packed[:8] + bytes(octets[:3]) + b"\xff\xfe" + bytes(octets[3:])))
