"""Keys of ESP, from what the kernel says to what Wireshark reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.__main__ import main
from harness.lab.keys import EspKey, IkeKey, parse, parse_ike, write

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


IKE = IkeKey("1" * 16, "2" * 16, "aa" * 36, "bb" * 36)


def secret(thread: int, name: str, octet: str, octets: int) -> str:
    """As charon's log has it."""
    lines = [" ".join([octet] * min(16, octets - at)) for at in range(0, octets, 16)]
    shown = "".join(f"{thread:02}[IKE] {16 * n:4}: {line}  ................\n" for n, line in enumerate(lines))
    return f"{thread:02}[IKE] Sk_{name} secret => {octets} bytes @ 0x7f00\n{shown}"


def done(thread: int, spis: str, version: str = "IKEv2") -> str:
    return f"{thread:02}[MGR] checkin {version} SA vmsr-1[3] with SPIs {spis[0] * 16}_i {spis[1] * 16}_r\n"


def test_ike_keys_belong_to_the_association_that_the_thread_had() -> None:
    """Threads write as they come; before the keys an association of the same thread, after them another."""
    said = (
        done(7, "ab")
        + "07[IKE] Sk_d secret => 48 bytes @ 0x7f00\n07[IKE]    0: DD DD  ..\n"
        + secret(7, "ei", "AA", 36).replace("\n", "\n11[IKE] natd_hash => 20 bytes @ 0x1\n11[IKE]    0: EE EE  ..\n", 1)
        + secret(7, "er", "BB", 36)
        + "07[IKE] Sk_pi secret => 48 bytes @ 0x7f00\n07[IKE]    0: CC CC  ..\n"
        + done(11, "99")
        + done(7, "12")
        + done(7, "34")
    )
    assert list(parse_ike(said)) == [IKE]


def test_other_ciphers_and_ikev1_are_left_out() -> None:
    others = secret(7, "ai", "CC", 32) + secret(7, "ei", "AA", 32) + secret(7, "er", "BB", 32) + done(7, "12")
    aead = secret(7, "ei", "AA", 36) + secret(7, "er", "BB", 36)
    assert list(parse_ike(others + aead + done(7, "12", "IKEv1"))) == []


def test_an_ike_key_is_a_row_of_wiresharks_table() -> None:
    assert IKE.row() == (
        f'{"1" * 16},{"2" * 16},{"aa" * 36},{"bb" * 36},"AES-GCM-256 with 16 octet ICV [RFC5282]",,,"NONE [RFC4306]"'
    )


def test_keys_belong_to_their_own_association() -> None:
    assert list(parse(SAID)) == [
        EspKey("0xcace8c72", "0x00112233445566778899aabbccddeeff01020304"),
        EspKey("0x01", "0xff"),
    ]


def test_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "wireshark"
    folder.mkdir(mode=0o755)
    (folder / "esp_sa").write_text("older")
    write([EspKey("0x01", "0xff")], [IKE], folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert {file.name for file in folder.iterdir()} == {"esp_sa", "ikev2_decryption_table", "preferences"}
    assert (folder / "esp_sa").read_text().splitlines()[0].startswith('"IPv4","*","*","0x01"')


@pytest.mark.parametrize("given", ["10", "0:4", "10:0", "a:b", "10:4:2"])
def test_a_wrong_rotation_is_refused(
    given: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["labctl", "capture", "a:lan", "--rotate", given])
    assert main() == 2
    assert "10:4" in capsys.readouterr().err
