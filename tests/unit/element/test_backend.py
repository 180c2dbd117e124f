"""The backend when the machine does not do what it is told: what is answered, and what goes on."""

from __future__ import annotations

import asyncio
import base64
import itertools
import threading
from collections.abc import Callable
from ipaddress import ip_interface
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from element.apply.daemon import CharonError
from element.apply.system import OperationError
from element.backend import ElementBackend
from element.clock import Clock
from element.dhcp.lease import Lease
from element.factory import Identity
from element.keeper import Keeper
from element.lan.daemons import Folders
from element.revocation import Revocations
from element.rpc import Rpcs
from element.validity import Validity
from yangkit import ApplyError

from tests.unit.element.conftest import pem_of

Tree = dict[str, Any]


class Machine:
    """Does what it is told, or says why not."""

    def __init__(self) -> None:
        self.wanted: list[tuple[Any, bool]] = []
        self.refuses: Callable[[Any], bool] = lambda _: False
        self.charon = SimpleNamespace(take_up_lists=lambda: None, store_version=lambda: None, keep=lambda: None)

    def converge(
        self, wanted: Any, *, as_far_as_possible: bool, between: Callable[[], None], looking: Callable[[], None]
    ) -> tuple[tuple[object, ...], ...]:
        looking()
        self.wanted.append((wanted, as_far_as_possible))
        if self.refuses(wanted):
            raise OperationError("create ike pop: no such proposal", "/elasticlab-ipsec:ipsec/conn-entry[name='pop']")
        return ()


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def backend(machine: Machine, tmp_path: Path) -> ElementBackend:
    stations = Folders(tmp_path / "told", tmp_path / "given", tmp_path / "behind")
    system: Any = machine
    return ElementBackend(system, tmp_path / "vici", Identity("EL-1", "test", "vmsr"), stations)


async def test_what_is_delayed_ends_no_renewal_and_is_told(
    backend: ElementBackend, machine: Machine, blueprint: Tree, authority: Callable[[str], Any]
) -> None:
    """New certificates are in place; that a connection cannot be loaded just now does not undo that."""
    await backend.apply({}, blueprint)
    machine.refuses = lambda _: True
    ca = authority("operator")
    said: list[str | None] = []

    async def taken() -> None:
        said.append(await backend.renew_credentials())

    async def enrol() -> None:
        raise AssertionError

    keeper = Keeper(
        lambda: Validity((("ike", ca.certificate),)),
        Clock(),
        percent=lambda: 66,
        renew=lambda: None,
        ask_time=lambda: False,
        enrol=enrol,
        taken=taken,
    )
    await keeper.renew()
    assert said == ["create ike pop: no such proposal"]
    assert keeper.problem is None


async def test_a_list_that_is_not_in_force_yet_is_told_as_such(
    backend: ElementBackend, machine: Machine, blueprint: Tree, authority: Callable[[str], Any], tmp_path: Path
) -> None:
    ca = authority("operator")
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    revocations = Revocations(tmp_path / "ca.pem", tmp_path / "crl.pem", tmp_path / "installed.pem")
    (tmp_path / "crl.pem").write_bytes(pem_of(ca.crl(1)))
    await backend.apply({}, blueprint)

    def refuse() -> None:
        raise CharonError("load_cert: no")

    machine.charon.take_up_lists = refuse
    call: Any = SimpleNamespace(user="admin", input={"crl": base64.b64encode(ca.crl(2)).decode()})
    with pytest.raises(ApplyError, match="stored, and not yet in force for IPsec: load_cert: no"):
        await Rpcs(backend, revocations).install_crl(call)


class TestWhatABoxStartsWith:
    async def test_is_wanted_also_while_it_cannot_be_had(
        self, backend: ElementBackend, machine: Machine, blueprint: Tree
    ) -> None:
        """A file of a partner is gone: the rest is made, and the box calls home."""
        machine.refuses = lambda _: True
        with pytest.raises(ApplyError, match="no such proposal"):
            await backend.apply({}, blueprint)
        assert backend.known is not None
        assert [far for _, far in machine.wanted] == [True]

    async def test_is_tried_again_as_far_as_it_goes(
        self, backend: ElementBackend, machine: Machine, blueprint: Tree
    ) -> None:
        machine.refuses = lambda _: True
        for _ in range(2):
            with pytest.raises(ApplyError):
                await backend.apply({}, blueprint)
        assert [far for _, far in machine.wanted] == [True, True]


async def test_a_change_is_made_as_a_whole_or_taken_back(
    backend: ElementBackend, machine: Machine, blueprint: Tree, pop_tree: Tree
) -> None:
    await backend.apply({}, blueprint)
    before = backend.known
    pop_tree["ietf-interfaces:interfaces"]["interface"][2]["elasticlab-interface:mtu"] = 1400
    machine.refuses = lambda wanted: wanted is not machine.wanted[0][0]
    with pytest.raises(ApplyError, match="no such proposal"):
        await backend.apply(blueprint, pop_tree)
    assert [far for _, far in machine.wanted] == [True, False, True]
    assert machine.wanted[-1][0] == machine.wanted[0][0]
    assert backend.known == before


async def test_tunnels_are_lined_up_while_the_machine_is_compared(
    backend: ElementBackend, machine: Machine, blueprint: Tree, tmp_path: Path
) -> None:
    """The next reauthentication does not wait for anybody."""
    await backend.apply({}, blueprint)
    compared, lined_up = asyncio.Event(), asyncio.Event()
    proceed, loop = threading.Event(), asyncio.get_running_loop()

    def compare(_: Any) -> bool:
        loop.call_soon_threadsafe(compared.set)
        return not proceed.wait(10)

    async def charon(_: asyncio.StreamReader, news: asyncio.StreamWriter) -> None:
        await compared.wait()
        news.write(b"news of an SA")
        await news.drain()

    machine.charon.line_up = lambda: compared.is_set() and loop.call_soon_threadsafe(lined_up.set)
    machine.refuses = compare
    async with await asyncio.start_unix_server(charon, tmp_path / "vici"):
        running = asyncio.create_task(backend.run())
        try:
            async with asyncio.timeout(5):
                await lined_up.wait()
        finally:
            proceed.set()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_how_things_are_is_told_while_the_machine_is_changed(
    backend: ElementBackend, machine: Machine, blueprint: Tree
) -> None:
    """Whoever asks would otherwise wait as long as a POP takes for sixty sites, and hold it for dead."""
    at_work, proceed, loop = asyncio.Event(), threading.Event(), asyncio.get_running_loop()

    def change(_: Any) -> bool:
        loop.call_soon_threadsafe(at_work.set)
        return not proceed.wait(10)

    machine.refuses = change
    changing = asyncio.create_task(backend.apply({}, blueprint))
    try:
        async with asyncio.timeout(5):
            await at_work.wait()
            found = await backend.state(frozenset({"ietf-hardware:hardware"}))
        assert found["ietf-hardware:hardware"]["component"][0]["serial-num"] == "EL-1"
        assert not changing.done()
    finally:
        proceed.set()
        await changing


def wan(**more: Any) -> Tree:
    ethernet = {"name": "wan", "type": "iana-if-type:ethernetCsmacd", "ietf-ip:ipv6": {}, **more}
    return {"ietf-interfaces:interfaces": {"interface": [ethernet]}}


DHCP, DHCP6, SLAAC = ({f"elasticlab-interface:{how}": {}} for how in ("dhcp", "dhcp6", "slaac"))
LEASE = Lease(ip_interface("192.0.2.10/24"), None, (), None)
LEASE6 = Lease(ip_interface("2001:db8::10/128"), None, (), None)


async def test_an_edit_takes_back_nothing_that_is_learned_while_it_waits(backend: ElementBackend) -> None:
    await backend.apply({}, wan(**DHCP6))
    async with backend._lock:
        leased = asyncio.create_task(backend.lease(6, {"wan": LEASE6}))
        await asyncio.sleep(0)
        applied = asyncio.create_task(backend.apply({}, wan(**DHCP6, description="uplink")))
        await asyncio.sleep(0)
    await asyncio.gather(leased, applied)
    assert backend.known is not None
    assert [grant.address for grant in backend.known.granted] == ["2001:db8::10/128"]


@pytest.mark.parametrize(
    ("how", "leases", "open_ways"),
    [
        (DHCP | DHCP6, {}, set()),
        (DHCP | DHCP6, {6: LEASE6}, {6}),
        (DHCP | DHCP6, {4: LEASE}, {4}),
        (DHCP | SLAAC, {}, {6}),
        (SLAAC, {}, {4, 6}),
        (DHCP6, {}, {4}),
    ],
)
async def test_who_calls_over_one_ip_does_not_wait_for_the_other(
    backend: ElementBackend, how: Tree, leases: dict[int, Lease], open_ways: set[int]
) -> None:
    """A provider may lease addresses of one version alone."""
    await backend.apply({}, wan(**how))
    for version, lease in leases.items():
        await backend.lease(version, {"wan": lease})
    waiting = {version: asyncio.create_task(backend.way_out(version)) for version in (4, 6)}
    await asyncio.sleep(0)
    assert {version for version, task in waiting.items() if task.done()} == open_ways
    for task in waiting.values():
        task.cancel()


async def test_who_calls_too_early_calls_again_soon_and_then_less_often(
    backend: ElementBackend, machine: Machine, blueprint: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other box of a new site knows nobody yet; its commit is a moment later than ours."""
    times: list[float] = []
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()

    def keep() -> bool:
        times.append(loop.time())
        if len(times) == 5:
            loop.call_soon_threadsafe(asked.set)
        return len(times) < 5

    monkeypatch.setattr("element.backend.TICK", 1000.0)
    monkeypatch.setattr("element.backend.FIRST_TRY", 0.02)
    machine.charon.keep = keep
    tending = asyncio.create_task(backend._tend())
    try:
        await asyncio.sleep(0)
        begun = loop.time()
        await backend.apply({}, blueprint)
        async with asyncio.timeout(60):
            await asked.wait()
    finally:
        tending.cancel()
    waits = [later - earlier for earlier, later in itertools.pairwise([begun, *times])]
    assert all(wait >= 0.02 * 2**number for number, wait in enumerate(waits))
