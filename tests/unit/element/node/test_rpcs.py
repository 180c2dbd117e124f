"""The RPCs of elasticlab-element over NETCONF with TLS: revocation ends sessions, and pings are bounded."""

from __future__ import annotations

import base64
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from element import factory
from element.apply.ipsec import Charon
from element.apply.memory import Memory
from element.apply.system import System
from element.backend import ElementBackend
from element.lan.daemons import Folders
from element.revocation import Revocations
from element.rpc import Rpcs
from yangkit import Datastores, Module, NameRule, NetconfServer, NullBackend, RpcError, Schema
from yangkit.client import NetconfClient, connect_tls

REPOSITORY = Path(__file__).parents[4]
NAMESPACE = "urn:elasticlab:yang:elasticlab-element"


@dataclass
class Box:
    """A NETCONF server with the RPCs of an element, and its operator."""

    ca: Any
    folder: Path
    port: int
    rpcs: Rpcs

    def client(self, name: str) -> dict[str, Path]:
        return self.ca.pair(self.folder, name, x509.DNSName(name))

    async def connect(self, files: dict[str, Path]) -> NetconfClient:
        return await connect_tls("127.0.0.1", self.port, **files, ca=self.folder / "ca.pem", server_name="box.example")

    def give(self, crl: bytes) -> None:
        pem = x509.load_der_x509_crl(crl).public_bytes(Encoding.PEM)
        (self.folder / "crl.pem").write_bytes(pem)


@pytest.fixture
async def box(authority: Callable[[str], Any], tmp_path: Path) -> AsyncIterator[Box]:
    ca = authority("operator")
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    revocations = Revocations(tmp_path / "ca.pem", tmp_path / "crl.pem", tmp_path / "installed.pem")
    offers = factory.personality("vmsr")
    schema = Schema([REPOSITORY / "models/yang"], [Module(o.module, o.features) for o in offers])
    identity = factory.Identity("EL-1", "test", "vmsr")
    # charon is not there, as it may be in a box; nothing was configured, so the machine is left alone.
    charon = tmp_path / "no-charon"
    stations = Folders(tmp_path / "told", tmp_path / "given", tmp_path / "behind")
    system = System(Charon(charon, tmp_path, revocations, Memory(tmp_path / "memory")))
    backend = ElementBackend(system, charon, identity, stations)
    rpcs = Rpcs(backend, revocations)
    stores = Datastores(schema, NullBackend(), startup=tmp_path / "startup.xml")
    await stores.start()
    server = NetconfServer(stores, rpcs=rpcs.handlers)
    rpcs.server = server
    made = Box(ca, tmp_path, 0, rpcs)
    made.give(ca.crl(1))
    own = ca.pair(tmp_path, "box.example", x509.DNSName("box.example"))
    made.port = await server.listen_tls(
        "127.0.0.1",
        0,
        **own,
        ca=tmp_path / "ca.pem",
        names=[NameRule("san-any")],
        crl=revocations.path,
        users={"admin"},
        revoked=revocations.revoked,
    )
    yield made
    await server.close()
    await stores.close()


def install(crl: bytes) -> str:
    return f'<install-crl xmlns="{NAMESPACE}"><crl>{base64.b64encode(crl).decode()}</crl></install-crl>'


def revoked(files: dict[str, Path]) -> x509.Certificate:
    return x509.load_pem_x509_certificate(files["cert"].read_bytes())


async def test_a_revoked_clients_session_ends_and_others_go_on(box: Box) -> None:
    good = await box.connect(box.client("admin"))
    files = box.ca.pair(box.folder, "lost", x509.DNSName("admin"))
    bad = await box.connect(files)
    await good.rpc(install(box.ca.crl(2, revoked(files))), deadline=5)
    await bad.wait_closed()
    await good.get_config("running")
    with pytest.raises((ConnectionError, ssl.SSLError)):
        await box.connect(files)
    await good.close()


async def test_a_list_that_came_with_the_credentials_does_the_same(box: Box) -> None:
    files = box.ca.pair(box.folder, "lost", x509.DNSName("admin"))
    bad = await box.connect(files)
    box.give(box.ca.crl(2, revoked(files)))
    box.rpcs.end_revoked_sessions()
    await bad.wait_closed()


async def test_a_list_that_cannot_be_read_ends_nothing(box: Box) -> None:
    async with await box.connect(box.client("admin")) as client:
        (box.folder / "crl.pem").write_text("half of a li")
        box.rpcs.end_revoked_sessions()
        await client.get_config("running")


async def test_an_older_list_is_refused_with_its_place(box: Box) -> None:
    async with await box.connect(box.client("admin")) as client:
        await client.rpc(install(box.ca.crl(3)))
        with pytest.raises(RpcError, match="not newer") as refusal:
            await client.rpc(install(box.ca.crl(2)))
        assert refusal.value.tag == "invalid-value"


async def test_what_is_no_base64_or_missing_is_refused(box: Box) -> None:
    async with await box.connect(box.client("admin")) as client:
        for body, tag in (("<crl>?</crl>", "invalid-value"), ("", "missing-element")):
            with pytest.raises(RpcError) as refusal:
                await client.rpc(f'<install-crl xmlns="{NAMESPACE}">{body}</install-crl>')
            assert refusal.value.tag == tag


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_a_ping_is_counted(box: Box, address: str) -> None:
    async with await box.connect(box.client("admin")) as client:
        order = f'<ping xmlns="{NAMESPACE}"><address>{address}</address><count>2</count></ping>'
        reply = await client.rpc(order, deadline=10)
        found = {child.tag.partition("}")[2]: child.text for child in reply.iter() if child.text}
        assert (found["sent"], found["received"]) == ("2", "2")
        assert float(found["rtt-min"]) <= float(found["rtt-avg"]) <= float(found["rtt-max"])


@pytest.mark.parametrize(
    "body",
    [
        "<address>127.0.0.1</address><count>21</count>",
        "<address>127.0.0.1</address><timeout>31</timeout>",
        "<address>-f</address>",
        "<address>127.0.0.1</address><source-interface>eth0</source-interface>",
        "<address>127.0.0.1</address><tenant>nobody</tenant>",
        "<address>127.0.0.1</address><source-address>::1</source-address>",
        "<count>1</count>",
    ],
)
async def test_pings_beyond_their_bounds_are_refused(box: Box, body: str) -> None:
    async with await box.connect(box.client("admin")) as client:
        with pytest.raises(RpcError):
            await client.rpc(f'<ping xmlns="{NAMESPACE}">{body}</ping>')
