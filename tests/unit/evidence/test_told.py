"""What a test has measured is told on the terminal, whoever ran it and however it ended, and is in its result."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

MEASURING = """
def test_passes(tell):
    print("a remark")
    tell("one more site", "0.8 s")

def test_fails(tell):
    tell("ten more", "9.1 s")
    tell("a hundred", "never")
    assert False

def test_silent(): ...
"""


@pytest.mark.parametrize("workers", [[], ["-n1"]])
def test_what_was_measured_is_told_at_the_end(pytester: pytest.Pytester, workers: list[str]) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    pytester.makepyfile(MEASURING)
    # Two of the plugins that are installed take a worker a second to import.
    without = [option for plugin in ("cacheprovider", "schemathesis", "locust") for option in ("-p", f"no:{plugin}")]
    done = pytester.runpytest_inprocess(*without, "--alluredir=results", *workers)
    done.assert_outcomes(passed=2, failed=1)
    said = done.stdout.str().partition("= measured =")[2]
    assert [
        text for text in ("one more site\n\n0.8 s", "ten more\n\n9.1 s", "a hundred\n\nnever") if text not in said
    ] == []
    assert "a remark" not in said
    attached = {file.read_text() for file in (pytester.path / "results").glob("*-attachment.txt")}
    assert {"0.8 s", "9.1 s", "never"} <= attached


def test_where_nothing_was_measured_nothing_is_told(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    pytester.makepyfile("def test_silent(): ...")
    assert "= measured =" not in pytester.runpytest_inprocess("-p", "no:cacheprovider").stdout.str()
