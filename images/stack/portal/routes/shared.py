"""What the pages share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.responses import RedirectResponse

from portal.desk import Service
from portal.failures import Failure
from portal.keeper import Keeper
from portal.plans import Plans

Json = Any


@dataclass(frozen=True)
class Desk:
    """The parts that pages are made with."""

    keeper: Keeper
    gro: Service
    identity: Service
    manager: Service
    controller: Service
    plans: Plans


def go(place: str) -> RedirectResponse:
    """After a form the browser is sent to a page of its own, which may be reloaded (RFC 9110 section 15.4.4)."""
    return RedirectResponse(place, 303)


def safe_id(text: str) -> str:
    """An id out of an address, as a part of another address: nothing that would be a path of its own."""
    if not text or len(text) > 100 or not all(letter.isalnum() or letter in "-_" for letter in text):
        raise not_found()
    return text


def number(text: str | None) -> int:
    """The number of a page of a list."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 7 else 0


def not_found() -> Failure:
    return Failure(404, "Not found", "There is nothing at this address for you.", "Choose from the menu above.")
