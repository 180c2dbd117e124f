"""RFC 6242: framing, for any cut of the stream into pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yangkit.framing import END_OF_MESSAGE, Framer, FramingError, MessageTooBig

MESSAGES = st.lists(st.binary(min_size=1, max_size=60).filter(lambda m: b"]]>" not in m and not m.endswith(b"]")))


def cut(data: bytes, sizes: list[int]):
    while data:
        size = sizes.pop() if sizes else len(data)
        yield data[:size]
        data = data[size:]


@given(MESSAGES, st.lists(st.integers(1, 9), max_size=50), st.booleans())
def test_messages_come_out_as_they_went_in(messages, sizes, chunked):
    framer = Framer()
    framer.chunked = chunked
    wire = b"".join(framer.frame(m) for m in messages)
    got = []
    for piece in cut(wire, sizes):
        framer.feed(piece)
        while (message := framer.next()) is not None:
            got.append(message)
    assert got == messages


@given(st.binary(max_size=80), st.lists(st.integers(1, 9), max_size=50))
def test_noise_never_does_worse_than_a_framing_error(noise, sizes):
    whole, parts = [], []
    for out, pieces in ((whole, [noise]), (parts, list(cut(noise, sizes)))):
        framer = Framer()
        framer.chunked = True
        try:
            for piece in pieces:
                framer.feed(piece)
                while (message := framer.next()) is not None:
                    out.append(message)
        except FramingError:
            out.append("error")
    assert whole == parts


@pytest.mark.parametrize("data", [b"\n#0\n", b"\n#x", b"\n##\n", b"ab", b"\n#4294967296\n", b"\n#1\nab", b"\n#00"])
def test_broken_chunks(data):
    framer = Framer(2**33)
    framer.chunked = True
    framer.feed(data)
    with pytest.raises(FramingError):  # noqa: PT012 - a whole message may come first
        while framer.next() is not None:
            pass


def test_limits():
    for chunked, data in ((True, b"\n#11\n"), (False, b"x" * 17), (False, b"x" * 11 + END_OF_MESSAGE)):
        framer = Framer(10)
        framer.chunked = chunked
        framer.feed(data)
        with pytest.raises(MessageTooBig):
            framer.next()
