"""More tunnels by hand between the two of `perf.peers.handmade`: every shape that the product has, and GRE in clear.

- ESP alone, selected by the site's prefix, on an xfrm interface of its own;
- VXLAN between the loopbacks, so in the ESP that is there, one for each VLAN of a cable;
- VXLAN and GRE between the ends of a private line, in clear.

All are translated by the POP, as `handmade` has it. A bridged site's gateway is the POP.
"""

from __future__ import annotations

from harness.lab import Lab
from perf.peers.handmade import POP, SITE, Child, End

ESP = Child("esp", "10.2.0.0/24", "0.0.0.0/0", 2)
ESP_SERVER = "198.51.100.83"
GRE_SERVER = "198.51.100.84"
"""Which way the site takes is told by where it goes."""
TAGS = range(20, 30)
"""VLANs of bridged sites, in ESP; each has 10.VLAN.0.0/24."""
CLEAR_TAG = 40
_LINE = {SITE: "192.168.99.2", POP: "192.168.99.1"}
TRUNK = "lan2"


def build(lab: Lab) -> None:
    """Beside what `handmade.build` makes with the child `ESP`."""
    for here, there in ((SITE, POP), (POP, SITE)):
        lab[here.node].sh(_links(here, there))
    lab[SITE.node].sh("".join(_site_bridge(tag) for tag in (*TAGS, CLEAR_TAG)) + _SITE_ROUTES)
    lab[POP.node].sh("".join(_pop_bridge(tag) for tag in (*TAGS, CLEAR_TAG)) + _POP_ROUTES)


def add_site(lab: Lab, tag: int) -> None:
    """One more bridged site, by hand."""
    for here, there in ((SITE, POP), (POP, SITE)):
        lab[here.node].sh(_vxlan(tag, here.loopback, there.loopback))
    lab[SITE.node].sh(_site_bridge(tag))
    lab[POP.node].sh(_pop_bridge(tag))


def remove_site(lab: Lab, tag: int) -> None:
    for end in (SITE, POP):
        lab[end.node].sh(f"ip link delete vx{tag}; ip link delete br{tag}")
    lab[SITE.node].sh(f"ip link delete {TRUNK}.{tag}")


def local_route(lab: Lab, prefix: str, there: bool) -> None:
    """What goes to this prefix leaves at the site's own uplink, or no longer does."""
    lab[SITE.node].exec("ip", "route", "replace" if there else "delete", prefix, "via", "192.0.2.5")


def _links(here: End, there: End) -> str:
    """Tunnels, the same from both ends."""
    own, other = _LINE[here], _LINE[there]
    tunnels = "".join(_vxlan(tag, here.loopback, there.loopback) for tag in TAGS)
    return f"""
ip link add ipsec{ESP.interface} type xfrm if_id {ESP.interface} && ip link set ipsec{ESP.interface} mtu 1438 up
ip address add {own}/30 dev line
ip link add gre2 type gre local {own} remote {other} ttl 64 tos inherit && ip link set gre2 mtu 1476 up
{_vxlan(CLEAR_TAG, own, other)}{tunnels}"""


def _vxlan(tag: int, own: str, other: str) -> str:
    return f"""
ip link add br{tag} type bridge && ip link set br{tag} up
ip link add vx{tag} type vxlan id {tag} local {own} remote {other} dstport 4789 tos inherit ttl 64
ip link set vx{tag} mtu 1500 master br{tag} up
"""


def _site_bridge(tag: int) -> str:
    return f"""
ip link add link {TRUNK} name {TRUNK}.{tag} type vlan id {tag} && ip link set {TRUNK}.{tag} master br{tag} up
"""


def _pop_bridge(tag: int) -> str:
    return f"ip address add 10.{tag}.0.1/24 dev br{tag}\n"


_SITE_ROUTES = f"""
ip address add 10.2.0.1/24 dev lan
ip address add 10.3.0.1/24 dev lan
ip route replace {ESP_SERVER}/32 dev ipsec{ESP.interface}
ip route replace {GRE_SERVER}/32 dev gre2
"""
_POP_ROUTES = f"""
ip route replace 10.2.0.0/24 dev ipsec{ESP.interface}
ip route replace 10.3.0.0/24 dev gre2
"""
