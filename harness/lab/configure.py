"""Pushing the configuration that lies in a topology's `sites/` to its boxes, over NETCONF as any manager would.

A file `sites/NODE.xml` is the whole configuration of a node: the content of a `<config>` element (RFC 6241,
section 7.2). It replaces what the box has, so a second push changes nothing.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from yangkit.errors import RpcError

from harness.lab.lab import Lab
from harness.lab.netconf import session
from harness.lab.node import Node
from harness.lab.record import LabError
from harness.wait import Deadline, DeadlineError

_PUSH_SECONDS = 60


@dataclass(frozen=True)
class Site:
    node: Node
    file: Path


def sites(lab: Lab) -> list[Site]:
    """The configurations that the topology brings; a file for a node that it has not is refused."""
    found = []
    for file in sorted((lab.topology.directory / "sites").glob("*.xml")):
        declared = lab.topology.nodes.get(file.stem)
        if declared is None or declared.personality is None:
            boxes = ", ".join(node.name for node in lab.topology.nodes.values() if node.personality) or "none"
            raise LabError(f"{file}: the topology has no box {file.stem!r} (boxes: {boxes}); rename or remove the file")
        found.append(Site(lab.nodes[file.stem], file))
    return found


def push(lab: Lab, wanted: list[Site]) -> dict[str, float]:
    """Configure all of them at once; seconds each took from the first attempt on."""

    async def everyone() -> list[float]:
        return await asyncio.gather(*(_push(lab, site) for site in wanted))

    return dict(zip([site.node.name for site in wanted], asyncio.run(everyone()), strict=True))


async def _push(lab: Lab, site: Site) -> float:
    begun = time.monotonic()
    deadline = Deadline(_PUSH_SECONDS)
    config = site.file.read_text()
    while True:
        try:
            client = await session(lab, site.node.name, seconds=max(1.0, deadline.remaining))
        except FileNotFoundError:  # a key of ours, which waiting does not bring
            raise
        except (OSError, TimeoutError) as error:
            # The box is still booting; its port opens when its software is there.
            if deadline.expired:
                raise DeadlineError(f"{site.node.name}: no NETCONF within {deadline.limit:g} s: {error}") from error
            await asyncio.sleep(0.05)
            continue
        async with client:
            try:
                await client.lock("candidate")
                await client.edit_config(config, target="candidate", default_operation="replace")
                await client.commit()
            except RpcError as error:
                raise LabError(f"{site.file}: {site.node.name} refuses it: {error}") from error
        return round(time.monotonic() - begun, 3)
