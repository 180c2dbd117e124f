"""What is told again and again, and is another each time, takes no memory for long."""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from yangkit import memory
from yangkit.schema import Schema

IF = "{urn:ietf:params:xml:ns:yang:ietf-interfaces}"


def grown(work: Callable[[], None]) -> int:
    """KiB that are held afterwards and were not before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        work()
        return (tracemalloc.get_traced_memory()[0] - before) // 1024
    finally:
        tracemalloc.stop()


def test_counters_leave_nothing_and_names_no_more_than_some(schema: Schema) -> None:
    interface = schema.root.children[f"{IF}interfaces"].children[f"{IF}interface"]
    name = interface.children[f"{IF}name"]
    counter = interface.children[f"{IF}statistics"].children[f"{IF}in-octets"]
    schema.canonical(counter, "0")

    def count() -> None:
        for number in range(3000):
            assert schema.canonical(counter, f"0{number + 10**9}")[0] == str(number + 10**9)

    def call() -> None:
        for number in range(12_000):
            schema.canonical(name, f"somebody-has-ordered-{number}")

    assert grown(count) < 100
    assert grown(call) < 600


def resident() -> int:
    """KiB of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


def test_what_is_free_in_between_goes_back_to_the_kernel() -> None:
    pieces = [bytearray(8192) for _ in range(4000)]
    for piece in pieces:
        piece[:] = bytes([1]) * len(piece)
    before = resident()
    stays = pieces[::10]
    del pieces, piece
    memory.give_back()
    assert resident() < before - 20_000
    assert len(stays) == 400


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """When Python looked for what refers to itself: only if it was asked to, each turn takes 20 ms."""
    times: list[float] = []
    real = gc.collect

    def collect() -> int:
        times.append(time.monotonic())
        time.sleep(0.02)
        return real()

    monkeypatch.setattr(memory, "EVERY", 0.001)
    monkeypatch.setattr(gc, "collect", collect)
    gc.disable()
    try:
        yield times
    finally:
        gc.enable()


async def until(done: Callable[[], bool]) -> None:
    """It is so, while memory is given back."""
    keeping = asyncio.create_task(memory.keep_giving_back())
    async with asyncio.timeout(20):
        while not done():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.001)
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping


async def test_what_refers_to_itself_goes(collected: list[float]) -> None:
    class Connection:
        def __init__(self) -> None:
            self.itself = self

    closed = weakref.ref(Connection())
    assert closed() is not None
    await until(lambda: closed() is None)
    assert len(collected) == 1


async def test_looking_for_it_takes_its_share_of_the_time(
    collected: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "SHARE", 0.1)
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1

    monkeypatch.setattr(memory, "give_back", turn)
    await until(lambda: len(collected) == 3)
    assert min(after - before for before, after in itertools.pairwise(collected)) >= 0.2
    assert turns > 10
