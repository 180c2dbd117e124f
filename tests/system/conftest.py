"""What system tests share: an order's life, and a browser for the tests that click.

Playwright's own loop runs in the test's thread while a test uses `people`: what calls `asyncio.run` belongs into a
thread of its own there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from harness.lab import Lab
from harness.orchestrator.client import Orchestrator
from tests.system.browser import chromium
from tests.system.browser.people import People
from tests.system.browser.people import people as people_before
from tests.system.lifecycle import Life
from tests.system.traces import Json

_BEFORE = pytest.StashKey[dict[str, dict[str, Json]]]()


@pytest.fixture(scope="module")
def chromium_for(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], str]]:
    """The module's one chromium, started when the first test needs it; gives its DevTools address."""
    with ExitStack() as stack:
        addresses: list[str] = []

        def start(trust: Path) -> str:
            if not addresses:
                addresses.append(stack.enter_context(chromium.running(trust, tmp_path_factory.mktemp("chromium"))))
            return addresses[0]

        yield start


@pytest.fixture
def people(request: pytest.FixtureRequest, lab: Lab, chromium_for: Callable[[Path], str]) -> Iterator[People]:
    """Whoever opens the lab's portal; what they saw is attached to a failed test."""
    orchestrator = Orchestrator.of(lab)
    trust = lab.factory.directory / "stacks" / orchestrator.node / "service-ca.pem"
    before = request.session.testsfailed
    with sync_playwright() as playwright:
        browser = playwright.chromium.connect_over_cdp(chromium_for(trust))
        with people_before(browser, orchestrator.portal, lambda: request.session.testsfailed > before) as made:
            yield made


@pytest.fixture
def life(lab: Lab) -> Life:
    """Orders that come and go; the lab's are placed again after the tests that say `orders=False`."""
    return Life(lab, Orchestrator.of(lab))


@pytest.fixture
def nothing(life: Life, request: pytest.FixtureRequest) -> dict[str, Json]:
    """Nothing is ordered; what the lab looked like when that was so for the first time."""
    life.clear()
    looks = request.config.stash.setdefault(_BEFORE, {})
    if life.lab.name not in looks:
        looks[life.lab.name] = life.traces()
    return looks[life.lab.name]
