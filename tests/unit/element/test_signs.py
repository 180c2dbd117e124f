"""Signs of life: through which tunnels, and that they are what they should be."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from element import signs
from element.model import Config, read


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    monkeypatch.setattr(signs, "EVERY", 0.0)
    return []


async def some(config: Config | None, given: list[tuple[str, str]]) -> None:
    task = asyncio.create_task(signs.Signs(lambda: config, lambda *ends: given.append(ends)).run())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    task.cancel()


@pytest.fixture
def calling(pop_tree: dict[str, Any]) -> dict[str, Any]:
    """A configuration of whose connections this end starts the first."""
    connection = pop_tree["elasticlab-ipsec:ipsec"]["conn-entry"][0]
    connection |= {"autostartup": "start"}
    connection["remote"]["address"] = "192.0.2.1"
    return pop_tree


async def test_who_calls_gives_them_again_and_again(calling: dict[str, Any], given: list[tuple[str, str]]) -> None:
    await some(read(calling), given)
    assert len(given) > 1
    assert set(given) == {("100.127.0.1", "100.127.1.1")}


async def test_who_waits_to_be_called_gives_none(pop: Config, given: list[tuple[str, str]]) -> None:
    await some(pop, given)
    assert given == []


async def test_without_a_configuration_there_are_none(given: list[tuple[str, str]]) -> None:
    await some(None, given)
    assert given == []


def test_for_a_tenant_nothing_is_said(calling: dict[str, Any]) -> None:
    name = calling["elasticlab-ipsec:ipsec"]["conn-entry"][0]["spd"]["spd-entry"][0]["interface"]
    (tunnel,) = [one for one in calling["ietf-interfaces:interfaces"]["interface"] if one["name"] == name]
    tunnel["elasticlab-tenant:tenant"] = "acme"
    assert list(signs.ends(read(calling))) == []


@pytest.mark.parametrize(("address", "answer"), [("127.0.0.1", 0), ("::1", 129)])
def test_they_are_echo_requests_that_are_answered(address: str, answer: int) -> None:
    version = 6 if ":" in address else 4
    family, protocol = signs._PROTOCOL[version]
    try:
        listening = socket.socket(family, socket.SOCK_RAW, protocol)
    except PermissionError:
        pytest.skip("raw sockets ask for more")
    with listening:
        listening.settimeout(10)
        signs.give(address, address)
        while True:
            packet = listening.recv(100)
            kind = packet[20 * (version == 4)]
            if kind == answer:
                return
