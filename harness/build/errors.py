"""What can go wrong while images are made; every message names the place and the remedy."""

from __future__ import annotations

from pathlib import Path


class BuildError(Exception):
    """An image or kernel could not be made; the message says which step, why, and where the log is."""


class RecipeError(BuildError):
    """A recipe (`image.toml`) is wrong: file, what is wrong, what to write instead."""

    def __init__(self, recipe: Path, problem: str, remedy: str) -> None:
        super().__init__(f"{recipe}: {problem}; {remedy}")
        self.recipe = recipe
        self.problem = problem
        self.remedy = remedy
