"""The POP's part of cloud accesses: a tunnel interface in the tenant's VRF, a connection, and who is believed."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from yangkit import Tree

from controller.drivers import parts
from controller.drivers.peering import CloudEnd
from controller.service.cloud import IkeMode

# Length of a PAD entry's name (elasticlab-ipsec).
_PAD_NAME = 64


def interfaces(ends: Iterable[CloudEnd]) -> list[Tree]:
    """Packets of the tenant that are routed there leave through the tunnel; the element routes the remote prefixes."""
    return [
        parts.interface(
            end.interface,
            "elasticlab-ipsec:ipsec-tunnel",
            mtu=parts.IPSEC_MTU - end.narrower,
            description=_description(end),
        )
        | parts.routed(ipv6=any(prefix.version == 6 for prefix in end.remote))
        | {"elasticlab-tenant:tenant": end.tenant, "elasticlab-tenant:segment": [end.segment]}
        | {"elasticlab-ipsec:ipsec-tunnel": {"if-id": end.if_id}}
        for end in ends
    ]


def _description(end: CloudEnd) -> str:
    return f"Cloud {end.cloud.identifier} of VPN {end.cloud.vpn}"


def pad(ends: Iterable[CloudEnd], domain: str) -> list[Tree]:
    """Gateways with certificates once each; with shared keys one entry an access, and a name of ours for each."""
    entries: dict[str, Tree] = {}
    for end in ends:
        key = end.cloud.shared_key
        if key is None:
            entries[_peer(end)] = {"name": _peer(end), "identity": end.cloud.identity}
        else:
            entries[_own(end)] = {"name": _own(end), "identity": end.identity(domain)}
            entries[_peer(end)] = {
                "name": _peer(end),
                "identity": end.cloud.identity,
                "pre-shared": {"secret": key},
            }
    return list(entries.values())


def _own(end: CloudEnd) -> str:
    return "self" if end.cloud.shared_key is None else f"self_{end.number}"


def _peer(end: CloudEnd) -> str:
    """A gateway's name has a dot, a device's label has none."""
    if end.cloud.shared_key is not None:
        return end.label
    name = end.cloud.identity
    return name if len(name) <= _PAD_NAME else f"cloud.{sha256(name.encode()).hexdigest()[: _PAD_NAME // 2]}"


def connections(ends: Iterable[CloudEnd]) -> list[Tree]:
    """We call. Several connections may have the same two identities, so none replaces another (wire.md)."""
    return [_connection(end) for end in ends]


def _connection(end: CloudEnd) -> Tree:
    cloud = end.cloud
    local: Tree = {"local-pad-entry-name": _own(end)}
    if end.source is not None:
        local["address"] = end.source
    tree: Tree = {"name": end.label, "autostartup": "start"}
    if cloud.ike_mode is not IkeMode.IKEV2:
        tree["ike-mode"] = str(cloud.ike_mode)
    if cloud.insecure:
        tree["allow-insecure-aggressive"] = True
    flow = {
        "name": "cloud",
        "interface": end.interface,
        "local-prefix": [str(prefix) for prefix in end.local],
        "remote-prefix": [str(prefix) for prefix in end.remote],
    }
    return tree | {
        "local": local,
        "remote": {"remote-pad-entry-name": _peer(end), "address": str(cloud.address)},
        "spd": {"spd-entry": [flow]},
        "unique": "never",
    }
