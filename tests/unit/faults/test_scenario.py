"""Scenarios as they are read: what a file says, what is added by whoever runs it, and the ones that we ship."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.faults import KINDS, Clock, Cut, Fault, FaultError, Kill, Loss, Power, Timed, load
from harness.faults.kinds import retargeted
from harness.faults.plan import steps
from harness.faults.scenario import FAULTS, names
from harness.topology import load as load_topology

SHIPPED = sorted(path.stem for path in FAULTS.glob("*.yaml"))


def write(folder: Path, text: str) -> Path:
    file = folder / "mine.yaml"
    file.write_text(text)
    return file


def test_a_file_becomes_faults_with_their_times(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        """
about: Two things.
faults:
  - fault: loss
    on: ["ucpe-1:wan", site branch-2]
    percent: 0.5
    direction: in
    at: 1.5
    for: 30
    seed: 7
  - {fault: kill, on: stack, process: gro, at: 10}
""",
    )
    scenario = load(file)
    assert (scenario.name, scenario.about) == ("mine", "Two things.")
    loss = Loss(("ucpe-1:wan", "site branch-2"), percent=0.5, direction="in")
    assert scenario.faults == (
        Timed(loss, 1.5, 30, 7, f"{file}:4:5"),
        Timed(Kill("stack", process="gro"), 10, None, None, f"{file}:11:5"),
    )


def test_place_and_length_are_told_to_those_that_have_none(tmp_path: Path) -> None:
    text = "about: x\nfaults:\n  - {fault: cut, for: 5}\n  - {fault: cut, on: 'a:lan'}\n  - {fault: clock, offset: 5}\n"
    scenario = load(write(tmp_path, text))
    with pytest.raises(FaultError, match=r"mine\.yaml:3:5: cut names no place; say where with --on TARGET"):
        scenario.on(None)
    placed = scenario.on("a:wan").lasting(60)
    assert [timed.fault for timed in placed.faults] == [Cut("a:wan"), Cut("a:lan"), Clock("a:wan", offset=5)]
    assert [timed.seconds for timed in placed.faults] == [5, 60, 60]
    with pytest.raises(FaultError, match="every fault names its own place"):
        placed.on("b:wan")


def test_what_has_no_length_gets_none(tmp_path: Path) -> None:
    text = "about: x\nfaults:\n  - {fault: kill, on: a, process: charon}\n"
    assert load(write(tmp_path, text)).lasting(60).faults[0].seconds is None


def test_a_topologys_own_scenario_comes_before_ours(tmp_path: Path) -> None:
    own = tmp_path / "partition.yaml"
    own.write_text("about: mine\nfaults:\n  - {fault: cut, on: 'a:wan'}\n")
    assert load("partition", [tmp_path]).path == own
    assert load("partition").path.parent == FAULTS
    assert own in names([tmp_path])
    assert FAULTS / "partition.yaml" not in names([tmp_path])


@pytest.mark.parametrize("values", [{"percent": 0}, {"percent": 100.1}, {"percent": float("nan")}, {"direction": "up"}])
def test_a_fault_in_hand_is_checked_like_one_in_a_file(values: dict[str, object]) -> None:
    with pytest.raises(FaultError, match=r"^loss: (percent|direction) cannot be "):
        Loss("a:wan", **values)  # type: ignore[arg-type]


def test_every_kind_says_what_it_does_and_how_to_write_it() -> None:
    for name, kind in KINDS.items():
        assert kind.kind == name
        assert kind.__doc__
        assert not kind.__doc__.startswith(f"{kind.__name__}("), "dataclass would write the signature"
    assert str(Loss("a:wan", percent=5, direction="in")) == "loss on a:wan: percent 5 direction in"
    assert str(Power("a")) == "power on a"


def placed(fault: Fault) -> Fault:
    """On the demo, where it names no place itself and is not of the lab as a whole."""
    if fault.targets or fault.where == "lab or nodes":
        return fault
    return retargeted(fault, "ucpe-1:wan" if fault.where == "cables" else "ucpe-1")


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_scenario_is_whole_and_fits_the_demo(name: str) -> None:
    scenario = load(name)
    demo = load_topology("demo")
    assert scenario.about
    for timed in scenario.faults:
        assert timed.seconds is None or timed.at + timed.seconds <= 180
        made = Timed(placed(timed.fault), timed.at, timed.seconds, timed.seed, timed.source)
        assert steps(made, demo, seed=1)


def test_every_kind_is_in_some_shipped_scenario() -> None:
    used = {timed.fault.kind for name in SHIPPED for timed in load(name).faults}
    assert used == set(KINDS)
