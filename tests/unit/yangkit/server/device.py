"""A server in a process of its own, for tests that kill it: prints its SSH port, then serves for ever."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from yangkit import Datastores, Module, NetconfServer, NullBackend, Schema


async def main(yang: str, startup: str, host_key: str, authorized: str) -> None:
    stores = Datastores(Schema([yang], [Module("kit-test")]), NullBackend(), Path(startup), many_edits=True)
    await stores.start()
    server = NetconfServer(stores)
    port = await server.listen_ssh("127.0.0.1", 0, host_key=Path(host_key), authorized_keys={"admin": Path(authorized)})
    print(port, flush=True)
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
