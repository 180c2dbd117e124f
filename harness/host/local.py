"""A lab host on this machine's own kernel, in namespaces of its own: nothing of a lab shows outside of them."""

from __future__ import annotations

from pyroute2 import IPRoute

from harness.host import keeper
from harness.host.base import HostError
from harness.host.channel import Agent
from harness.host.common import KeptHost
from harness.host.rootfs import PYTHON
from harness.host.slot import Slot

_BRIDGE = "mgmt"


class Local(KeptHost):
    kind = "local"

    def _prepare(self, taken: Slot) -> None:
        del taken  # nothing: the kernel is here already

    def _namespaces(self) -> list[str]:
        return ["--net", "--ipc", "--uts"]

    def _connect(self, taken: Slot) -> None:
        inner = keeper.inside(self.place.folder)
        if inner is None:
            raise HostError("it ended while it was connected")
        with IPRoute() as ip:
            if not ip.link_lookup(ifname=taken.device):
                ip.link("add", ifname=taken.device, kind="veth", peer={"ifname": "uplink", "net_ns_pid": inner})
        self._end_of_cable(taken.device, taken)
        with IPRoute(netns=f"/proc/{inner}/ns/net") as there:
            there.link("add", ifname=_BRIDGE, kind="bridge")
            bridge, uplink = (there.link_lookup(ifname=name)[0] for name in (_BRIDGE, "uplink"))
            there.link("set", index=uplink, master=bridge, state="up")
            address = taken.host_address
            there.addr("add", index=bridge, address=str(address.ip), prefixlen=address.network.prefixlen)
            there.link("set", index=bridge, state="up")

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
        return Agent(f"popen//python={' '.join(self.command(PYTHON))}")
