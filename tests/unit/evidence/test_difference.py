"""What of a lab is not as it was."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from harness.evidence.difference import _state, read, told
from harness.lab import Node
from harness.lab.node import Result

READY = {"ucpe-1": {"routes": ("default via 192.0.2.1", "10.1.0.0/24 dev lan"), "clock": ("right",)}}


def test_only_what_changed_is_told_with_node_and_subject() -> None:
    now = {"ucpe-1": {"routes": ("10.1.0.0/24 dev lan", "blackhole default"), "clock": ("right",)}}
    assert told(READY, now) == "=== ucpe-1 routes\n- default via 192.0.2.1\n+ blackhole default\n"
    assert told(READY, READY) == ""


def test_a_node_that_cannot_be_asked_is_told_as_that_and_not_as_all_its_lines() -> None:
    now = {"ucpe-1": {"power": ("no answer: it has no power",)}}
    assert told(READY, now) == "=== ucpe-1\n+ no answer: it has no power\n"


def test_it_is_never_longer_than_somebody_reads() -> None:
    now = {"ucpe-1": {"routes": tuple(f"10.{n // 256}.{n % 256}.0/24 dev lan" for n in range(1000))}}
    said = told({}, now).splitlines()
    assert len(said) == 401
    assert said[-1] == "… and 601 lines more"


def look(*, used: int, at: int, pid: int, state: str, program: str) -> str:
    """What a node says; numbers that the next look has otherwise."""
    return f"""=== links
{pid}: wan@if{pid}: <UP> mtu 1500 link-netnsid 0 promiscuity {at} gc_timer  {pid}.1 numtxqueues {pid} gso_max_size 1
=== routes
default via 192.0.2.1 dev wan
fe80::/64 dev wan proto kernel metric 256
=== services
run: /etc/service/http: (pid {pid}) {at}s; run: log: (pid {pid}) {at}s
{state}: /etc/service/dhcp: {at}s, normally up
=== programs
STAT COMMAND
Ss   nginx: master {pid}
{program}
Zs   [sh] <defunct>
R    ps axo stat,args
=== clock
{at}
=== disk
Filesystem 1024-blocks Used Available Capacity Mounted on
overlay 100 {used} 1 {used}% /
"""


def test_what_is_never_twice_the_same_is_no_difference() -> None:
    first = look(used=10, at=1000, pid=77, state="run", program="Ss   dnsmasq")
    again = look(used=60, at=2001, pid=8888, state="run", program="S    dnsmasq")
    assert told({"a": read(first, 1000)}, {"a": read(again, 2000)}) == ""


def test_what_stopped_stands_still_is_full_or_has_another_time_is_one() -> None:
    before = read(look(used=10, at=1000, pid=77, state="run", program="Ss   dnsmasq"), 1000)
    now = read(look(used=100, at=5000, pid=77, state="down", program="Tsl  dnsmasq"), 1000)
    assert told({"a": before}, {"a": now}).splitlines() == [
        "=== a services",
        "- run: dhcp: , normally up",
        "+ down: dhcp: , normally up",
        "=== a programs",
        "- dnsmasq",
        "+ Tsl dnsmasq",
        "=== a clock",
        "- right",
        "+ wrong by about 4000 s",
        "=== a disk",
        "- has room",
        "+ full",
    ]


def test_what_one_program_says_of_many_things_is_told_apart() -> None:
    said = """=== routes
2: eth0    inet 100.72.0.14/21 brd 100.72.7.255 scope global eth0\\       valid_lft forever preferred_lft forever
3: lan    inet6 2001:db8::1/64 scope global \\       valid_lft forever preferred_lft forever
0:\tfrom all lookup local
100:\tfrom all fwmark 0x1/0xffff lookup 100
10.1.0.10 dev lan lladdr 02:00:00:00:00:01 PERMANENT
blackhole default
local 10.1.0.1 dev lan table local proto kernel scope host src 10.1.0.1
10.1.0.0/24 dev lan proto kernel scope link src 10.1.0.1
0:\tfrom all lookup local
2001:db8::/64 dev lan proto kernel metric 256 pref medium
"""
    assert read(said, 0) == {
        "addresses": (
            "eth0 inet 100.72.0.14/21 brd 100.72.7.255 scope global eth0",
            "lan inet6 2001:db8::1/64 scope global",
        ),
        "rules": (
            "0:\tfrom all lookup local",
            "100:\tfrom all fwmark 0x1/0xffff lookup 100",
            "0:\tfrom all lookup local",
        ),
        "neighbours": ("10.1.0.10 dev lan lladdr 02:00:00:00:00:01 PERMANENT",),
        "routes": (
            "blackhole default",
            "10.1.0.0/24 dev lan proto kernel scope link src 10.1.0.1",
            "2001:db8::/64 dev lan proto kernel metric 256",
        ),
        "clock": (),
        "disk": (),
    }


def test_a_node_that_cannot_be_entered_says_nothing_of_itself() -> None:
    def run(*argv: str, timeout: float) -> Result:
        return Result("a", argv, 1, "", "no such container\n")

    assert _state(cast("Node", SimpleNamespace(run=run))) == {"power": ("no answer: no such container",)}
