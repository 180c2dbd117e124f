"""How many frames the demo's tunnel forwards (B7), quickly: what measures it sends, counts and loses as it says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.lab import Lab
from perf.forwarding import trial, ways
from perf.forwarding.path import WAYS, Flow, Path, PathError
from perf.statistics import LEAST_HEADROOM

pytestmark = pytest.mark.topology("demo")

FLOW = Flow("10.1.0.10", ways.SERVER, "10.1.0.1")
SECONDS = 0.2
SENDER = {"up": "host-1", "down": "internet"}


@pytest.fixture
def path(lab: Lab) -> Iterator[Path]:
    try:
        ways.count_at_the_internet(lab, "pop")
        ways.count_at_hosts(lab, {"host-1": ("lan",)})
        yield ways.ours(lab, "GRE in ESP", (FLOW,))
    finally:
        trial.forget(lab["internet"], lab["host-1"])


def test_the_tunnel_forwards_far_less_than_its_generator_makes_and_loses_nothing_at_a_tenth(
    lab: Lab, path: Path
) -> None:
    generator = trial.self_test(lab["host-1"], (64,), SECONDS)
    for way in WAYS:
        most = trial.offer(lab, path, (way,), (64,), SECONDS)
        assert most.forwarded > 1000, f"{way}: {most}"
        assert generator > LEAST_HEADROOM * most.forwarded, f"{way}: the generator makes {generator:.0f}/s"
        tenth = most.forwarded / 10
        slow = trial.offer(lab, path, (way,), (64,), SECONDS, tenth, timed=True)
        assert slow.sent == int(SECONDS * tenth)
        assert slow.lost == 0, f"{way}: {slow.lost} of {slow.sent} are lost"
        assert len(slow.times) == slow.timed > 10
        assert 0 < min(slow.times) < 1e9
        assert slow.ahead is lab[SENDER[way]].run("chrt", "-r", "1", "true").ok, f"{way}: the sender waits for others"
        assert not most.ahead


def test_frames_larger_than_the_tunnel_come_out_whole(lab: Lab, path: Path) -> None:
    for way in WAYS:
        cut = trial.offer(lab, path, (way,), (1518,), SECONDS, 500)
        assert (cut.sent, cut.lost) == (100, 0), way


@pytest.mark.parametrize("half", ["!=", "=="])
def test_frames_of_which_one_half_is_lost_are_lost(lab: Lab, path: Path, half: str) -> None:
    internet = lab["internet"]
    internet.exec(
        "nft",
        "-f",
        "-",
        stdin=f"""
table netdev halves {{
    chain ingress {{
        type filter hook ingress device "pop" priority -1;
        ip protocol udp ip frag-off & 0x3fff != 0 ip frag-off & 0x1fff {half} 0 drop
    }}
}}
""",
    )
    try:
        cut = trial.offer(lab, path, ("up",), (1518,), SECONDS, 500)
    finally:
        internet.exec("nft", "delete", "table", "netdev", "halves")
    assert (cut.sent, cut.lost) == (100, 100)


def test_what_is_lost_on_the_way_is_counted_as_lost(lab: Lab, path: Path) -> None:
    with lab.link("vmsr-1:wan").cut():
        cut = trial.offer(lab, path, ("up",), (64,), SECONDS, 500)
        assert (cut.sent, cut.lost) == (100, 100)
        with pytest.raises(PathError, match="of 2 flows up, 0 arrive"):
            trial.learn(lab, path)
    lab["host-1"].must_reach(ways.SERVER)
