"""A lab host on this machine's own kernel, in namespaces of its own: nothing of a lab shows outside of them."""

from __future__ import annotations

from harness.host import cable, keeper
from harness.host.base import HostError
from harness.host.channel import Agent
from harness.host.common import KeptHost
from harness.host.slot import Slot

_BRIDGE = "mgmt"


class Local(KeptHost):
    kind = "local"

    def _prepare(self, taken: Slot) -> list[int]:
        del taken  # nothing: the kernel is here already
        return []

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
