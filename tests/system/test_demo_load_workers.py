"""Load that several processes share, with Locust's own page before a browser (LAB-09)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import allure
import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from harness.orchestrator.client import Orchestrator
from harness.paths import REPOSITORY
from harness.wait import wait_for
from tests.system.lifecycle import Life
from tests.system.traces import Json

pytestmark = [pytest.mark.topology("demo", orders=False), pytest.mark.exhaustive]

SECONDS = 120
WORKERS = 2
SHARED = """
about = "orders by two processes"
rate = 0.15
slots = 16
patience = 60
[shape]
kind = "soak"
level = 4
seconds = 20
[users]
orders = 3
restconf = 1
[sla."order accepted"]
least = 2
share_failed = 0
[sla."order applied"]
least = 2
share_failed = 0
[sla."end nothing passes"]
least = 2
share_failed = 0
[sla."RESTCONF write"]
least = 1
share_failed = 0
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def locust(log: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Locust as anybody starts it; it does not outlive the block."""
    command = [sys.executable, "-m", "locust", "-f", "perf/load/provisioning.py", *options]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with (
        log.open("wb") as out,
        subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=out, stderr=out) as process,
    ):
        try:
            yield process
        finally:
            process.kill()
            allure.attach.file(str(log), log.name, allure.attachment_type.TEXT)


def test_two_workers_share_the_load_and_the_page_shows_it(
    life: Life, nothing: dict[str, Json], chromium_for: Callable[[Path], str], tmp_path: Path
) -> None:
    scenario = tmp_path / "shared.toml"
    scenario.write_text(SHARED)
    web, meeting = free_port(), str(free_port())
    trust = life.lab.factory.directory / "stacks" / Orchestrator.of(life.lab).node / "service-ca.pem"
    master = [
        *("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", meeting, "--expect-workers"),
        *(str(WORKERS), "--web-host", "127.0.0.1", "--web-port", str(web), "--autostart", "--autoquit", "3"),
        *("--scenario", str(scenario), "--lab", life.lab.name, "--keep", str(tmp_path)),
    ]
    worker = ["--worker", "--master-host", "127.0.0.1", "--master-port", meeting]
    with ExitStack() as held:
        leading = held.enter_context(locust(tmp_path / "master.log", *master))
        for number in range(WORKERS):
            held.enter_context(locust(tmp_path / f"worker-{number}.log", *worker))
        with sync_playwright() as playwright:
            page = playwright.chromium.connect_over_cdp(chromium_for(trust)).new_page()
            watch(page, f"http://127.0.0.1:{web}/")
        assert leading.wait(SECONDS) == 0, (tmp_path / "master.log").read_text()
    kept = json.loads(next(tmp_path.glob("load-*.json")).read_text())
    assert kept["failed"] == {}
    assert all(one["kept"] for one in kept["promises"]), kept["promises"]
    life.left_nothing(nothing, 30)


def watch(page: Page, address: str) -> None:
    """Locust's page while the load runs: both workers, and requests of each interface."""
    page.set_default_timeout(1000 * SECONDS)
    expect.set_options(1000 * SECONDS)

    def runs() -> bool:
        state: str = httpx.get(f"{address}stats/requests", trust_env=False).json()["state"]
        return state in ("spawning", "running")

    # Who opens the page earlier is asked what to begin, and must open it again.
    wait_for("the load runs", runs, SECONDS, interval=0.2, retry_on=(httpx.HTTPError,))
    page.goto(address)
    for name in ("accepted", "applied", "write"):
        expect(page.get_by_role("cell", name=name, exact=True).first).to_be_visible()
    page.get_by_role("tab", name="Workers").click()
    expect(page.get_by_role("cell", name="running")).to_have_count(WORKERS)
    allure.attach(page.screenshot(full_page=True), "Locust's page", allure.attachment_type.PNG)
