"""Settings: what is read, and every mistake named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from stackkit import settings


@dataclass(frozen=True)
class Peer:
    address: str
    port: int = 1


@dataclass(frozen=True)
class Settings:
    data: Path
    listen: tuple[str, ...]
    port: int
    mode: Literal["a", "b"] = "a"
    timeout: float = 1.0
    crl: Path | None = None
    verbose: bool = False
    peers: tuple[Peer, ...] = ()
    names: list[str] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.port < 65536:
            raise ValueError(f"port {self.port} is none")


GOOD = 'data = "/var/lib/x"\nlisten = ["127.0.0.1"]\nport = 8441\n'


def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Settings:
    path = tmp_path / "x.toml"
    path.write_text(text)
    monkeypatch.setenv("ELASTICLAB_SETTINGS", str(path))
    return settings.load(Settings, "x")


def test_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = 'mode = "b"\ntimeout = 2\ncrl = "/crl"\nnames = ["n"]\n[[peers]]\naddress = "192.0.2.1"\n'
    value = load(tmp_path, monkeypatch, GOOD + more)
    wanted = Settings(
        Path("/var/lib/x"), ("127.0.0.1",), 8441, "b", 2.0, Path("/crl"), False, (Peer("192.0.2.1"),), ["n"]
    )
    assert value == wanted


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD + "prot = 1", "unknown key prot"),
        ("port = 1", "missing key data; missing key listen"),
        (GOOD.replace("8441", '"8441"'), "key port: expected int, not a string"),
        (GOOD.replace("8441", "true"), "key port: expected int, not a boolean"),
        (GOOD.replace("8441", "0"), "port 0 is none"),
        (GOOD.replace('["127.0.0.1"]', '"127.0.0.1"'), "key listen: expected a list"),
        (GOOD.replace('["127.0.0.1"]', "[1]"), r"key listen\[0\]: expected str"),
        (GOOD + 'mode = "c"', "key mode: 'c' is none of a, b"),
        (GOOD + "[[peers]]\nport = 1\nx = 2", r"unknown key peers\[0\].x; missing key peers\[0\].address"),
        (GOOD + "peers = [1]", r"key peers\[0\]: expected Peer, not a number"),
        (GOOD + "=", "not TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str) -> None:
    with pytest.raises(settings.SettingsError, match=says):
        load(tmp_path, monkeypatch, text)


def test_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELASTICLAB_SETTINGS", str(tmp_path / "none.toml"))
    with pytest.raises(settings.SettingsError, match=r"none.toml: No such file.*ELASTICLAB_SETTINGS"):
        settings.load(Settings, "x")


def test_common_keys_are_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Mine(settings.Common):
        crl: Path

    path = tmp_path / "x.toml"
    more = 'certificate = "/c"\nkey = "/k"\nservice_ca = "/ca"\nissuer = "https://192.0.2.1:8441"\ncrl = "/crl"\n'
    path.write_text(GOOD + more)
    monkeypatch.setenv("ELASTICLAB_SETTINGS", str(path))
    assert settings.load(Mine, "x").gro_url == "https://gro.elasticlab.example:8444"
