"""A running lab: its nodes, links and captures over one held channel to its host."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from harness.engine import Engine
from harness.engine.engines import exec_command, make_engine
from harness.faults.kinds import Fault, Target
from harness.faults.scenario import load, of
from harness.host import LabHost, LabPlace, open_host
from harness.host.channel import Agent, Call
from harness.lab import record
from harness.lab.capture import Capture
from harness.lab.faults import Injection, carried_out, prepared
from harness.lab.link import Link
from harness.lab.node import Mark, Node
from harness.lab.record import LabError, LabRecord
from harness.wait import wait_for

if TYPE_CHECKING:
    from harness.factory import Factory
    from harness.topology import Topology

_MARKS = 1000


class Lab:
    """Use it as a context manager, or `close()` it: that gives back what it borrowed and leaves the lab running."""

    def __init__(self, known: LabRecord, host: LabHost, world: dict[str, Any]) -> None:
        self.record = known
        self.name = known.name
        self._host = host
        self._agent: Agent | None = None
        self._starting = threading.Lock()
        self._world = world
        self._captures = itertools.count(1)
        self._nodes = {node["name"]: Node(self, node) for node in world["nodes"]}
        self.links = [Link(self, link) for link in world["links"]]
        self.marks: deque[Mark] = deque(maxlen=_MARKS)
        """What tests have said of nodes (`Node.mark`), the last of it."""
        self.chance = random.Random()  # noqa: S311 (repeatable, not secret)
        """Draws the seeds of faults that have none of their own; a test's is drawn from that of its run."""
        self.before_use: Callable[[], object] = lambda: None
        """Ends before anybody reaches into the lab, whoever that is."""
        self.witness: Callable[[BaseException], None] = lambda _: None
        """Is told of an error that leaves a block of this lab's, before the block undoes anything (`watched`)."""

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

    @property
    def host(self) -> LabHost:
        self.before_use()
        return self._host

    @property
    def nodes(self) -> Mapping[str, Node]:
        """By name."""
        self.before_use()
        return self._nodes

    @property
    def agent(self) -> Agent:
        """Started when it is first needed, by whichever thread that is."""
        # Until Python 3.11 all objects of a class share one lock of a `cached_property`; since then there is none. Here
        # a thread must not keep the labs of others waiting, and two must not start an agent each.
        host = self.host
        with self._starting:
            if self._agent is None:
                self._agent = host.agent()
            return self._agent

    @property
    def calls(self) -> Sequence[Call]:
        """What this agent was asked, the last of it; nothing if there was no need of one yet."""
        return () if self._agent is None else self._agent.calls

    @property
    def engine(self) -> Engine:
        return make_engine(self.record.engine, self.agent, self._world)

    @cached_property
    def topology(self) -> Topology:
        from harness.topology import load  # noqa: PLC0415 (`exec` and `logs` need neither this nor the next)

        return load(self.record.topology)

    @cached_property
    def factory(self) -> Factory:
        from harness.factory import Factory  # noqa: PLC0415

        return Factory.open(self.place.folder / "factory")

    def link(self, end: str) -> Link:
        """The link at `NODE:INTERFACE`."""
        for link in self.links:
            if end in link.ends:
                return link
        ends = ", ".join(sorted(end for link in self.links for end in link.ends))
        raise LookupError(f"lab {self.name} has no link at {end!r}; it has {ends}")

    @contextlib.contextmanager
    def capture(self, end: str, expression: str = "", rotate: tuple[int, int] | None = None) -> Iterator[Capture]:
        """Capture what passes an end of a link for the length of a `with` block.

        The file stays in the lab's folder until the lab is removed. `rotate` bounds it (MB a file, files): the oldest
        is overwritten; `capture.files` are those that are there.
        """
        with self._capture(end, self.link(end).port(end), expression, rotate) as capture:
            yield capture

    @contextlib.contextmanager
    def management_capture(self, expression: str = "") -> Iterator[Capture]:
        """The same for all that passes on the management network."""
        with self._capture("management", "mgmt", expression) as capture:
            yield capture

    @contextlib.contextmanager
    def _capture(
        self, end: str, device: str, expression: str, rotate: tuple[int, int] | None = None
    ) -> Iterator[Capture]:
        # A file of some number may be there from an earlier command; its reader may still want it.
        names = (f"{number:03d}-{end.replace(':', '-')}.pcap" for number in self._captures)
        name = next(name for name in names if not any(self.place.captures.glob(f"{name}*")))
        seen = f"/lab/captures/{name}"
        self.agent.call("capture.start", name=name, device=device, file=seen, expression=expression, rotate=rotate)
        try:
            with self.watched():
                yield Capture(self, end, self.place.captures / name, seen)
        finally:
            self.agent.call("capture.stop", name=name)

    @contextlib.contextmanager
    def fault(self, *faults: Fault, seconds: float | None = None, seed: int | None = None) -> Iterator[Injection]:
        """Faults (`harness.faults`) that begin now and end with the `with` block, or after `seconds` if that is sooner.

        Raises FaultError: one cannot be, or another is in effect where only one can be.
        """
        with carried_out(prepared(self, of(faults, seconds), self._seed(seed))) as injection, self.watched():
            yield injection

    @contextlib.contextmanager
    def faults(
        self, name: str | Path, *, on: Target | None = None, seconds: float | None = None, seed: int | None = None
    ) -> Iterator[Injection]:
        """A scenario, by its path or its name in `faults/` here or beside the topology, each fault in its time.

        `on` is for the faults that name no place, `seconds` for those that do not say for how long. All are over when
        the `with` block is. Raises FaultFileError, FaultError.
        """
        scenario = load(name, self.fault_folders).on(on).lasting(seconds)
        with carried_out(prepared(self, scenario, self._seed(seed))) as injection, self.watched():
            yield injection

    def _seed(self, given: int | None) -> int:
        return self.chance.getrandbits(62) if given is None else given

    @property
    def fault_folders(self) -> list[Path]:
        """Where scenarios of this lab's own are."""
        return [self.topology.directory / "faults"]

    def faults_in_effect(self) -> list[dict[str, Any]]:
        """What is in effect now, whoever began it: `id`, `what`, `since` and `age` (s), the oldest first."""
        found: list[dict[str, Any]] = self.agent.call("fault.active")
        return found

    def clear_faults(self) -> list[str]:
        """End all faults, whoever began them; what they were."""
        ended: list[str] = self.agent.call("fault.clear", 120)
        return ended

    def wait_until(self, node: str, condition: str, seconds: float) -> None:
        """Wait for a condition on a node: `tcp:PORT` is listened on, `file:/PATH` is there, `ping:ADDRESS` answers.

        Raises DeadlineError.
        """
        wait_for(
            f"{node} to fulfil {condition}",
            lambda: self.agent.call("node.ready", node=node, condition=condition),
            seconds,
        )

    @contextlib.contextmanager
    def without_management(self) -> Iterator[None]:
        """Pull the management cables of all nodes for the length of a `with` block; what they do must go on."""
        self.agent.call("management.cut")
        try:
            with self.watched():
                yield
        finally:
            self.agent.call("management.mend")

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """The inside of a block that undoes something at its end: what an error looked like is seen before that."""
        try:
            yield
        except Exception as error:
            self.witness(error)
            raise

    def command(self, node: str, argv: list[str], *, terminal: bool = False) -> list[str]:
        """The command line for this machine that runs `argv` in a node, streams and exit status passed through."""
        if node not in self.nodes:
            raise LookupError(f"lab {self.name} has no node {node!r}; it has {', '.join(self.nodes)}")
        inside = exec_command(self.record.engine, node, argv, terminal=terminal)
        return self.host.command(*inside, terminal=terminal)

    def close(self) -> None:
        agent, self._agent = self._agent, None
        if agent is not None:
            agent.close()


def world_file(place: LabPlace) -> Path:
    return place.folder / "world.json"


def attach(name: str) -> Lab:
    """A running lab by its name. Raises LabError when there is none."""
    known = record.read(record.checked_name(name))
    if known is None:
        others = ", ".join(entry.name for entry in record.known_labs()) or "none"
        raise LabError(f"there is no lab {name!r} (labs: {others}); `labctl up TOPOLOGY --name {name}` makes it")
    host = open_host(known.place)
    if not host.running():
        raise LabError(
            f"lab {name} has lost its host (see {known.place.log}); "
            f"`labctl up {known.topology} --name {name}` starts it again"
        )
    return Lab(known, host, json.loads(world_file(known.place).read_text()))
