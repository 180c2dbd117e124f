"""This machine's end of a lab's management network, by iproute2: importing a netlink library would take longer than
everything that is done here, and every command would pay for it."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from pathlib import Path

from harness.host.base import HostError

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000


def exists(device: str) -> bool:
    return Path("/sys/class/net", device).exists()


def ip(*arguments: str, inside: list[str] | None = None) -> None:
    """Run `ip`, on the lab host if `inside` is what runs commands there. Raises HostError."""
    done = subprocess.run([*(inside or []), "ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HostError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def open_tap(device: str) -> int:
    """Make a TAP that exists as long as the file returned is open somewhere (linux/if_tun.h).

    The number of the file is above those that a shell uses for itself.
    """
    handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(handle, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TAP | _IFF_NO_PI))
        return fcntl.fcntl(handle, fcntl.F_DUPFD_CLOEXEC, 64)
    except OSError as error:
        raise HostError(f"cannot make the TAP {device}: {error.strerror}") from error
    finally:
        os.close(handle)


def attach(device: str, address: str) -> None:
    """Address and up. There is no other route through it than its own network's."""
    ip("address", "replace", address, "dev", device)
    ip("link", "set", device, "up")


def remove(device: str) -> None:
    """Idempotent; also when its other end takes it along meanwhile."""
    if exists(device):
        try:
            ip("link", "delete", device)
        except HostError:
            if exists(device):
                raise
