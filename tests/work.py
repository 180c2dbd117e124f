"""What a piece of Python costs by itself, in a process that has run a thousand other tests."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Work:
    seconds: float = math.inf
    """Of processor, when the block is over."""


@contextmanager
def spent() -> Iterator[Work]:
    """By this thread, without what it takes to look for garbage among all that other tests have left (a second, where
    they are many): the products freeze what they have imported, too.
    """
    work = Work()
    gc.collect()
    gc.freeze()
    begun = time.thread_time()
    try:
        yield work
        work.seconds = time.thread_time() - begun
    finally:
        gc.unfreeze()
