"""The command line: what is asked for, then what is asked of the boxes while they run."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.factory.store import FactoryError
from harness.paths import REPOSITORY
from perf.simulator.behaviour import Behaviour, BehaviourError
from perf.simulator.boxes import Model
from perf.simulator.fleet import Fleet, numbered, resident
from perf.simulator.identities import Identities, IdentityError, Maker, Wanted

_EPILOG = """\
Each has the YANG modules of a real box of its model, and a certificate that the manager gave it: who has none in
--identities asks --bootstrap with an identity that --maker signs, and must be in the manager's registry (name
ucpe-0001, serial number SIM-UCPE-0001, and so on; --list prints them).

One JSON object a line on standard output: {"event": "started"…}, then an answer to each line on standard input:
  state                      how many are connected, configured, in a commit that is not confirmed; memory
  behave PATTERN BEHAVIOUR   good, slow=SECONDS, silent, drops=OPERATION, refuses, lies; several with commas
  stop

  python3 -m perf.simulator --devices 1000 --controller 127.0.0.1:4335 --identities /tmp/boxes \\
      --bootstrap https://127.0.0.1:8572 --maker factory/authorities/maker --anchor factory/authorities/anchor/ca.pem
"""
_FILES_A_BOX = 2


class UsageError(Exception):
    """The command line cannot be followed."""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python3 -m perf.simulator",
        description="Thousands of NETCONF call-home boxes in one process.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--devices", type=int, default=10, help="uCPEs (default 10)")
    made.add_argument("--pops", type=int, default=0, help="vMSRs beside them (default none)")
    made.add_argument("--model", default="ucpe-100", help="model of the uCPEs (default %(default)s)")
    made.add_argument("--pop-model", default="vmsr-x86", help="model of the vMSRs (default %(default)s)")
    made.add_argument("--controller", metavar="HOST:PORT", help="whom they call; without it they only start")
    made.add_argument("--identities", type=Path, help="folder of their certificates and keys")
    made.add_argument("--bootstrap", metavar="URL", help="where those without a certificate get one (RFC 8572)")
    made.add_argument("--maker", type=Path, help="folder of the maker's CA: ca.key and ca.pem")
    made.add_argument("--anchor", type=Path, help="the maker's bootstrap anchor, PEM")
    made.add_argument(
        "--startup", type=Path, help="folder of their startup files (default: nothing outlives the process)"
    )
    made.add_argument("--behaviour", action="append", default=[], metavar="PATTERN:BEHAVIOUR", help="from the start")
    made.add_argument("--yang", type=Path, action="append", help="folder of YANG modules (default: models/yang)")
    made.add_argument("--list", action="store_true", help="only print name, serial number and model of each")
    return made


def wanted(asked: argparse.Namespace) -> list[Wanted]:
    if asked.devices < 0 or asked.pops < 0 or not asked.devices + asked.pops:
        raise UsageError("there is nothing to simulate: --devices and --pops count from 0, and one must be more")
    pops = numbered(Model.named(asked.pop_model), asked.pops)
    return pops + numbered(Model.named(asked.model), asked.devices)


def _target(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise UsageError(f"--controller {text}: not HOST:PORT, for example 127.0.0.1:4335")
    return host.strip("[]"), int(port)


def _told(asked: argparse.Namespace) -> list[tuple[str, Behaviour]]:
    pairs = [text.partition(":") for text in asked.behaviour]
    return [(pattern, Behaviour.parse(how)) for pattern, _, how in pairs]


def _say(event: str, **content: Any) -> None:
    print(json.dumps({"event": event, **content}), flush=True)


def _room(boxes: int) -> None:
    """Each box is a connection: as many open files as that takes, if they may be had."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = boxes * _FILES_A_BOX + 256
    if need > hard:
        raise UsageError(f"{boxes} boxes need {need} open files, {hard} are allowed: ulimit -n {need}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, need), hard))


async def _identified(asked: argparse.Namespace, boxes: Sequence[Wanted]) -> Identities:
    if asked.identities is None:
        raise UsageError("--identities is missing: the folder of the boxes' certificates and keys")
    identities = Identities(asked.identities)
    missing = identities.missing(boxes)
    if missing:
        if not (asked.bootstrap and asked.maker and asked.anchor):
            raise UsageError(
                f"{len(missing)} of {len(boxes)} boxes ({missing[0].name}…) have no certificate in {asked.identities}: "
                "give --bootstrap, --maker and --anchor, and register them"
            )
        begun = time.monotonic()
        await identities.enrol(missing, asked.bootstrap, Maker.at(asked.maker, asked.anchor))
        _say("enrolled", devices=len(missing), seconds=round(time.monotonic() - begun, 3))
    return identities


async def simulate(asked: argparse.Namespace) -> None:
    boxes, behaviours = wanted(asked), _told(asked)
    target = _target(asked.controller) if asked.controller else None
    _room(len(boxes))
    identities = await _identified(asked, boxes)
    empty, begun = resident(), time.monotonic()
    yang = asked.yang or [REPOSITORY / "models/yang"]
    personalities = REPOSITORY / "images/element/element/personalities"
    if asked.startup is not None:
        asked.startup.mkdir(parents=True, exist_ok=True)
    fleet = Fleet(boxes, identities, yang=yang, personalities=personalities, startup=asked.startup)
    await fleet.start()
    for pattern, how in behaviours:
        if not fleet.behave(pattern, how):
            raise UsageError(f"--behaviour {pattern}: no box has such a name")
    if target is not None:
        fleet.call(*target)
    before, after = round(empty / 2**20, 1), round(resident() / 2**20, 1)
    _say("started", seconds=round(time.monotonic() - begun, 3), before_mb=before, grown_mb=round(after - before, 1))
    try:
        await _serve(fleet)
    finally:
        await fleet.stop()


async def _serve(fleet: Fleet) -> None:
    """Do what is asked until somebody says stop. Who closes standard input wants no more than that they run."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait())
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while not stopping.done():
        reading = asyncio.create_task(lines.readline())
        await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            reading.cancel()
            return
        line = reading.result().decode()
        if not line:
            await stopping
        elif line.strip():
            if line.strip() == "stop":
                return
            _answer(fleet, *line.split())


def _answer(fleet: Fleet, verb: str, *words: str) -> None:
    try:
        if verb == "state" and not words:
            _say("state", **fleet.state())
        elif verb == "behave" and len(words) == 2:
            _say("behaves", devices=fleet.behave(words[0], Behaviour.parse(words[1])))
        else:
            _say("error", message="not understood: state, behave PATTERN BEHAVIOUR, or stop")
    except BehaviourError as error:
        _say("error", message=str(error))


def main(arguments: Sequence[str] | None = None) -> int:
    asked = parser().parse_args(arguments)
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="%(name)s: %(message)s")
    try:
        if asked.list:
            for box in wanted(asked):
                print(box.name, box.serial, box.model)
        else:
            asyncio.run(simulate(asked))
    except (UsageError, BehaviourError, IdentityError, FactoryError, OSError) as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 2
    return 0
