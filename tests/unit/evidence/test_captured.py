"""Captures of a failed test: none is left out without a word."""

from __future__ import annotations

from pathlib import Path

from harness.evidence.captured import LIMIT, exhibits, files, fitting


def test_what_is_too_large_for_a_report_is_named_with_what_helps(tmp_path: Path) -> None:
    small, large = tmp_path / "001-a-lan.pcap1", tmp_path / "002-b-lan.pcap"
    small.write_bytes(b"small")
    with large.open("wb") as file:
        file.truncate(LIMIT + 1)
    (tmp_path / "notes").touch()
    assert files(tmp_path) == {small, large}
    assert fitting([small, large]) == [small]
    (left_out,) = exhibits([small, large], ())
    assert f"{large} (64 MiB)" in left_out.text
    assert str(small) not in left_out.text
    assert "rotate=(10, 4)" in left_out.text
    assert exhibits([small], ()) == []
