"""What a run leaves to chance is drawn again by the seed that its failures tell."""

from __future__ import annotations

import re

import pytest

pytest_plugins = ["pytester"]

DRAWING = """
import pytest
@pytest.mark.parametrize("number", range(2))
def test_draws(chance, number):
    assert False, f"drew {chance.getrandbits(32)}"
"""


def drawn(pytester: pytest.Pytester, *options: str) -> tuple[set[str], set[str]]:
    """What was drawn, and what failures say that draws it again."""
    said = pytester.runpytest_inprocess("-p", "no:cacheprovider", *options).stdout.str()
    return set(re.findall(r"AssertionError: drew (\d+)", said)), set(re.findall(r"--lab-seed=(\d+)", said))


def test_the_seed_that_a_failure_tells_draws_the_same_again(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    pytester.makepyfile(DRAWING)
    numbers, seeds = drawn(pytester, "-n2")
    assert len(numbers) == 2
    assert len(seeds) == 1, "one for all workers"
    assert drawn(pytester, f"--lab-seed={seeds.pop()}")[0] == numbers
    assert not drawn(pytester)[0] & numbers
