"""The RPCs of elasticlab-element."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from yangkit import ApplyError, NetconfServer, RpcCall

from element.backend import ElementBackend
from element.keeper import Failures, Keeper
from element.ping import Pinger
from element.revocation import RevocationError, Revocations

if TYPE_CHECKING:
    from yangkit.operations import Handler

log = logging.getLogger(__name__)


class Rpcs:
    """What a client can have done; ``server`` is whose sessions end when their certificate is revoked."""

    def __init__(self, backend: ElementBackend, revocations: Revocations) -> None:
        self._backend = backend
        self._revocations = revocations
        self._pinger = Pinger()
        self.server: NetconfServer | None = None
        self.keeper: Keeper | None = None

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """By module and name, for the server."""
        return {
            "elasticlab-element:install-crl": self.install_crl,
            "elasticlab-element:ping": self.ping,
            "elasticlab-element:renew-certificates": self.renew_certificates,
        }

    async def renew_certificates(self, call: RpcCall) -> dict[str, Any]:
        """New keys and certificates now; the answer comes when they are in use."""
        assert self.keeper is not None  # it is there before the server is
        log.info("%s has the certificates renewed", call.user)
        try:
            await self.keeper.renew()
        except Failures as error:
            raise ApplyError(
                f"the certificates are as before: {error}", "/elasticlab-element:renew-certificates"
            ) from None
        return {"certificate": self.keeper.state()["elasticlab-element:certificates"]["certificate"]}

    def show_new_certificates(self) -> None:
        """To clients still to come; those that are here see the new one when they come again, which they soon do."""
        if self.server is not None:
            self.server.reload_certificates()

    async def install_crl(self, call: RpcCall) -> dict[str, Any]:
        """Store the operator's revocation list and carry it out: first sessions, which needs nobody else."""
        try:
            crl = self._revocations.install(base64.b64decode(call.input["crl"]))
        except RevocationError as error:
            raise ApplyError(str(error), "/elasticlab-element:install-crl/crl", "invalid-value") from None
        log.info("%s installs a revocation list with %d certificates", call.user, len(list(crl)))
        self.end_revoked_sessions()
        if delay := await self._backend.take_up_lists():
            raise ApplyError(f"the list is stored, and not yet in force for IPsec: {delay}")
        return {}

    async def ping(self, call: RpcCall) -> dict[str, Any]:
        """Ping, and count."""
        return await self._pinger(call.input)

    def end_revoked_sessions(self) -> None:
        """End NETCONF sessions of clients whose certificate is void now; new ones are not let in."""
        if self.server is None:
            return
        try:
            self.server.reload_crls()
            revoked = [s for s in self.server.sessions.values() if self._is_revoked(s.peer.certificate)]
        except (OSError, ValueError):
            log.exception("the revocation list cannot be read; looked at again when it changes")
            return
        for session in revoked:
            log.warning("the session of %s from %s ends: its certificate is revoked", session.user, session.peer.host)
            session.end("other")

    def _is_revoked(self, certificate: bytes | None) -> bool:
        return certificate is not None and self._revocations.revoked(certificate)
