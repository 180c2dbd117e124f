"""IPsec connections as typed values: elasticlab-ipsec, read from RFC 7951 JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

Tree = Mapping[str, Any]

IKE_PROPOSALS = ("aes256gcm16-prfsha384-ecp256",)
ESP_PROPOSALS = ("aes256gcm16-ecp256",)


@dataclass(frozen=True, slots=True)
class Flow:
    """What child SAs of its own protect, and the tunnel interface that it runs through (RFC 4301, section 4.4.1)."""

    name: str
    interface: str
    local: tuple[str, ...]
    remote: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Connection:
    """An IPsec connection with one peer."""

    name: str
    start: bool
    local_id: str
    certificate: str
    remote_id: str
    ca: str
    remote_address: str | None
    flows: tuple[Flow, ...]
    ike_proposals: tuple[str, ...] = IKE_PROPOSALS
    esp_proposals: tuple[str, ...] = ESP_PROPOSALS
    replay_window: int = 1024
    dpd_interval: int = 5
    ike_lifetime: int = 14400
    child_lifetime: int = 3600
    unique: str = "replace"


def connections(tree: Tree) -> Iterator[Connection]:
    """The connections below the container ``ipsec``."""
    pad = {entry["name"]: entry for entry in tree.get("pad", {}).get("pad-entry", ())}
    for conn in tree.get("conn-entry", ()):
        local = pad[conn["local"]["local-pad-entry-name"]]
        remote = pad[conn["remote"]["remote-pad-entry-name"]]
        yield Connection(
            name=conn["name"],
            start=conn.get("autostartup", "add") == "start",
            local_id=local["identity"],
            certificate=local["certificate"],
            remote_id=remote["identity"],
            ca=remote.get("ca", "ca"),
            remote_address=conn["remote"].get("address"),
            flows=tuple(_flow(entry) for entry in conn["spd"]["spd-entry"]),
            ike_proposals=tuple(conn.get("ike-proposal", IKE_PROPOSALS)),
            esp_proposals=tuple(conn.get("esp-proposal", ESP_PROPOSALS)),
            replay_window=conn.get("replay-window", 1024),
            dpd_interval=conn.get("dpd-interval", 5),
            ike_lifetime=conn.get("ike-lifetime", 14400),
            child_lifetime=conn.get("child-lifetime", 3600),
            unique=conn.get("unique", "replace"),
        )


def _flow(tree: Tree) -> Flow:
    return Flow(tree["name"], tree["interface"], _prefixes(tree["local-prefix"]), _prefixes(tree["remote-prefix"]))


def _prefixes(prefixes: list[str]) -> tuple[str, ...]:
    """Without host bits, as kernel and charon have them."""
    return tuple(sorted(str(ip_network(prefix, strict=False)) for prefix in prefixes))
