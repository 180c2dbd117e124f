"""The floor that labs are measured beside makes what it says, on a real lab host, and leaves nothing there."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from harness.host.common import KeptHost
from harness.lab import Lab
from harness.lab.lab import world_file
from harness.paths import ON_HOSTS

pytestmark = pytest.mark.topology("plain")

# On the lab host: made, looked at, removed.
_LOOK = """
import json, subprocess, sys
from pathlib import Path
from perf.peers import floor

def tool(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

world = json.load(sys.stdin)
here, made = floor.Wire(), floor.Made()
floor.make_namespaces(world, made)
floor.make_links(here, world, made)
floor.spawn(world, made)
seen = {}
for node, pid in zip(world["nodes"], made.sleeping, strict=True):
    place = Path(f"/proc/{pid}")
    links = json.loads(tool("ip", "-netns", node["name"], "-json", "-4", "address"))
    given = [address for link in links if link["ifname"] == "eth0" for address in link["addr_info"]]
    links = json.loads(tool("ip", "-netns", node["name"], "-json", "link"))
    seen[node["name"]] = {
        "up": sorted(link["ifname"] for link in links if "UP" in link["flags"] and "NO-CARRIER" not in link["flags"]),
        "address": [f"{address['local']}/{address['prefixlen']}" for address in given],
        "runs": (place / "cmdline").read_text().split("\\0")[:2],
        "first": [l.split()[-1] for l in (place / "status").read_text().splitlines() if l.startswith("NSpid")],
        "same network": (place / "ns/net").samefile(floor.NETNS / node["name"]),
        "shared": [k for k in ("mnt", "uts", "ipc", "pid") if (place / "ns" / k).samefile(f"/proc/self/ns/{k}")],
        "mounts": [line.split()[4] for line in (place / "mountinfo").read_text().splitlines()],
        "root": sorted(entry.name for entry in (place / "root").iterdir()),
    }
seen["port"] = json.loads(tool("ip", "-json", "link", "show", "master", floor.BRIDGE))
floor.remove(here, world, made)
print(json.dumps(seen))
"""


def _world(lab: Lab) -> dict[str, Any]:
    """Two nodes of the lab again, beside it: called otherwise, and with a cable."""
    known = json.loads(world_file(lab.place).read_text())["nodes"][:2]
    nodes = [
        {**node, "name": f"floor-{number}", "number": 900 + number, "management": f"100.64.0.{number}/24"}
        for number, node in enumerate(known)
    ]
    ends = [{"node": "floor-0", "interface": "wan"}, {"node": "floor-1", "interface": "lan"}]
    return {"nodes": nodes, "links": [{"index": 0, "ends": ends}]}


def _on_host(lab: Lab, given: dict[str, Any], *argv: str) -> Any:
    assert isinstance(lab.host, KeptHost)
    command = lab.host.command("env", f"PYTHONPATH={':'.join(ON_HOSTS)}", lab.host.rootfs.python, *argv)
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_floor_is_links_that_are_up_and_containers_that_sleep(lab: Lab) -> None:
    before = lab.agent.call("audit")
    seen = _on_host(lab, _world(lab), "-c", _LOOK)
    assert {port["ifname"] for port in seen.pop("port") if "UP" in port["flags"]} == {"f900", "f901"}
    for number, (cable, node) in enumerate(zip(("wan", "lan"), seen.values(), strict=True)):
        assert node["up"] == sorted([cable, "eth0", "lo"])
        assert node["address"] == [f"100.64.0.{number}/24"]
        assert node["runs"] == ["sleep", "infinity"]
        assert node["first"] == ["1"]
        assert node["same network"]
        assert node["shared"] == []
        assert {"/", "/proc", "/dev", "/dev/pts", "/sys", "/run", "/tmp"} <= set(node["mounts"])
        assert not any(place.startswith(("/lab", "/images", "/opt/elasticlab")) for place in node["mounts"])
        assert {"bin", "etc", "proc", "usr"} <= set(node["root"])
    assert lab.agent.call("audit") == before


def test_the_floor_says_what_each_part_took(lab: Lab) -> None:
    spent = _on_host(lab, _world(lab), "-m", "perf.peers.floor", "--remove")
    assert set(spent) == {"links", "spawn", "remove"}
    assert all(0 < seconds < 5 for seconds in spent.values())
