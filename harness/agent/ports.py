"""The lab host's ends of links: their names, and tc on them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyroute2 import IPRoute

from harness.agent.netlink import opened, refused
from harness.agent.shell import ToolError, run

_local = threading.local()
_INGRESS = 0xFFFF0000
_ETH_P_ALL = 3
_CROSSING = 100
"""Priority of the filter that carries frames across; what drops some of them comes before."""
SIDES = ("a", "b")
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


def interface_index(name: str) -> int | None:
    found = netlink().link_lookup(ifname=name)
    return int(found[0]) if found else None


def find(name: str) -> int:
    found = interface_index(name)
    if found is None:
        raise LookupError(f"the lab host has no interface {name}")
    return found


def mtu(index: int) -> int:
    return int(netlink().get_links(index)[0].get_attr("IFLA_MTU"))


def redirect(name: str, source: int, target: int, dropped: Sequence[Sequence[str]] = ()) -> None:
    """What comes in at a port leaves by the port `target`, but for frames that match one of `dropped` (tc's words)."""
    block(source)
    netlink().tc("add", "ingress", source)
    if dropped:
        tc([
            ["filter", "add", "dev", name, "ingress", "pref", str(priority), *words, "action", "drop"]
            for priority, words in enumerate(dropped, 1)
        ])  # fmt: skip
    netlink().tc(
        "add-filter",
        "u32",
        source,
        parent=_INGRESS,
        protocol=_ETH_P_ALL,
        prio=_CROSSING,
        target=0x10000,
        keys=["0x0/0x0+0"],
        action={"kind": "mirred", "direction": "egress", "action": "redirect", "ifindex": target},
    )


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
    with contextlib.suppress(refused()):  # it did not before
        netlink().tc("del", "ingress", source)


def set_carrier(index: int, up: bool) -> None:
    """Whether the node behind a port sees carrier; its interface stays administratively up."""
    netlink().link("set", index=index, state="up" if up else "down")
