"""A small repository with recipes and a lock, to plan with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

LOCK = """
version = 1

[[package]]
name = "elasticlab"
version = "0.1.0"
source = { editable = "." }
dependencies = [{ name = "click" }]

[package.dev-dependencies]
agent = [{ name = "execnet" }]

[[package]]
name = "element"
version = "0.1.0"
source = { editable = "images/element" }
dependencies = [{ name = "vici" }, { name = "yangkit", extra = ["server"] }]

[[package]]
name = "yangkit"
version = "0.1.0"
source = { editable = "kits/yangkit" }
dependencies = [{ name = "lxml" }]

[package.optional-dependencies]
server = [{ name = "libyang" }]

[[package]]
name = "click"
version = "8.5"
source = { registry = "https://index.example/simple" }
sdist = { url = "https://index.example/click", hash = "sha256:c1" }

[[package]]
name = "execnet"
version = "2.1"
source = { registry = "https://index.example/simple" }
sdist = { url = "https://index.example/execnet", hash = "sha256:e1" }

[[package]]
name = "libyang"
version = "3.3.0"
source = { registry = "https://index.example/simple" }
sdist = { url = "https://index.example/libyang", hash = "sha256:l1" }

[[package]]
name = "lxml"
version = "6.1"
source = { registry = "https://index.example/simple" }
sdist = { url = "https://index.example/lxml", hash = "sha256:x1" }

[[package]]
name = "vici"
version = "6.0.3"
source = { registry = "https://index.example/simple" }
sdist = { url = "https://index.example/vici", hash = "sha256:v1" }
"""

WriteRecipe = Callable[[str, str], Path]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    for member in ("kits/yangkit", "images/element"):
        module = root / member / member.split("/")[1]
        module.mkdir(parents=True)
        (module / "__init__.py").write_text(f'"""{member}"""\n')
        (root / member / "pyproject.toml").write_text(f'name = "{member}"\n')
    (root / "uv.lock").write_text(LOCK)
    return root


@pytest.fixture
def recipe(repository: Path) -> WriteRecipe:
    """Writes `images/NAME/image.toml`."""

    def write(name: str, text: str) -> Path:
        folder = repository / "images" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "image.toml").write_text(text)
        return folder

    write("base", 'suite = "trixie"\npackages = ["iproute2"]\n')
    write("compiler", 'from = "base"\npackages = ["gcc"]\n')
    return write
