"""Frames as they are offered: Ethernet, IPv4 and UDP without a checksum, so that a time can be written into them."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

FCS = 4
"""Octets that sizes count and no packet socket sees."""
LARGEST = 1400
"""The largest frame that none of the tunnels on lines of 1500 octets must cut."""
SIZES: dict[str, tuple[int, ...]] = {
    "64": (64,),
    "imix": (64,) * 7 + (570,) * 4 + (LARGEST,),
    str(LARGEST): (LARGEST,),
    "1518": (1518,),
}
"""What is offered, by name. IMIX is 7:4:1 with the largest that fits; 1518 must be cut by every tunnel."""
STAMP = 14 + 20 + 8
"""Where the time stands in a frame without a tag."""


def udp(size: int, macs: tuple[str, str], near: tuple[str, int], far: tuple[str, int], vlan: int = 0) -> bytes:
    """A frame of `size` octets with FCS (its tag not counted) from MAC, address and port to others.

    The packet's ID is the near port: if it is cut, every part says whose it is.
    """
    source, target = (bytes.fromhex(mac.replace(":", "")) for mac in macs)
    tag = struct.pack("!HH", 0x8100, vlan) if vlan else b""
    length = size - FCS - 14
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, length, near[1], 0, 64, 17, 0, IPv4Address(near[0]).packed, IPv4Address(far[0]).packed
    )
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    payload = bytes(length - 28)
    return target + source + tag + b"\x08\x00" + header + struct.pack("!4H", near[1], far[1], length - 20, 0) + payload


def checksum(data: bytes) -> int:
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)
