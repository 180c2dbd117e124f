"""TLS with right and wrong certificates (RFC 7589); servers that call home (RFC 8071); a foreign client."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest
from ncclient import manager
from ncclient.operations import RPCError
from yangkit.certnames import NameRule, fingerprint
from yangkit.client import listen_call_home_ssh, listen_call_home_tls
from yangkit.tls_server import LARGEST_SEGMENT, _connect
from yangkit.xmlutil import NC

KT = "urn:example:kit-test"
REFUSED = (ConnectionError, ssl.SSLError)


async def test_tls_without_a_san_maps_to_nobody(lab):
    with pytest.raises(REFUSED):
        await lab.tls(**lab.keys.pki.issue("nameless"))
    await lab.tls()


@pytest.mark.parametrize(("start", "end"), [(-10, -1), (1, 10)], ids=["expired", "not yet valid"])
async def test_tls_refuses_certificates_out_of_their_time(start, end, lab):
    with pytest.raises(REFUSED):
        await lab.tls(**lab.keys.pki.issue("late", san="admin", start=start, end=end))


async def test_tls_refuses_strangers(lab, keys):
    pki = type(keys.pki)(keys.directory / "stranger-pki", "stranger")
    with pytest.raises(REFUSED):
        await lab.tls(**pki.issue("admin", san="admin"))
    with pytest.raises(REFUSED):  # and a client refuses a server that it does not know
        await lab.tls(**keys.admin_tls, ca=pki.ca)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_tls_refuses_old_versions_and_no_certificate(lab):
    for old in (True, False):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(lab.keys.pki.ca)
        if old:
            context.load_cert_chain(lab.keys.admin_tls["cert"], lab.keys.admin_tls["key"])
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((OSError, asyncio.IncompleteReadError)):  # noqa: PT012 - TLS 1.3 tells at the first read
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", lab.tls_port, ssl=context, server_hostname="server.example"
            )
            writer.write(b"x")
            assert await reader.readexactly(1) == b"never"


async def test_fingerprint_rules(lab, keys):
    rules = [
        NameRule("specified", "guest", fingerprint=fingerprint(keys.pki.certificate)),
        NameRule("common-name"),
    ]
    lab.tls_port = await lab.server.listen_tls("127.0.0.1", 0, **keys.server_tls, ca=keys.pki.ca, names=rules)
    client = await lab.tls(**keys.pki.issue("somebody"))
    (session,) = [s for s in lab.server.sessions.values() if s.id == client.session_id]
    assert session.user == "guest"


async def test_a_certified_stranger_is_no_user(lab, keys):
    names = [NameRule("common-name")]
    lab.tls_port = await lab.server.listen_tls(
        "127.0.0.1", 0, **keys.server_tls, ca=keys.pki.ca, names=names, users=("manager",)
    )
    with pytest.raises((OSError, EOFError)):
        await lab.tls(**keys.pki.issue("somebody"))
    await (await lab.tls(**keys.pki.issue("manager"))).get_config()


async def test_call_home_ssh(lab, keys):
    settings = {"username": "admin", "client_key": keys.users["admin"], "host_keys": [keys.host_key]}
    async with await listen_call_home_ssh("127.0.0.1", 0, **settings) as listener:
        home = lab.server.call_home_ssh(
            "127.0.0.1", listener.port, host_key=keys.host_key, authorized_keys=keys.authorized
        )
        client = await listener.accept(10)
        await client.get_config()
        client.abort()
        again = await listener.accept(10)
        await again.get_config()
        assert home.attempts == 2
        await home.stop()


async def test_call_home_tls(lab, keys):
    settings = {**keys.admin_tls, "ca": keys.pki.ca}
    async with await listen_call_home_tls("127.0.0.1", 0, **settings) as listener:
        home = lab.server.call_home_tls(
            "127.0.0.1", listener.port, **keys.server_tls, ca=keys.pki.ca, names=[NameRule("san-any")]
        )
        client = await listener.accept(10)
        await client.get_config()
        assert client.peer_certificate
        client.abort()
        again = await listener.accept(10)
        await again.get_config()
        await home.stop()


async def test_call_home_of_the_wrong_device_is_refused(lab, keys, until):
    pki = type(keys.pki)(keys.directory / "imposter-pki", "imposter")
    async with await listen_call_home_tls("127.0.0.1", 0, **keys.admin_tls, ca=keys.pki.ca) as listener:
        home = lab.server.call_home_tls(
            "127.0.0.1", listener.port, **pki.issue("server"), ca=keys.pki.ca, names=[NameRule("san-any")]
        )
        await until(lambda: home.attempts >= 2 and home.problem is not None)
        with pytest.raises(TimeoutError):
            await listener.accept(0.1)
        await home.stop()
    settings = {"username": "admin", "client_key": keys.users["admin"], "host_keys": [keys.users["stranger"]]}
    async with await listen_call_home_ssh("127.0.0.1", 0, **settings) as listener:
        home = lab.server.call_home_ssh(
            "127.0.0.1", listener.port, host_key=keys.host_key, authorized_keys=keys.authorized
        )
        await until(lambda: home.attempts >= 2)
        with pytest.raises(TimeoutError):
            await listener.accept(0.1)
        await home.stop()


async def test_call_home_to_nobody_keeps_trying(lab, keys, until):
    home = lab.server.call_home_tls("127.0.0.1", 1, **keys.server_tls, ca=keys.pki.ca, names=[NameRule("san-any")])
    await until(lambda: home.attempts >= 2)
    assert "refused" in (home.problem or "").lower()
    await home.stop()


async def test_ncclient(lab):
    """A foreign client does what people do with it."""

    def work() -> list[str]:
        with manager.connect(
            host="127.0.0.1",
            port=lab.ssh_port,
            username="admin",
            key_filename=str(lab.keys.users["admin"]),
            hostkey_verify=False,
            allow_agent=False,
            look_for_keys=False,
        ) as m:
            config = f'<config xmlns="{NC}"><top xmlns="{KT}"><name>%s</name></top></config>'
            done = []
            assert ":candidate" in m.server_capabilities
            with m.locked("candidate"):
                m.edit_config(target="candidate", config=config % "x", test_option="test-then-set")
                m.validate("candidate")
                m.commit(confirmed=True, timeout="60", persist="p")
                m.commit(persist_id="p")
            done.append(m.get_config("running", filter=("subtree", f'<top xmlns="{KT}"/>')).data_xml)
            done.append(m.get(filter=("xpath", ({"k": KT}, "/k:top/k:name"))).data_xml)
            done.append(m.get_schema("kit-test").data)
            with pytest.raises(RPCError) as caught:
                m.edit_config(target="running", config=config % "12345678901")
            done.append(f"{caught.value.tag} {caught.value.app_tag} {caught.value.message}")
            m.edit_config(target="candidate", config=config % "y")
            m.discard_changes()
            m.copy_config(source="running", target="candidate")
            return done

    running, state, text, error = await asyncio.to_thread(work)
    assert "<name>x</name>" in running
    assert "<name>x</name>" in state
    assert text.startswith("module kit-test")
    assert error == "invalid-value name-length 1 to 10 characters"


async def test_a_call_home_sends_and_wants_segments_that_pass_everywhere():
    """A narrow way where nobody tells so swallows nothing (RFC 4821)."""
    with socket.create_server(("127.0.0.1", 0)) as client:
        for tcp in (await _connect("127.0.0.1", client.getsockname()[1], 5, None), client.accept()[0]):
            with tcp:
                assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= LARGEST_SEGMENT


async def test_a_new_certificate_is_shown_to_whoever_comes_next(lab, keys):
    """On the listener after it is told, in calls from the next one on; sessions that are there stay."""
    old = {part: path.read_bytes() for part, path in keys.server_tls.items()}
    settings = {**keys.admin_tls, "ca": keys.pki.ca}
    here = await lab.tls(**keys.admin_tls)
    async with await listen_call_home_tls("127.0.0.1", 0, **settings) as listener:
        home = lab.server.call_home_tls(
            "127.0.0.1", listener.port, **keys.server_tls, ca=keys.pki.ca, names=[NameRule("san-any")]
        )
        called = await listener.accept(10)
        try:
            for part, path in keys.pki.issue("renewed", san="server.example").items():
                keys.server_tls[part].write_bytes(path.read_bytes())
            new = ssl.PEM_cert_to_DER_cert(keys.server_tls["cert"].read_text())
            assert (await lab.tls(**keys.admin_tls)).peer_certificate != new, "nobody has told it"
            lab.server.reload_certificates()
            assert (await lab.tls(**keys.admin_tls)).peer_certificate == new
            await here.get_config()
            assert called.peer_certificate != new
            home.again()
            assert (await listener.accept(10)).peer_certificate == new
            await called.wait_closed()
        finally:
            for part, content in old.items():
                keys.server_tls[part].write_bytes(content)
            await home.stop()
