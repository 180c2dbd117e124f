"""Who fails at the door is an alarm; however many fail, the loop does not wait for the disk."""

from __future__ import annotations

import asyncio
import threading
import time

from manager.strangers import WAITING, Strangers


class SlowDisk:
    """An alarm list whose writes wait until they are let go."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.written: list[tuple[str, str, str]] = []

    def raise_(self, kind: str, resource: str, text: str) -> None:
        assert self.free.wait(5)
        if text.endswith("breaks"):
            raise OSError("no space left")
        self.written.append((kind, resource, text))


async def test_the_loop_does_not_wait_and_the_same_is_written_once():
    disk = SlowDisk()
    strangers = Strangers(disk)
    begun = time.monotonic()
    for _ in range(1000):
        strangers.refused("192.0.2.10", "certificate refused: unknown")
    strangers.refused("192.0.2.11", "no handshake within 5 s")
    await asyncio.sleep(0)
    assert time.monotonic() - begun < 1
    disk.free.set()
    await strangers.close()
    text = "192.0.2.10: certificate refused: unknown"
    assert disk.written == [("foreign-certificate", "192.0.2.10", text)]


async def test_what_is_said_after_it_was_written_is_written_again():
    disk = SlowDisk()
    disk.free.set()
    strangers = Strangers(disk)
    for _ in range(2):
        strangers.refused("192.0.2.10", "no certificate")
        await strangers.close()
    assert len(disk.written) == 2


async def test_a_flood_is_bounded_and_a_disk_that_fails_ends_nothing():
    disk = SlowDisk()
    strangers = Strangers(disk)
    strangers.refused("192.0.2.9", "certificate breaks")
    for number in range(3 * WAITING):
        strangers.refused(f"10.0.{number // 256}.{number % 256}", "certificate refused: expired")
    disk.free.set()
    await strangers.close()
    assert len(disk.written) == WAITING - 1
    strangers.refused("192.0.2.10", "certificate refused: unknown")
    await strangers.close()
    assert disk.written[-1][1] == "192.0.2.10"
