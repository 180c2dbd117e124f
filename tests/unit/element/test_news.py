"""When the machine is compared again: for what nobody has looked after, and for nothing else."""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from element.news import News

Switch = Callable[[], object]


SIOCSIFMTU = 0x8922


@pytest.fixture
def switch() -> Iterator[Switch]:
    """A network of this test's own, and a switch that changes its link at once: what goes up has addresses later."""
    before = os.open("/proc/self/ns/net", os.O_RDONLY)
    os.unshare(os.CLONE_NEWNET)
    sizes = itertools.cycle((9000, 1500))
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
            yield lambda: fcntl.ioctl(handle, SIOCSIFMTU, struct.pack("16si12x", b"lo", next(sizes)))
    finally:
        os.setns(before, os.CLONE_NEWNET)
        os.close(before)


@pytest.fixture
async def news(switch: Switch) -> AsyncIterator[News]:
    made = News()
    listening = asyncio.create_task(made.listen())
    await asyncio.sleep(0)  # it begins
    switch()
    async with asyncio.timeout(5):
        await made.come()
    made.look()
    made.looked()
    assert not made.take()
    yield made
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_what_a_change_did_itself_is_no_reason_for_another_look(news: News, switch: Switch) -> None:
    for _ in range(50):  # who hears first, the loop or the look, is a matter of chance
        news.look()
        await asyncio.to_thread(switch)
        news.look()
        news.looked()
        await asyncio.to_thread(lambda: None)  # the loop has its turn
        assert not news.take()


async def test_what_came_after_the_last_look_is(news: News, switch: Switch) -> None:
    news.look()
    switch()
    news.looked()
    async with asyncio.timeout(5):
        await news.come()
    assert news.take()
    assert news.take(), "it was not looked after"


async def test_what_was_told_before_a_look_has_been_looked_after(news: News) -> None:
    news.tell()
    news.look()
    news.looked()
    assert not news.take()


async def test_a_look_that_failed_has_looked_after_nothing(news: News) -> None:
    news.tell()
    news.look()
    assert news.take()
