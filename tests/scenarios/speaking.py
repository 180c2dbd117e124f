"""What hosts say in scenarios so that it can be recognised wherever it is, and what the Internet is made to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import permutations

from harness.lab import Lab
from tests.scenarios.forgery import dropped

SECRET = b"nobody-may-read!"


def say(lab: Lab, host: str, target: str, count: int = 3) -> None:
    """Echo requests that can be recognised; each is answered."""
    lab[host].exec("ping", "-n", f"-c{count}", "-i0.05", "-W3", "-s64", "-p", SECRET.hex(), target)


def say_in_vain(lab: Lab, host: str, target: str) -> None:
    """The same where nobody is to answer. Raises AssertionError."""
    done = lab[host].run("ping", "-n", "-q", "-c3", "-i0.1", "-W0.3", "-s64", "-p", SECRET.hex(), target)
    assert not done.ok, f"{host} reaches {target}, which it must not: {done.stdout.strip()}"


def page(lab: Lab, host: str, server: str, *options: str, seconds: float = 5) -> str:
    """What a server in the Internet answers to a host."""
    place = f"[{server}]" if ":" in server else server
    return lab[host].exec("curl", "-sS", "--max-time", f"{seconds:g}", *options, f"http://{place}/")


_ESP_KEY = "0x" + "5e" * 36
"""Of rfc4106(gcm(aes)): 32 octets, and 4 of salt (RFC 4106, section 8.1). It protects nothing but tests."""


@contextmanager
def own_ipsec(lab: Lab, ends: dict[str, str]) -> Iterator[None]:
    """Two hosts, by their addresses, have IPsec of their own with each other (ESP, transport mode) in the block."""
    ways = list(permutations(ends.values(), 2))
    made = [
        f"state add src {one} dst {other} proto esp spi {spi:#x} mode transport"
        f" aead 'rfc4106(gcm(aes))' {_ESP_KEY} 128 sel src {one} dst {other}"
        for spi, (one, other) in enumerate(ways, 0x5E01)
    ]
    for host, own in ends.items():
        policies = [
            f"policy add src {one} dst {other} dir {'out' if one == own else 'in'} tmpl proto esp mode transport"
            for one, other in ways
        ]
        lab[host].sh(" && ".join(f"ip xfrm {what}" for what in (*made, *policies)))
    try:
        yield
    finally:
        for host in ends:
            lab[host].sh("ip xfrm policy flush; ip xfrm state flush")


@contextmanager
def cut(lab: Lab, *which: str) -> Iterator[None]:
    """The Internet passes nothing on that matches one of these (nft) within the block."""
    rules = "".join(f"; nft add rule ip cut forward {one} drop" for one in which)
    lab["internet"].sh(
        f"nft add table ip cut; nft 'add chain ip cut forward {{ type filter hook forward priority 0; }}'{rules}"
    )
    try:
        yield
    finally:
        lab["internet"].exec("nft", "delete", "table", "ip", "cut")


def does_not_come_in(lab: Lab, address: str, *, wire: str, box: str, via: str) -> None:
    """What the Internet sends to an address inside, by a box's own, ends at the box: counted there, and seen on no wire
    behind it. By itself the Internet has no way to such addresses, so that for the while it is given one.
    """
    family = "-6" if ":" in address else "-4"
    route = f"{address}/{128 if ':' in address else 32}"
    before = dropped(lab, box, "forwarding-denied")
    lab["internet"].exec("ip", family, "route", "replace", route, "via", via)
    try:
        with lab.capture(wire) as heard:
            say_in_vain(lab, "internet", address)
    finally:
        lab["internet"].exec("ip", family, "route", "del", route)
    assert not heard.contains(SECRET), f"the Internet is heard at {wire}"
    assert dropped(lab, box, "forwarding-denied") >= before + 3, f"nothing of it has come to {box}"
