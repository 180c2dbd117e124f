"""The documentation keeps up with the code: generated pages are fresh, links lead somewhere, variables are all told."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
_LINK = re.compile(r"(?<!\\)\]\(<?([^)\s>]+)>?\)|(?:src|srcset)=\"([^\"]+)\"")
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_HIDDEN = ("allure-", "node_modules")


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", REPOSITORY / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generator = load_generator()


def pages() -> Iterator[Path]:
    for path in sorted(REPOSITORY.rglob("*.md")):
        if not any(part.startswith((".", *_HIDDEN)) for part in path.relative_to(REPOSITORY).parts):
            yield path


def anchors(page: Path) -> set[str]:
    """Headings as GitHub names them."""
    headings = re.findall(r"^#+ +(.+)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead(page: Path, text: str) -> list[str]:
    """Relative links of a page that lead nowhere."""
    found = []
    for first, second in _LINK.findall(_FENCE.sub("", text)):
        target, _, anchor = (first or second).partition("#")
        if ":" in target:  # the world outside
            continue
        path = page.parent / target if target else page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            found.append(first or second)
    return found


@pytest.mark.parametrize("name", sorted(generator.PAGES))
def test_a_generated_page_is_fresh(name: str) -> None:
    assert generator.stale(name) == "", "run: .venv/bin/python docs/generate.py"


def test_a_stale_page_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(generator, "REFERENCE", tmp_path)
    (tmp_path / "labctl.md").write_text("# Old\n")
    assert "+# Command line" in generator.stale("labctl.md")


@pytest.mark.parametrize("page", list(pages()), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    assert dead(page, page.read_text()) == []


def test_a_dead_link_is_seen() -> None:
    page = REPOSITORY / "README.md"
    text = "[a](docs/nowhere.md) [b](LICENSE) [c](#no-such-heading) [d](https://example.org/)\n```\n[e](x)\n```\n"
    assert dead(page, text) == ["docs/nowhere.md", "#no-such-heading"]


def test_every_variable_that_the_code_reads_is_told() -> None:
    sources = [REPOSITORY / "labctl.py", REPOSITORY / "perf/record.py", *(REPOSITORY / "harness").rglob("*.py")]
    read = {name for file in sources for name in re.findall(r"[\"'](ELASTICLAB_[A-Z_]+)[\"']", file.read_text())}
    assert read == set(generator.VARIABLES)


def settings_of(component: Path) -> set[str]:
    """The keys that a component has beside the common ones."""
    trees = [
        ast.parse(file.read_text()) for file in (component / "settings.py", component / "main.py") if file.exists()
    ]
    found = [
        node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == "Settings"
    ]
    assert len(found) == 1
    return {
        part.target.id
        for part in found[0].body
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
    }


@pytest.mark.parametrize("component", ["identity", "manager", "controller", "gro", "portal"])
def test_every_setting_of_a_component_is_told(component: str) -> None:
    folder = REPOSITORY / "images" / "stack" / component
    assert settings_of(folder) - set(re.findall(r"`(\w+)`", (folder / "README.md").read_text())) == set()
