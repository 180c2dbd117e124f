"""What somebody sends who owns a box or a host, and by what it is seen that it was refused.

Whoever owns a box owns its routes and policies; so an attack goes out past them, by the interface of a tunnel that is
valid, and what stops it is at the other end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

from harness.lab import Lab, Node

COUNT = 5
"""Of each forged packet so many are sent."""
# Boxes have no scapy: the frame as bytes, behind a VXLAN header (RFC 7348, section 5).
FROM_A_BOX = f"""
import socket, sys
source, target, vni, frame = sys.argv[1], sys.argv[2], int(sys.argv[3]), bytes.fromhex(sys.argv[4])
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((source, 0))
for _ in range({COUNT}):
    sock.sendto(b"\\x08\\0\\0\\0" + vni.to_bytes(3, "big") + b"\\0" + frame, (target, 4789))
"""
_BY_AN_INTERFACE = f"""
import socket, sys
interface, via, packet = sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3])
sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
for _ in range({COUNT}):
    sock.sendto(packet, (via, 0))
"""


def packet(lab: Lab, host: str, expression: str) -> str:
    """The octets of a packet or frame (a Python expression of scapy), in hexadecimal."""
    script = f"from scapy.all import *\nprint(bytes({expression}).hex())"
    return lab[host].exec("python3", "-c", script, timeout=60).strip()


def send_frames(lab: Lab, host: str, frame: str, interface: str, count: int = COUNT) -> None:
    """A host sends frames (one is a Python expression of scapy) as they are."""
    script = f"from scapy.all import *\nsendp({frame}, iface={interface!r}, count={count}, verbose=False)"
    lab[host].exec("python3", "-c", script, timeout=60)


def send_by(box: Node, interface: str, via: str, octets: str) -> None:
    """A box sends an IPv4 packet as it is, by an interface as what goes to an address there, whatever is in it."""
    box.exec("python3", "-c", _BY_AN_INTERFACE, interface, via, octets)


@contextmanager
def admitted(box: Node, interface: str, source: str, target: str) -> Iterator[None]:
    """The box's own policies let packets between these prefixes into the tunnel of an interface, too."""
    found = re.search(r"if_id (0x[0-9a-f]+)", box.exec("ip", "-d", "link", "show", "dev", interface))
    assert found is not None, f"{interface} of {box.name} is no tunnel"
    number = found[1]
    policies = re.split(r"^(?=src )", box.exec("ip", "xfrm", "policy", "list", "dir", "out"), flags=re.MULTILINE)
    theirs = next(one for one in policies if re.search(rf"if_id {number}\b", one))
    found = re.search(r"tmpl (src \S+ dst \S+)\s+proto esp .*?(reqid \d+)", theirs)
    assert found is not None, theirs
    selector = f"src {source} dst {target}"
    template = f"tmpl {found[1]} proto esp {found[2]} mode tunnel"
    box.sh(f"ip xfrm policy add {selector} dir out priority 1 if_id {number} {template}")
    try:
        yield
    finally:
        box.sh(f"ip xfrm policy delete {selector} dir out if_id {number}")


def dropped(lab: Lab, node: str, counter: str) -> int:
    """Packets that a box's firewall has counted under a name."""
    listed = json.loads(lab[node].exec("nft", "-j", "list", "counters"))["nftables"]
    found = [entry["counter"]["packets"] for entry in listed if entry.get("counter", {}).get("name") == counter]
    assert found, f"{node} has no counter {counter}"
    return int(sum(found))


def refused(lab: Lab, node: str, counter: str) -> int:
    """What a box's kernel has counted under a name of its own: of IP (RFC 4293) or of IPsec's policies."""
    said = lab[node].sh("cat /proc/net/xfrm_stat; nstat -asz 'Ip*'")
    found = re.search(rf"^{counter}\s+(\d+)", said, re.MULTILINE)
    assert found, f"the kernel of {node} has no counter {counter}"
    return int(found[1])


def loopback(lab: Lab, box: str) -> str:
    """The address that a box's tunnels end at."""
    addresses = json.loads(lab[box].exec("ip", "-j", "-4", "address", "show", "dev", "overlay"))
    return str(addresses[0]["addr_info"][0]["local"])


def mac_of(lab: Lab, node: str, interface: str = "lan") -> str:
    return lab[node].exec("cat", f"/sys/class/net/{interface}/address").strip()
