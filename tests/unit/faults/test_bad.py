"""Scenarios that must be refused, `bad/NAME.yaml`, each with the whole text of its refusal, `bad/NAME.txt`."""

from pathlib import Path

import pytest

from harness.faults import FaultFileError, load

BAD = Path(__file__).parent / "bad"
CASES = sorted(path.stem for path in BAD.glob("*.yaml"))


@pytest.mark.parametrize("name", CASES)
def test_refused_with_place_reason_and_remedy(name: str) -> None:
    with pytest.raises(FaultFileError) as refusal:
        load(BAD / f"{name}.yaml")
    assert str(refusal.value).replace(f"{BAD}/", "").splitlines() == (BAD / f"{name}.txt").read_text().splitlines()
    assert all(problem.remedy for problem in refusal.value.problems)


def test_every_case_has_its_text() -> None:
    assert {path.stem for path in BAD.glob("*.txt")} == set(CASES)


def test_a_name_that_is_none_is_answered_with_those_there_are() -> None:
    with pytest.raises(FaultFileError, match=r'no such scenario \(did you mean "partition"\?\)'):
        load("partiton")
    with pytest.raises(FaultFileError, match=r"no such scenario \(known: bad-line, "):
        load("zzz")
    with pytest.raises(FaultFileError, match="cannot be read"):
        load("nowhere/x.yaml")
