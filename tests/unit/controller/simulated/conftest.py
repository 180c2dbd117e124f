"""The whole controller of the process's tests with its real manager, and the simulator as a process of its own."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def _load(path: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


process = _load(Path(__file__).parents[1] / "process" / "conftest.py", "simulated_process")
device_schema, lab, world = process.device_schema, process.lab, process.world


class Simulator:
    """`python3 -m perf.simulator`, spoken to as a person would."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def hear(self, event: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            while line := await self.process.stdout.readline():
                told: dict[str, Any] = json.loads(line)
                if told["event"] == event:
                    return told
        assert self.process.stderr is not None
        raise AssertionError((await self.process.stderr.read()).decode())

    async def ask(self, line: str, event: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        return await self.hear(event)

    async def state(self) -> dict[str, Any]:
        return await self.ask("state", "state")


class Simulators:
    """Starts them; all end with the test."""

    def __init__(self, world: Any, folder: Path) -> None:
        self.world, self.folder, self.running = world, folder, []
        self.maker = folder / "maker"
        self.maker.mkdir()
        key = world.makers.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.maker / "ca.key").touch(mode=0o600)
        (self.maker / "ca.key").write_bytes(key)
        (self.maker / "ca.pem").write_bytes(world.makers.certificate.public_bytes(Encoding.PEM))
        (folder / "anchor.pem").write_bytes(world.anchor.certificate.public_bytes(Encoding.PEM))

    async def start(self, port: int, *options: str, pops: int = 0, devices: int = 0) -> Simulator:
        """Registered boxes that call this port; with certificates from the real manager."""
        for kind, model, count in (("vmsr", "vmsr-x86", pops), ("ucpe", "ucpe-100", devices)):
            for number in range(1, count + 1):
                name = f"{kind}-{number:04d}"
                await self.world.register(f"SIM-{name.upper()}", name=name, model=model)
        command = [
            *(sys.executable, "-m", "perf.simulator", "--devices", str(devices), "--pops", str(pops)),
            *("--controller", f"127.0.0.1:{port}", "--identities", str(self.folder / "boxes")),
            *("--bootstrap", self.world.wan, "--maker", str(self.maker), "--anchor", str(self.folder / "anchor.pem")),
            *options,
        ]
        pipe = asyncio.subprocess.PIPE
        made = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
        simulator = Simulator(made)
        self.running.append(simulator)
        await simulator.hear("started")
        return simulator

    def issue(self, user: str) -> dict[str, Path]:
        """Credentials of somebody whom the boxes let in."""
        manager = process.manager_world
        key = manager.ec.generate_private_key(manager.ec.SECP256R1())
        certificate = self.world.service.issue(manager.name(user), key)
        return {"cert": manager.store(self.folder, user, certificate, key), "key": self.folder / f"{user}.key"}

    def order(self, count: int) -> Any:
        """A routed site with the Internet at each of the first boxes."""
        make = process.orders
        sites = [make.site(f"site-{n}", f"ucpe-{n:04d}", f"10.{n}.0.1/24", "net") for n in range(1, count + 1)]
        return make.order([make.vpn("net", internet=True)], sites)

    async def stop(self) -> None:
        for one in self.running:
            if one.process.returncode is None:
                one.process.terminate()
            await one.process.communicate()


@pytest.fixture
async def simulators(world: Any, tmp_path: Path) -> AsyncIterator[Simulators]:
    made = Simulators(world, tmp_path)
    yield made
    await made.stop()


__all__ = ["device_schema", "lab", "simulators", "world"]
