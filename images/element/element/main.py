"""The process in a box: identity, datastores, NETCONF, and a backend that keeps the machine true."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from yangkit import Datastores, Module, NetconfServer, Schema

from element import credentials, factory, storage
from element.apply import nft
from element.apply.ipsec import Charon
from element.apply.system import System
from element.backend import ElementBackend
from element.credentials import Credentials
from element.model import Config
from element.plan import firewall
from element.revocation import Revocations
from element.rpc import Rpcs

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are; the environment can move them, for tests."""

    factory: Path
    yang: Path
    state: Path
    vici: Path

    @property
    def startup(self) -> Path:
        """The configuration that the box starts with."""
        return self.state / "startup.xml"

    @classmethod
    def from_environment(cls) -> Places:
        """The places of a node, unless the environment says otherwise."""
        get = os.environ.get
        return cls(
            Path(get("ELEMENT_FACTORY", "/factory")),
            Path(get("ELEMENT_YANG", "/usr/share/elasticlab/yang")),
            Path(get("ELEMENT_STATE", "/var/lib/element")),
            Path(get("ELEMENT_VICI", "/run/charon.vici")),
        )


def close_doors() -> None:
    """Until there is a configuration nothing passes; rules of a former life stay, they are compared soon."""
    if not list(nft.read()):
        nft.load(firewall.ruleset(Config()))


async def serve(places: Places) -> None:
    """Run until told to stop. What was configured stays in the kernel and in charon."""
    identity = factory.identity(places.factory)
    offers = factory.personality(identity.personality)
    folder = places.factory / "operational"
    revocations = Revocations(folder / "ca.pem", folder / "crl.pem", places.state / "crl.pem")
    own = credentials.from_factory(identity, folder, revocations)
    close_doors()
    schema = Schema([places.yang], [Module(offer.module, offer.features) for offer in offers])
    backend = ElementBackend(System(Charon(places.vici, own.folder, revocations)), places.vici, identity)
    storage.folder(places.state)
    stores = Datastores(schema, backend, startup=places.startup)
    await stores.start()
    server = await _offer(stores, backend, own)
    log.info("%s %s is %s, serving NETCONF", identity.model, identity.serial, own.name)
    keeper = asyncio.create_task(backend.run())
    stop = asyncio.create_task(_told_to_stop())
    await asyncio.wait({keeper, stop}, return_when=asyncio.FIRST_COMPLETED)
    await server.close()
    await stores.close()
    if keeper.done():
        keeper.result()  # it never ends by itself: say why
    keeper.cancel()


async def _offer(stores: Datastores, backend: ElementBackend, own: Credentials) -> NetconfServer:
    """NETCONF for people and programs that come to us."""
    rpcs = Rpcs(backend, own.revocations)
    server = NetconfServer(stores, rpcs=rpcs.handlers, recovery_users=own.clients)
    rpcs.server = server
    backend.on_credentials = rpcs.end_revoked_sessions
    await server.listen_ssh("", 830, host_key=own.host_key, authorized_keys=own.users)
    await server.listen_tls(
        "",
        6513,
        cert=own.cert,
        key=own.key,
        ca=own.client_ca,
        names=own.client_names,
        crl=own.client_crl,
        users=own.clients,
        revoked=own.revocations.revoked,
    )
    return server


async def _told_to_stop() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


def main() -> None:
    """Entry point of ``python -m element``."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("asyncssh").setLevel(logging.WARNING)
    try:
        asyncio.run(serve(Places.from_environment()))
    except factory.FactoryError as error:
        raise SystemExit(f"element: {error}") from None
