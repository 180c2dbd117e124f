"""Bringing labs up and down. Both can be interrupted anywhere and simply be repeated."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from pathlib import Path
from typing import Any

from harness import build
from harness.build.progress import Progress, Tell
from harness.engine import describe
from harness.engine.engines import HOST_IMAGES, NATIVE, REQUIRES, first_disk, make_engine
from harness.engine.room import refuse_too_small
from harness.factory import Day0, Factory, Wan
from harness.host import HostError, LabHost, LabPlace, choose, end_unknown, make_host, open_host
from harness.host.capabilities import local_capabilities
from harness.host.channel import AgentError, AgentLost
from harness.host.common import KeptHost
from harness.host.lab_kernel import LabKernel
from harness.host.rootfs import HOST_IMAGE
from harness.host.slot import Slot
from harness.lab import record
from harness.lab.lab import Lab, world_file
from harness.lab.orchestration import bring_up, is_orchestrated
from harness.lab.powering import powering
from harness.lab.ready import wait_until_ready
from harness.lab.record import LabError, LabRecord
from harness.lab.timings import Timings
from harness.paths import labs_dir
from harness.topology import Topology, labels
from harness.wait import DeadlineError

READY_SECONDS = 60


def up(
    topology: Topology,
    *,
    name: str | None = None,
    host: str | None = None,
    engine: str | None = None,
    orders: bool = True,
    progress: Progress,
    timings: Timings,
) -> Lab:
    """Bring a lab to what its topology declares; return it when the conditions of the topology hold.

    Idempotent: on a running lab it repairs what is missing. `host` is a kind of lab host; without it the kernel
    decides. `engine` is one of `harness.engine.engines`, native if not said. With an orchestrator it is over when that
    says so: every ordered site is up, or, without `orders`, every device is managed.

    Raises:
        LabError, HostError, EngineError, BuildError, DeadlineError, OrderFileError, OrchestratorError: see each; what
        is up already stays for a look.
    """
    lab_name = record.checked_name(name or topology.name)
    with record.locked(lab_name):
        _sweep(lab_name)
        known = _agree(lab_name, topology, host, engine)
        describe.refuse_unsupported(topology)
        refuse_too_small(topology)
        if known is None:
            with timings.phase("probe"):
                build.ensure([HOST_IMAGE], progress)
                known = _decide(lab_name, topology, host, engine or NATIVE)
            record.write(known)
        tell = partial(progress.news, f"lab {lab_name}")
        with timings.phase("images"):
            images = _images(topology, known, progress)
            disk = first_disk(known.engine, images, known.host, progress)
        lab_host = make_host(known.host, known.place, HOST_IMAGES[known.engine], disk, len(topology.nodes))
        tell("starting the lab host")
        with timings.phase("host"):
            known.place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lab_host.start()
            boxes = _identities(topology, known, lab_host.slot)
        world = _world(topology, known, lab_host, images, boxes)
        lab = Lab(known, lab_host, world)
        try:
            with _naming_faults(lab):
                _bring_up(lab, topology, timings, orders, tell)
        except BaseException:
            lab.close()
            raise
        lab.record = replace(known, complete=True)
        record.write(lab.record)
        return lab


def _bring_up(lab: Lab, topology: Topology, timings: Timings, orders: bool, tell: Tell) -> None:
    with timings.phase("agent"):
        lab.agent.call("ping")
    if is_orchestrated(topology):
        bring_up(lab, topology, timings, orders, tell)
    else:
        with timings.phase("nodes"), powering(lab, tell):
            lab.engine.build()
    with timings.phase("ready"):
        wait_until_ready(lab.agent, topology, READY_SECONDS, ordered=orders or not is_orchestrated(topology), tell=tell)


@contextlib.contextmanager
def _naming_faults(lab: Lab) -> Iterator[None]:
    """What does not come true in time may not be able to."""
    try:
        yield
    except DeadlineError as error:
        if faults := lab.faults_in_effect():
            texts = ", ".join(fault["what"]["text"] for fault in faults)
            raise DeadlineError(
                f"{error}\nfaults are in effect: {texts}; `labctl fault clear --lab {lab.name}` ends them"
            ) from error
        raise


def _digest(topology: Topology) -> str:
    return hashlib.sha256(topology.path.read_bytes()).hexdigest()


def _agree(name: str, topology: Topology, host: str | None, engine: str | None) -> LabRecord | None:
    """The record of the lab if it exists already; it must be of the same topology, kind of host and engine."""
    known = record.read(name)
    if known is None:
        return None
    if known.topology != str(topology.path) or known.digest != _digest(topology):
        raise LabError(
            f"lab {name} was brought up from another version of {known.topology}; "
            f"end it first with `labctl down {name}`, or give this one a name of its own with --name"
        )
    if host is not None and host != known.host:
        raise LabError(f"lab {name} runs on a {known.host} host; `labctl down {name}` before --host {host}")
    if engine is not None and engine != known.engine:
        raise LabError(f"lab {name} is the {known.engine} engine's; `labctl down {name}` before --engine {engine}")
    return known


def _decide(name: str, topology: Topology, host: str | None, engine: str) -> LabRecord:
    capabilities = local_capabilities()
    kind, reason = choose(topology.requires | REQUIRES[engine], capabilities)
    if host is not None and host != kind:
        if host == "local":
            raise HostError(f"topology {topology.name} cannot run on the local kernel: {reason}")
        kind, reason = host, "asked for"
    return LabRecord(name, str(topology.path), _digest(topology), kind, reason, engine=engine)


def _image_names(topology: Topology) -> list[str]:
    return sorted({describe.image_of(node) for node in topology.nodes.values()})


def _images(topology: Topology, known: LabRecord, progress: Progress) -> dict[str, build.Image]:
    """Those of the nodes. All that the lab needs is there then; the first time the kernel is compiled meanwhile."""
    names = _image_names(topology)
    needed = [*names, HOST_IMAGES[known.engine]]
    found = build.ensure_lab(needed, progress)[0] if known.host == LabKernel.kind else build.ensure(needed, progress)
    return {name: found[name] for name in names}


def _identities(topology: Topology, known: LabRecord, slot: Slot) -> dict[str, Path]:
    """What each node sees at /factory."""
    factory = Factory.open(known.place.folder / "factory")
    found = {}
    for number, node in enumerate(topology.nodes.values()):
        wan = _wan(node.wan)
        if node.personality:
            day0 = Day0(wan, node.bootstrap, _wan(node.wan2, "wan2") if node.wan2 else None)
            found[node.name] = factory.box(
                node.name, node.personality, node.model or node.personality, node.serial, day0
            )
        elif node.role == "stack":
            found[node.name] = factory.stack(node.name, slot.node_address(number).ip, wan)
    return found


def _wan(given: labels.Wan, interface: str = "wan") -> Wan:
    """What a topology's label says, as the factory writes it down."""
    ipv4, ipv6 = given.ipv4, given.ipv6
    return Wan(
        address=IPv4Interface(ipv4.address) if ipv4 else None,
        gateway=IPv4Address(ipv4.gateway) if ipv4 else None,
        address6=IPv6Interface(ipv6.address) if ipv6 else None,
        gateway6=IPv6Address(ipv6.gateway) if ipv6 else None,
        dhcp=given.dhcp and not ipv4,
        slaac=given.slaac,
        dhcp6=given.dhcp6,
        interface=interface,
    )


def _world(
    topology: Topology, known: LabRecord, host: KeptHost, images: dict[str, build.Image], boxes: dict[str, Path]
) -> dict[str, Any]:
    binds = {node: [{"source": host.seen(box), "target": "/factory", "read_only": True}] for node, box in boxes.items()}
    world = describe.world(topology, known.name, host.slot, images, host.seen, binds)
    hosts = ["127.0.0.1 localhost", "::1 localhost"]
    hosts += [f"{node['management'].split('/')[0]} {node['name']}" for node in world["nodes"]]
    (known.place.folder / "hosts").write_text("\n".join(hosts) + "\n")
    record.write_json(world_file(known.place), world)
    return world


def down(name: str) -> list[str]:
    """Remove a lab, in whatever state it is; what is left over afterwards, which should be nothing.

    Raises LabError when there is no such lab.
    """
    with record.locked(record.checked_name(name)):
        place = record.place_of(name)
        if not place.folder.exists():
            if _sweep(name):  # an earlier `down` was killed when it had nothing else to do
                return []
            others = ", ".join(entry.name for entry in record.known_labs()) or "none"
            raise LabError(f"there is no lab {name!r} (labs: {others})")
        left: list[str] = []
        try:
            host: LabHost | None = open_host(place)
        except HostError:
            host = None  # whoever made it was killed before that was written down
            end_unknown(place)
        if host is not None:
            known = record.read(name)
            left += _demolish(host, place, known.engine if known else NATIVE)
            host.stop()
            left += host.leftovers()
        # Renamed first, so that a kill in the middle cannot leave half a lab that looks like a whole one.
        place.folder.rename(labs_dir() / f".{name}.removed.{os.getpid()}")
        _sweep(name)
        return left + [f"folder {grave}" for grave in _graves(name)]


def _demolish(host: LabHost, place: LabPlace, engine: str) -> list[str]:
    """Take the world down from inside, to see whether its parts come apart; its host is ended afterwards anyway."""
    if not host.running() or not world_file(place).exists():
        return []
    try:
        agent = host.agent()
        try:
            return make_engine(engine, agent, json.loads(world_file(place).read_text())).demolish()
        finally:
            agent.close()
    except AgentError as error:  # what it has done until then is part of the proof
        return [f"part of the world, until its host was ended: {error}"]
    except (AgentLost, HostError, TimeoutError):
        return []  # a host that does not answer is ended from outside; what that leaves is looked for from outside


def _graves(name: str) -> list[Path]:
    """Folders of the lab that a `down` has taken away from it and not removed yet."""
    return sorted(labs_dir().glob(f".{name}.removed.*"))


def _sweep(name: str) -> bool:
    """Remove them, also those of a `down` that was killed in the middle; whether there were any."""
    graves = _graves(name)
    for grave in graves:
        shutil.rmtree(grave, ignore_errors=True)
    return bool(graves)


__all__ = ["Timings", "down", "up"]
