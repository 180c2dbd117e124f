"""In which order tests come: what is long begins first, so that no worker of several begins it last."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from harness.paths import REPOSITORY

_FEW = "import pytest\ndef test_a(): pass\ndef test_b(): pass\n"
_LONG = "import pytest\n@pytest.mark.long\ndef test_long(): pass\n"
_MANY = "".join(f"def test_{number}(): pass\n" for number in range(3))


def test_what_is_long_begins_before_files_with_many_tests_and_those_before_small_ones(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "tests/conftest.py", tmp_path)
    for name, text in {"test_1": _FEW, "test_2": _MANY, "test_3": _LONG}.items():
        (tmp_path / f"{name}.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-c", str(REPOSITORY / "pyproject.toml"), "--rootdir", str(tmp_path)]
    command += ["-p", "no:cacheprovider", "-q", "--collect-only", str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    files = [line.partition("::")[0].rpartition("/")[2] for line in said.splitlines() if "::" in line]
    assert files == ["test_3.py", *["test_2.py"] * 3, *["test_1.py"] * 2]
