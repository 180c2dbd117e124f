"""What a kernel can do, found out by trying it in a namespace that is thrown away, never by its version."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.agent import namespaces
from harness.agent.netlink import opened
from harness.agent.shell import run

if TYPE_CHECKING:
    from pyroute2 import IPRoute

_PROBE = "elasticlab-probe"


def _link(kind: str, **attributes: Any) -> Callable[[IPRoute], None]:
    def attempt(ip: IPRoute) -> None:
        ip.link("add", ifname="try", kind=kind, **attributes)
        ip.link("del", index=ip.link_lookup(ifname="try")[0])

    return attempt


def _vlan(ip: IPRoute) -> None:
    ip.link("add", ifname="try", kind="vlan", link=ip.link_lookup(ifname="v0")[0], vlan_id=20)


def _netem(ip: IPRoute) -> None:
    ip.tc("add", "netem", ip.link_lookup(ifname="v0")[0], 0x10000, delay=1000)


def _mirred(ip: IPRoute) -> None:
    first, second = (ip.link_lookup(ifname=name)[0] for name in ("v0", "v1"))
    ip.tc("add", "ingress", first)
    action = {"kind": "mirred", "direction": "egress", "action": "redirect", "ifindex": second}
    rule = {"parent": 0xFFFF0000, "protocol": 3, "prio": 1, "target": 0x10000, "keys": ["0x0/0x0+0"]}
    ip.tc("add-filter", "u32", first, action=action, **rule)


def _in_probe(*argv: str) -> str:
    return run("nsenter", f"--net=/run/netns/{_PROBE}", *argv)


def _esp(_: IPRoute) -> None:
    state = "src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x100 mode tunnel".split()
    cipher = ["aead", "rfc4106(gcm(aes))", "0x" + "11" * 20, "128"]
    _in_probe("ip", "xfrm", "state", "add", *state, *cipher)


def _nft_nat(_: IPRoute) -> None:
    rules = "add table ip t\nadd chain ip t c { type nat hook postrouting priority 100; }\nadd rule ip t c masquerade\n"
    run("nsenter", f"--net=/run/netns/{_PROBE}", "nft", "-f", "-", stdin=rules)


def _overlay(_: IPRoute) -> None:
    with tempfile.TemporaryDirectory() as folder:
        parts = [Path(folder, name) for name in ("lower", "upper", "work", "merged")]
        for part in parts:
            part.mkdir()
        lower, upper, work, merged = map(str, parts)
        run("mount", "-t", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", "try", merged)
        run("umount", merged)


def _cgroups(_: IPRoute) -> None:
    missing = {"cpu", "memory", "pids"} - set(Path("/sys/fs/cgroup/cgroup.controllers").read_text().split())
    if missing:
        raise OSError(f"the unified hierarchy lacks {', '.join(sorted(missing))}: limits are not enforced")


def _module_list(_: IPRoute) -> None:
    Path("/proc/modules").read_text()  # containerlab looks into it, and fails where there is none


ATTEMPTS: dict[str, Callable[[IPRoute], None]] = {
    "vxlan": _link("vxlan", vxlan_id=1, vxlan_port=4789, vxlan_local="192.0.2.1"),
    "gre": _link("gre", gre_local="192.0.2.1", gre_remote="192.0.2.2"),
    "xfrm-interface": _link("xfrm", xfrm_if_id=1),
    "vrf": _link("vrf", vrf_table=1001),
    "bridge": _link("bridge"),
    "vlan": _vlan,
    "netem": _netem,
    "mirred": _mirred,
    "esp": _esp,
    "nft-nat": _nft_nat,
    "overlayfs": _overlay,
    "cgroup2": _cgroups,
    "module-list": _module_list,
}


def probe() -> dict[str, str]:
    """Capability → empty string if it works here, else why not."""
    namespaces.create([_PROBE])
    try:
        return namespaces.inside(_PROBE, _try_all)
    finally:
        namespaces.remove(_PROBE)


def _try_all() -> dict[str, str]:
    outcome: dict[str, str] = {}
    with opened() as ip:
        ip.link("add", ifname="v0", kind="veth", peer="v1")
        for name, attempt in ATTEMPTS.items():
            try:
                attempt(ip)
            except Exception as error:  # any reason counts as "cannot", and is told
                outcome[name] = str(error) or type(error).__name__
            else:
                outcome[name] = ""
    return outcome
