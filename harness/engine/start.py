"""How a node starts as a Docker container: what crun's bundle gives it otherwise (`harness.agent.bundle`).

The image's entry point makes /run and /tmp empty at every power-on. Where the engine asks it to, it also takes away the
resolv.conf that Docker lays over the node's own; gives the node a clock of its own if there is one for it; lets go of
the rights that containerlab gives to every node and a box does not need (with them it would set the clock of all); and
waits for cables, because containers start before they are plugged in, and what runs in a box expects its interfaces as
on any other machine.
"""

from __future__ import annotations

from harness.agent import clocks
from harness.agent.bundle import CAPABILITIES, DEFAULT_CMD, DEFAULT_ENV
from harness.build.archive import Start

WAIT = "WAIT_FOR_INTERFACE"
"""Names an interface that must have an IPv4 address; at most 30 seconds."""

CLOCKS_SEEN = "/.elasticlab-clocks"
"""Where nodes see the clocks of all (`harness.agent.clocks`)."""

_MOUNTS = "mount -t tmpfs -o nosuid,nodev,mode={mode} tmpfs {place} 2>/dev/null || rm -rf {place}/* 2>/dev/null"
_RIGHTS = ",".join(["-all", *(f"+{name.lower()}" for name in CAPABILITIES)])
_SCRIPT = "\n".join(
    [
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
