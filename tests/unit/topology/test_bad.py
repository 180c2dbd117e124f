"""Files that must be refused, each with the whole text of its refusal beside it.

`bad/NAME.clab.yml` is the file, `bad/NAME.txt` the expected problems, a line each, as they are printed. To change a
text, change it there; to add a case, add both.
"""

from pathlib import Path

import pytest

from harness.topology import TopologyError, load

BAD = Path(__file__).parent / "bad"
CASES = sorted(path.name.removesuffix(".clab.yml") for path in BAD.glob("*.clab.yml"))


@pytest.mark.parametrize("name", CASES)
def test_refused_with_place_reason_and_remedy(name: str) -> None:
    path = BAD / f"{name}.clab.yml"
    with pytest.raises(TopologyError) as refusal:
        load(path)
    assert str(refusal.value).replace(f"{BAD}/", "").splitlines() == (BAD / f"{name}.txt").read_text().splitlines()


def test_every_case_has_its_text() -> None:
    assert len(CASES) > 100
    assert {path.stem for path in BAD.glob("*.txt")} == set(CASES)


def test_each_problem_has_a_remedy_and_a_place() -> None:
    for name in CASES:
        with pytest.raises(TopologyError) as refusal:
            load(BAD / f"{name}.clab.yml")
        for problem in refusal.value.problems:
            assert problem.remedy
            assert problem.line > 0 or "empty" in problem.message
