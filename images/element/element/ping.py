"""The RPC ping (elasticlab-element): ping(8) of iputils, bound to an interface or a tenant's VRF."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from typing import Any

from yangkit import ApplyError

Tree = dict[str, Any]

INTERVAL = 0.2
GRACE = 2.0
"""Seconds that ping gets on top of its own time: to start, and to say what it saw."""
AT_ONCE = 8
"""So many at a time, over all sessions."""
_SUMMARY = re.compile(r"^(\d+) packets transmitted, (\d+) received", re.MULTILINE)
_TIMES = re.compile(r"^rtt min/avg/max/mdev = ([\d.]+)/([\d.]+)/([\d.]+)/", re.MULTILINE)


def arguments(order: Tree) -> list[str]:
    """The command line for an RPC's input; defaults are the schema's."""
    count, timeout = order.get("count", 3), order.get("timeout", 5)
    # Of an interface and an address, one -I each: the packets leave there, and come from here.
    origins = (order.get("source-interface") or order.get("tenant"), order.get("source-address"))
    bound = [word for origin in origins if origin for word in ("-I", origin)]
    return [
        "ping",
        "-6" if ":" in order["address"] else "-4",
        "-n",
        "-q",
        "-c",
        str(count),
        "-i",
        str(INTERVAL),
        "-w",
        str(timeout),
        *bound,
        order["address"],
    ]


def result(text: str) -> Tree | None:
    """What ping said in the end; none if it could not even start."""
    if (summary := _SUMMARY.search(text)) is None:
        return None
    tree: Tree = {"sent": int(summary[1]), "received": int(summary[2])}
    if times := _TIMES.search(text):
        names = ("rtt-min", "rtt-avg", "rtt-max")
        tree |= {name: f"{float(value):.3f}" for name, value in zip(names, times.groups(), strict=True)}
    return tree


class Pinger:
    """Pings, a few at a time."""

    def __init__(self) -> None:
        self._running = 0

    async def __call__(self, order: Tree) -> Tree:
        """Ping, and count; ``ApplyError`` if the request could not be sent at all, or ping does not come to an end."""
        if self._running >= AT_ONCE:
            raise ApplyError(f"{AT_ONCE} pings are under way; try again", tag="resource-denied")
        self._running += 1
        seconds = order.get("timeout", 5) + GRACE
        try:
            text, complaint = await _run(arguments(order), seconds)
        except TimeoutError as error:
            raise ApplyError(f"ping has not ended after {seconds:g} s") from error
        finally:
            self._running -= 1
        if (tree := result(text)) is None:
            reason = complaint.strip().splitlines()
            raise ApplyError(reason[0] if reason else "ping gave no result")
        return tree


async def _run(command: Sequence[str], seconds: float) -> tuple[str, str]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, env=os.environ | {"LC_ALL": "C"})
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return out.decode(errors="replace"), err.decode(errors="replace")
