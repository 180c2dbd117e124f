"""The page with all that happened: in order, escaped, and readable without a server."""

from __future__ import annotations

import html
from datetime import UTC, datetime

from lxml import etree

from harness.evidence.timeline import Entry, _seconds, _short, page

BEGIN = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC).timestamp()


def rows(entries: list[Entry]) -> list[list[str]]:
    parsed = etree.HTML(page("a test", entries, BEGIN))
    return [["".join(cell.itertext()) for cell in row] for row in parsed.iter("tr")]


def test_everything_is_in_its_order_in_seconds_from_the_begin() -> None:
    said = [
        Entry(BEGIN + 2.5, "vmsr-1", "charon", "deleting IKE_SA"),
        Entry(BEGIN, "test", "began", "test_x"),
        Entry(BEGIN + 0.25, "fault", "begin", "cut on ucpe-1:wan"),
    ]
    assert rows(said) == [
        ["+0.000", "test", "began", "test_x"],
        ["+0.250", "fault", "begin", "cut on ucpe-1:wan"],
        ["+2.500", "vmsr-1", "charon", "deleting IKE_SA"],
    ]


def test_what_a_node_says_is_text_and_nothing_else() -> None:
    evil = "</script><script>alert(1)</script><b>&amp;"
    written = page(evil, [Entry(BEGIN, evil, evil, evil)], BEGIN)
    assert evil not in written
    assert html.escape(evil) in written
    assert rows([Entry(BEGIN, evil, evil, evil)]) == [["+0.000", evil, evil, evil]]


def test_it_loads_nothing_from_elsewhere() -> None:
    written = page("a test", [Entry(BEGIN, "a", "b", "c")], BEGIN)
    assert not [word for word in ("http:", "https:", "src=", "href=", "@import", "url(") if word in written]


def test_svlogds_time_is_utc() -> None:
    assert _seconds("2026-11-22_12:00:01.50000") == BEGIN + 1.5


def test_of_json_the_message_comes_first_and_a_level_that_matters() -> None:
    line = '{"time": "…", "level": "error", "component": "gro", "order": "17", "logger": "x", "message": "step failed"}'
    assert _short(line) == "error: step failed order=17"
    assert _short(line.replace("error", "info")) == "step failed order=17"
    assert _short('{"a": 1}') == '{"a": 1}'
    assert _short("12[IKE] sending DPD request") == "12[IKE] sending DPD request"
