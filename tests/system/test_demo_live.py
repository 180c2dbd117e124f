"""The page of `labctl graph --live` in a browser: tunnels as they come and fall, what ends send, who has power."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from harness.faults import Power, Stop
from tests.live import live
from tests.system.browser.people import People
from tests.system.lifecycle import SERVER, Life
from tests.system.traces import Json

pytestmark = pytest.mark.topology("demo", orders=False)

SEEN_MILLISECONDS = 15_000


def test_the_page_changes_with_the_lab(nothing: dict[str, Json], life: Life, people: People) -> None:
    lab = life.lab
    with live(lab) as address:
        page = people.someone().page
        page.set_default_timeout(SEEN_MILLISECONDS)
        page.goto(address)

        def tunnel(box: str) -> Locator:
            return page.locator(f'.tunnel[data-a="{box}"][data-b="vmsr-1"]')

        def becomes(found: Locator, kind: str) -> None:
            expect(found).to_have_class(re.compile(rf"\b{kind}\b"), timeout=SEEN_MILLISECONDS)

        expect(page.get_by_role("status")).to_contain_text("live")
        expect(page.locator(".tunnel")).to_have_count(0)
        life.completed(life.place())
        for box in ("ucpe-1", "ucpe-2"):
            becomes(tunnel(box), "up")
        sends = page.locator('[data-end="host-1:lan"]')
        expect(sends).to_have_text("", timeout=SEEN_MILLISECONDS)
        lab["host-1"].sh(f"timeout 20 ping -q -i0.002 -s1200 {SERVER} >/dev/null 2>&1 &")
        expect(sends).to_have_text(re.compile(r"^[\d.]+ [kM]bit/s$"), timeout=SEEN_MILLISECONDS)
        lab["host-1"].sh("pkill ping")
        expect(sends).to_have_text("", timeout=SEEN_MILLISECONDS)
        with lab.fault(Stop("ucpe-1", process="charon")), lab.fault(Power("host-2")):
            becomes(tunnel("ucpe-1"), "down")
            becomes(page.locator('[data-node="host-2"]'), "off")
            becomes(tunnel("ucpe-2"), "up")
        becomes(tunnel("ucpe-1"), "up")
        expect(page.locator('[data-node="host-2"]')).not_to_have_class(re.compile("off"), timeout=SEEN_MILLISECONDS)
