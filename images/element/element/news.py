"""Reasons to compare the machine with what is wanted. Whoever changes the machine hears of it as of any other change,
and has looked since: a reason that came before a look began is none any more.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import socket
import time

from element.apply.told import (
    RTMGRP_IPV4_IFADDR,
    RTMGRP_IPV4_ROUTE,
    RTMGRP_IPV6_IFADDR,
    RTMGRP_IPV6_ROUTE,
    RTMGRP_LINK,
)

log = logging.getLogger(__name__)

GROUPS = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE


class News:
    """Of links, addresses and routes, as the kernel tells them (rtnetlink(7)), and of whatever somebody else tells."""

    def __init__(self) -> None:
        self._came = asyncio.Event()
        self._socket: socket.socket | None = None
        self._last = self._looks = self._looked = -math.inf

    async def listen(self) -> None:
        """To the kernel, until cancelled."""
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as news:
            news.bind((0, GROUPS))
            news.setblocking(False)
            self._socket = news
            loop = asyncio.get_running_loop()
            loop.add_reader(news, self._hear, news)
            try:
                await asyncio.Future()
            finally:
                loop.remove_reader(news)

    def _hear(self, news: socket.socket) -> None:
        # Before it is taken: a look that begins from here on finds nothing to take, and sees what the news are of.
        at = time.monotonic()
        try:
            news.recv(65536)
        except BlockingIOError:
            return  # a look has taken it
        except OSError:  # ENOBUFS: more news than fit, which is news too
            log.debug("netlink news were lost")
        self._tell(at)

    def tell(self) -> None:
        """There is a reason."""
        self._tell(time.monotonic())

    def _tell(self, at: float) -> None:
        self._last = max(self._last, at)
        self._came.set()

    async def come(self) -> None:
        """Wait for a reason."""
        await self._came.wait()

    def take(self) -> bool:
        """Is there one that nobody has looked after?"""
        self._came.clear()
        return self._last > self._looked

    def look(self) -> None:
        """A look at the machine begins; from the thread that looks."""
        while self._socket is not None:
            try:
                self._socket.recv(65536)
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # there are no more
                    break
        self._looks = time.monotonic()

    def looked(self) -> None:
        """It has ended, and the machine is as it is wanted."""
        self._looked = self._looks
