"""A lab host with a kernel of its own: User-Mode Linux, one process on any Linux.

Its root is a folder of this machine (hostfs), its network a TAP that exists as long as it does. See
https://docs.kernel.org/virt/uml/user_mode_linux_howto_v2.html.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

from harness.host import cable, ssh
from harness.host.base import HostError, LabPlace
from harness.host.channel import Agent
from harness.host.common import DIFFERENCES, DISK, KeptHost
from harness.host.rootfs import Rootfs
from harness.host.slot import Slot
from harness.wait import wait_for

_MEMORY, _MORE, _FEW = 3072, 64, 32
"""MiB: what a lab has, and more for each node beyond the first few; a box takes 55. Taken only as it is used."""
SETTINGS = "ssh"
"""The folder of the lab's with keys and settings of SSH."""


class LabKernel(KeptHost):
    kind = "lab-kernel"

    def __init__(self, place: LabPlace, rootfs: Rootfs, kernel: Path, nodes: int) -> None:
        super().__init__(place, rootfs)
        self._kernel = kernel
        self._nodes = nodes

    @property
    def _settings(self) -> Path:
        return self.place.folder / SETTINGS

    @property
    def _ssh_config(self) -> Path:
        return self._settings / "config"

    def _environment(self, taken: Slot) -> dict[str, str]:
        processors = sorted(os.sched_getaffinity(0))
        return {
            **super()._environment(taken),
            "KERNEL": str(self._kernel),
            # The last processor first: the first is where harness, load and browsers run.
            "CPU": str(processors[-1 - taken.index % len(processors)]),
            "MEMORY": f"{_MEMORY + _MORE * max(0, self._nodes - _FEW)}M",
            "ADDRESS": str(taken.host_address),
        }

    def disk_is_free(self) -> bool:
        """A lab kernel locks what it writes to."""
        files = [self.place.folder / name for name in (DISK, DIFFERENCES)]
        return all(is_free(file) for file in files if file.exists())

    def _prepare(self, taken: Slot) -> list[int]:
        ssh.end(self._settings)  # to a host that was killed
        ssh.prepare(self._settings, str(taken.host_address.ip))
        # Up before the kernel boots: the first frame that it could not send would silence its driver for good.
        tap = cable.open_tap(taken.device)
        cable.attach(taken.device, str(taken.user_address))
        return [tap]

    def _connect(self, taken: Slot) -> None:
        del taken
        wait_for("the lab kernel to answer SSH", self._answers, 10, interval=0.02)

    def _answers(self) -> bool:
        command = self.command("true")
        return subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL).returncode == 0

    def command(self, *argv: str, terminal: bool = False) -> list[str]:
        options = ["-F", str(self._ssh_config), *(["-tt"] if terminal else ["-T"])]
        return ["ssh", *options, ssh.ALIAS, "--", *(_quote(part) for part in argv)]

    def agent(self) -> Agent:
        if not self.running():
            raise HostError(f"the lab kernel of {self.place.name} is not running")
        return Agent(f"ssh={ssh.ALIAS}//ssh_config={self._ssh_config}//python={self.rootfs.python}")

    def stop(self) -> None:
        super().stop()
        ssh.end(self._settings)

    def _left(self) -> list[str]:
        return [*super()._left(), *(f"ssh, process {pid}" for pid in ssh.clients(self._settings))]


def is_free(file: Path) -> bool:
    """Whether no lab kernel has it for its disk, or what its disk started as: each locks what it reads."""
    with file.open("r+b") as handle:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _quote(part: str) -> str:
    """For the remote shell, which ssh hands one string."""
    return "'" + part.replace("'", "'\\''") + "'"
