"""The simulated boxes are NETCONF servers that forgive nothing, and the controller takes them for real ones."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from yangkit.client import NetconfClient, listen_call_home_tls
from yangkit.errors import RpcError

from perf.simulator.behaviour import Behaviour, BehaviourError
from perf.simulator.command import main

INTERFACES = "urn:ietf:params:xml:ns:yang:ietf-interfaces"
FILTER = f'<interfaces xmlns="{INTERFACES}"/>'


def interface(name: str, kind: str = "ianaift:bridge") -> str:
    """An interface as an edit has it."""
    return (
        f'<interfaces xmlns="{INTERFACES}" xmlns:ianaift="urn:ietf:params:xml:ns:yang:iana-if-type">'
        f"<interface><name>{name}</name><type>{kind}</type></interface></interfaces>"
    )


async def names(client: NetconfClient, source: str = "running") -> set[str]:
    data = await client.get_config(source, FILTER)
    return {found.text or "" for found in data.iter(f"{{{INTERFACES}}}name")}


async def test_strict_server_and_its_behaviours(world: Any, simulators: Any) -> None:
    """Called by three boxes, a client of the service CA edits one: what is wrong gets the error of RFC 6241, what is
    not confirmed goes again, and one that misbehaves does it as it was told."""
    credentials = simulators.issue("admin")
    ca = world.folder / "data" / "authority" / "ca.pem"
    async with await listen_call_home_tls("127.0.0.1", 0, **credentials, ca=ca) as listener:
        simulator = await simulators.start(listener.port, devices=3)
        clients = [await listener.accept(15) for _ in range(3)]
        good, bad, other = clients
        assert "urn:ietf:params:netconf:capability:confirmed-commit:1.1" in good.capabilities

        with pytest.raises(RpcError) as wrong:
            await good.edit_config(interface("br1", "ianaift:nonsense"))
        assert (wrong.value.tag, "type" in (wrong.value.path or "")) == ("invalid-value", True)
        await good.edit_config(interface("br1").replace("<type>ianaift:bridge</type>", ""))
        with pytest.raises(RpcError) as lacking:
            await good.commit()
        assert (lacking.value.tag, await names(good)) == ("data-missing", {"wan"})
        await good.discard()

        await good.subscribe()
        await good.edit_config(interface("br1"))
        await good.commit(confirmed=True, confirm_timeout=1)
        assert (await names(good), (await simulator.state())["unconfirmed"]) == ({"wan", "br1"}, 1)
        assert await names(other) == {"wan"}
        events = [
            (await good.notifications.get()).xpath("string(.//*[local-name()='confirm-event'])") for _ in range(4)
        ]
        assert {"start", "timeout"} <= set(events)
        assert (await names(good), (await simulator.state())["unconfirmed"]) == ({"wan"}, 0)

        await bad.edit_config(interface("br1"))
        await simulator.ask("behave * refuses,slow=0.2", "behaves")
        begun = asyncio.get_running_loop().time()
        with pytest.raises(RpcError, match="told to refuse"):
            await bad.commit()
        assert asyncio.get_running_loop().time() - begun >= 0.2
        await simulator.ask("behave * lies", "behaves")
        await bad.commit()
        assert await names(bad) == {"wan"}
        await simulator.ask("behave * silent", "behaves")
        with pytest.raises(TimeoutError):
            await bad.get_config(filter="", deadline=0.3)
        await simulator.ask("behave * drops=commit", "behaves")
        await other.edit_config(interface("br2"))
        with pytest.raises(ConnectionError):
            await other.commit()
        async with await listener.accept(15) as again:  # it has committed, and calls again
            await simulator.ask("behave * good", "behaves")
            assert await names(again) == {"wan", "br2"}
        for client in clients:
            client.abort()


async def test_controller_manages_them(lab: Any, simulators: Any) -> None:
    """A vMSR and ten uCPEs, sites ordered to five of them: the controller has all in sync, the boxes say so too, and
    one that refuses is told of."""
    simulator = await simulators.start(lab.wan_port, "--behaviour", "ucpe-0005:refuses", pops=1, devices=10)

    async def managed() -> bool:
        devices = (await lab.network()).get("device", [])
        return len(devices) == 11 and all(one["sync"] == "in-sync" for one in devices)

    await lab.until(managed)
    order = simulators.order(5)
    assert (await lab.order(order)).status_code == 204

    async def settled() -> bool:
        states = await lab.states()
        return [states.get(f"site-{n}") for n in range(1, 6)] == ["up"] * 4 + ["failed"]

    await lab.until(settled)
    state = await simulator.state()
    assert (state["connected"], state["configured"], state["unconfirmed"]) == (11, 5, 0)
    await simulator.ask("behave ucpe-0005 good", "behaves")

    async def all_up() -> bool:
        return set((await lab.states()).values()) == {"up"}

    await lab.until(all_up)
    assert (await simulator.state())["configured"] == 6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--identities is missing"),
        (("--identities", "nowhere"), "have no certificate in nowhere: give --bootstrap"),
        (("--devices", "0"), "there is nothing to simulate"),
        (("--controller", "here"), "not HOST:PORT"),
        (("--behaviour", "*:moody"), "'moody' is no behaviour"),
    ],
)
def test_what_cannot_be_is_said(options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(options) == 2
    assert said in capsys.readouterr().err


def test_behaviours() -> None:
    how = Behaviour.parse("slow=0.5,drops=commit,refuses")
    assert (how.slow, how.drops, how.refuses, how.lies) == (0.5, "commit", True, False)
    assert str(how) == "slow=0.5,drops=commit,refuses"
    for wrong in ("slow", "slow=never", "slow=-1", "silent=1", "drops=", "moody"):
        with pytest.raises(BehaviourError, match="is no behaviour"):
            Behaviour.parse(wrong)
