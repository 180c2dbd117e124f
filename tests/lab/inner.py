"""A pytest of its own, with the plugin and Allure's results, and what it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness.paths import REPOSITORY


def start(folder: Path, source: str, *options: str, **env: str) -> subprocess.Popen[str]:
    (folder / "test_inner.py").write_text(source)
    # Two of the plugins that are installed take a second to import.
    without = [option for plugin in ("cacheprovider", "schemathesis", "locust") for option in ("-p", f"no:{plugin}")]
    command = [sys.executable, "-m", "pytest", "-q", *without, "--rootdir", str(folder)]
    return subprocess.Popen(
        [*command, f"--alluredir={folder}/results", *options, "test_inner.py"],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **env},
    )


def results(folder: Path) -> list[dict[str, Any]]:
    """Of its tests, as they began."""
    found = [json.loads(file.read_text()) for file in folder.glob("*-result.json")]
    return sorted(found, key=lambda one: int(one["start"]))


def attachments(folder: Path, place: dict[str, Any]) -> dict[str, str]:
    """Those of a test or fixture: name → text."""
    return {one["name"]: (folder / one["source"]).read_text(errors="replace") for one in place.get("attachments", ())}


def reported(folder: Path, test: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Of one test: its result, and what is attached to it and its fixtures."""
    (result,) = (one for one in results(folder) if one["name"] == test)
    containers = [json.loads(file.read_text()) for file in folder.glob("*-container.json")]
    fixtures = [
        fixture
        for container in containers
        if result["uuid"] in container["children"]
        for fixture in (*container["befores"], *container.get("afters", ()))
    ]
    attached = {name: text for place in (result, *fixtures) for name, text in attachments(folder, place).items()}
    return result, attached
