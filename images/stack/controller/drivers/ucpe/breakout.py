"""Local Internet access: which packets of a routed site leave at its own uplink."""

from __future__ import annotations

from collections.abc import Iterator

from yangkit import Tree

from controller.drivers import parts
from controller.drivers.work import Attachment
from controller.service.site import Exit

_ACTIONS = {Exit.LOCAL: "break-out", Exit.POP: "route"}


def breakout(attachment: Attachment) -> list[Tree]:
    """The breakout of a site that has local Internet access."""
    if attachment.site.local_internet is None:
        return []
    return [
        {
            "tenant": attachment.tenant,
            "external-interface": parts.WAN,
            "internal-interface": [attachment.site.port],
            "policy": list(_policy(attachment)),
        }
    ]


def _policy(attachment: Attachment) -> Iterator[Tree]:
    """What is reached in VPNs comes first, whatever the user says of the Internet; then his rules, in his order."""
    local = attachment.site.local_internet
    if local is None:
        return
    for network in attachment.peers:
        yield {"name": f"vpn-{network}", "matches": {"destination-prefix": str(network)}, "action": "route"}
    for rule in local.rules:
        entry: Tree = {"name": f"rule-{rule.name}", "action": _ACTIONS[rule.action]}
        if rule.matches:
            entry["matches"] = dict(rule.matches)
        yield entry
    yield {"name": "default", "action": _ACTIONS[local.default]}
