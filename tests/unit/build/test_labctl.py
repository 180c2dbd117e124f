"""labctl.py's bootstrap refuses with a remedy, and knows when there is nothing to do."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import pytest

from harness.build.store import cache_dir
from harness.paths import REPOSITORY


@pytest.fixture
def labctl() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("labctl_under_test", REPOSITORY / "labctl.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copy(labctl: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a lock and an environment that is up to date."""
    for member in (".", "kits/yangkit"):
        (tmp_path / member).mkdir(parents=True, exist_ok=True)
        (tmp_path / member / "pyproject.toml").write_text(f'name = "{member}"\n')
    (tmp_path / "uv.lock").write_text(
        'source = { editable = "." }\nsource = { editable = "kits/yangkit" }\n'
        'source = { registry = "https://index.example/simple" }\n'
    )
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    monkeypatch.setattr(labctl, "REPOSITORY", str(tmp_path))
    (tmp_path / ".venv/elasticlab-stamp").write_text(labctl.environment_digest())
    return tmp_path


def release(**values: str) -> dict[str, str]:
    return values


@pytest.mark.parametrize(
    "system",
    [
        release(ID="debian", VERSION_ID="12"),
        release(ID="debian", VERSION_ID="13"),
        release(ID="ubuntu", VERSION_ID="24.04"),
        release(ID="ubuntu", VERSION_ID="26.04"),
    ],
)
def test_supported_systems_pass(labctl: types.ModuleType, system: dict[str, str]) -> None:
    labctl.check_system(system, "x86_64")


@pytest.mark.parametrize(
    ("system", "machine", "message"),
    [
        (release(ID="debian", VERSION_ID="11", PRETTY_NAME="Debian 11"), "x86_64", "Debian 11 is not supported"),
        (release(ID="ubuntu", VERSION_ID="22.04", PRETTY_NAME="Ubuntu 22.04"), "x86_64", "Ubuntu 22.04 is not"),
        (release(ID="fedora", VERSION_ID="43", PRETTY_NAME="Fedora 43"), "x86_64", "Fedora 43 is not supported"),
        (release(ID="debian"), "x86_64", "debian is not supported"),
        (release(), "x86_64", "this system is not supported"),
        (release(ID="debian", VERSION_ID="12"), "aarch64", "processor is aarch64"),
    ],
)
def test_others_are_refused_with_what_to_use(
    labctl: types.ModuleType, system: dict[str, str], machine: str, message: str
) -> None:
    with pytest.raises(labctl.Refusal) as caught:
        labctl.check_system(system, machine)
    assert message in str(caught.value)
    assert "use Debian 12 or 13, or Ubuntu 24.04 or later, on x86-64" in str(caught.value)


def test_os_release_is_read_with_and_without_quotes(labctl: types.ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "os-release"
    path.write_text("ID=ubuntu\nVERSION_ID=\"24.04\"\nPRETTY_NAME='U'\n# x\n\n")
    assert labctl.read_os_release(str(path)) == {"ID": "ubuntu", "VERSION_ID": "24.04", "PRETTY_NAME": "U"}
    assert labctl.read_os_release(str(tmp_path / "missing")) == {}


def test_an_old_python_is_refused(labctl: types.ModuleType) -> None:
    labctl.check_python((3, 11, 0))
    with pytest.raises(labctl.Refusal, match=r"Python 3\.10\.12 is too old; start labctl\.py with Python 3\.11"):
        labctl.check_python((3, 10, 12))


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["validate", "x.yml"], ["up", "--help"]])
def test_harmless_commands_need_no_root(labctl: types.ModuleType, arguments: list[str]) -> None:
    labctl.check_root(1000, arguments)


@pytest.mark.parametrize("arguments", [["up"], ["down"], ["test"], ["doctor"]])
def test_others_say_how_to_become_root(labctl: types.ModuleType, arguments: list[str]) -> None:
    labctl.check_root(0, arguments)
    with pytest.raises(labctl.Refusal, match=f"`{arguments[0]}`.*repeat as root"):
        labctl.check_root(1000, arguments)


def test_missing_packages_are_named_once_each(labctl: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labctl, "COMMANDS", {"sh": "dash", "no-such-command": "nothing"})
    monkeypatch.setattr(labctl, "FILES", {"/etc/passwd": "base-passwd", "/no/such/file": "nowhere"})
    assert labctl.missing_packages() == ["nothing", "nowhere"]


def test_without_root_missing_packages_are_told(labctl: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labctl.os, "geteuid", lambda: 1000)
    with pytest.raises(labctl.Refusal, match="as root: apt-get install crun tcpdump"):
        labctl.install_packages(["crun", "tcpdump"])


def test_an_environment_is_ready_until_something_changes(labctl: types.ModuleType, copy: Path) -> None:
    assert labctl.environment_ready()
    (copy / "README.md").write_text("unrelated")
    assert labctl.environment_ready()


@pytest.mark.parametrize("changed", ["uv.lock", "pyproject.toml", "kits/yangkit/pyproject.toml"])
def test_a_changed_lock_or_project_is_noticed(labctl: types.ModuleType, copy: Path, changed: str) -> None:
    with (copy / changed).open("a") as stream:
        stream.write("# changed\n")
    assert not labctl.environment_ready()


def test_a_vanished_or_other_interpreter_is_noticed(labctl: types.ModuleType, copy: Path) -> None:
    python = copy / ".venv/bin/python"
    python.unlink()
    assert not labctl.environment_ready()
    python.symlink_to("/bin/sh")
    assert not labctl.environment_ready()


def test_a_half_made_environment_is_not_ready(labctl: types.ModuleType, copy: Path) -> None:
    (copy / ".venv/elasticlab-stamp").unlink()
    assert not labctl.environment_ready()


def test_the_index_is_the_users_or_the_locks(
    labctl: types.ModuleType, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del copy
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    assert labctl.index_address() == "https://index.example/simple"
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple/")
    assert labctl.index_address() == "https://mirror.example/simple"


@pytest.fixture
def wheel(labctl: types.ModuleType, copy: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    del copy
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"uv-{labctl.UV_VERSION}.data/scripts/uv", "the program")
    monkeypatch.setattr(labctl, "UV_SHA256", hashlib.sha256(buffer.getvalue()).hexdigest())
    return buffer.getvalue()


def serve(labctl: types.ModuleType, monkeypatch: pytest.MonkeyPatch, page: str, wheel: bytes) -> list[str]:
    asked: list[str] = []

    def download(address: str, _: str) -> bytes:
        asked.append(address)
        return page.encode() if address.endswith("/uv/") else wheel

    monkeypatch.setattr(labctl, "download", download)
    return asked


def test_uv_is_found_by_its_hash(labctl: types.ModuleType, wheel: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    page = f'<a href="other.whl#sha256={"0" * 64}">x</a><a href="../../w/uv.whl#sha256={labctl.UV_SHA256}">uv</a>'
    asked = serve(labctl, monkeypatch, page, wheel)
    assert labctl.fetch_uv() == b"the program"
    assert asked[1].endswith("/w/uv.whl")


def test_a_changed_wheel_is_refused(labctl: types.ModuleType, wheel: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(labctl, monkeypatch, f'<a href="uv.whl#sha256={labctl.UV_SHA256}">uv</a>', wheel + b"!")
    with pytest.raises(labctl.Refusal, match="wrong hash"):
        labctl.fetch_uv()


def test_an_index_without_it_is_named(labctl: types.ModuleType, wheel: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(labctl, monkeypatch, "<html></html>", wheel)
    with pytest.raises(labctl.Refusal, match=r"has no uv .* set UV_DEFAULT_INDEX"):
        labctl.fetch_uv()


def test_cache_is_the_same_as_the_harness_uses(labctl: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert labctl.cache_dir() == str(cache_dir())
    monkeypatch.setenv("ELASTICLAB_CACHE", "/somewhere/else")
    assert labctl.cache_dir() == str(cache_dir()) == "/somewhere/else"


def test_it_imports_nothing_but_the_standard_library(tmp_path: Path) -> None:
    """-I -S: without site packages, the user's settings and the current folder."""
    script = f"import runpy; runpy.run_path({str(REPOSITORY / 'labctl.py')!r}, run_name='x')"
    subprocess.run([sys.executable, "-I", "-S", "-c", script], cwd=tmp_path, check=True, env={})
