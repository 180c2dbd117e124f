"""The page with all that happened: in order, escaped, and readable without a server."""

from __future__ import annotations

import html
from datetime import UTC, datetime

from lxml import etree

from harness.evidence.orchestrated import News
from harness.evidence.timeline import Entry, _seconds, _short, of_calls, of_marks, of_orders, page
from harness.host.channel import Call
from harness.lab.node import Mark

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


def test_what_the_test_did_is_told_without_input_and_what_it_polled_once() -> None:
    ping = {"node": "host-1", "condition": "ping:10.2.0.10"}
    run = {"node": "ucpe-1", "argv": ["swanctl", "--list-sas"], "stdin": "a secret", "env": {"KEY": "a secret"}}
    calls = [
        Call(BEGIN - 1, 0.1, "node.ready", ping, outcome=True),
        Call(BEGIN + 1, 0.1, "node.ready", ping, outcome=False),
        Call(BEGIN + 2, 0.1, "node.ready", ping, outcome=False),
        Call(BEGIN + 3, 0.1, "node.ready", ping, outcome=True),
        Call(BEGIN + 4, 0.1, "node.run", run, outcome={"status": 1, "stdout": "a secret", "stderr": ""}),
        Call(BEGIN + 5, 0.1, "node.run", run, outcome=TimeoutError("no answer")),
        Call(
            BEGIN + 5.5, 0.1, "node.power_off", {"node": {"name": "ucpe-1", "binds": []}, "plugged": []}, outcome=None
        ),
        Call(BEGIN + 5.75, 2.04, "node.run", run, outcome={"status": 0}),
        Call(BEGIN + 9, 0.1, "node.run", run, outcome={"status": 0}),
    ]
    assert [(entry.at - BEGIN, entry.who, entry.text) for entry in of_calls(calls, BEGIN, BEGIN + 6)] == [
        (1, "node.ready", "host-1 condition ping:10.2.0.10 → False (2 times)"),
        (3, "node.ready", "host-1 condition ping:10.2.0.10 → True"),
        (4, "node.run", "ucpe-1 swanctl --list-sas → exit status 1"),
        (5, "node.run", "ucpe-1 swanctl --list-sas → TimeoutError: no answer"),
        (5.5, "node.power_off", "ucpe-1 → done"),
        (5.75, "node.run", "ucpe-1 swanctl --list-sas → exit status 0, 2.0 s"),
    ]


def test_of_a_node_that_is_described_the_name_is_told() -> None:
    off = {"node": {"name": "ucpe-1", "env": {"PASSWORD": "a secret"}}, "plugged": []}
    (told,) = of_calls([Call(BEGIN + 1, 0.1, "node.power_off", off, outcome=None)], BEGIN, BEGIN + 2)
    assert (told.who, told.text.split()[0]) == ("node.power_off", "ucpe-1")
    assert "secret" not in told.text


def test_svlogds_time_is_utc() -> None:
    assert _seconds("2026-11-22_12:00:01.50000") == BEGIN + 1.5


def test_of_json_the_message_comes_first_and_a_level_that_matters() -> None:
    line = '{"time": "…", "level": "error", "component": "gro", "order": "17", "logger": "x", "message": "step failed"}'
    assert _short(line) == "error: step failed order=17"
    assert _short(line.replace("error", "info")) == "step failed order=17"
    assert _short('{"a": 1}') == '{"a": 1}'
    assert _short("12[IKE] sending DPD request") == "12[IKE] sending DPD request"


def test_load_and_orders_are_told_apart_from_what_services_say() -> None:
    marks = [Mark(BEGIN - 5, "host-1", "load", "of a test before"), Mark(BEGIN + 1, "host-1", "load", "2000 packets/s")]
    entries = [
        *of_marks(marks, BEGIN),
        *of_orders([News(BEGIN + 2, "1f2e3d4c", "placed for acme: add site-to-site")]),
        Entry(BEGIN + 3, "host-1", "iperf3", "refused"),
    ]
    parsed = etree.HTML(page("a test", entries, BEGIN))
    assert [(row.get("class"), row[1].text, row[3].text) for row in parsed.iter("tr")] == [
        ("load", "host-1", "2000 packets/s"),
        ("load", "order", "placed for acme: add site-to-site"),
        ("bad", "host-1", "refused"),
    ]
