"""What an order leaves, wherever it could: in the kernel and the key exchange of boxes, in their configuration, in the
intent, and in the rows of the components. Two looks are compared; nothing here knows what ought to be there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lxml import etree

from harness.lab import Lab
from harness.lab.netconf import session
from harness.orchestrator.client import Orchestrator

Json = Any

BOXES = ("ucpe-1", "ucpe-2", "vmsr-1")
INTENT = "/restconf/data/ietf-l3vpn-svc:l3vpn-svc"
NETWORK = "/restconf/data/elasticlab-network:network"
# What the kernel counts, and the multicast and link-local entries that it makes for each port that is up, are no
# traces. Neither is whether port `lan` is up while nobody uses it: it is until the first order, and is not after that.
# The running configuration is compared by itself; the revocation list is the operator's.
LOOKS = {
    "links": "ip -d -o link | sed 's/^[0-9]*: //; s/@if[0-9]*//; s/link-netnsid [0-9]*//; /^lan:/s/<.*mode//'",
    "addresses": "ip -o address show scope global | awk '{print $2, $4}'",
    "routes": "(ip route show table all; ip -6 route show table all) | grep -Ev 'fe80|ff00'",
    "rules": "ip rule; ip -6 rule",
    "xfrm": "ip xfrm state list nokeys; ip xfrm policy list nosock",
    "nftables": "nft -s list ruleset",
    "bridges": "bridge fdb show | grep -Ev '^(33:33|01:00:5e)'; bridge vlan show; bridge link show",
    "queues": "tc qdisc show",
    "settings": "cd /proc/sys/net && grep -rs . ipv4/conf ipv6/conf ipv4/ip_forward | grep -v lan/disable_ipv6",
    "connections": "swanctl --list-conns 2>/dev/null",
    "associations": "swanctl --list-sas 2>/dev/null",
    "policies": "swanctl --list-pols 2>/dev/null",
    "certificates": "swanctl --list-certs 2>/dev/null | grep -E 'subject:|serial:'",
    "files": "find /etc /var/lib/element /run -xdev -type f -not -name startup.xml -not -name crl.pem | sort",
}
# Rows that live as long as an order's effect. What is kept as a record (orders, ended services, cleared alarms) is not.
ROWS = {
    "controller": ("allocation", "attached_site", "owned_entry", "transaction_begun", "transaction_member", "fence"),
    "gro": ("site",),
}
_MARK = "=== "
_READ = """
import json, sqlite3, sys
rows = {}
for name, tables in json.loads(sys.argv[1]).items():
    database = sqlite3.connect(f"file:/var/lib/{name}/{name}.sqlite?mode=ro", uri=True)
    for table in tables:
        rows[f"{name}.{table}"] = sorted(map(str, database.execute(f"SELECT * FROM {table}")))
print(json.dumps(rows))
"""


def traces(lab: Lab, far: Orchestrator) -> dict[str, Json]:
    """Everything, by place."""
    found: dict[str, Json] = {}
    with ThreadPoolExecutor(len(BOXES)) as pool:
        for looks in pool.map(lambda box: look_at(lab, box), BOXES):
            found |= looks
    for box, tree in asyncio.run(configurations(lab)).items():
        found[f"{box}: running"] = canonical(tree)
    found |= rows(lab)
    found["intent"] = content(far, f"{INTENT}?content=config")
    network = content(far, NETWORK).get("elasticlab-network:network", {})
    found["sites"] = network.get("site", [])
    found["tunnels"] = {device["name"]: device.get("tunnel", []) for device in network.get("device", [])}
    return found


def look_at(lab: Lab, box: str) -> dict[str, Json]:
    """A box's kernel and key exchange, in one command."""
    script = "".join(f"echo '{_MARK}{name}'\n{{ {look}; }} || true\n" for name, look in LOOKS.items())
    parts = lab[box].sh(script).split(_MARK)[1:]
    return {f"{box}: {name}": said.splitlines() for name, _, said in (part.partition("\n") for part in parts)}


def differences(before: dict[str, Json], after: dict[str, Json]) -> dict[str, Json]:
    """By place, what was lost (-) and what is left (+)."""
    changed: dict[str, Json] = {}
    for place in before.keys() | after.keys():
        was, is_ = before.get(place), after.get(place)
        if was == is_:
            continue
        if isinstance(was, list) and isinstance(is_, list):
            changed[place] = [f"- {one}" for one in was if one not in is_] + [
                f"+ {one}" for one in is_ if one not in was
            ]
        else:
            changed[place] = {"-": was, "+": is_}
    return changed


def rows(lab: Lab) -> dict[str, Json]:
    """The rows of the components, read beside them."""
    found: dict[str, Json] = json.loads(lab["stack"].exec("python3", "-c", _READ, json.dumps(ROWS)))
    return found


def content(far: Orchestrator, path: str) -> dict[str, Json]:
    """What the controller has at a path; nothing where it answers 404."""
    answer = far.call("controller", "GET", path)
    found: dict[str, Json] = answer.json() if answer.status == 200 else {}
    return found


async def configurations(lab: Lab) -> dict[str, etree._Element]:
    """The running configuration of each box, asked over NETCONF."""

    async def one(box: str) -> etree._Element:
        async with await session(lab, box) as client:
            return await client.get_config("running")

    return dict(zip(BOXES, await asyncio.gather(*map(one, BOXES)), strict=True))


def canonical(tree: etree._Element) -> list[str]:
    """Equal for what means the same: white space, prefixes and the order of entries are the server's choice."""
    return sorted(leaves(tree))


def leaves(element: etree._Element, path: str = "") -> Iterator[str]:
    """Each leaf, and each container without content, with its place; entries of lists are told apart by their names."""
    children = [child for child in element if isinstance(child.tag, str)]
    if not children:
        yield f"{path} = {_value(element)}"
    for child in children:
        yield from leaves(child, f"{path}/{step(child)}")


def step(element: etree._Element) -> str:
    """An element in a path, with what tells it from its siblings: names and types, or else its first leaf."""
    bare = [child for child in element if isinstance(child.tag, str) and len(child) == 0]
    named = [child for child in bare if etree.QName(child).localname in ("name", "type")]
    key = ",".join(_value(child) for child in sorted(named or bare[:1], key=lambda child: etree.QName(child).localname))
    return etree.QName(element).localname + (f"[{key}]" if key else "")


def _value(element: etree._Element) -> str:
    """A leaf's value; the prefix of an identity is the server's choice."""
    text = (element.text or "").strip()
    prefix, colon, rest = text.partition(":")
    return rest if colon and (prefix in element.nsmap or prefix in ("iana-if-type", "ietf-routing")) else text
