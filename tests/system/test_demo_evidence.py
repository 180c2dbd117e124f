"""LAB-06: what a report says of a lab with an orchestrator: its picture, sites, devices, alarms, and its orders."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from harness.evidence import orchestrated, passed, picture
from harness.evidence.failure import STARTUP
from harness.faults import Power, Stop
from harness.lab import Lab
from harness.wait import wait_for

pytestmark = pytest.mark.topology("demo")

_SVG = "{http://www.w3.org/2000/svg}"


def drawn(lab: Lab) -> tuple[dict[str | None, str | None], list[str | None]]:
    """Tunnels by their ends at the sites, and the nodes without power."""
    root = ElementTree.fromstring(picture.now(lab))
    tunnels = {path.get("data-a"): path.get("class") for path in root.iter(f"{_SVG}path") if path.get("data-a")}
    groups = [group for group in root.iter(f"{_SVG}g") if "off" in str(group.get("class")).split()]
    return tunnels, [group.get("data-node") for group in groups]


def test_the_picture_shows_which_tunnel_is_down_and_who_has_no_power(lab: Lab) -> None:
    both_up = {"ucpe-1": "tunnel up", "ucpe-2": "tunnel up"}
    assert drawn(lab) == (both_up, [])
    with lab.fault(Stop(("ucpe-2",), "charon"), Power(("host-1",))):
        assert drawn(lab) == ({**both_up, "ucpe-2": "tunnel down"}, ["host-1"])
    lab["host-1"].must_reach("10.2.0.10", 30)
    assert drawn(lab) == (both_up, [])


def all_up(lab: Lab) -> dict[str, str] | None:
    """What the orchestrator says, part by part, once it says that of its sites."""
    said = orchestrated.standing(lab) or ""
    told = dict(part.split(":\n", 1) for part in said.split("=== ")[1:])
    return told if told["sites (gro)"].count(" up since ") == 2 else None


def test_the_orchestrators_word_and_its_orders_are_told(lab: Lab) -> None:
    told = wait_for("all sites to be up", lambda: all_up(lab), 30)
    assert told["sessions (controller)"].count("in-sync") == 3
    assert told["devices (manager)"].count("EL-UCPE-000") == 2
    steps = [news.text for news in orchestrated.orders(lab, 0)]
    assert steps[0].startswith("placed for acme: add ")
    assert "completed" in steps
    assert "step verify done" in steps


@pytest.mark.exhaustive  # GRO takes its time to come back
def test_an_orchestrator_that_does_not_answer_is_told_as_that(lab: Lab) -> None:
    with lab.fault(Stop(("stack",), "gro")):
        said = orchestrated.standing(lab)
        [news] = orchestrated.orders(lab, 0)
    assert said is not None
    assert "=== sites (gro):\nno answer: " in said
    assert "in-sync" in said, "the others answer"
    assert "does not answer" in news.text
    wait_for("gro", lambda: "no answer" not in (orchestrated.standing(lab) or ""), 30)


def test_what_boxes_are_configured_to_do_is_read_from_outside_of_them_and_once(lab: Lab) -> None:
    boxes = {"vmsr-1", "ucpe-1", "ucpe-2"}
    common = passed.Common(lab)
    told = {one.name: one.text for one in common.configurations(anew=True)}
    assert told == {f"{box} configuration": lab[box].exec("cat", STARTUP) for box in boxes}
    known = {
        box: stamp for box, (stamp, _) in lab.agent.call("node.files", path=STARTUP, known=dict.fromkeys(boxes)).items()
    }
    assert lab.agent.call("node.files", path=STARTUP, known=known) == {}
    lab["ucpe-1"].sh(f"cp -p {STARTUP} /run/again; rm -f /run/pipe; mkfifo /run/pipe")
    lab["ucpe-1"].sh("ln -sf /etc/passwd /run/elsewhere; ln -sfn /etc /run/folder")
    assert set(lab.agent.call("node.files", path="/run/again", known=known)) == {"ucpe-1"}, "it is another file"
    for path in ("/run/elsewhere", "/run/folder/passwd"):
        assert lab.agent.call("node.files", path=path, known={"ucpe-1": None}) == {}, "that would be the host's"
    assert lab.agent.call("node.files", path="/run/pipe", known={"ucpe-1": None}) == {}, "nobody writes into it"
    lab["ucpe-1"].sh("rm /run/again /run/elsewhere /run/folder /run/pipe")
