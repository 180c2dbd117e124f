"""OCI runtime bundles: a node as crun wants it (OCI runtime specification 1.2, config.json)."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

from harness.agent.places import LAB, NETNS

# What a network box needs, with its number in linux/capability.h; neither the kernel's modules nor its clock, raw
# ports or boot are a node's business.
CAPABILITIES = {
    "CHOWN": 0, "DAC_OVERRIDE": 1, "DAC_READ_SEARCH": 2, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7,
    "SETPCAP": 8, "NET_BIND_SERVICE": 10, "NET_BROADCAST": 11, "NET_ADMIN": 12, "NET_RAW": 13, "IPC_LOCK": 14,
    "SYS_CHROOT": 18, "SYS_PTRACE": 19, "SYS_ADMIN": 21, "SYS_NICE": 23, "SYS_RESOURCE": 24, "SYS_TTY_CONFIG": 26,
    "MKNOD": 27, "LEASE": 28, "AUDIT_WRITE": 29, "SETFCAP": 31, "PERFMON": 38, "BPF": 39,
}  # fmt: skip
DEFAULT_ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM": "xterm", "HOME": "/root"}
DEFAULT_CMD = ["/usr/bin/runsvdir", "-P", "/etc/service"]
_CPU_PERIOD = 100_000


def _mount(target: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source, "options": list(options)}


def _mounts(node: dict[str, Any], cgroups: bool) -> list[dict[str, Any]]:
    mounts = [
        _mount("/proc", "proc", "proc"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"
        ),
        _mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
        _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev"),
        _mount("/run", "tmpfs", "tmpfs", "nosuid", "nodev", "mode=755"),
        _mount("/tmp", "tmpfs", "tmpfs", "nosuid", "nodev", "mode=1777"),
        _mount("/etc/hosts", "bind", str(LAB / "hosts"), "bind", "ro"),
    ]
    if cgroups:
        mounts.append(_mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"))
    for bind in node["binds"]:
        options = ("rbind", "ro") if bind["read_only"] else ("rbind", "rw")
        mounts.append(_mount(bind["target"], "bind", bind["source"], *options))
    return mounts


def _resources(node: dict[str, Any]) -> dict[str, Any]:
    resources: dict[str, Any] = {}
    if node.get("cpu"):
        resources["cpu"] = {"quota": int(node["cpu"] * _CPU_PERIOD), "period": _CPU_PERIOD}
    if node.get("memory"):
        resources["memory"] = {"limit": node["memory"]}
    return resources


def _capabilities() -> list[str]:
    """Those of `CAPABILITIES` that the agent itself holds: some machines keep a few even from root."""
    status = Path("/proc/self/status").read_text()
    held = int(next(line for line in status.splitlines() if line.startswith("CapBnd:")).split()[1], 16)
    return [f"CAP_{name}" for name, number in CAPABILITIES.items() if held >> number & 1]


def _open_files() -> int:
    """As many as this lab host allows itself; some machines forbid even root to raise it."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def config(node: dict[str, Any], root: Path, cgroups: bool) -> dict[str, Any]:
    """The runtime configuration of a node whose root file system is mounted at `root`."""
    env = {**DEFAULT_ENV, "HOSTNAME": node["name"], **node["env"]}
    namespaces = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", *(["cgroup"] if cgroups else []))]
    namespaces.append({"type": "network", "path": str(NETNS / node["name"])})
    linux: dict[str, Any] = {
        "namespaces": namespaces,
        "sysctl": node["sysctls"],
        "devices": [{"path": "/dev/net/tun", "type": "c", "major": 10, "minor": 200, "fileMode": 0o666}],
        "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list"],
        "readonlyPaths": ["/proc/sysrq-trigger"],
    }
    if cgroups:
        linux["cgroupsPath"] = f"/elasticlab/{node['name']}"
        linux["resources"] = _resources(node)
    return {
        "ociVersion": "1.0.2",
        "hostname": node["name"],
        "root": {"path": str(root), "readonly": False},
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": node["cmd"] or DEFAULT_CMD,
            "env": [f"{key}={value}" for key, value in env.items()],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), _capabilities()),
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": _open_files(), "soft": _open_files()}],
        },
        "mounts": _mounts(node, cgroups),
        "linux": linux,
    }
