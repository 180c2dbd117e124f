"""The lab host's ends of links: their names, and tc on them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from errno import EINVAL, ENOENT
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyroute2 import IPRoute

from netlinkkit.requests import Request, ask

from harness.agent.netlink import opened
from harness.agent.rtnetlink import change, crossing, ingress, no_ingress
from harness.agent.shell import ToolError, run

_local = threading.local()
_CROSSING = 100
"""Priority of the filter that carries frames across; what drops some of them comes before."""
SIDES = ("a", "b")
NOTHING_HANDED_OVER = (ENOENT, EINVAL)
"""What the kernel says to `no_ingress` of a port where that is so already."""
_UNKNOWN = ("kind is unknown", "classifier not found", "action module")
"""What tc says of things that a kernel was built without."""


def netlink() -> IPRoute:
    """This thread's own netlink socket into the lab host's network namespace."""
    if not hasattr(_local, "ip"):
        _local.ip = opened()
    return _local.ip


def port(index: int, side: str) -> str:
    """Name of a link's lab-host end."""
    return f"p{index}{side}"


def indexes() -> dict[str, int]:
    """The lab host's interfaces by name."""
    return {name: index for index, name in socket.if_nameindex()}


def interface_index(name: str) -> int | None:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None


def mtu(index: int) -> int:
    return int(netlink().get_links(index)[0].get_attr("IFLA_MTU"))


def redirect(name: str, source: int, target: int, dropped: Sequence[Sequence[str]] = ()) -> None:
    """What comes in at a port leaves by the port `target`, but for frames that match one of `dropped` (tc's words)."""
    block(source)
    first, *rest = crossed(source, target)
    ask([first])
    if dropped:
        tc([
            ["filter", "add", "dev", name, "ingress", "pref", str(priority), *words, "action", "drop"]
            for priority, words in enumerate(dropped, 1)
        ])  # fmt: skip
    ask(rest)


def crossed(source: int, target: int) -> list[Request]:
    """What comes in at a port, of which nothing was handed over before, leaves by the port `target`."""
    about = f"port {source} to {target}"
    return [ingress(source, about), crossing(source, target, _CROSSING, about)]


def tc(commands: Sequence[Sequence[str]], env: dict[str, str] | None = None) -> None:
    """tc(8), several commands at once: starting it takes longer than what it does."""
    try:
        run("tc", "-batch", "-", stdin="".join(f"{' '.join(command)}\n" for command in commands), env=env)
    except ToolError as error:
        if any(words in str(error) for words in _UNKNOWN):
            raise ToolError(
                f"this lab host's kernel cannot do it ({error}); "
                "write `elasticlab.requires: netem` in the topology, or bring the lab up with `--host lab-kernel`"
            ) from error
        raise


def block(source: int) -> None:
    """What comes in at a port goes nowhere."""
    ask([no_ingress(source, f"port {source}")], forgive=NOTHING_HANDED_OVER)


def set_carrier(index: int, up: bool) -> None:
    """Whether the node behind a port sees carrier; its interface stays administratively up."""
    ask([change(index, f"port {index}", up=up)])
