"""The process in a box: identity, datastores, NETCONF, and a backend that keeps the machine true."""

from __future__ import annotations

import asyncio
import logging
import signal
from functools import partial

from yangkit import Datastores, Module, Schema, memory

from element import credentials, day0, factory, storage
from element.announce import Announcements
from element.apply import nft
from element.apply.ipsec import Charon
from element.apply.memory import Memory
from element.apply.system import System
from element.backend import ElementBackend
from element.box import Box
from element.dhcp.client import V4, V6, Clients
from element.lan.servers import Servers
from element.model import Config
from element.places import Places
from element.plan import firewall
from element.revocation import Revocations
from element.signs import Signs
from element.uplinks import Uplinks

log = logging.getLogger(__name__)


def close_doors() -> None:
    """Until there is a configuration nothing passes; rules of a former life stay, they are compared soon."""
    if not list(nft.read()):
        nft.load(firewall.ruleset(Config()))


async def serve(places: Places) -> None:
    """Run until told to stop. What was configured stays in the kernel and in charon."""
    identity = factory.identity(places.factory)
    offers = factory.personality(identity.personality)
    folder = credentials.place(places.state)
    beginning = day0.read(places.factory)
    revocations = Revocations(folder / "ca.pem", folder / "crl.pem", places.state / "crl.pem")
    close_doors()
    schema = Schema([places.yang], [Module(offer.module, offer.features) for offer in offers])
    charon = Charon(places.vici, folder, revocations, Memory(places.leases / "charon.json"))
    backend = ElementBackend(System(charon), places.vici, identity, places.stations)
    storage.folder(places.state)
    # Only who translates to the Internet forwards there.
    forwarding = "elasticlab-nat" in {offer.module for offer in offers}
    default = beginning.configuration(forwarding)
    stores = Datastores(schema, backend, startup=places.startup, default=default)
    clients = {
        version: Clients(
            places.leases,
            places.dhcp_event,
            partial(backend.asking, version),
            partial(backend.lease, version),
            family,
        )
        for version, family in ((4, V4), (6, V6))
    }
    for version, client in clients.items():
        await backend.lease(version, client.held())  # before the first comparison: a restart takes nothing away
    await stores.start()
    keeper = asyncio.create_task(backend.run())
    leases = [asyncio.create_task(client.run()) for client in clients.values()]
    servers = asyncio.create_task(Servers(places.stations, lambda: backend.known).run())
    ways = asyncio.create_task(Uplinks(backend, places.leases / "uplinks-failed.json").run())
    heralds = asyncio.create_task(Announcements().run())
    signs = asyncio.create_task(Signs(lambda: backend.known).run())
    tidying = asyncio.create_task(memory.keep_giving_back())
    box = Box(places, identity, stores, backend, beginning)
    life = asyncio.create_task(box.live(folder, revocations))
    stop = asyncio.create_task(_told_to_stop())
    beside = (life, *leases, servers, ways, heralds, signs, tidying)
    await asyncio.wait({keeper, *beside, stop}, return_when=asyncio.FIRST_COMPLETED)
    ended = [task for task in (keeper, *beside) if task.done()]
    for task in beside:
        task.cancel()
    await asyncio.gather(*beside, return_exceptions=True)
    await stores.close()
    keeper.cancel()
    for task in ended:
        task.result()  # they never end by themselves: say why


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
