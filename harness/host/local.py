"""A lab host on this machine's own kernel, in namespaces of its own: nothing of a lab shows outside of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness.host import cable, keeper
from harness.host.base import HostError
from harness.host.channel import Agent
from harness.host.common import DISK, KeptHost
from harness.host.slot import Slot

_BRIDGE = "mgmt"


def copy_disk(source: Path, target: Path) -> None:
    """Copy what is in a file and not what is between. Raises HostError."""
    command = ["cp", "--sparse=always", "--reflink=auto", str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HostError(f"cannot copy the disk {source}: {done.stderr.strip()}")


class Local(KeptHost):
    kind = "local"

    def _prepare(self, taken: Slot) -> list[int]:
        """The kernel is here already; of a disk that it starts with, the lab gets a copy."""
        del taken
        disk = self.place.folder / DISK
        if self.rootfs.disk is not None and not disk.exists():
            fresh = disk.with_suffix(".new")
            copy_disk(self.rootfs.disk, fresh)
            fresh.rename(disk)
        return []

    def disk_is_free(self) -> bool:
        return not self._loops()

    def _namespaces(self) -> list[str]:
        return ["--net", "--ipc", "--uts"]

    def _connect(self, taken: Slot) -> None:
        inner = keeper.inside(self.place.folder)
        if inner is None:
            raise HostError("it ended while it was connected")
        if not cable.exists(taken.device):
            cable.ip("link", "add", taken.device, "type", "veth", "peer", "name", "uplink", "netns", str(inner))
        cable.attach(taken.device, str(taken.user_address))
        there = self.command()
        cable.ip("link", "add", _BRIDGE, "type", "bridge", inside=there)
        cable.ip("link", "set", "uplink", "master", _BRIDGE, "up", inside=there)
        cable.ip("address", "add", str(taken.host_address), "dev", _BRIDGE, inside=there)
        cable.ip("link", "set", _BRIDGE, "up", inside=there)

    def command(self, *argv: str, terminal: bool = False) -> list[str]:
        inner = keeper.inside(self.place.folder)
        if inner is None:
            raise HostError(f"the lab host of {self.place.name} is not running")
        environment = [
            "/usr/bin/env",
            "--chdir=/",
            "-i",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME=/root",
            "TERM=xterm",
        ]
        enter = ["nsenter", "--target", str(inner), "--mount", "--pid", "--net", "--ipc", "--uts", "--root"]
        return [*enter, "--", *environment, *argv]

    def agent(self) -> Agent:
        return Agent(f"popen//python={' '.join(self.command(self.rootfs.python))}")
