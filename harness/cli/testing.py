"""`labctl test`: everything that proves this repository, in one command."""

from __future__ import annotations

PARTS = ("lint", "types", "unit", "lab")


def run(*a): ...
def render(*a): ...
