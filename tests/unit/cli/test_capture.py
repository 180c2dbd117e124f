"""Keys of ESP, from what the kernel says to what Wireshark reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.__main__ import main
from harness.lab.keys import EspKey, parse, write

SAID = """src 203.0.113.2 dst 192.0.2.2
	proto esp spi 0xcace8c72 reqid 1 mode tunnel
	aead rfc4106(gcm(aes)) 0x00112233445566778899aabbccddeeff01020304 128
	encap type espinudp sport 4500 dport 4500 addr 0.0.0.0
src 192.0.2.2 dst 203.0.113.2
	proto esp spi 0x0000abcd reqid 1 mode tunnel
	auth-trunc hmac(sha256) 0xaa 128
	enc cbc(aes) 0xbb
src 192.0.2.2 dst 203.0.113.2
	proto esp spi 0x01 reqid 1 mode tunnel
	aead rfc4106(gcm(aes)) 0xff 128
"""


def test_keys_belong_to_their_own_association() -> None:
    assert list(parse(SAID)) == [
        EspKey("0xcace8c72", "0x00112233445566778899aabbccddeeff01020304"),
        EspKey("0x01", "0xff"),
    ]


def test_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "wireshark"
    folder.mkdir(mode=0o755)
    (folder / "esp_sa").write_text("older")
    write([EspKey("0x01", "0xff")], folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "esp_sa").stat().st_mode & 0o777 == 0o600
    assert (folder / "esp_sa").read_text().splitlines()[0].startswith('"IPv4","*","*","0x01"')


@pytest.mark.parametrize("given", ["10", "0:4", "10:0", "a:b", "10:4:2"])
def test_a_wrong_rotation_is_refused(
    given: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["labctl", "capture", "a:lan", "--rotate", given])
    assert main() == 2
    assert "10:4" in capsys.readouterr().err
