"""What a failed test's report gets: everything a person would have looked at on the boxes, taken at the moment."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import allure

from harness.evidence.faults import told
from harness.host.channel import AgentError, AgentLost
from harness.lab import Lab, Node

_LOOKS = {
    "addresses": "ip -d address",
    "routes": "ip route show table all; ip rule",
    "xfrm": "ip -s xfrm state list nokeys; ip xfrm policy",
    "nft": "nft list ruleset",
    "bridges": "bridge -d link; bridge fdb; bridge vlan",
    "neighbours": "ip neigh",
    "limits": "cd /sys/fs/cgroup && grep -s . cpu.max cpu.stat memory.max memory.peak memory.events; df -h /",
    "processes": "ps axf -o pid,stat,etimes,args",
    "logs": "tail -n 400 $(find /var/log -name current -o -name '*.log' | sort) /dev/null",
}
_LIMIT = 64 * 1024 * 1024
UNREACHABLE = (AgentError, AgentLost, OSError, TimeoutError)


@dataclass(frozen=True)
class Exhibit:
    """A text of the report; `extension` says how it is shown."""

    name: str
    text: str
    extension: str = "txt"


def look(lab: Lab) -> list[Exhibit]:
    """The lab host's log, each node's state and each box's configuration, as they are now."""
    found = []
    if lab.place.log.exists():
        found.append(Exhibit("lab host", lab.place.log.read_text(errors="replace")))
    for node in lab.nodes.values():
        found.append(Exhibit(node.name, _state(node)))
        if lab.topology.nodes[node.name].personality:
            found.append(Exhibit(f"{node.name} configuration", _configuration(lab, node.name), "xml"))
    return found


def attach(exhibits: Iterable[Exhibit], captures: Sequence[Path], faults: Sequence[dict[str, Any]]) -> None:
    """Attach what was seen, captures and the record of faults to the test's Allure result."""
    if faults:
        allure.attach(told(faults), "faults", allure.attachment_type.TEXT)
        allure.attach("\n".join(map(json.dumps, faults)), "faults.jsonl", extension="jsonl")
    for file in captures:
        if file.stat().st_size <= _LIMIT:
            allure.attach(file.read_bytes(), name=file.name, extension="pcap")
    for exhibit in exhibits:
        allure.attach(exhibit.text, exhibit.name, extension=exhibit.extension)


def _configuration(lab: Lab, box: str) -> str:
    """What the box says that it is configured to do (RFC 6241, <get-config> of running)."""
    from lxml import etree  # noqa: PLC0415 (only failures pay for these)
    from yangkit.errors import RpcError  # noqa: PLC0415

    from harness.lab.netconf import session  # noqa: PLC0415

    async def ask() -> str:
        async with await session(lab, box, seconds=5) as client:
            return etree.tostring(await client.get_config(), pretty_print=True, encoding="unicode")

    try:
        return asyncio.run(ask())
    except (OSError, TimeoutError, RpcError) as error:
        return f"no answer: {error}"


def _state(node: Node) -> str:
    """One text per node; what cannot be asked any more (no power) is evidence too."""
    script = "\n".join(f"echo '=== {name}: '\n{{ {command}; }} 2>&1" for name, command in _LOOKS.items())
    try:
        return node.run("/bin/sh", "-c", script, timeout=20).stdout
    except UNREACHABLE as error:
        return f"no answer: {error}"
