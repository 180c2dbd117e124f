"""Sites to order, one for each VLAN of a cable, and packets from each: whether it is served is seen from outside."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from harness.lab import Lab
from harness.wait import wait_for
from perf.load.target import HOST, SERVER

Json = Any
FIRST_VLAN = 100
EVERY = 0.02
"""Seconds between two echo requests: as exactly as the first answer is known."""
# An address that does not answer is asked for as often as echo requests come, not once a second.
_MAKE = """
ip link add v{vlan} type vrf table {table} 2>/dev/null || true
ip link set v{vlan} up
ip link add link lan name lan.{vlan} type vlan id {vlan} 2>/dev/null || true
ip link set lan.{vlan} master v{vlan}
ip link set lan.{vlan} up
echo 20 > /proc/sys/net/ipv4/neigh/lan.{vlan}/retrans_time_ms
ip address replace {host} dev lan.{vlan}
ip route replace default via {gateway} vrf v{vlan}
"""
_TAKE = "ip link delete lan.{vlan} 2>/dev/null || true; ip link delete v{vlan} 2>/dev/null || true\n"


@dataclass(frozen=True)
class Site:
    """A bridged site: whatever is in this VLAN."""

    vlan: int

    @property
    def name(self) -> str:
        return f"load-{self.vlan}"

    @property
    def _net(self) -> str:
        return f"10.{100 + self.vlan // 250}.{self.vlan % 250}"

    @property
    def gateway(self) -> str:
        return f"{self._net}.1"

    @property
    def host(self) -> str:
        return f"{self._net}.10/24"

    def item(self, device: str, number: int = 1) -> Json:
        """The order's item that brings it to the Internet."""
        value = {
            "name": self.name, "device": device, "access": "bridged", "vlan": self.vlan,
            "gateway": f"{self.gateway}/24",
        }  # fmt: skip
        service = {
            "name": self.name,
            "serviceSpecification": {"id": "site-to-internet"},
            "serviceCharacteristic": [{"name": "site", "value": value}],
        }
        return {"id": str(number), "action": "add", "service": service}


def made(first: int, count: int, step: int = 1) -> list[Site]:
    return [Site(FIRST_VLAN + first + number * step) for number in range(count)]


class Packets:
    """Hosts in the sites, all in one node of the lab."""

    def __init__(self, lab: Lab) -> None:
        self._host = lab[HOST]

    def plug_in(self, sites: Iterable[Site]) -> None:
        script = "".join(
            _MAKE.format(vlan=one.vlan, table=10_000 + one.vlan, host=one.host, gateway=one.gateway) for one in sites
        )
        self._host.sh(script, timeout=120)

    def silent(self, sites: Sequence[Site]) -> None:
        """Nothing passes from any of them. Raises RuntimeError: then nobody could see an order take effect."""
        with ThreadPoolExecutor(8) as pool:
            passing = [one.name for one, passes in zip(sites, pool.map(self.reaches, sites), strict=True) if passes]
        if passing:
            raise RuntimeError(f"packets pass of {', '.join(passing)}, and nobody has ordered them: end those services")

    def unplug(self, sites: Iterable[Site]) -> None:
        self._host.sh("".join(_TAKE.format(vlan=one.vlan) for one in sites) or ":", timeout=120)

    def until_answered(self, site: Site, seconds: float, every: float = EVERY) -> bool:
        """Whether a packet from the site came to the Internet's server and back before so many seconds have passed.

        Asks all the time; returns with the first answer.
        """
        asking = f"timeout {seconds:g} stdbuf -oL ping -n -I v{site.vlan} -i {every:g} {SERVER}"
        done = self._host.run("/bin/sh", "-c", f"{asking} 2>/dev/null | grep -m1 'bytes from'", timeout=seconds + 10)
        return done.ok

    def asking(self, sites: Sequence[Site]) -> None:
        """Until packets are asked for from each of them. Programs take their time to start, where many do at once."""
        wanted = {f"v{one.vlan}" for one in sites}

        def all_ask() -> bool:
            said = self._host.run("pgrep", "-a", "-x", "ping").stdout
            return wanted <= {line.split("-I ")[1].split()[0] for line in said.splitlines() if "-I " in line}

        wait_for(f"{len(wanted)} sites to be asked for packets", all_ask, 60)

    def reaches(self, site: Site) -> bool:
        """Whether any of a few echo requests from the site is answered."""
        return self.until_answered(site, 0.3)


class Slots:
    """Sites that nobody uses now; threads and tasks may take and give them."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self._free = deque(sites)
        self._lock = threading.Lock()

    def take(self) -> Site | None:
        with self._lock:
            return self._free.popleft() if self._free else None

    def give(self, site: Site) -> None:
        """It is asked for last: what an earlier order left behind has had its time to go."""
        with self._lock:
            self._free.append(site)
