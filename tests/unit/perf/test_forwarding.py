"""Frames, what is offered of them, and what is said of what came out."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import Any

import pytest

from perf.forwarding import frames, traffic, trial
from perf.forwarding.blocked import POLICY, Blocked
from perf.forwarding.lab import GRE_ESP, VXLAN_ESP
from perf.forwarding.lane import HAND, OURS, PLAIN, Lane, Load
from perf.forwarding.latency import LatencyError, percentiles
from perf.forwarding.path import COUNTED, FLOWS, TIMED, End, Flow, Path, PathError
from perf.forwarding.rounds import Rounds
from perf.forwarding.search import NDR, PDR, SearchError, search
from perf.forwarding.trial import Trial

MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")


def path(flows: int = 1, vlan: int = 0) -> Path:
    node: Any = SimpleNamespace(name="node")
    ends = (End(node, "lan", MACS[0], (MACS[1],) * flows), End(node, "pop", MACS[1], (MACS[0],) * flows))
    numbered = tuple(Flow(f"10.1.{n}.10", "198.51.100.80", f"10.1.{n}.1", vlan) for n in range(flows))
    return Path("a path", *ends, numbered)


class TestFrames:
    @pytest.mark.parametrize("size", [64, 570, frames.LARGEST, 1518])
    def test_a_frame_has_its_size_with_the_fcs_and_a_header_that_adds_up(self, size: int) -> None:
        frame = frames.udp(size, MACS, ("10.1.0.10", 40000), ("198.51.100.80", 40001))
        assert len(frame) == size - frames.FCS
        assert frame[:14].hex() == "020000000002" + "020000000001" + "0800"
        assert struct.unpack_from("!H", frame, 16)[0] == size - 18
        assert frames.checksum(frame[14:34]) == 0
        assert IPv4Address(frame[26:30]) == IPv4Address("10.1.0.10")
        assert struct.unpack_from("!4H", frame, 34) == (40000, 40001, size - 38, 0)

    def test_a_tag_comes_on_top(self) -> None:
        frame = frames.udp(64, MACS, ("10.1.0.10", 1), ("198.51.100.80", 2), vlan=20)
        assert len(frame) == 64
        assert frame[12:18].hex() == "810000140800"

    def test_a_stamp_fits_into_the_smallest_frame(self) -> None:
        assert frames.STAMP + traffic.STAMP.size <= min(frames.SIZES["64"]) - frames.FCS

    def test_imix_is_seven_four_one(self) -> None:
        sizes = frames.SIZES["imix"]
        assert [sizes.count(size) for size in (64, 570, frames.LARGEST)] == [7, 4, 1]

    def test_every_pattern_fills_the_ring_evenly(self) -> None:
        for sizes in frames.SIZES.values():
            assert traffic.SLOTS % (len(sizes) * FLOWS) == 0
        assert traffic.SLOTS * traffic.SLOT % traffic.BLOCK == 0
        assert max(max(sizes) for sizes in frames.SIZES.values()) + 4 <= traffic.SLOT - traffic.HEADER


class TestPatterns:
    def test_each_flow_has_its_turn_with_each_size(self) -> None:
        found = path(flows=3).frames("up", (64, 1418), COUNTED)
        assert [len(one) + frames.FCS for one in found] == [64] * 3 + [1418] * 3
        assert [struct.unpack_from("!H", one, 36)[0] for one in found] == [COUNTED[0], COUNTED[1], COUNTED[2]] * 2

    def test_what_comes_back_goes_to_whom_the_internet_sees(self) -> None:
        one = path()
        with pytest.raises(PathError, match="nothing of flow 1"):
            one.frames("down", (64,), COUNTED)
        one.seen[COUNTED[0]] = ("203.0.113.2", 4711)
        (frame,) = one.frames("down", (64,), COUNTED)
        assert IPv4Address(frame[30:34]) == IPv4Address("203.0.113.2")
        assert struct.unpack_from("!HH", frame, 34) == (COUNTED[0], 4711)

    def test_ports_of_what_is_counted_and_of_what_is_timed_differ(self) -> None:
        assert not set(COUNTED) & set(TIMED)


@pytest.mark.parametrize(("sent", "flows", "found"), [(7, 3, (3, 2, 2)), (6, 3, (2, 2, 2)), (0, 2, (0, 0))])
def test_what_left_is_told_flow_by_flow(sent: int, flows: int, found: tuple[int, ...]) -> None:
    assert trial.of_flows(sent, flows) == found


class Counting:
    """A node whose counters go on to the next of these at each look; the last stays."""

    name = "node"

    def __init__(self, *looks: tuple[dict[int, int], int]) -> None:
        self.looks = list(looks)

    def exec(self, *_: str) -> str:
        import json

        ports, later = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        elements = [{"elem": {"val": port, "counter": {"packets": count}}} for port, count in ports.items()]
        return json.dumps({"nftables": [{"set": {"elem": elements}}, {"counter": {"packets": later}}]})


class TestArrivals:
    def arrived(self, left: tuple[int, ...], *looks: tuple[dict[int, int], int]) -> tuple[int, ...]:
        node: Any = Counting(*looks)
        return trial.arrived(node, COUNTED[: len(left)], ({COUNTED[0]: 100, COUNTED[1]: 0}, 0), left)

    def test_all_that_left_is_waited_for_until_no_more_comes(self) -> None:
        first, second = {COUNTED[0]: 103, COUNTED[1]: 1}, {COUNTED[0]: 105, COUNTED[1]: 4}
        assert self.arrived((5, 4), (first, 0), (second, 0)) == (5, 4)
        assert self.arrived((9, 4), (first, 0), (second, 0)) == (5, 4)

    def test_a_datagram_whose_second_half_is_missing_has_not_come(self) -> None:
        assert self.arrived((5,), ({COUNTED[0]: 105, COUNTED[1]: 0}, 3)) == (3,)
        assert self.arrived((5,), ({COUNTED[0]: 105, COUNTED[1]: 0}, 5)) == (5,)


class TestVerdicts:
    def rounds(self, generator: float, ours: float, hand: float, plain: float) -> Rounds:
        one, load, found = path(), Load("64", "up"), Rounds()
        lanes = [(Lane("GRE", OURS, one), ours), (Lane("GRE", HAND, one), hand), (Lane(PLAIN, PLAIN, one), plain)]
        for lane, value in lanes:
            for _ in range(5):
                found.add("MRR", lane, load, value)
        found.generator["64"] = [generator] * 5
        return found

    def test_a_generator_short_of_plain_forwarding_voids_that_ratio_alone(self) -> None:
        hand, plain = self.rounds(600, 98, 100, 250).comparisons()
        assert (hand.name, hand.void, hand.kept, hand.headroom) == ("MRR: GRE, 64, up", "", True, 6.0)
        assert plain.void == "its generator makes only 2.4 times the measured load (< 3)"
        assert (plain.ratio, plain.kept) == (98 / 250, None)

    def test_less_than_by_hand_is_a_bound_that_is_missed(self) -> None:
        assert self.rounds(600, 97, 100, 150).comparisons()[0].kept is False

    def test_what_the_product_does_not_have_stands_beside_plain_forwarding_alone(self) -> None:
        found = self.rounds(600, 98, 100, 150)
        del found.values["MRR", "GRE", OURS, Load("64", "up")]
        (one,) = found.comparisons()
        assert (one.measured, one.against, one.peer) == (HAND, "plain forwarding", None)

    def test_one_frame_lost_at_a_tenth_voids_all(self) -> None:
        found = self.rounds(600, 98, 100, 150)
        found.failures.append("one")
        assert {one.void for one in found.comparisons()} == {"1 requests failed"}

    def test_a_trial_says_what_came_out_in_a_second(self) -> None:
        one = Trial(2.0, 100, (150, 50), (150, 40))
        assert (one.sent, one.lost, one.forwarded) == (200, 10, 95)


class TestSearch:
    """Of devices that forward so much, and not a frame more."""

    @pytest.mark.parametrize("goals", ["quick", "csit", "rfc2544"])
    def test_a_device_that_loses_what_is_too_much(self, goals: str) -> None:
        def offer(seconds: float, rate: float) -> Trial:
            sent = 2 * int(seconds * rate)
            return Trial(seconds, rate, (sent,), (min(sent, int(20000 * seconds)),))

        found = search(offer, 20000, goals, directions=2)
        assert 0.97 * 20000 < found[NDR] <= 20000
        assert found[NDR] <= found[PDR] < 1.01 * 20000

    def test_what_the_generator_cannot_send_is_no_rate(self) -> None:
        def offer(seconds: float, rate: float) -> Trial:
            sent = int(seconds * min(rate, 20000))
            return Trial(seconds, rate, (sent,), (sent,))

        assert 0.97 * 20000 < search(offer, 20000, "quick")[NDR] <= 20000

    def test_a_device_that_always_loses_has_none(self) -> None:
        def offer(seconds: float, rate: float) -> Trial:
            sent = int(seconds * rate)
            return Trial(seconds, rate, (sent,), (sent // 2,))

        with pytest.raises(SearchError, match="NDR: frames are lost even at 400 a second"):
            search(offer, 20000, "quick")


class TestLatency:
    def test_percentiles_are_in_microseconds(self) -> None:
        found = percentiles([1_000_000] * 990 + [5_000_000] * 10)
        assert found["p50"] == pytest.approx(1000, rel=0.002)
        assert found["p99"] == pytest.approx(1000, rel=0.002)
        assert found["p99.9"] == pytest.approx(5000, rel=0.002)

    def test_few_frames_say_nothing(self) -> None:
        with pytest.raises(LatencyError, match="99 timed frames arrived"):
            percentiles([1] * 99)


class TestBlocked:
    def blocked(self, **values: list[float]) -> Blocked:
        nothing: Any = None
        found = Blocked(nothing, [], Load("imix", "up"), {})
        for shape in (GRE_ESP, VXLAN_ESP):
            for who in (OURS, HAND):
                found.values[POLICY, shape, who] = [0.0] * 5
        found.values[POLICY, GRE_ESP, HAND] = values.get("hand", [0.0, 2.0, 0.0, 0.0, 1.0])
        found.values[POLICY, GRE_ESP, OURS] = values.get("touched", [2.0, 0.0, 0.0, 0.0, 0.0])
        found.values[POLICY, VXLAN_ESP, OURS] = values.get("untouched", [0.0] * 5)
        return found

    def test_what_is_touched_may_lose_what_it_does_by_hand_and_the_rest_nothing(self) -> None:
        touched, untouched = self.blocked().promises().values()
        assert (touched["bound"], touched["kept"], touched["void"]) == (2.0, True, "")
        assert (untouched["bound"], untouched["kept"]) == (0.0, True)

    def test_one_round_with_a_loss_misses_the_bound(self) -> None:
        _, untouched = self.blocked(untouched=[0.0, 0.0, 0.1, 0.0, 0.0]).promises().values()
        assert untouched["kept"] is False
        touched, _ = self.blocked(touched=[0.0, 2.1, 0.0, 0.0, 0.0]).promises().values()
        assert touched["kept"] is False

    def test_few_rounds_say_nothing(self) -> None:
        touched, _ = self.blocked(touched=[0.0]).promises().values()
        assert touched["void"] == "1 rounds are fewer than 5"
