"""Tenants talk all the time, and a WAN shows nothing of it but ESP: whatever dies, starts or is configured meanwhile.

Wherever no security association is ready yet, or not any more, packets go nowhere ("with charon stopped no overlay
packet leaves the WAN, ever"). With charon stopped by hand: test_demo_hostile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from harness.lab import Lab
from harness.lab.encryption import ALLOWED, from_operator, judge
from harness.wait import wait_for
from tests.system.crashing import kill
from tests.system.lifecycle import HOSTS, SERVER, Life
from tests.system.traces import BOXES

pytestmark = pytest.mark.topology("demo")

SITES = ("ucpe-1", "ucpe-2")
POP = "vmsr-1"
BETWEEN, OUTWARD = b"tenant-to-tenant", b"tenant-to-server"
HEAL_SECONDS = 60


@contextmanager
def talking(lab: Lab) -> Iterator[None]:
    """Hosts send to each other and to a server, fifty times a second each way, answered or not."""
    (one, first), (two, second) = HOSTS.items()
    ways = ((one, second, BETWEEN), (two, first, BETWEEN), (one, SERVER, OUTWARD), (two, SERVER, OUTWARD))
    with ExitStack() as stack:
        for host, target, words in ways:
            order = f"setsid ping -n -q -i0.02 -W1 -s120 -p {words.hex()} {target} </dev/null >/dev/null 2>&1 & echo $!"
            stack.callback(lab[host].run, "kill", "-KILL", lab[host].sh(order).strip())
        yield


def charons_die(life: Life) -> None:
    die(life, "charon")


def elements_die(life: Life) -> None:
    die(life, "element")


def die(life: Life, service: str) -> None:
    restarted = {box: kill(life.lab, box, service) for box in BOXES}
    for box, again in restarted.items():
        wait_for(f"another {service} of {box}", again, HEAL_SECONDS)
    life.until_connected(*BOXES)


def sites_lose_power(life: Life) -> None:
    for box in SITES:
        life.lab[box].power.cycle()


def pop_loses_power(life: Life) -> None:
    life.lab[POP].power.cycle()


def tunnels_are_configured_anew(life: Life) -> None:
    """All is taken away from the boxes, and given to them again."""
    life.completed(life.end())
    life.completed(life.place())


HAPPENINGS = [
    charons_die,
    elements_die,
    sites_lose_power,
    pytest.param(pop_loses_power, marks=pytest.mark.exhaustive),
    tunnels_are_configured_anew,
]


@pytest.mark.parametrize("happening", HAPPENINGS)
def test_nothing_of_a_tenant_is_on_a_wan(lab: Lab, life: Life, happening: Callable[[Life], None]) -> None:
    life.passes(HEAL_SECONDS)
    with ExitStack() as stack:
        said = stack.enter_context(lab.capture(f"{SITES[0]}:lan", "icmp"))
        sites = [stack.enter_context(lab.capture(f"{site}:wan")) for site in SITES]
        pop = stack.enter_context(lab.capture(f"{POP}:wan"))
        with talking(lab):
            life.passes()
            happening(life)
            life.passes(HEAL_SECONDS)
    assert said.contains(BETWEEN), "nobody said anything"
    assert said.contains(OUTWARD)
    allowed = [*ALLOWED, *from_operator(lab)]
    for wan in sites:
        judge(wan, allowed=allowed, secrets=[BETWEEN, OUTWARD])
    # The POP is where tenants' packets come to the Internet, translated.
    judge(pop, allowed=[*allowed, f"(icmp and host {SERVER})"], secrets=[BETWEEN])
    assert pop.frames("net 10.0.0.0/8") == [], "these are tenants' addresses"
