"""Boxes without an orchestrator: a test puts configuration (RFC 7951 JSON) into a box by the box's own code."""

from __future__ import annotations

import json
from typing import Any

from harness.lab import Lab, Node

Tree = dict[str, Any]

_PYTHON = "/opt/element/bin/python"
_APPLY = """
import json, logging, sys
from pathlib import Path
from element.apply.ipsec import Charon
from element.apply.memory import Memory
from element.apply.system import System
from element.model import read
from element.plan.desired import desired
from element.revocation import Revocations

store = Path("/var/lib/element/identity/current")
revocations = Revocations(store / "ca.pem", store / "crl.pem", store.parent.parent / "crl.pem")
system = System(Charon(Path("/run/charon.vici"), store, revocations, Memory(Path("/run/element/charon.json"))))
logging.basicConfig(level=logging.INFO, format="%(message)s")
print(json.dumps(system.converge(desired(read(json.load(sys.stdin))))))
"""
_COUNTERS = "import json; from element.apply import nft; print(json.dumps(nft.counters()))"


def configure(node: Node, tree: Tree) -> list[str]:
    """Make the box as the tree says, all of it at once; the answer is what had to be done."""
    done = node.run(_PYTHON, "-c", _APPLY, stdin=json.dumps(tree), timeout=60).check()
    assert json.loads(done.stdout) == [], "something waits for links or charon"
    return done.stderr.splitlines()


def counted(node: Node, counter: str) -> int:
    """Packets that a counter of the filter has seen."""
    return int(json.loads(node.exec(_PYTHON, "-c", _COUNTERS))[counter][0])


def pings_heard(lab: Lab, node: str) -> int:
    """Echo requests that a node has got: of two with one address, which one was it?"""
    lines = [line.split() for line in lab[node].exec("cat", "/proc/net/snmp").splitlines() if line.startswith("Icmp:")]
    return int(dict(zip(*lines, strict=True))["InEchos"])


def ethernet(name: str, *addresses: str, **more: Any) -> Tree:
    """An interface that was plugged in, with addresses of either family."""
    return {"name": name, "type": "iana-if-type:ethernetCsmacd", **_families(addresses), **more}


def bridge(name: str, mac: str, *addresses: str, mss: int | None = None, **more: Any) -> Tree:
    """A bridge that is a gateway."""
    own: Tree = {"mac-address": mac} | ({"tcp-mss": mss} if mss else {})
    kind = "iana-if-type:bridge"
    return {"name": name, "type": kind, "elasticlab-bridge:bridge": own, **_families(addresses), **more}


def port(bridge: str, **more: Any) -> Tree:
    """What makes an interface a port."""
    return {"elasticlab-bridge:bridge-port": {"bridge": bridge, **more}}


def of(tenant: str) -> Tree:
    """What puts something into a tenant's domain."""
    return {"elasticlab-tenant:tenant": tenant}


def _families(addresses: tuple[str, ...]) -> Tree:
    tree: Tree = {}
    for address in addresses:
        ip, _, length = address.partition("/")
        family = tree.setdefault(f"ietf-ip:ipv{6 if ':' in ip else 4}", {"forwarding": True, "address": []})
        family["address"].append({"ip": ip, "prefix-length": int(length)})
    return tree


def static(name: str, *routes: tuple[str, Tree], **more: Any) -> Tree:
    """Static routes of a domain: each a prefix and a next hop."""
    found: Tree = {}
    for prefix, hop in routes:
        family = f"ipv{6 if ':' in prefix else 4}"
        listed = found.setdefault(f"ietf-{family}-unicast-routing:{family}", {"route": []})
        listed["route"].append({"destination-prefix": prefix, "next-hop": hop})
    return {"type": "ietf-routing:static", "name": name, "static-routes": found, **more}


def configuration(interfaces: list[Tree], routes: list[Tree], tenants: list[str], breakouts: list[Tree]) -> Tree:
    """A whole configuration; tenants are numbered in their order."""
    return {
        "elasticlab-tenant:tenants": {"tenant": [{"name": name, "id": n} for n, name in enumerate(tenants, 1)]},
        "ietf-interfaces:interfaces": {"interface": interfaces},
        "ietf-routing:routing": {"control-plane-protocols": {"control-plane-protocol": routes}},
        "elasticlab-nat:nat": {"breakout": breakouts},
    }
