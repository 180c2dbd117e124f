"""A running lab: its nodes, links and captures over one held channel to its host."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.engine.native import NativeEngine
from harness.factory import Factory
from harness.host import LabHost, LabPlace, open_host
from harness.host.channel import Agent
from harness.lab import record
from harness.lab.capture import Capture
from harness.lab.link import Link
from harness.lab.node import Node
from harness.lab.record import LabError, LabRecord


class Lab:
    """Use it as a context manager, or `close()` it: that gives back what it borrowed and leaves the lab running."""

    def __init__(self, known: LabRecord, host: LabHost, world: dict[str, Any]) -> None:
        self.record = known
        self.name = known.name
        self.host = host
        self._world = world
        self._captures = itertools.count(1)
        self.nodes = {node["name"]: Node(self, node) for node in world["nodes"]}
        self.links = [Link(self, link) for link in world["links"]]

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getitem__(self, name: str) -> Node:
        try:
            return self.nodes[name]
        except KeyError:
            raise LookupError(f"lab {self.name} has no node {name!r}; it has {', '.join(self.nodes)}") from None

    @property
    def place(self) -> LabPlace:
        return self.record.place

    @cached_property
    def agent(self) -> Agent:
        return self.host.agent()

    @cached_property
    def engine(self) -> NativeEngine:
        return NativeEngine(self.agent, self._world)

    @cached_property
    def factory(self) -> Factory:
        return Factory.open(self.place.folder / "factory")

    def link(self, end: str) -> Link:
        """The link at `NODE:INTERFACE`."""
        for link in self.links:
            if end in link.ends:
                return link
        ends = ", ".join(sorted(end for link in self.links for end in link.ends))
        raise LookupError(f"lab {self.name} has no link at {end!r}; it has {ends}")

    @contextlib.contextmanager
    def capture(self, end: str, expression: str = "") -> Iterator[Capture]:
        """Capture what passes an end of a link for the length of a `with` block.

        The file stays in the lab's folder until the lab is removed.
        """
        name = f"{next(self._captures):03d}-{end.replace(':', '-')}.pcap"
        file = self.place.captures / name
        # A file of that number may be there from an earlier command; its reader may still want it.
        while file.exists():
            name = f"{next(self._captures):03d}-{end.replace(':', '-')}.pcap"
            file = self.place.captures / name
        seen = f"/lab/captures/{name}"
        port = self.link(end).port(end)
        self.agent.call("capture.start", name=name, device=port, file=seen, expression=expression)
        try:
            yield Capture(self, end, file, seen)
        finally:
            self.agent.call("capture.stop", name=name)

    def command(self, node: str, argv: list[str], *, terminal: bool = False) -> list[str]:
        """The command line for this machine that runs `argv` in a node, streams and exit status passed through."""
        if node not in self.nodes:
            raise LookupError(f"lab {self.name} has no node {node!r}; it has {', '.join(self.nodes)}")
        return self.host.command("crun", "exec", *(["--tty"] if terminal else []), node, *argv, terminal=terminal)

    def close(self) -> None:
        if "agent" in self.__dict__:
            self.agent.close()
            del self.__dict__["agent"]
            self.__dict__.pop("engine", None)


def world_file(place: LabPlace) -> Path:
    return place.folder / "world.json"


def attach(name: str) -> Lab:
    """A running lab by its name. Raises LabError when there is none."""
    known = record.read(name)
    if known is None:
        others = ", ".join(entry.name for entry in record.known_labs()) or "none"
        raise LabError(f"there is no lab {name!r} (labs: {others}); bring it up with `labctl up {name}`")
    host = open_host(known.place)
    if not host.running():
        raise LabError(f"lab {name} has lost its host (see {known.place.log}); `labctl up {name}` starts it again")
    return Lab(known, host, json.loads(world_file(known.place).read_text()))
