"""What is told again and again, and is another each time, takes no memory for long."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

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
