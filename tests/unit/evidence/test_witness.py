"""When a failing test is looked at: at its own error, not at those that it expected or that came of tidying up."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from harness.evidence import captured, difference, failure, orchestrated, picture, replay, timeline, witness
from harness.evidence.failure import Exhibit
from harness.host import LabPlace
from harness.lab import Lab, keys
from harness.lab.keys import EspKey


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> witness.Witness:
    """Each look at the lab finds another number."""
    numbers = iter(range(1, 9))
    monkeypatch.setattr(failure, "look", lambda lab: [Exhibit("look", str(next(numbers)))])
    monkeypatch.setattr(timeline, "gather", lambda lab, since: [])
    monkeypatch.setattr(orchestrated, "orders", lambda lab, since: [])
    place = SimpleNamespace(captures=tmp_path, folder=tmp_path)
    monkeypatch.setattr(difference, "taken", lambda lab: {"host-1": {"services": ("down: http",)}})
    broken = [{"what": {"text": "cut on host-1:lan"}}]
    agent = SimpleNamespace(lost=threading.Event())
    host = SimpleNamespace(running=lambda: True)
    lab = SimpleNamespace(place=place, calls=[], agent=agent, host=host, marks=[], faults_in_effect=lambda: broken)
    return witness.Witness(cast("Lab", lab), "test_x", lambda: {"host-1": {"services": ("run: http",)}})


def looks(seen: witness.Witness) -> list[str]:
    return [exhibit.text for exhibit in seen._seen if exhibit.name == "look"]


def test_one_error_leaves_many_blocks_and_is_looked_at_once(seen: witness.Witness) -> None:
    error = AssertionError("it")
    seen.see(error)
    seen.see(error)
    seen.failed(error)
    assert looks(seen) == ["1"]


def test_an_error_that_was_expected_gives_way_to_the_tests_own(seen: witness.Witness) -> None:
    seen.see(TimeoutError("the test waits for this"))
    seen.failed(AssertionError("it"))
    assert looks(seen) == ["2"]


def test_what_goes_wrong_in_tidying_up_takes_nothing_away(seen: witness.Witness) -> None:
    seen.failed(AssertionError("it"))
    seen.see(RuntimeError("a fixture's end"))
    seen.failed(RuntimeError("a fixture's end"))
    assert looks(seen) == ["1"]


def test_what_is_not_as_it_was_comes_first(seen: witness.Witness) -> None:
    seen.failed(AssertionError("it"))
    assert seen.seen[0] == Exhibit(
        "what is not as it was",
        "on purpose: cut on host-1:lan\n=== host-1 services\n- run: http\n+ down: http\n",
    )


def test_a_lab_that_cannot_be_looked_at_hides_neither_the_failure_nor_what_is_known(
    seen: witness.Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(lab: Lab) -> list[Exhibit]:
        raise ConnectionError("no agent answers")

    monkeypatch.setattr(failure, "look", broken)
    seen.failed(AssertionError("it"))
    short, look, page = seen.seen
    assert short.text.startswith("on purpose: cut on host-1:lan")
    assert look.text == "no answer: no agent answers\n"
    assert "AssertionError: it" in page.text


def test_a_look_that_stumbles_takes_nothing_away_from_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(lab: Lab) -> str:
        raise ZeroDivisionError("a picture of nothing")

    monkeypatch.setattr(picture, "now", broken)
    monkeypatch.setattr(orchestrated, "standing", lambda lab: "all well")
    place = LabPlace("x", tmp_path)
    place.log.write_text("Kernel panic")
    lab = SimpleNamespace(place=place, nodes={})
    drawn, host, orchestrator = failure.look(cast("Lab", lab))
    assert "ZeroDivisionError: a picture of nothing" in drawn.text
    assert (host.text, orchestrator.text) == ("Kernel panic", "all well")


def test_every_file_of_a_capture_is_told_with_the_keys_of_that_moment(
    seen: witness.Witness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    moments = iter([{EspKey("0x01", "0xaa")}, {EspKey("0x02", "0xbb")}])
    told: list[object] = []
    monkeypatch.setattr(keys, "esp_keys", lambda lab: next(moments))
    monkeypatch.setattr(captured, "exhibits", lambda *given: told.append(given) or [Exhibit("inside", "an echo")])
    monkeypatch.setattr(replay, "told", lambda lab, test, seed: "pytest test_x")
    monkeypatch.setattr(failure, "attach", lambda *given: told.append(given))
    ring = [tmp_path / "001-a-lan.pcap0", tmp_path / "001-a-lan.pcap1"]
    for file in ring:
        file.touch()
    seen.failed(AssertionError("it"))
    seen.tell()
    assert told[0] == (ring, {EspKey("0x01", "0xaa")})
    exhibits, files, _ = cast("tuple[list[Exhibit], list[Path], object]", told[1])
    assert files == ring
    assert exhibits[-1].text == "an echo"
    assert not [exhibit for exhibit in exhibits if "0xaa" in exhibit.text], "a report has no keys"
