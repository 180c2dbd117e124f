"""The floor of durable edits: a web application of Starlette that puts each body into SQLite, and nothing else.

Runs where the controller does: `python3 -m perf.peers.durable HOST PORT CERTIFICATE KEY DATABASE`. One transaction a
request, on the disk (WAL, synchronous FULL) before the answer; with DATABASE `none` it keeps nothing, which tells what
the clients can do.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


class Table:
    """Bodies by their path."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("CREATE TABLE body (path TEXT PRIMARY KEY, content TEXT)")
        self._turn = asyncio.Lock()

    async def keep(self, path: str, content: str) -> None:
        async with self._turn:
            await asyncio.to_thread(self._connection.execute, "REPLACE INTO body VALUES (?, ?)", (path, content))


def application(table: Table | None) -> Starlette:
    async def put(request: Request) -> Response:
        content = json.loads(await request.body())
        if table is not None:
            await table.keep(request.url.path, json.dumps(content))
        return Response(status_code=204)

    return Starlette(routes=[Route("/{path:path}", put, methods=["PUT"])])


def main() -> None:
    host, port, certificate, key, database = sys.argv[1:]
    table = None if database == "none" else Table(Path(database))
    uvicorn.run(
        application(table),
        host=host,
        port=int(port),
        ssl_certfile=certificate,
        ssl_keyfile=key,
        http="httptools",
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    main()
