"""Frames, what is offered of them, and what is said of what came out."""

from __future__ import annotations

import json
import os
import random
import socket
import struct
import time
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
from perf.forwarding.run import Benchmark
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
        assert struct.unpack_from("!HH", frame, 16) == (size - 18, 40000)  # its ID says whose it is when it is cut
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


class TestTimed:
    def test_a_frame_that_leaves_late_says_when_it_was_due(self, monkeypatch: pytest.MonkeyPatch) -> None:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        monkeypatch.setattr(traffic, "_packet_socket", lambda _: here)
        frame = frames.udp(64, MACS, ("10.1.0.10", 1), ("198.51.100.80", 2))
        timed = traffic.Timed({"interface": "lan", "timed": [frame.hex()], "stamp": frames.STAMP, "gap": 0.001})
        now = time.monotonic()
        timed.due = now - 0.0015  # less than two of the generator's pauses
        timed.send_due(now)
        wall = time.time() - time.monotonic()
        found = [traffic.STAMP.unpack_from(there.recv(64), frames.STAMP) for _ in range(timed.sent)]
        assert [magic for magic, _ in found] == [traffic.MAGIC] * 2
        assert [due / 1e9 - wall - now for _, due in found] == pytest.approx([-0.0015, -0.0005], abs=0.0004)
        assert timed.due == pytest.approx(now + 0.0005)
        here.close()
        there.close()

    def test_they_have_the_sizes_of_the_load(self) -> None:
        asked = trial._asked(path(), "up", frames.SIZES["imix"], 1.0, 100, timed=True)
        assert sorted(len(one) // 2 + frames.FCS for one in asked["timed"]) == sorted(frames.SIZES["imix"])

    def test_a_kernel_that_lets_no_sender_go_ahead_is_told_of(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refused(*_: object) -> None:
            raise PermissionError

        monkeypatch.setattr(os, "sched_setscheduler", refused)
        assert traffic.ahead_of_others() is False


@pytest.mark.parametrize(("sent", "flows", "found"), [(7, 3, (3, 2, 2)), (6, 3, (2, 2, 2)), (0, 2, (0, 0))])
def test_what_left_is_told_flow_by_flow(sent: int, flows: int, found: tuple[int, ...]) -> None:
    assert trial.of_flows(sent, flows) == found


Look = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""What two flows' counters show: whole frames, first halves and second ones."""


class Counting:
    """A node whose counters go on to the next of these at each look; the last stays."""

    name = "node"

    def __init__(self, *looks: Look) -> None:
        self.looks = list(looks)

    def exec(self, *_: str) -> str:
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return json.dumps({"nftables": [
            {"set": {"name": name, "elem": [
                {"elem": {"val": port, "counter": {"packets": count}}}
                for port, count in zip(COUNTED[:2], counts, strict=True)
            ]}}
            for name, counts in zip(("whole", "first", "rest"), look, strict=True)
        ]})  # fmt: skip


class TestArrivals:
    def arrived(self, left: tuple[int, ...], *looks: Look, before: Look = ((100, 0), (0, 0), (0, 0))) -> Any:
        was: Any = Counting(before)
        node: Any = Counting(*looks)
        return trial.arrived(node, COUNTED[: len(left)], trial.counted(was), left)

    def test_all_that_left_is_waited_for_until_no_more_comes(self) -> None:
        first, second = ((103, 1), (0, 0), (0, 0)), ((105, 4), (0, 0), (0, 0))
        assert self.arrived((5, 4), first, second) == (5, 4)
        assert self.arrived((9, 4), first, second) == (5, 4)

    @pytest.mark.parametrize("halves", [(5, 3), (3, 5)])
    def test_a_datagram_of_which_a_half_is_missing_has_not_come(self, halves: tuple[int, int]) -> None:
        first, rest = halves
        assert self.arrived((5,), ((100, 0), (first, 0), (rest, 0))) == (3,)
        assert self.arrived((5,), ((100, 0), (5, 0), (5, 0))) == (5,)

    def test_none_has_come_where_all_second_halves_are_missing(self) -> None:
        assert self.arrived((5,), ((100, 0), (5, 0), (0, 0))) == (0,)

    def test_halves_of_another_flow_or_of_before_do_not_make_up_for_it(self) -> None:
        assert self.arrived((5, 5), ((100, 0), (5, 5), (0, 10))) == (0, 5)
        before = ((100, 0), (0, 0), (7, 0))
        assert self.arrived((5,), ((100, 0), (5, 0), (8, 0)), before=before) == (1,)

    def test_whole_ones_and_cut_ones_add_up(self) -> None:
        assert self.arrived((9,), ((104, 0), (5, 0), (4, 0))) == (8,)


class TestVerdicts:
    def rounds(self, generator: float, ours: float, hand: float, plain: float) -> Rounds:
        one, load, found = path(), Load("64", "up"), Rounds()
        lanes = [(Lane("GRE", OURS, one), ours), (Lane("GRE", HAND, one), hand), (Lane(PLAIN, PLAIN, one), plain)]
        for lane, value in lanes:
            for found.number in range(1, 6):
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

    def test_a_round_that_one_of_two_has_no_value_of_is_in_no_ratio(self) -> None:
        found, load = self.rounds(600, 98, 100, 150), Load("64", "up")
        del found.values["MRR", "GRE", OURS, load][2]
        found.values["MRR", "GRE", HAND, load][2] = 1
        del found.values["MRR", "GRE", HAND, load][4]
        hand, plain = found.comparisons()
        assert (hand.ratio, hand.void) == (0.98, "3 rounds are fewer than 5")
        assert [len(one.values) for one in (plain.ours, plain.floor, plain.peer or plain.ours)] == [3, 3, 3]

    def test_what_nothing_comes_out_of_is_a_failure_and_no_value(self) -> None:
        found, load = Rounds(number=3), Load("64", "up")
        found.add("MRR", Lane("GRE", OURS, path()), load, 0.0)
        assert (found.failures, found.comparisons()) == (["GRE, ours, 64, up: no MRR in round 3"], [])

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


class Device:
    """What each path forwards in a second, at most; nothing comes of one that is not named. In place of a lab."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **most: float) -> None:
        self.most = most
        self.halved: set[str] = set()
        self.asked: list[tuple[str, tuple[str, ...], float]] = []
        monkeypatch.setattr(trial, "offer", self.offer)
        monkeypatch.setattr(trial, "self_test", lambda *_: 1e6)

    def offer(
        self, _: object, path: Path, ways: tuple[str, ...], sizes: tuple[int, ...], seconds: float, rate: float = 0,
        *, timed: bool = False,
    ) -> Trial:  # fmt: skip
        self.asked.append((path.name, ways, rate))
        if path.name not in self.most:
            raise PathError(f"{path.name}: nothing arrives")
        most = self.most[path.name]
        sent = int(seconds * (rate * len(ways) or 1000))
        out = sent // 2 if path.name in self.halved else min(sent, int(most * seconds))
        return Trial(seconds, rate, (sent,), (out,), (1000,) * 200 if timed else ())


class TestRounds:
    def benchmark(self, ways: tuple[str, ...] = ("up",)) -> Benchmark:
        nothing: Any = None
        lanes = []
        for who in (OURS, HAND, PLAIN):
            lanes.append(Lane(PLAIN if who == PLAIN else GRE_ESP, who, path()))
            lanes[-1].path.name = who.replace(" ", "_")
        load = Load("64", "up")
        loads = [Load("64", way) for way in ways]
        return Benchmark(nothing, lanes, loads, [(one, load) for one in lanes], "quick", 1.0, 1.0, random.Random(1))

    def test_a_round_asks_each_lane_for_all_rates_and_times_frames_at_each_share(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Device(monkeypatch, ours=900, by_hand=900, plain=900)
        benchmark = self.benchmark()
        for _ in range(5):
            benchmark.round()
        found = {one.name: one for one in benchmark.rounds.comparisons()}
        assert {"MRR: GRE in ESP, 64, up", "NDR: GRE in ESP, 64, up", "p99 at 90 % of PDR: GRE in ESP, 64, up"} <= set(
            found
        )
        assert len(found) == 2 * (3 + 4 * 3)
        assert {one.void for one in found.values()} == {""}
        assert benchmark.rounds.failures == []

    def test_a_search_that_fails_in_one_round_leaves_a_result_that_is_void(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        device = Device(monkeypatch, ours=900, by_hand=900, plain=900)
        benchmark = self.benchmark()
        for number in range(6):
            device.halved = {"ours"} if number == 2 else set()
            benchmark.round()
        found = {one.name: one for one in benchmark.rounds.comparisons()}
        (failure,) = benchmark.rounds.failures
        assert failure == "GRE in ESP, ours, 64, up: NDR: frames are lost even at 10 a second"
        assert len(found["NDR: GRE in ESP, 64, up"].floor.values) == 5
        assert {one.void for one in found.values()} == {"1 requests failed"}

    def test_a_path_that_is_dead_is_told_and_the_others_are_measured(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Device(monkeypatch, by_hand=900, plain=900)
        benchmark = self.benchmark()
        benchmark.stable()
        for _ in range(5):
            benchmark.round()
        assert set(benchmark.rounds.failures) == {"GRE in ESP, ours, 64, up: ours: nothing arrives"}
        assert {one.measured for one in benchmark.rounds.comparisons()} == {HAND}

    def test_a_level_that_too_few_frames_are_timed_at_leaves_the_others(self, monkeypatch: pytest.MonkeyPatch) -> None:
        device = Device(monkeypatch, ours=900, by_hand=900, plain=900)
        offer = device.offer
        monkeypatch.setattr(trial, "offer", lambda *all_, timed=False: offer(*all_, timed=timed and all_[-1] > 1))
        benchmark = self.benchmark()
        benchmark.round()
        assert sorted(benchmark.rounds.failures)[0] == (
            "GRE in ESP, by hand, 64, up, 0 % of PDR: 0 timed frames arrived: fewer than 100 say nothing"
        )
        assert {what for what, *_ in benchmark.rounds.values if what.startswith("p50")} == {
            f"p50 at {share} % of PDR" for share in (10, 50, 90)
        }

    def test_a_tenth_is_tried_each_way_that_is_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        device = Device(monkeypatch, ours=900, by_hand=900, plain=900)
        benchmark = self.benchmark(("down", "both"))
        benchmark.stable()
        assert {(name, ways) for name, ways, rate in device.asked if rate} == {
            (name, ways) for name in ("ours", "by_hand", "plain") for ways in (("up",), ("down",), ("up", "down"))
        }

    def test_what_loses_at_a_tenth_one_way_only_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        device = Device(monkeypatch, ours=900, by_hand=900, plain=900)
        offer = device.offer

        def lossy(*all_: Any, **more: Any) -> Trial:
            done = offer(*all_, **more)
            return done if all_[2] == ("up",) else Trial(done.seconds, done.rate, done.offered, (done.received[0] - 1,))

        monkeypatch.setattr(trial, "offer", lossy)
        benchmark = self.benchmark(("down", "up"))
        benchmark.stable()
        assert len(benchmark.rounds.failures) == 3
        assert all(", 64, down: " in one for one in benchmark.rounds.failures)


class TestBlocked:
    def blocked(self, offered: float = 0.97, **values: list[float]) -> Blocked:
        nothing: Any = None
        found = Blocked(nothing, [], Load("imix", "up"), {GRE_ESP: 100, VXLAN_ESP: 100})
        for shape in (GRE_ESP, VXLAN_ESP):
            for who in (OURS, HAND):
                found.values[POLICY, shape, who] = [0.0] * 5
                found.offered[POLICY, shape, who] = [1.0, 0.99, 0.98, offered, 1.0]
        found.values[POLICY, GRE_ESP, HAND] = values.get("hand", [0.0, 2.0, 0.0, 0.0, 1.0])
        found.values[POLICY, GRE_ESP, OURS] = values.get("touched", [2.0, 0.0, 0.0, 0.0, 0.0])
        found.values[POLICY, VXLAN_ESP, OURS] = values.get("untouched", [0.0] * 5)
        return found

    @staticmethod
    def promises(of: Blocked, failed: int = 0, generator: float = 1e6) -> Any:
        return of.promises(failed, generator).values()

    def test_what_is_touched_may_lose_what_it_does_by_hand_and_the_rest_nothing(self) -> None:
        touched, untouched = self.promises(self.blocked())
        assert (touched["bound"], touched["kept"], touched["void"]) == (2.0, True, "")
        assert (untouched["bound"], untouched["kept"]) == (0.0, True)

    def test_one_round_with_a_loss_misses_the_bound(self) -> None:
        _, untouched = self.promises(self.blocked(untouched=[0.0, 0.0, 0.1, 0.0, 0.0]))
        assert untouched["kept"] is False
        touched, _ = self.promises(self.blocked(touched=[0.0, 2.1, 0.0, 0.0, 0.0]))
        assert touched["kept"] is False

    def test_few_rounds_say_nothing(self) -> None:
        found = self.blocked()
        found.offered[POLICY, GRE_ESP, HAND] = [1.0]
        assert [one["void"] for one in self.promises(found)] == ["1 rounds are fewer than 5", ""]
        del found.offered[POLICY, GRE_ESP, HAND], found.values[POLICY, GRE_ESP, HAND]
        assert [one["void"] for one in self.promises(found)] == ["0 rounds are fewer than 5", ""]
        assert set(found.parts()["by hand, blocked ms"]) == {f"{POLICY}, {VXLAN_ESP}"}

    def test_what_was_not_offered_says_nothing_of_what_would_have_passed(self) -> None:
        touched, untouched = self.promises(self.blocked(offered=0.94))
        assert touched["void"] == untouched["void"] == "its generator offered only 0.94 of the rate (< 0.95)"
        assert touched["offered"]["min"] == 0.94

    def test_what_stands_beside_it_must_have_been_offered_too(self) -> None:
        found = self.blocked()
        found.offered[POLICY, GRE_ESP, HAND][4] = 0.5
        found.offered[POLICY, VXLAN_ESP, HAND][4] = 0.5  # which nothing is held against
        found.ahead = False
        touched, untouched = self.promises(found)
        assert touched["void"] == (
            "its generator offered only 0.50 of the rate (< 0.95): the kernel lets it go ahead of no other program"
        )
        assert untouched["void"] == ""

    def test_failures_and_a_generator_without_headroom_void_all(self) -> None:
        assert {one["void"] for one in self.promises(self.blocked(), failed=2)} == {"2 trials failed"}
        assert {one["void"] for one in self.promises(self.blocked(), generator=580)} == {
            "its generator makes only 2.9 times the offered load (< 3)"
        }
