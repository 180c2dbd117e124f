"""What survives kill -9 of a real server process, and what must not."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from yangkit.client import connect_ssh

KT = "urn:example:kit-test"
HERE = Path(__file__).parent


@asynccontextmanager
async def device(keys, startup: Path):
    """A server process and a client of it; killed at the end."""
    async with devices(keys, startup, 1) as (client,):
        yield client


@asynccontextmanager
async def devices(keys, startup: Path, clients: int):
    """The same, and so many clients."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "device.py"), str(HERE / "yang"), str(startup), str(keys.host_key),
        str(keys.authorized["admin"]), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        port = int(await asyncio.wait_for(process.stdout.readline(), 30))
        key = keys.users["admin"]
        yield [
            await connect_ssh("127.0.0.1", port, username="admin", client_key=key, host_key=keys.host_key)
            for _ in range(clients)
        ]
    finally:
        process.kill()
        await process.wait()


async def name(client) -> str | None:
    return (await client.get_config()).findtext(f"{{{KT}}}top/{{{KT}}}name")


async def edit(client, value: str) -> None:
    await client.edit_config(f'<top xmlns="{KT}"><name>{value}</name></top>')


@pytest.mark.parametrize("confirm", [False, True])
async def test_confirmed_commit_and_kill(confirm, keys, tmp_path):
    startup = tmp_path / "startup.xml"
    async with device(keys, startup) as client:
        await edit(client, "old")
        await client.commit()
        await edit(client, "new")
        await client.commit(confirmed=True, persist="p")
        assert await name(client) == "new"
        if confirm:
            await client.commit(persist_id="p")
    async with device(keys, startup) as client:
        assert await name(client) == ("new" if confirm else "old")


async def test_every_acknowledged_commit_survives(keys, tmp_path):
    startup = tmp_path / "startup.xml"
    for n in range(3):
        async with device(keys, startup) as client:
            assert await name(client) == (f"v{n - 1}" if n else None)
            await edit(client, f"v{n}")
            await client.commit()
            await edit(client, "lost")
            pending = asyncio.create_task(client.get())
        # It was answered or it failed at once: no call outlives its connection.
        (outcome,) = await asyncio.wait_for(asyncio.gather(pending, return_exceptions=True), 10)
        assert not isinstance(outcome, Exception) or isinstance(outcome, ConnectionError)


async def test_every_acknowledged_edit_survives_a_kill_among_many(keys, tmp_path):
    """Clients that each count up an item of their own, in groups, while the process is killed."""
    startup = tmp_path / "startup.xml"
    said = [0] * 6

    async def count(number: int, client) -> None:
        while True:
            item = f"<item><id>{number}</id><note>{said[number] + 1}</note></item>"
            await client.edit_config(f'<top xmlns="{KT}">{item}</top>', "running")
            said[number] += 1

    async with devices(keys, startup, len(said)) as clients:
        counting = [asyncio.create_task(count(number, client)) for number, client in enumerate(clients)]
        async with asyncio.timeout(30):
            while min(said) < 20:  # noqa: ASYNC110 - conditions of any kind
                await asyncio.sleep(0.01)
    ends = await asyncio.wait_for(asyncio.gather(*counting, return_exceptions=True), 10)
    assert all(isinstance(end, ConnectionError) for end in ends)
    async with device(keys, startup) as client:
        items = (await client.get_config()).findall(f"{{{KT}}}top/{{{KT}}}item")
        found = {item.findtext(f"{{{KT}}}id"): int(item.findtext(f"{{{KT}}}note")) for item in items}
    # What was on its way when the process ended may be there or not.
    assert all(one <= found[str(number)] <= one + 1 for number, one in enumerate(said))
