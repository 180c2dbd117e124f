"""A lab host with a kernel of its own: User-Mode Linux, one process on any Linux.

Its root is a folder of this machine (hostfs), its network a TAP that exists as long as it does. See
https://docs.kernel.org/virt/uml/user_mode_linux_howto_v2.html.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from harness.host import cable, ssh
from harness.host.base import HostError, LabPlace
from harness.host.channel import Agent
from harness.host.common import KeptHost
from harness.host.rootfs import Rootfs
from harness.host.slot import Slot
from harness.wait import wait_for

MEMORY = "3G"


class LabKernel(KeptHost):
    kind = "lab-kernel"

    def __init__(self, place: LabPlace, rootfs: Rootfs, kernel: Path) -> None:
        super().__init__(place, rootfs)
        self._kernel = kernel

    @property
    def _ssh_config(self) -> Path:
        return self.place.folder / "ssh" / "config"

    def _environment(self, taken: Slot) -> dict[str, str]:
        processors = sorted(os.sched_getaffinity(0))
        return {
            **super()._environment(taken),
            "KERNEL": str(self._kernel),
            # The last processor first: the first is where harness, load and browsers run.
            "CPU": str(processors[-1 - taken.index % len(processors)]),
            "MEMORY": MEMORY,
            "ADDRESS": str(taken.host_address),
        }

    def _prepare(self, taken: Slot) -> list[int]:
        ssh.prepare(self.place.folder / "ssh", str(taken.host_address.ip))
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
        if self._ssh_config.exists():
            subprocess.run(
                ["ssh", "-F", str(self._ssh_config), "-O", "exit", ssh.ALIAS], capture_output=True, check=False
            )
        super().stop()


def _quote(part: str) -> str:
    """For the remote shell, which ssh hands one string."""
    return "'" + part.replace("'", "'\\''") + "'"
