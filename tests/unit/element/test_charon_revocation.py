"""A new revocation list goes to charon at once, and ends the SAs of who is on it and of nobody else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from element.apply.daemon import CharonError, CharonGoneError
from element.apply.ipsec import Charon
from element.apply.memory import Memory
from element.apply.system import System
from element.backend import ElementBackend
from element.factory import Identity
from element.lan.daemons import Folders
from element.plan.resources import Credential
from element.revocation import Revocations

SITES = ("one.example", "two.example")


class Vici(Charon):
    """Writes commands down; two sites have shown their certificates and have an SA each."""

    def __init__(self, folder: Path, revocations: Revocations, shown: dict[str, x509.Certificate]) -> None:
        super().__init__(folder / "vici", folder, revocations, Memory(folder / "memory"))
        self.shown = shown
        self.said: list[tuple[str, Any]] = []
        self.trouble: Exception | None = None

    def call(self, command: str, message: Any = None) -> Any:
        if self.trouble is not None:
            raise self.trouble
        self.said.append((command, message))
        if command == "list_certs":
            return [{"data": one.public_bytes(Encoding.DER)} for one in self.shown.values()]
        if command == "list_sas":
            numbered = enumerate(self.shown, 1)
            return [{name: {"remote-id": name.encode(), "uniqueid": str(n).encode()}} for n, name in numbered]
        return {}

    @property
    def ended(self) -> list[str]:
        """The SAs that were ended."""
        return [message["ike-id"] for command, message in self.said if command == "terminate"]


@pytest.fixture
def operator(authority: Callable[[str], Any]) -> Any:
    return authority("operator")


@pytest.fixture
def vici(operator: Any, tmp_path: Path) -> Vici:
    (tmp_path / "ca.pem").write_bytes(operator.pem)
    given = x509.load_der_x509_crl(operator.crl(5)).public_bytes(Encoding.PEM)
    (tmp_path / "given.pem").write_bytes(given)
    revocations = Revocations(tmp_path / "ca.pem", tmp_path / "given.pem", tmp_path / "installed.pem")
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    shown = {name: operator.issue(x509.Name([]), key, x509.DNSName(name)) for name in SITES}
    made = Vici(tmp_path, revocations, shown)
    made.load_credential(made.present(Credential("ca", own=False)))
    made.said.clear()
    return made


def box(vici: Vici, folder: Path) -> ElementBackend:
    stations = Folders(folder / "told", folder / "given", folder / "behind")
    return ElementBackend(System(vici), folder / "vici", Identity("EL-1", "test", "vmsr"), stations)


async def test_a_new_list_ends_the_tunnels_of_who_is_on_it_whatever_else_is_to_be_done(
    operator: Any, vici: Vici, tmp_path: Path
) -> None:
    """Another change is under way, and takes its time: whoever is revoked does not wait for it."""
    backend = box(vici, tmp_path)
    vici._revocations.install(operator.crl(6, vici.shown[SITES[1]]))
    at_work, over, loop = asyncio.Event(), threading.Event(), asyncio.get_running_loop()

    def change() -> None:
        loop.call_soon_threadsafe(at_work.set)
        while not over.wait(0.01):
            backend._worker.pause()

    async with backend._lock:
        changing = asyncio.create_task(backend._worker.do(change))
        try:
            async with asyncio.timeout(5):
                await at_work.wait()
                assert await backend.take_up_lists() is None
            assert vici.ended == ["2"]
            assert not changing.done()
        finally:
            over.set()
            await changing
    vici.said.clear()
    await backend.take_up_lists()
    assert vici.said == [], "the list is in force already"


async def test_charon_that_refuses_is_told_of_and_one_that_is_away_is_not(
    operator: Any, vici: Vici, tmp_path: Path
) -> None:
    vici._revocations.install(operator.crl(6))
    vici.trouble = CharonGoneError("it is away")
    assert await box(vici, tmp_path).take_up_lists() is None
    vici.trouble = CharonError("no")
    assert await box(vici, tmp_path).take_up_lists() == "no"


def test_without_a_new_list_charon_is_left_alone(vici: Vici) -> None:
    vici.take_up_lists()
    assert vici.said == []


def test_what_is_not_loaded_is_not_taken_up(operator: Any, vici: Vici) -> None:
    vici.unload_credential(Credential("ca", own=False))
    vici._revocations.install(operator.crl(6, vici.shown[SITES[0]]))
    vici.said.clear()
    vici.take_up_lists()
    assert vici.said == []
