"""IPsec connections as charon's vici messages.

RFC 7296 between exact identities, authenticated by certificates of one CA with a revocation list that must be there;
tunnel mode between loopbacks; policies tied to the site's xfrm interface.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from element.model import Config, Connection
from element.plan.resources import Credential, Ike, Resource


def resources(config: Config) -> Iterator[Resource]:
    """Connections and the credentials that they use."""
    for name in sorted({c.certificate for c in config.connections}):
        yield Credential(name, own=True)
    for name in sorted({c.ca for c in config.connections}):
        yield Credential(name, own=False)
    for connection in config.connections:
        if_id = config.interface(connection.interface).if_id
        message = json.dumps(_message(connection, str(if_id)), sort_keys=True)
        # What living SAs cannot follow: when it changes they end.
        parts = (connection.local_id, connection.remote_id, connection.remote_address or "%any", str(if_id))
        selectors = " ".join((*parts, connection.local_prefix, connection.remote_prefix))
        yield Ike(connection.name, selectors, message)


def _message(connection: Connection, if_id: str) -> dict[str, Any]:
    """The connection for vici's ``load-conn``; certificates are named by file and filled in by whoever loads."""
    starts = connection.start
    return {
        "version": "2",
        "remote_addrs": [connection.remote_address or "%any"],
        "proposals": list(connection.ike_proposals),
        "unique": connection.unique,
        "keyingtries": "0",
        "mobike": "yes",
        "fragmentation": "yes",
        "dpd_delay": f"{connection.dpd_interval}s",
        # The certificate is checked again only by reauthentication (make before break), not by rekeying.
        "reauth_time": f"{connection.ike_lifetime}s" if starts else "0s",
        "rekey_time": "0s" if starts else f"{connection.ike_lifetime * 2}s",
        "local": {"auth": "pubkey", "id": connection.local_id, "certs": [connection.certificate]},
        "remote": {
            "auth": "pubkey",
            "id": connection.remote_id,
            "cacerts": [connection.ca],
            "revocation": "strict",
        },
        "children": {
            connection.name: {
                "mode": "tunnel",
                "local_ts": [connection.local_prefix],
                "remote_ts": [connection.remote_prefix],
                "esp_proposals": list(connection.esp_proposals),
                "if_id_in": if_id,
                "if_id_out": if_id,
                "replay_window": str(connection.replay_window),
                "rekey_time": f"{connection.child_lifetime}s",
                "policies": "yes",
                # What is too large for some link on the way is fragmented there, as UDP. With DF it would be lost
                # wherever the ICMP that tells so is.
                "copy_df": "no",
                "start_action": "trap|start" if starts else "none",
                "close_action": "start" if starts else "none",
                "dpd_action": "restart" if starts else "clear",
            }
        },
    }
