"""What all passed tests have in common is written once; keys are in no report."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from allure_commons import model2, plugin_manager
from allure_commons.logger import AllureFileLogger

from harness.evidence.failure import Exhibit
from harness.evidence.passed import Attached, told
from harness.paths import REPOSITORY

# Those that only the orchestrator's own servers have.
_NOT_IN_BOXES = {"elasticlab-access.yang", "elasticlab-devices.yang"}


@pytest.fixture
def attached(tmp_path: Path) -> Iterator[Attached]:
    """Registered before who writes results, as whatever plugin is configured first."""
    made, writer = Attached(), AllureFileLogger(tmp_path)
    for plugin in (made, writer):
        plugin_manager.register(plugin)
    yield made
    for plugin in (made, writer):
        plugin_manager.unregister(plugin)


def test_equal_texts_are_one_file_that_each_test_names_as_its_own(attached: Attached, tmp_path: Path) -> None:
    for name in ("test_a", "test_b"):
        attached.attach(Exhibit("topology", "<svg/>", "svg"))
        attached.attach(Exhibit("timeline", f"of {name}", "html"))
        plugin_manager.hook.report_result(result=model2.TestResult(name=name, uuid=name))
    plugin_manager.hook.report_result(result=model2.TestResult(name="test_c", uuid="test_c"))
    results = [json.loads(file.read_text()) for file in tmp_path.glob("*-result.json")]
    shown = {
        one["name"]: [(each["name"], (tmp_path / each["source"]).read_text()) for each in one.get("attachments", ())]
        for one in results
    }
    assert shown == {
        "test_a": [("topology", "<svg/>"), ("timeline", "of test_a")],
        "test_b": [("topology", "<svg/>"), ("timeline", "of test_b")],
        "test_c": [],
    }
    assert len(list(tmp_path.glob("*.svg"))) == 1


def test_a_configuration_is_told_without_what_nobody_may_read() -> None:
    said = told('<a><secret>k1</secret><el:secret xml:lang="x">k2</el:secret><secretary>Ann</secretary></a>')
    assert said == '<a><secret>…</secret><el:secret xml:lang="x">…</el:secret><secretary>Ann</secretary></a>'


def test_no_other_leaf_of_a_box_is_one_that_nobody_may_read() -> None:
    hidden = [
        (file.name, leaf)
        for file in sorted((REPOSITORY / "models/yang").glob("*.yang"))
        for leaf in re.findall(r"leaf ([\w-]+) {\s+nacm:default-deny-all", file.read_text())
        if file.name not in _NOT_IN_BOXES
    ]
    assert hidden == [("elasticlab-ipsec.yang", "secret")]
