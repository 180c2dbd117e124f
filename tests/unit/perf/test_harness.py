"""What the benchmark of the harness compares, and when its bound is missed."""

from __future__ import annotations

import ast

from perf.harness import empty_tests, milliseconds


def test_there_are_as_many_empty_tests_as_were_asked_for() -> None:
    made = ast.parse(empty_tests(200, "demo"))
    assert sum(isinstance(part, ast.FunctionDef) for part in made.body) == 200


def test_the_bound_is_on_what_the_plugin_adds() -> None:
    kept = milliseconds([3.0, 3.2, 9.0], [2.0, 2.0, 2.0], 200)
    assert (kept["median"], kept["kept"], kept["void"]) == (6.0, True, "3 rounds are fewer than 5")
    missed = milliseconds([4.1, 4.1, 4.1], [2.0, 2.0, 2.0], 200)
    assert (missed["median"], missed["kept"]) == (10.5, False)
    assert milliseconds([3.0] * 5, [2.0] * 5, 200, "the floor moved")["void"] == "the floor moved"
