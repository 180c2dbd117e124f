"""The process in a box: identity, datastores, NETCONF, and a backend that keeps the machine true."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from yangkit import Datastores, Module, NameRule, NetconfServer, Schema

from element import bootstrap
from element.apply import nft
from element.apply.ipsec import Charon
from element.apply.system import System
from element.backend import ElementBackend
from element.model import Config
from element.plan import firewall

log = logging.getLogger(__name__)

ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are; the environment can move them, for tests."""

    factory: Path
    yang: Path
    startup: Path
    vici: Path

    @classmethod
    def from_environment(cls) -> Places:
        """The places of a node, unless the environment says otherwise."""
        get = os.environ.get
        return cls(
            Path(get("ELEMENT_FACTORY", "/factory")),
            Path(get("ELEMENT_YANG", "/usr/share/elasticlab/yang")),
            Path(get("ELEMENT_STARTUP", "/var/lib/element/startup.xml")),
            Path(get("ELEMENT_VICI", "/run/charon.vici")),
        )


def close_doors() -> None:
    """Until there is a configuration nothing passes; rules of a former life stay, they are compared soon."""
    if not list(nft.read()):
        nft.load(firewall.ruleset(Config()))


async def serve(places: Places) -> None:
    """Run until told to stop. What was configured stays in the kernel and in charon."""
    identity = bootstrap.identity(places.factory)
    offers = bootstrap.personality(identity.personality)
    operational = bootstrap.Operational(places.factory / "operational")
    close_doors()
    schema = Schema([places.yang], [Module(offer.module, offer.features) for offer in offers])
    backend = ElementBackend(System(Charon(places.vici, operational.folder)), places.vici, identity)
    places.startup.parent.mkdir(parents=True, exist_ok=True)
    stores = Datastores(schema, backend, startup=places.startup)
    await stores.start()
    server = NetconfServer(stores, recovery_users=(ADMIN,))
    await server.listen_ssh(
        "", 830, host_key=operational.host_key, authorized_keys={ADMIN: operational.authorized_keys}
    )
    await server.listen_tls(
        "",
        6513,
        cert=operational.cert,
        key=operational.key,
        ca=operational.ca,
        names=[NameRule("san-any"), NameRule("common-name")],
        crl=operational.crl,
        # The same authority certifies boxes, and a box is nobody's administrator.
        users=(ADMIN,),
    )
    log.info("%s %s is %s, serving NETCONF", identity.model, identity.serial, identity.name)
    keeper = asyncio.create_task(backend.run())
    stop = asyncio.create_task(_told_to_stop())
    await asyncio.wait({keeper, stop}, return_when=asyncio.FIRST_COMPLETED)
    await server.close()
    await stores.close()
    if keeper.done():
        keeper.result()  # it never ends by itself: say why
    keeper.cancel()


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
    except bootstrap.FactoryError as error:
        raise SystemExit(f"element: {error}") from None
