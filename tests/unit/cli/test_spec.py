"""The specification that is made of tests."""

from __future__ import annotations

from pathlib import Path

from harness.cli.specifying import page, specified
from harness.paths import REPOSITORY

TEST = """'''EV-98: two things.'''

def test_one_thing_holds():
    '''As LAB-05 asks; a < b.'''
    with step("first"):
        with step("inside it"):
            pass
    with allure.step("then"):
        pass

def helper():
    pass

class TestThat:
    async def test_also_in_classes(self):
        pass
"""


def test_names_docstrings_steps_and_requirements_are_told(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/test_ev99_things.py").write_text(TEST)
    one, other = specified(tmp_path)
    assert (one["test"], one["about"], one["line"]) == ("one thing holds", "As LAB-05 asks; a < b.", 3)
    assert one["steps"] == ["first", "inside it", "then"]
    assert one["requirements"] == ["LAB-05", "EV-98", "EV-99"]
    assert (other["test"], other["steps"], other["requirements"]) == ("also in classes", [], ["EV-98", "EV-99"])
    shown = page([one, other])
    assert "a &lt; b" in shown
    assert shown.index('id="EV-98"') < shown.index('id="LAB-05"')


def test_our_own_tests_are_all_in_it() -> None:
    told = specified(REPOSITORY / "tests")
    assert "tests/unit/cli/test_spec.py" in {test["file"] for test in told}
    assert {"EV-13", "EV-18", "LAB-05"} <= {name for test in told for name in test["requirements"]}
    assert "<script" not in page(told)
