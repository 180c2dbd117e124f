"""Amounts with a unit, as topology files have them."""

from __future__ import annotations

import re

NUMBER = r"(?P<number>[0-9]{1,6}(?:\.[0-9]{1,6})?)"
_SIZE = re.compile(r"(?P<amount>[0-9]{1,12}(?:\.[0-9]{1,3})?) ?(?P<unit>[kmgt]?i?b?)", re.IGNORECASE)
_RATE = re.compile(NUMBER + "(?P<unit>kbit|mbit|gbit)")
_RATES = {"kbit": 1e3, "mbit": 1e6, "gbit": 1e9}


def octets(text: str) -> int | None:
    """How many are meant, by the units containerlab knows: kb is 1000, kib 1024, and a bare k is 1000; None if none."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        return None
    unit = match["unit"].lower().removesuffix("b")
    base = 1024 if unit.endswith("i") else 1000
    return None if unit == "i" else int(float(match["amount"]) * base ** " kmgt".index(unit[:1] or " "))


def bits(text: str) -> float | None:
    """A rate in bit/s; None if it is none, or none that a line of a lab can have."""
    match = _RATE.fullmatch(text)
    value = float(match["number"]) * _RATES[match["unit"]] if match else 0
    return value if 8_000 <= value <= 1e10 else None
