"""Generic receive offload of a link: whether the kernel gathers packets of one flow before it looks at them.

Over the ioctl of ethtool(8) (``linux/ethtool.h``, ``linux/sockios.h``): the netlink family of the same name needs a
library that boxes do not have.
"""

from __future__ import annotations

import array
import errno
import fcntl
import socket
import struct

_SIOCETHTOOL = 0x8946
_GET, _SET = 0x2B, 0x2C
"""``ETHTOOL_GGRO``, ``ETHTOOL_SGRO``."""


def gathers(link: str) -> bool:
    """Whether a link has it; one that has just gone has not."""
    try:
        return bool(_ask(link, _GET, 0))
    except OSError as error:
        if error.errno == errno.ENODEV:
            return False
        raise


def gather(link: str, *, wanted: bool) -> None:
    """Switch it; ``OSError`` when there is no such link."""
    _ask(link, _SET, int(wanted))


def _ask(link: str, command: int, value: int) -> int:
    asked = array.array("I", [command, value])  # struct ethtool_value
    address, _ = asked.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        # struct ifreq: the name, and a union of 24 octets whose first member here is a pointer.
        fcntl.ioctl(sock, _SIOCETHTOOL, struct.pack("16sP16x", link.encode(), address))
    return asked[1]
