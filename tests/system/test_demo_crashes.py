"""kill -9 of each component at each boundary of an order's steps: nothing is lost, nothing comes twice, and it ends.

An order and its end are both interrupted, one after the other. Each of GRO's own boundaries to the row is in the unit
tests of `gro` (test_kills.py); here the others die, and GRO with all of them around it.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable

import pytest

from harness.orchestrator import UnavailableError, ordering
from harness.wait import wait_for
from tests.system.crashing import BOUNDARIES, kill, sites
from tests.system.lifecycle import Life
from tests.system.traces import BOXES, INTENT, Json, content

pytestmark = pytest.mark.topology("demo", orders=False)

TERMINAL_SECONDS = 60.0
SETTLE_SECONDS = 20.0
"""A charon that was killed last is told once more what it has to forget."""
COMPONENTS = {
    "identity": ("stack", "identity"),
    "manager": ("stack", "manager"),
    "controller": ("stack", "controller"),
    "gro": ("stack", "gro"),
    "element": ("ucpe-2", "element"),
    "pop": ("vmsr-1", "element"),
    "charon": ("ucpe-1", "charon"),
    "pop-charon": ("vmsr-1", "charon"),
}
# Each component, each boundary, in both directions; of charon each boundary, at one end or the other.
ALWAYS = [
    ("manager", "devices"),
    ("controller", "network"),
    ("pop", "verify"),
    ("gro", "finish"),
    ("identity", "network"),
    ("charon", "devices"),
    ("pop-charon", "network"),
    ("charon", "verify"),
    ("pop-charon", "finish"),
]
CASES = [
    pytest.param(*case, marks=() if case in ALWAYS else pytest.mark.exhaustive)
    for case in itertools.product(COMPONENTS, BOUNDARIES)
]
# What dies at any moment at all.
MORTALS = [*itertools.product(BOXES, ("element", "charon")), ("stack", "controller")]
ORDER_SECONDS = 4.0
"""What an order takes when nothing dies, about."""
ANY_MOMENT = [pytest.param(n, marks=() if n < 3 else pytest.mark.exhaustive) for n in range(30)]


@pytest.mark.parametrize(("component", "boundary"), CASES)
def test_a_killed_component_loses_and_doubles_nothing(
    life: Life, nothing: dict[str, Json], component: str, boundary: str
) -> None:
    order = interrupted(life, life.place, component, boundary)
    once(life, order)
    life.passes(TERMINAL_SECONDS)  # a POP whose charon died is found out by its branches after 13 s
    # An order that adds nothing needs no device, and so asks nobody before it comes to the network.
    interrupted(life, life.end, component, "verify" if boundary == "devices" else boundary)
    life.until_connected(*BOXES)
    life.left_nothing(nothing, SETTLE_SECONDS)


@pytest.mark.parametrize("number", ANY_MOMENT)
def test_a_kill_at_any_moment_loses_and_doubles_nothing(
    life: Life, nothing: dict[str, Json], number: int, chance: random.Random
) -> None:
    """Of element, charon or controller, drawn by chance, anew for each number."""
    once(life, struck(life, life.place, chance))
    life.passes(TERMINAL_SECONDS)
    struck(life, life.end, chance)
    life.until_connected(*BOXES)
    life.left_nothing(nothing, SETTLE_SECONDS)


def struck(life: Life, going: Callable[[], str], chance: random.Random) -> Json:
    """An order, and a kill somewhere on its way; the order as it ended."""
    node, service = chance.choice(MORTALS)
    moment = chance.uniform(0, ORDER_SECONDS)
    begun = time.monotonic()
    order = going()
    wait_for(
        f"{moment:.3f} s of the order", lambda: time.monotonic() - begun >= moment, ORDER_SECONDS + 1, interval=0.002
    )
    state = life.state(order)
    restarted = kill(life.lab, node, service)
    document = life.completed(order, TERMINAL_SECONDS)
    print(
        f"{service} of {node} killed {moment:.3f} s after {going.__name__} ({state}), {time.monotonic() - begun:.1f} s"
    )
    wait_for(f"another {service} of {node}", restarted, TERMINAL_SECONDS)
    return document


def interrupted(life: Life, going: Callable[[], str], component: str, boundary: str) -> Json:
    """An order, and a kill when it is at the boundary; the order as it ended."""
    with BOUNDARIES[boundary](life, going) as order:
        if boundary != "finish":  # there GRO itself stands still
            newest = ordering.read(life.far, order)["milestone"][-1]
            assert (newest["name"], "endDate" in newest) == (boundary, False)
        restarted = kill(life.lab, *COMPONENTS[component])
        killed = time.monotonic()
    document = life.completed(order, TERMINAL_SECONDS)
    seconds = time.monotonic() - killed
    wait_for(f"another {component}", restarted, TERMINAL_SECONDS)
    print(f"{component} killed at {boundary} of {going.__name__}: completed after {seconds:.1f} s")
    return document


def once(life: Life, order: Json) -> None:
    """Each step once, each service once, each of them once in the intent and in the network.

    Whoever was killed after the order was complete may be on its way back: the network's own word is waited for.
    """
    expected = [("acme.branch-1", "up"), ("acme.branch-2", "up")]

    def standing() -> bool:
        return sorted((one["site-id"], one["state"]) for one in sites(life)) == expected

    wait_for("each site to be up, once", standing, TERMINAL_SECONDS, retry_on=(UnavailableError,))
    steps = [step["name"] for step in order["milestone"]]
    assert steps == ["reserve", "devices", "network", "verify", "finish"]
    services = {one["id"] for one in life.services("active")}
    assert services == {item["service"]["id"] for item in order["serviceOrderItem"]}
    assert life.services("reserved") == []
    intent = content(life.far, f"{INTENT}?content=config")["ietf-l3vpn-svc:l3vpn-svc"]
    assert {one["vpn-id"] for one in intent["vpn-services"]["vpn-service"]} == services
    assert sorted(one["site-id"] for one in intent["sites"]["site"]) == ["acme.branch-1", "acme.branch-2"]
