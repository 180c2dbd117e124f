"""B7 and B10: the tunnels that the product builds, beside the same tunnels made by hand on the same kernel.

    labctl bench tunnels [--rounds 5] [--seconds 4] [--seed N]

One lab (topology `handmade`) holds both: a site and a POP that GRO, controller and boxes have configured as ordered,
and a site and a POP that `perf.peers.handmade` has. Each round measures, three times over in an order that the seed
decides, and says the median:

- *forwarding*, TCP from a host to the Internet's server and back (iperf3, Mbit/s): ours, by hand; and once what iperf3
  makes past the tunnel, over the same cables and box without any: three times as much, or the figure is void;
- *tunnel up*: from the NETCONF commit that brings the connection until its SAs are there, beside `swanctl --initiate`
  and a NETCONF commit that changes a description (*acknowledged*: until the answer to that commit, which may come after
  the tunnel, for the box looks once more whether all is as it was told);
- *one more site*, once: from the order until it is completed, which is when GRO has seen the controller's probe cross
  the new tunnel; less what its devices take: the two commits (POP and box) and the tunnel.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import secrets
import shlex
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from lxml import etree

from harness import topology
from harness.build.progress import Lines
from harness.lab import Lab, down, up
from harness.lab.netconf import session
from harness.lab.timings import Timings
from perf import conditions, record
from perf.buying import Customer
from perf.peers import handmade
from perf.statistics import LEAST_ROUNDS, Comparison, Series, promise

SERVER = "198.51.100.80"
SITE = {"name": "ours", "access": "routed", "gateway": "10.1.0.1/24"}
TIMES = 3
FORWARDING_LEAST = 0.98
TUNNEL_MOST = 1.2
SITE_MOST_SECONDS = 2.0
_DIRECTION: Mapping[str, Sequence[str]] = {"up": (), "down": ("--reverse",)}
"""How iperf3 is told."""
_PARTS = ("generator up", "generator down", "commit", "by hand", "acknowledged", "order")
_IPSEC = "urn:elasticlab:yang:elasticlab-ipsec"
_NC = "urn:ietf:params:xml:ns:netconf:base:1.0"
_SAID = "/run/established"
_ESTABLISHED = f"""
import os, vici
from pathlib import Path
os.mkfifo("{_SAID}")
events = vici.Session().listen(["child-updown"], timeout=60)
Path("{_SAID}.listening").touch()
next(event for _, event in events if event and event.get("up") == b"yes")
Path("{_SAID}").write_text("up")
"""


Measured = dict[str, float]
"""Seconds, or Mbit/s, of what has a name."""
Step = Callable[[], Measured]


@dataclass
class Rounds:
    """What was measured, round by round."""

    values: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, measured: Iterable[Measured]) -> None:
        """A round: of what was measured several times, the median."""
        several: defaultdict[str, list[float]] = defaultdict(list)
        for one in measured:
            for name, value in one.items():
                several[name].append(value)
        for name, values in several.items():
            self.values[name].append(statistics.median(values))

    def comparisons(self) -> list[Comparison]:
        values = self.values
        generator = {way: statistics.median(values[f"generator {way}"]) for way in _DIRECTION}
        found = [
            Comparison(
                f"forwarding {way}", Series.of(values[f"ours {way}"]), Series.of(values[f"hand {way}"]),
                least_ratio=FORWARDING_LEAST, against="by hand", unit="Mbit/s",
                headroom=generator[way] / max(values[f"ours {way}"] + values[f"hand {way}"]),
            )
            for way in _DIRECTION
        ]  # fmt: skip
        floor = Series.of(a + b for a, b in zip(values["by hand"], values["commit"], strict=True))
        return [
            *found,
            Comparison("tunnel up", Series.of(values["tunnel"]), floor, most_ratio=TUNNEL_MOST, against="by hand"),
        ]


class Benchmark:
    """One lab with both, and what is measured on it."""

    def __init__(self, lab: Lab, seconds: int) -> None:
        self.lab = lab
        self.seconds = seconds
        self.plain = handmade.past_the_tunnel(lab)
        self.customer = Customer(lab)
        self.rounds = Rounds()

    # -- forwarding ---------------------------------------------------------------------------------------------------

    def forward(self, who: str, way: str) -> Measured:
        """TCP for some seconds; Mbit/s at the receiver."""
        host = {"ours": "host-1", "hand": "host-2"}[who]
        return {f"{who} {way}": self._transfer(host, SERVER, *_DIRECTION[way])}

    def generator(self, way: str) -> Measured:
        """What iperf3 makes past the tunnel."""
        return {f"generator {way}": self._transfer("host-2", self.plain, *_DIRECTION[way])}

    def _transfer(self, host: str, server: str, *options: str) -> float:
        said = self.lab[host].exec(
            "iperf3", "--client", server, "--time", str(self.seconds), "--omit", "1", "--json", *options,
            timeout=self.seconds + 30,
        )  # fmt: skip
        bits: float = json.loads(said)["end"]["sum_received"]["bits_per_second"]
        return bits / 1e6

    # -- the tunnel ---------------------------------------------------------------------------------------------------

    def initiate_by_hand(self) -> Measured:
        handmade.terminate(self.lab)
        begun = time.monotonic()
        handmade.initiate(self.lab)
        return {"by hand": time.monotonic() - begun}

    async def commit_and_tunnel(self) -> Measured:
        """Take our connection out of the box and give it back. The controller, which would do so, stands still."""
        self.lab["stack"].exec("sv", "pause", "controller")
        try:
            async with await session(self.lab, "ucpe-1") as box:
                data = await box.get_config("running")
                found = next(iter(data.iter(f"{{{_IPSEC}}}conn-entry")))
                connection = etree.tostring(found, encoding="unicode")
                name = found.findtext(f"{{{_IPSEC}}}name")
                gone = f'<ipsec xmlns="{_IPSEC}" xmlns:nc="{_NC}"><conn-entry nc:operation="delete"><name>{name}</name>'
                await box.edit_config(f"{gone}</conn-entry></ipsec>")
                await box.commit()
                committed = await self._committed(box, self._description())
                with ThreadPoolExecutor(1) as pool:
                    seen = self._listening(pool)
                    begun = time.monotonic()
                    await self._committed(box, f'<ipsec xmlns="{_IPSEC}">{connection}</ipsec>')
                    acknowledged = time.monotonic() - begun
                    tunnel = await asyncio.wrap_future(seen) - begun
                return {"commit": committed, "tunnel": tunnel, "acknowledged": acknowledged}
        finally:
            self.lab["stack"].exec("sv", "cont", "controller")

    def _listening(self, pool: ThreadPoolExecutor) -> Future[float]:
        """When the box's daemon says that a child SA is up, to a listener that is there before anything is."""
        box = self.lab["ucpe-1"]
        listener = shlex.join(["/opt/element/bin/python", "-c", _ESTABLISHED])
        box.sh(f"rm -f {_SAID} {_SAID}.listening; {listener} < /dev/null > /run/established.log 2>&1 &")
        self.lab.wait_until("ucpe-1", f"file:{_SAID}.listening", 20)

        def seen() -> float:
            box.exec("cat", _SAID, timeout=60)
            return time.monotonic()

        return pool.submit(seen)

    @staticmethod
    def _description() -> str:
        text = f"seen {secrets.token_hex(4)}"
        inside = f"<interface><name>wan</name><description>{text}</description></interface>"
        return f'<interfaces xmlns="urn:ietf:params:xml:ns:yang:ietf-interfaces">{inside}</interfaces>'

    @staticmethod
    async def _committed(box: Any, edit: str) -> float:
        """Seconds of one edit and its commit."""
        begun = time.monotonic()
        await box.edit_config(edit)
        await box.commit()
        return time.monotonic() - begun

    # -- orders -------------------------------------------------------------------------------------------------------

    def order(self) -> float:
        """Buy the site's Internet access; seconds until the order is completed."""
        site = {**SITE, "device": self.customer.devices["ucpe-1"].serial}
        begun = time.monotonic()
        self.customer.internet(site)
        return time.monotonic() - begun

    # -- a round ------------------------------------------------------------------------------------------------------

    def round(self, order: random.Random) -> None:
        self.rounds.add([{"order": self.order()}, *(self.generator(way) for way in _DIRECTION)])
        forwarding: list[Step] = [partial(self.forward, who, way) for who in ("ours", "hand") for way in _DIRECTION]
        tunnel: list[Step] = [self.initiate_by_hand, lambda: asyncio.run(self.commit_and_tunnel())]
        for steps in (forwarding, tunnel):
            self.rounds.add([step() for step in order.sample(TIMES * steps, TIMES * len(steps))])
        self.customer.end_all()


def over_devices(values: Mapping[str, Sequence[float]]) -> Series:
    """Seconds of an order beyond what its two devices took; a difference, so a round may have none or less."""
    parts = zip(values["order"], values["commit"], values["tunnel"], strict=True)
    return Series(tuple(order - 2 * commit - tunnel for order, commit, tunnel in parts))


def run(count: int, seconds: int, seed: int, name: str) -> dict[str, Any]:
    """All rounds on a lab of their own; the result as it is stored."""
    order = random.Random(seed)  # noqa: S311 - the order of a benchmark is no secret
    started = datetime.now(UTC)
    skies: list[dict[str, object]] = []
    lab = up(topology.load("handmade"), name=name, progress=Lines(), timings=Timings())
    try:
        with tempfile.TemporaryDirectory(prefix="handmade-") as folder:
            handmade.build(lab, Path(folder))
        handmade.initiate(lab)
        lab["host-2"].must_reach(SERVER)
        benchmark = Benchmark(lab, seconds)
        benchmark.customer.own("ucpe-1")
        for number in range(-1, count):
            skies.append({"round": number, **conditions.weather()})
            benchmark.round(order)
            if number < 0:
                benchmark.rounds = Rounds()  # the first is not counted: it warms up
            print(f"round {number + 1} of {count} done", file=sys.stderr, flush=True)
    finally:
        lab.close()
        down(name)
    skies.append({"round": "end", **conditions.weather()})
    values = benchmark.rounds.values
    return {
        "benchmark": "B7 forwarding and B10 tunnels",
        "started": started.isoformat(timespec="seconds"),
        "seed": seed,
        "subject": conditions.subject(),
        "weather": skies,
        "comparisons": [one.as_json() for one in benchmark.rounds.comparisons()],
        "parts": {part: Series.of(values[part]).as_json() for part in _PARTS},
        "one more site over its devices": promise(over_devices(values).values, SITE_MOST_SECONDS),
    }


def table(result: dict[str, Any]) -> str:
    """What a person reads."""
    lines = [f"{'':<18}{'ours':>9}{'by hand':>9}{'ratio':>7}  bound"]
    for one in result["comparisons"]:
        verdict = f"  VOID: {one['void']}" if one["void"] else "" if one["kept"] else "  BOUND MISSED"
        bound = f"≤ {one['most_ratio']}" if one["most_ratio"] else f"≥ {one['least_ratio']}"
        lines.append(
            f"{one['name']:<18}{one['ours']['median']:>9.3f}{one['floor']['median']:>9.3f}{one['ratio']:>7.3f}  {bound}"
            f"{verdict}"
        )
    over = result["one more site over its devices"]
    lines.append(f"one more site, over its devices: {over['median']:.2f} s (bound {over['bound']:.0f})")
    lines += [
        f"{part}: {found['median']:.3f} {'Mbit/s' if part.startswith('generator') else 's'}"
        for part, found in result["parts"].items()
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="labctl bench tunnels", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS)
    parser.add_argument("--seconds", type=int, default=4, help="of each transfer")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    asked = parser.parse_args()
    made = partial(run, asked.rounds, asked.seconds, asked.seed, f"perf-tunnels-{os.getpid()}")
    result = record.kept("tunnels", asked, made).content
    print(table(result))
    kept = [one["kept"] for one in result["comparisons"]]
    return int(not (all(kept) and result["one more site over its devices"]["kept"]))


if __name__ == "__main__":
    sys.exit(main())
