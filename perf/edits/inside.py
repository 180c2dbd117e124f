"""One round, in the image that has all of it: `python3 -m perf.edits.inside` writes what it measured as JSON."""

from __future__ import annotations

import argparse
import json
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.wait import wait_for
from perf.devices import load
from perf.devices.components import MANAGEMENT, Components
from perf.devices.orders import order
from perf.lab import BenchmarkError

_PORT = 9443
_SECONDS = 30.0


def ours(components: Components, clients: int) -> dict[str, float]:
    """The controller; what an edit costs it, too."""
    before = components.cpu_seconds("controller")
    told = load.edits(components, clients)
    spent = components.cpu_seconds("controller") - before
    return told | {"controller CPU ms an edit": 1000 * spent / (told["edits a second"] * load.SECONDS)}


@contextmanager
def floor(components: Components, database: str) -> Iterator[load.Server]:
    """Starlette with the controller's certificate."""
    files = [f"/factory/controller.{kind}" for kind in ("pem", "key")]
    command = [sys.executable, "-m", "perf.peers.durable", MANAGEMENT, str(_PORT), *files, database]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    context = ssl.create_default_context(cafile=str(components.factory.service_ca))
    server = load.Server(MANAGEMENT, _PORT, context, "")
    try:
        wait_for("the floor answers", lambda: process.poll() is not None or server.answers(), _SECONDS)
        if process.returncode is not None:
            raise BenchmarkError(f"{' '.join(command)} has ended with exit status {process.returncode}")
        yield server
    finally:
        process.terminate()
        process.wait()


def measure(who: str, data: Path, sites: int, clients: int) -> dict[str, float]:
    components = Components(data)
    if who == "ours":
        components.start()
        try:
            if sites:
                components.order(order(sites))
            return ours(components, clients)
        finally:
            components.stop()
    with floor(components, "none" if who == "clients" else str(data / "floor.sqlite")) as server:
        return load.told("edits", load.drive(server, load.edit, clients))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m perf.edits.inside")
    parser.add_argument("--who", choices=("ours", "floor", "clients"), required=True)
    parser.add_argument("--sites", type=int, default=0)
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--disk", type=Path, required=True, help="a folder on a disk")
    parser.add_argument("--result", type=Path, required=True)
    asked = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(dir=asked.disk) as place:
            found = measure(asked.who, Path(place), asked.sites, asked.clients)
    except (BenchmarkError, TimeoutError) as error:
        print(f"perf.edits: {error}", file=sys.stderr)
        return 1
    asked.result.write_text(json.dumps({name: round(value, 4) for name, value in found.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
