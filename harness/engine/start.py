"""How a node starts as a Docker container: what crun's bundle gives it otherwise (`harness.agent.bundle`).

The image's entry point makes /run and /tmp empty at every power-on. Where the engine asks it to, it also changes to a
root on the node's own disk, if it has one (Docker cannot bound what a container writes); takes away the
resolv.conf that Docker lays over the node's own; gives the node a clock of its own if there is one for it; lets go of
the rights that containerlab gives to every node and a box does not need (with them it would set the clock of all); and
waits for cables, because containers start before they are plugged in, and what runs in a box expects its interfaces as
on any other machine.
"""

from __future__ import annotations

from harness.agent import clocks, volumes
from harness.agent.bundle import CAPABILITIES, DEFAULT_CMD, DEFAULT_ENV
from harness.build.archive import Start

WAIT = "WAIT_FOR_INTERFACE"
"""Names an interface that must have an IPv4 address; at most 30 seconds."""

CLOCKS_SEEN = "/.elasticlab-clocks"
"""Where nodes see the clocks of all (`harness.agent.clocks`)."""

DISK_SEEN = "/.elasticlab-disk"
"""Where a node with a disk of its own finds it (`harness.agent.volumes`)."""

# What the node writes goes to that disk; what is mounted on the container's root moves along, each with what is on it.
# pivot_root(2) takes all that runs in the container, and what enters it later finds the new root too.
_OWN_DISK = f"""
if [ -d {DISK_SEEN} ]; then
    set -e
    mkdir -p {DISK_SEEN}/upper {DISK_SEEN}/work {DISK_SEEN}/root
    mounted=$(cat /proc/self/mountinfo)
    mount -t overlay -o lowerdir=/,upperdir={DISK_SEEN}/upper,workdir={DISK_SEEN}/work {volumes.ROOT} {DISK_SEEN}/root
    while read -r id parent _ _ place _; do
        case "$place" in
            /) root=$id ;;
            {DISK_SEEN}) ;;
            *) [ "$parent" != "$root" ] || mount --move "$place" "{DISK_SEEN}/root$place" ;;
        esac
    done <<END
$mounted
END
    cd {DISK_SEEN}/root
    pivot_root . .{DISK_SEEN}
    cd /
    umount --lazy {DISK_SEEN}
    set +e
fi
"""
_MOUNTS = "mount -t tmpfs -o nosuid,nodev,mode={mode} tmpfs {place} 2>/dev/null || rm -rf {place}/* 2>/dev/null"
_RIGHTS = ",".join(["-all", *(f"+{name.lower()}" for name in CAPABILITIES)])
_SCRIPT = "\n".join(
    [
        _OWN_DISK.strip(),
        _MOUNTS.format(place="/run", mode="755"),
        _MOUNTS.format(place="/tmp", mode="1777"),
        f'if [ -n "${WAIT}" ]; then',
        "    umount /etc/resolv.conf; tries=0",
        f'    until grep -q "^${WAIT}" /proc/net/route || [ "$tries" -ge 600 ]; do',
        "        tries=$((tries + 1)); sleep 0.05",
        "    done",
        f'    clock="{CLOCKS_SEEN}/$HOSTNAME"',
        '    if [ -e "$clock/offset" ]; then',
        f'        mkdir -p {clocks.SEEN} && mount --bind "$clock" {clocks.SEEN}',
        f"        export {' '.join(f'{key}={value}' for key, value in clocks.ENVIRONMENT.items())}",
        "    fi",
        f'    set -- setpriv --bounding-set {_RIGHTS} "$@"',
        "fi",
        'exec "$@"',
    ]
)
START = Start(
    entrypoint=["/bin/sh", "-c", _SCRIPT, "start"],
    command=DEFAULT_CMD,
    env=DEFAULT_ENV,
    stop_signal="SIGHUP",  # what runsvdir(8) takes for a reason to end its services
)
