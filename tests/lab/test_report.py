"""LAB-06: `labctl report`, by the real Allure and in a real browser: what a test did, and how it ended before."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from harness.cli.output import ReportOut
from harness.lab import Lab
from harness.paths import REPOSITORY
from tests.lab.inner import attachments, results, start
from tests.system.browser import chromium

LABCTL = [sys.executable, "-P", "-m", "harness.cli"]
PATIENCE_MILLISECONDS = 10_000
CLOCK = re.compile(r"^\d+/\d+/\d{4} at \d\d:\d\d:\d\d$")
"""Of an earlier end, in a test's history."""
INNER = """
import os
import pytest
from harness.evidence.steps import step
from harness.faults import Cut

@pytest.mark.topology("plain")
def test_x(lab):
    with step("the cable is pulled"), lab.capture("host-2:lan"), lab.fault(Cut("host-1:lan")):
        lab["host-1"].must_not_reach("10.2.0.10")
        assert os.environ["HOW"] == "passed", "on purpose"
    lab["host-1"].must_reach("10.2.0.10", 10)
"""


def render(folder: Path, results: Path, name: str) -> ReportOut:
    options = ["--output", str(folder / name), "--history", str(folder / "kept/history.jsonl"), "--json"]
    done = subprocess.run(
        [*LABCTL, "report", str(results), *options],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: ReportOut = json.loads(done.stdout[done.stdout.index("{\n") :])
    return told


def shown_by(told: ReportOut) -> list[dict[str, Any]]:
    """As the pages have them."""
    return [json.loads(file.read_text()) for file in Path(told["report"]).glob("data/test-results/*.json")]


def attached(test: dict[str, Any]) -> set[str]:
    """To it and its fixtures."""
    places = [test, *test["setup"], *test["teardown"]]
    return {step["link"]["name"] for place in places for step in place["steps"] if "link" in step}


def unfold(page: Page, name: str) -> None:
    """An attachment."""
    page.get_by_test_id("test-result-attachment-header").filter(has_text=name).click()


@contextlib.contextmanager
def opened(report: Path, test: str, folder: Path) -> Iterator[Page]:
    """A test's page, in a browser. What is put into `folder` / home is in its HOME."""
    handler = functools.partial(Quiet, directory=str(report))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with chromium.running(None, folder) as address, sync_playwright() as playwright:
            page = playwright.chromium.connect_over_cdp(address).new_page()
            page.set_default_timeout(PATIENCE_MILLISECONDS)
            page.goto(f"http://127.0.0.1:{server.server_port}/index.html#{test}")
            yield page
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def run(folder: Path, lab: Lab, how: str) -> Path:
    """The inner test on the lab, once; its results."""
    (folder / how).mkdir()
    said, _ = start(folder / how, INNER, f"--lab={lab.name}", "--lab-seed=7", HOW=how).communicate(timeout=120)
    assert f"1 {how}" in said
    return folder / how / "results"


@pytest.mark.topology("plain")
def test_the_report_of_a_second_run_shows_what_the_test_did_and_how_it_ended_before(lab: Lab, tmp_path: Path) -> None:
    [before] = shown_by(render(tmp_path, run(tmp_path, lab, "failed"), "first"))
    assert any(name.endswith("-host-2-lan.pcap") for name in attached(before)), "what the failed test captured"
    passed = run(tmp_path, lab, "passed")
    told = render(tmp_path, passed, "second")
    assert told["tests"] == [{"test": "test_inner::test_x", "runs": 2, "failed": 1, "flips": 1, "last": "passed"}]
    [test] = shown_by(told)
    with opened(Path(told["report"]), test["id"], tmp_path) as page:
        expect(page.get_by_test_id("test-result-step-title").get_by_text("the cable is pulled")).to_be_visible()
        unfold(page, "topology plain")
        expect(page.get_by_test_id("test-result-attachment").locator("img")).to_have_js_property("complete", value=True)
        unfold(page, "how to run it again")
        expect(page.get_by_text("--lab-seed=7 test_inner.py::test_x")).to_be_visible()
        unfold(page, "timeline")
        happened = page.frame_locator("iframe").locator("tr.fault")
        expect(happened).to_contain_text(["began", "begincut on host-1:lan", "endcut on host-1:lan", "ended"])
        page.get_by_test_id("test-result-tab-history").click()
        expect(page.get_by_text(CLOCK)).to_have_count(1)
        page.goto(page.url.partition("#")[0])
        page.get_by_text("Global Attachments").click()
        unfold(page, "flakes.html")
        expect(page.frame_locator("iframe").locator("tbody tr")).to_have_text(["test_inner::test_x211passed"])
        opens_without_a_server(page, attachments(passed, results(passed)[0])["timeline"], tmp_path)


def opens_without_a_server(page: Page, timeline: str, folder: Path) -> None:
    (folder / "home/timeline.html").write_text(timeline)
    page.goto(f"file://{chromium.HOME}/timeline.html")
    page.get_by_placeholder("only lines with").fill("cut on")
    shown = page.locator("tr:visible")
    expect(shown).to_contain_text(["cut on host-1:lan", "cut on host-1:lan"])
    expect(page.locator("#shown")).to_have_text(str(shown.count()))


def test_a_folder_that_is_no_report_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "report").mkdir()
    (tmp_path / "report/thesis.txt").write_text("mine")
    done = subprocess.run(
        [*LABCTL, "report", str(tmp_path / "one"), "--output", str(tmp_path / "report")],
        capture_output=True, text=True, cwd=REPOSITORY, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--output" in done.stderr
    assert (tmp_path / "report/thesis.txt").read_text() == "mine"
