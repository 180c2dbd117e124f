"""IPsec connections as typed values: elasticlab-ipsec, read from RFC 7951 JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import ip_network
from itertools import product
from typing import Any

from element.unsupported import InvalidError, UnsupportedError

Tree = Mapping[str, Any]
PATH = "/elasticlab-ipsec:ipsec"


class Mode(StrEnum):
    """How the ends negotiate."""

    IKEV2 = "ikev2"
    MAIN = "ikev1-main"
    AGGRESSIVE = "ikev1-aggressive"


# IKEv1 has no AES-GCM of its own. In aggressive mode (RFC 2409, section 5) and in quick mode (section 5.5) the public
# value comes with the first message, so that all proposals are of one group: the one that old gateways know.
IKE_PROPOSALS = {
    Mode.IKEV2: ("aes256gcm16-prfsha384-ecp256",),
    Mode.MAIN: ("aes256-sha256-ecp256", "aes256-sha256-modp2048"),
    Mode.AGGRESSIVE: ("aes256-sha256-modp2048",),
}
_ESP_IKEV1 = ("aes256gcm16-modp2048", "aes256-sha256-modp2048")
ESP_PROPOSALS = {Mode.IKEV2: ("aes256gcm16-ecp256",), Mode.MAIN: _ESP_IKEV1, Mode.AGGRESSIVE: _ESP_IKEV1}


@dataclass(frozen=True, slots=True)
class Flow:
    """What child SAs of its own protect, and the tunnel interface that it runs through (RFC 4301, section 4.4.1)."""

    name: str
    interface: str
    local: tuple[str, ...]
    remote: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Child:
    """A child SA as the IKE daemon is told it."""

    name: str
    flow: Flow
    local: tuple[str, ...]
    remote: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Secret:
    """A key that two identities share (RFC 9061, pre-shared); whoever prints it sees whose it is and no more."""

    local_id: str
    remote_id: str
    value: str = field(repr=False)
    owners: tuple[str, ...] = ()
    """Those of the two that have no other key. charon takes any key that has one of the two for proof."""


@dataclass(frozen=True, slots=True)
class Connection:
    """An IPsec connection with one peer; without a certificate both ends prove themselves by a shared key."""

    name: str
    start: bool
    local_id: str
    certificate: str | None
    remote_id: str
    ca: str
    remote_address: str | None
    flows: tuple[Flow, ...]
    ike_proposals: tuple[str, ...]
    esp_proposals: tuple[str, ...]
    mode: Mode = Mode.IKEV2
    local_address: str | None = None
    track_routes: bool = False
    replay_window: int = 1024
    dpd_interval: int = 5
    ike_lifetime: int = 14400
    child_lifetime: int = 3600
    unique: str = "replace"

    @property
    def children(self) -> tuple[Child, ...]:
        """The child SAs of all flows. IKEv1 knows one pair of prefixes a child (RFC 2409, section 5.5)."""
        if self.mode is Mode.IKEV2:
            return tuple(Child(flow.name, flow, flow.local, flow.remote) for flow in self.flows)
        found = []
        for flow in self.flows:
            pairs = [(a, b) for a, b in product(flow.local, flow.remote) if _family(a) == _family(b)]
            for number, (local, remote) in enumerate(pairs, 1):
                # No flow's name has a dot.
                name = flow.name if len(pairs) == 1 else f"{flow.name}.{number}"
                found.append(Child(name, flow, (local,), (remote,)))
        return tuple(found)


def secrets(tree: Tree) -> Iterator[Secret]:
    """The shared keys that connections use, one for two identities."""
    found: dict[tuple[str, str], tuple[Secret, str]] = {}
    keys: dict[str, set[str]] = {}
    for name, local, remote in _ends(tree):
        if "pre-shared" not in remote:
            continue
        secret = Secret(local["identity"], remote["identity"], remote["pre-shared"]["secret"])
        for identity in (ends := (secret.local_id, secret.remote_id)):
            keys.setdefault(identity, set()).add(secret.value)
        if found.setdefault(ends, (secret, name))[0] != secret:
            raise UnsupportedError(
                f"{secret.local_id} and {secret.remote_id} have two shared keys, and IKE cannot tell which is meant: "
                "give the connections different identities",
                f"{PATH}/conn-entry[name='{name}']",
            )
    for secret, name in found.values():
        owners = tuple(end for end in (secret.local_id, secret.remote_id) if len(keys[end]) == 1)
        if not owners:
            raise InvalidError(
                f"{secret.local_id} and {secret.remote_id} both have other shared keys too, with which a peer could "
                "pass for this one: give the connection an identity of its own at one end",
                f"{PATH}/conn-entry[name='{name}']",
            )
        yield replace(secret, owners=owners)


def _ends(tree: Tree) -> Iterator[tuple[str, Tree, Tree]]:
    """The connections by name, with the PAD entries of both ends."""
    pad = {entry["name"]: entry for entry in tree.get("pad", {}).get("pad-entry", ())}
    for conn in tree.get("conn-entry", ()):
        local, remote = conn["local"]["local-pad-entry-name"], conn["remote"]["remote-pad-entry-name"]
        yield conn["name"], pad[local], pad[remote]


def connections(tree: Tree) -> Iterator[Connection]:
    """The connections below the container ``ipsec``."""
    for conn, (name, local, remote) in zip(tree.get("conn-entry", ()), _ends(tree), strict=True):
        mode = Mode(conn.get("ike-mode", Mode.IKEV2))
        yield Connection(
            name=name,
            start=conn.get("autostartup", "add") == "start",
            local_id=local["identity"],
            certificate=None if "pre-shared" in remote else local["certificate"],
            remote_id=remote["identity"],
            ca=remote.get("ca", "ca"),
            remote_address=conn["remote"].get("address"),
            flows=tuple(_flow(entry, name) for entry in conn["spd"]["spd-entry"]),
            ike_proposals=tuple(conn.get("ike-proposal", IKE_PROPOSALS[mode])),
            esp_proposals=tuple(conn.get("esp-proposal", ESP_PROPOSALS[mode])),
            mode=mode,
            local_address=conn["local"].get("address"),
            track_routes=conn.get("track-routes", False),
            replay_window=conn.get("replay-window", 1024),
            dpd_interval=conn.get("dpd-interval", 5),
            ike_lifetime=conn.get("ike-lifetime", 14400),
            child_lifetime=conn.get("child-lifetime", 3600),
            unique=conn.get("unique", "replace"),
        )


def _flow(tree: Tree, connection: str) -> Flow:
    flow = Flow(tree["name"], tree["interface"], _prefixes(tree["local-prefix"]), _prefixes(tree["remote-prefix"]))
    if {_family(p) for p in flow.local} != {_family(p) for p in flow.remote}:
        raise UnsupportedError(
            f"flow {flow.name}: prefixes of one IP version need prefixes of the same at the other end",
            f"{PATH}/conn-entry[name='{connection}']/spd/spd-entry[name='{flow.name}']",
        )
    return flow


def _prefixes(prefixes: list[str]) -> tuple[str, ...]:
    """Without host bits, as kernel and charon have them."""
    return tuple(sorted(str(ip_network(prefix, strict=False)) for prefix in prefixes))


def _family(prefix: str) -> int:
    return ip_network(prefix).version
