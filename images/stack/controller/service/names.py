"""Names on devices: Linux allows interfaces 15 characters, and a connection has 32."""

from __future__ import annotations

import re

IFNAMSIZ = 15
CONNECTION = 32


def numbered(prefix: str, name: str, number: int, limit: int = IFNAMSIZ) -> str:
    """``prefix``, of a name anybody may have chosen what fits, and a number that makes it one of a kind."""
    ending = f"_{number}"
    plain = re.sub(r"[^A-Za-z0-9-]", "-", name.rpartition(".")[2])
    return f"{prefix}{plain[: limit - len(prefix) - len(ending)]}{ending}"


def fitted(prefix: str, name: str, number: int, limit: int = IFNAMSIZ) -> str:
    """``prefix`` and ``name``; one that is too long is cut, and ends in its owner's number.

    Nothing clashes: names in the network are DNS labels, which have no underscore, and the number is the owner's alone.
    """
    whole = f"{prefix}{name}"
    if len(whole) <= limit and whole != "self":
        return whole
    ending = f"_{number}"
    return f"{whole[: limit - len(ending)]}{ending}"
