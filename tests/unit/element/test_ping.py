"""The command line of ping(8) and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from element import ping
from element.ping import AT_ONCE, Pinger, arguments, result
from yangkit import ApplyError

REPLIES = """PING 10.2.0.10 (10.2.0.10) from 10.1.0.1 acme: 56(84) bytes of data.

--- 10.2.0.10 ping statistics ---
3 packets transmitted, 2 received, 33.3333% packet loss, time 402ms
rtt min/avg/max/mdev = 0.871/1.049/1.5/0.211 ms
"""
SILENCE = """PING 10.2.0.99 (10.2.0.99) 56(84) bytes of data.

--- 10.2.0.99 ping statistics ---
3 packets transmitted, 0 received, +3 errors, 100% packet loss, time 410ms

"""


def test_replies_are_counted_and_timed() -> None:
    assert result(REPLIES) == {
        "sent": 3,
        "received": 2,
        "rtt-min": "0.871",
        "rtt-avg": "1.049",
        "rtt-max": "1.500",
    }


def test_silence_is_a_result_without_times() -> None:
    assert result(SILENCE) == {"sent": 3, "received": 0}


def test_what_is_no_result_is_none() -> None:
    assert result("ping: connect: Network is unreachable") is None


@pytest.mark.parametrize(
    ("order", "bound"), [({}, None), ({"source-interface": "gre-1"}, "gre-1"), ({"tenant": "acme"}, "acme")]
)
def test_requests_leave_where_they_are_told_to(order: dict[str, Any], bound: str | None) -> None:
    command = arguments({"address": "10.2.0.10", "count": 7, "timeout": 2, **order})
    assert command[-1] == "10.2.0.10"
    assert (command[command.index("-I") + 1] if "-I" in command else None) == bound
    assert command[command.index("-c") + 1] == "7"
    assert command[command.index("-w") + 1] == "2"


@pytest.mark.parametrize(("address", "family"), [("10.2.0.10", "-4"), ("2001:db8::10", "-6")])
def test_it_asks_in_the_addresss_family(address: str, family: str) -> None:
    assert arguments({"address": address})[1] == family


async def test_a_ping_that_does_not_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ping").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "ping").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(ping, "GRACE", -0.5)
    with pytest.raises(ApplyError, match=r"ping has not ended after 0\.5 s"):
        await Pinger()({"address": "127.0.0.1", "timeout": 1})


async def test_an_origin_that_is_not_there_is_told() -> None:
    with pytest.raises(ApplyError, match="no-such-vrf"):
        await Pinger()({"address": "127.0.0.1", "tenant": "no-such-vrf", "count": 1, "timeout": 1})


async def test_too_many_at_once_are_refused() -> None:
    pinger = Pinger()
    pinger._running = AT_ONCE
    with pytest.raises(ApplyError) as refusal:
        await pinger({"address": "127.0.0.1"})
    assert refusal.value.tag == "resource-denied"
