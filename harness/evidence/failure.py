"""What a failed test's report gets: everything a person would have looked at on the boxes, taken at the moment."""

from __future__ import annotations

import asyncio
import functools
import json
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import allure

from harness.evidence import orchestrated, picture
from harness.evidence.faults import told
from harness.host import LabPlace
from harness.host.channel import AgentError, AgentLost
from harness.lab import Lab, Node

_LOOKS = {
    "addresses": "ip -d address",
    "routes": "ip route show table all; ip rule",
    "xfrm": "ip -s xfrm state list nokeys; ip xfrm policy",
    "nft": "nft list ruleset",
    "connections": "conntrack -L 2>/dev/null | head -n 400",
    "bridges": "bridge -d link; bridge fdb; bridge vlan",
    "neighbours": "ip neigh",
    "limits": "cd /sys/fs/cgroup && grep -s . cpu.max cpu.stat memory.max memory.peak memory.events; df -h /",
    "processes": "ps axf -o pid,stat,etimes,args",
    "logs": "tail -n 400 $(find /var/log -name current -o -name '*.log' | sort) /dev/null",
}
STARTUP = "/var/lib/element/startup.xml"
_AT_ONCE = 4
TYPES = {
    "html": allure.attachment_type.HTML,
    "svg": allure.attachment_type.SVG,
    "txt": allure.attachment_type.TEXT,
    "xml": allure.attachment_type.XML,
}
UNREACHABLE = (AgentError, AgentLost, OSError, TimeoutError)


@dataclass(frozen=True)
class Exhibit:
    """A text of the report; `extension` says how it is shown."""

    name: str
    text: str
    extension: str = "txt"


def guarded(name: str, look: Callable[[], list[Exhibit]]) -> list[Exhibit]:
    """What a look finds. Whatever it stumbles over is told in its place, and takes nothing away from other looks."""
    try:
        return look()
    except UNREACHABLE as error:
        return [Exhibit(name, f"no answer: {error}\n")]
    except Exception:  # such as what nobody has thought of, on a lab that is broken
        return [Exhibit(name, f"it could not be looked at:\n{traceback.format_exc()}")]


def look(lab: Lab) -> list[Exhibit]:
    """What lab host, orchestrator, nodes and boxes are and say now: the picture, logs, states, configurations."""
    looks: list[tuple[str, Callable[[], list[Exhibit]]]] = [
        ("topology when it failed", lambda: [Exhibit("topology when it failed", picture.now(lab), "svg")]),
        ("lab host", lambda: logs(lab.place)),
        ("orchestrator", lambda: _orchestrator(lab)),
    ]
    looks += [(node.name, functools.partial(_of_node, lab, node)) for node in lab.nodes.values()]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [exhibit for found in pool.map(lambda one: guarded(*one), looks) for exhibit in found]


def logs(place: LabPlace) -> list[Exhibit]:
    """What a lab's host said, and its Docker daemon where it has one, also when it is dead; not what is nothing."""
    files = {"lab host": place.log, "Docker": place.folder / "dockerd.log"}
    said = {name: file.read_text(errors="replace") for name, file in files.items() if file.exists()}
    return [Exhibit(name, text) for name, text in said.items() if text]


def _orchestrator(lab: Lab) -> list[Exhibit]:
    told = orchestrated.standing(lab)
    return [] if told is None else [Exhibit("orchestrator", told)]


def _of_node(lab: Lab, node: Node) -> list[Exhibit]:
    found = [Exhibit(node.name, _state(node))]
    if lab.topology.nodes[node.name].personality:
        found.append(Exhibit(f"{node.name} configuration", _configuration(lab, node), "xml"))
    return found


def attach(exhibits: Iterable[Exhibit], captures: Sequence[Path], faults: Sequence[dict[str, Any]]) -> None:
    """Attach what was seen, captures and the record of faults to the test's Allure result."""
    if faults:
        allure.attach(told(faults), "faults", allure.attachment_type.TEXT)
        allure.attach("\n".join(map(json.dumps, faults)), "faults.jsonl", extension="jsonl")
    for file in captures:
        allure.attach(file.read_bytes(), name=file.name, extension="pcap")
    for exhibit in exhibits:
        kind = TYPES.get(exhibit.extension)
        allure.attach(exhibit.text, exhibit.name, kind, None if kind else exhibit.extension)


def _configuration(lab: Lab, box: Node) -> str:
    """What the box says that it is configured to do (RFC 6241, <get-config> of running); if it does not say, what it
    would start with.
    """
    from lxml import etree  # noqa: PLC0415 (only failures pay for these)
    from yangkit.errors import RpcError  # noqa: PLC0415 (see above)

    from harness.lab.netconf import session  # noqa: PLC0415 (see above)

    async def ask() -> str:
        async with await session(lab, box.name, seconds=5) as client:
            return etree.tostring(await client.get_config(), pretty_print=True, encoding="unicode")

    try:
        return asyncio.run(ask())
    except (*UNREACHABLE, RpcError) as error:
        return f"<!-- no answer: {str(error).replace('--', '- -')}; what it would start with: -->\n{_startup(box)}"


def _startup(box: Node) -> str:
    try:
        return box.run("cat", STARTUP, timeout=10).stdout
    except UNREACHABLE as error:
        return f"<!-- no answer: {str(error).replace('--', '- -')} -->"


def _state(node: Node) -> str:
    """One text per node; what cannot be asked any more (no power) is evidence too."""
    script = "\n".join(f"echo '=== {name}: '\n{{ {command}; }} 2>&1" for name, command in _LOOKS.items())
    try:
        done = node.run("/bin/sh", "-c", script, timeout=20)
        return done.stdout or f"no answer: {done.stderr.strip()}"
    except UNREACHABLE as error:
        return f"no answer: {error}"
