"""IPsec connections as charon's vici messages.

RFC 7296 (or IKEv1, RFC 2409, where it must be) between exact identities, authenticated by certificates of one CA with a
revocation list that must be there, or by a shared key; tunnel mode, policies tied to each flow's xfrm interface.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from element.connections import Child, Connection, Mode
from element.model import Config
from element.plan.resources import Credential, Ike, Resource, SharedKey

SILENCE = 3
"""IKEv1 gives a peer up after so many unanswered questions (RFC 3706); IKEv2 by its retransmissions."""


def resources(config: Config) -> Iterator[Resource]:
    """Connections and the credentials that they use."""
    for name in sorted({c.certificate for c in config.connections if c.certificate}):
        yield Credential(name, own=True)
    for name in sorted({c.ca for c in config.connections if c.certificate}):
        yield Credential(name, own=False)
    for secret in config.secrets:
        digest = hashlib.sha256(secret.value.encode()).hexdigest()
        yield SharedKey(secret.local_id, secret.remote_id, digest, secret.owners, secret.value)
    for connection in config.connections:
        yield Ike(connection.name, json.dumps(_message(config, connection), sort_keys=True))


def _message(config: Config, connection: Connection) -> dict[str, Any]:
    """The connection for vici's ``load-conn``; certificates are named by file and filled in by whoever loads."""
    starts = connection.start
    local, remote = _ends(connection)
    return {
        **_version(connection),
        "local_addrs": [connection.local_address or "%any"],
        "remote_addrs": [connection.remote_address or "%any"],
        "proposals": list(connection.ike_proposals),
        "unique": connection.unique,
        "keyingtries": "0",
        "fragmentation": "yes",
        "dpd_delay": f"{connection.dpd_interval}s",
        # The certificate is checked again only by reauthentication (make before break), not by rekeying.
        "reauth_time": f"{connection.ike_lifetime}s" if starts else "0s",
        "rekey_time": "0s" if starts else f"{connection.ike_lifetime * 2}s",
        "local": local,
        "remote": remote,
        "children": {child.name: _child(config, connection, child) for child in connection.children},
    }


def _version(connection: Connection) -> dict[str, str]:
    if connection.mode is Mode.IKEV2:
        # Where an address is given the tunnel stays there. Charon would take the one that routing prefers (RFC 4555,
        # section 3.5), and with it an address at which another connection's peer may be expected.
        return {"version": "2", "mobike": "no" if connection.local_address else "yes"}
    aggressive = "yes" if connection.mode is Mode.AGGRESSIVE else "no"
    return {"version": "1", "aggressive": aggressive, "dpd_timeout": f"{connection.dpd_interval * SILENCE}s"}


def _ends(connection: Connection) -> tuple[dict[str, Any], dict[str, Any]]:
    """How the ends prove who they are."""
    local: dict[str, Any] = {"id": connection.local_id}
    remote: dict[str, Any] = {"id": connection.remote_id}
    if connection.certificate is None:
        return local | {"auth": "psk"}, remote | {"auth": "psk"}
    local |= {"auth": "pubkey", "certs": [connection.certificate]}
    return local, remote | {"auth": "pubkey", "cacerts": [connection.ca], "revocation": "strict"}


def _child(config: Config, connection: Connection, child: Child) -> dict[str, Any]:
    starts = connection.start
    if_id = str(config.interface(child.flow.interface).if_id)
    # SAs of one flow can take each other's place only if they are one to the kernel's policies. IKEv1 has a child for
    # each pair of prefixes, whose SAs are not to be mixed up.
    same = {"reqid": if_id} if connection.mode is Mode.IKEV2 else {}
    return {
        **same,
        "mode": "tunnel",
        "local_ts": list(child.local),
        "remote_ts": list(child.remote),
        "esp_proposals": list(connection.esp_proposals),
        "if_id_in": if_id,
        "if_id_out": if_id,
        "replay_window": str(connection.replay_window),
        "rekey_time": f"{connection.child_lifetime}s",
        "policies": "yes",
        # What is too large for some link on the way is fragmented there, as UDP. With DF it would be lost wherever the
        # ICMP that tells so is.
        "copy_df": "no",
        # Not "start": charon would end the SAs of a child whose selectors change. Whoever loads it starts it.
        "start_action": "trap" if starts else "none",
        "close_action": "start" if starts else "none",
        "dpd_action": "restart" if starts else "clear",
    }
