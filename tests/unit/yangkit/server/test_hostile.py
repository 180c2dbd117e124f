"""Input of the worst kind: the server answers or hangs up, and serves the next client as ever."""

from __future__ import annotations

import asyncio
import ssl

import asyncssh
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yangkit.framing import END_OF_MESSAGE
from yangkit.server import Limits
from yangkit.xmlutil import NC

HELLO = (
    f'<hello xmlns="{NC}"><capabilities><capability>urn:ietf:params:netconf:base:1.%d</capability>'
    "</capabilities></hello>"
)
LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE rpc [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(12))
    + f']><rpc xmlns="{NC}" message-id="1"><get>&m;</get></rpc>'
)
OUTSIDE = (
    f'<!DOCTYPE rpc [<!ENTITY x SYSTEM "file:///etc/passwd">]><rpc xmlns="{NC}" message-id="1"><get>&x;</get></rpc>'
)


def chunk(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return b"\n#%d\n%b\n##\n" % (len(data), data)


class Raw:
    """A TLS connection of bytes."""

    @classmethod
    async def open(cls, lab, version: int | None = 1) -> Raw:
        raw = cls()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(**{"certfile": lab.keys.admin_tls["cert"], "keyfile": lab.keys.admin_tls["key"]})
        context.load_verify_locations(lab.keys.pki.ca)
        raw.reader, raw.writer = await asyncio.open_connection(
            "127.0.0.1", lab.tls_port, ssl=context, server_hostname="server.example"
        )
        await asyncio.wait_for(raw.reader.readuntil(END_OF_MESSAGE), 10)
        if version is not None:
            raw.writer.write((HELLO % version).encode() + END_OF_MESSAGE)
        return raw

    async def answer(self, data: bytes) -> bytes:
        """What comes back until the next end of a message or the end of the connection."""
        self.writer.write(data)
        return await asyncio.wait_for(self._read(), 10)

    async def _read(self) -> bytes:
        got = b""
        while not got.endswith((b"\n##\n", END_OF_MESSAGE)):
            try:
                piece = await self.reader.read(65536)
            except ConnectionError:
                return got
            if not piece:
                return got
            got += piece
        return got

    async def gone(self) -> bool:
        return await asyncio.wait_for(self._read(), 10) == b""


@pytest.fixture
async def raw(lab):
    return await Raw.open(lab)


async def still_serves(lab) -> None:
    client = await lab.tls()
    await client.get_config()
    await client.close()


MALFORMED = {
    "not XML": "hello",
    "empty": " ",
    "cut": "<rpc",
    "wrong end": "<rpc></rcp>",
    "two roots": "<a/><b/>",
    "billion laughs": LAUGHS,
    "external entity": OUTSIDE,
    "doctype only": f'<!DOCTYPE rpc><rpc xmlns="{NC}" message-id="1"><get/></rpc>',
    "doctype behind a comment": f'<!-- x --><!DOCTYPE rpc><rpc xmlns="{NC}" message-id="1"><get/></rpc>',
    "entity of nobody": f'<rpc xmlns="{NC}" message-id="1"><get>&nobody;</get></rpc>',
    "prefix of nobody": '<x:rpc message-id="1"/>',
    "too deep": "<a>" * 5000 + "</a>" * 5000,
    "deep": "<a>" * 200 + "</a>" * 200,
    "a reply": f'<rpc-reply xmlns="{NC}" message-id="1"/>',
    "a hello": HELLO % 1,
    "rpc of no namespace": '<rpc message-id="1"><get/></rpc>',
}


@pytest.mark.parametrize("what", MALFORMED)
async def test_malformed_messages_are_answered_and_the_session_goes_on(what, raw, lab):
    answer = await raw.answer(chunk(MALFORMED[what]))
    assert b"<error-tag>malformed-message</error-tag>" in answer
    assert b"root:" not in answer
    assert b"<data" in await raw.answer(
        chunk(f'<rpc xmlns="{NC}" message-id="2"><get-config><source><running/></source></get-config></rpc>')
    )
    await still_serves(lab)


async def test_other_encodings_and_raw_bytes(raw):
    for data in ("<rpc/>".encode("utf-16"), b"\xff\xfe\x00", b'<rpc a="\xc3\x28"/>', b"\x00" * 10, b"<rpc>\x01</rpc>"):
        assert b"malformed-message" in await raw.answer(chunk(data))


async def test_malformed_message_does_not_exist_in_base_1_0(lab):
    raw = await Raw.open(lab, version=0)
    assert await raw.answer(b"<rpc" + END_OF_MESSAGE) == b""
    await still_serves(lab)


async def test_base_1_0_session(lab):
    raw = await Raw.open(lab, version=0)
    answer = await raw.answer(f'<rpc xmlns="{NC}" message-id="9"><get/></rpc>'.encode() + END_OF_MESSAGE)
    assert answer.endswith(END_OF_MESSAGE)
    assert b'message-id="9"' in answer


async def test_attributes_of_the_rpc_come_back(raw):
    attributes = 'message-id="a&lt;&quot;" plain="1" e:own="2"'
    rpc = f'<n:rpc xmlns:n="{NC}" xmlns:e="urn:e" {attributes}><n:discard-changes/></n:rpc>'
    answer = await raw.answer(chunk(rpc))
    assert b'message-id="a&lt;&quot;"' in answer
    assert b'plain="1"' in answer
    assert b'xmlns:e="urn:e" e:own="2"' in answer


@pytest.mark.parametrize("request_", ["<get/>", "", "<get/><get/>"])
async def test_no_message_id_or_not_one_operation(request_, raw):
    answer = await raw.answer(chunk(f'<rpc xmlns="{NC}">{request_}</rpc>'))
    assert b"<error-tag>missing-attribute</error-tag>" in answer
    assert b"<bad-attribute>message-id</bad-attribute>" in answer
    assert b"<error-type>rpc</error-type>" in answer


@pytest.mark.parametrize(
    "data",
    [b"<rpc/>", b"\n#0\n", b"\n#01\nx", b"\n#99999999999\n", b"\n#4294967296\n", b"\n##\n", b"\n#x\n", b"\n#3\nabcd",
     b"\n#-1\n", b"#3\n", END_OF_MESSAGE],
    ids=repr,
)  # fmt: skip
async def test_broken_framing_ends_the_session(data, raw, lab):
    assert await raw.answer(data) == b""
    await still_serves(lab)


async def test_a_message_that_is_too_big_is_refused_before_it_is_read(lab):
    await lab.stop()
    await lab.start(limits=Limits(message_size=10_000))
    raw = await Raw.open(lab)
    assert b"<error-tag>too-big</error-tag>" in await raw.answer(b"\n#10001\n")
    raw = await Raw.open(lab)
    assert b"<error-tag>too-big</error-tag>" in await raw.answer(b"\n#9000\n" + b"x" * 9000 + b"\n#9000\n")
    raw = await Raw.open(lab, version=None)
    raw.writer.write(b"x" * 20_000)
    assert b"<error-tag>too-big</error-tag>" in await raw._read()
    await still_serves(lab)


async def test_many_chunks_and_pipelined_requests(raw):
    rpc = f'<rpc xmlns="{NC}" message-id="%d"><get-config><source><running/></source></get-config></rpc>'
    one = "".join(f"\n#1\n{c}" for c in rpc % 0) + "\n##\n"
    raw.writer.write(one.encode() + b"".join(chunk(rpc % n) for n in range(1, 300)))
    got = b""
    while b'message-id="299"' not in got:
        got += await asyncio.wait_for(raw.reader.read(65536), 10)
    positions = [got.index(b'message-id="%d"' % n) for n in range(300)]
    assert positions == sorted(positions)


@pytest.mark.parametrize("hello", ["<hello", "<rpc/>", f'<hello xmlns="{NC}"/>', LAUGHS,
                                   (HELLO % 1).replace("</hello>", "<session-id>1</session-id></hello>"),
                                   HELLO % 7])  # fmt: skip
async def test_a_bad_hello_ends_the_session(hello, lab):
    raw = await Raw.open(lab, version=None)
    assert await raw.answer(hello.encode() + END_OF_MESSAGE) == b""
    assert lab.server.counters["in-bad-hellos"] == 1
    assert not lab.server.sessions
    await still_serves(lab)


async def test_no_hello_in_time(lab):
    await lab.stop()
    await lab.start(limits=Limits(hello_seconds=0.2))
    raw = await Raw.open(lab, version=None)
    raw.writer.write(b"<hel")
    assert await raw.gone()


async def test_too_many_sessions(lab):
    await lab.stop()
    await lab.start(limits=Limits(sessions=2))
    first, _ = await lab.ssh(), await lab.tls()
    with pytest.raises((ConnectionError, OSError)):
        await lab.tls()
    with pytest.raises(ConnectionError):
        await lab.ssh()
    await first.close()
    await lab.ssh()


async def test_ssh_offers_nothing_but_netconf(lab):
    options = {"username": "admin", "client_keys": [str(lab.keys.users["admin"])], "known_hosts": None, "config": None}
    async with asyncssh.connect("127.0.0.1", lab.ssh_port, **options) as connection:
        for attempt in (
            connection.create_process("id"),
            connection.create_process(),
            connection.start_sftp_client(),
            connection.create_process(subsystem="other"),
            connection.open_connection("127.0.0.1", 22),
        ):
            with pytest.raises(asyncssh.Error):
                await attempt


@pytest.mark.parametrize("user", ["admin", "nobody"])
async def test_ssh_wants_a_known_key(user, lab):
    options = {"known_hosts": None, "config": None, "agent_path": None}
    for key in ("stranger", "guest"):
        with pytest.raises(asyncssh.PermissionDenied):
            await asyncssh.connect(
                "127.0.0.1", lab.ssh_port, username=user, client_keys=[str(lab.keys.users[key])], **options
            )
    with pytest.raises(asyncssh.PermissionDenied):
        await asyncssh.connect("127.0.0.1", lab.ssh_port, username=user, password="admin", client_keys=None, **options)


async def test_several_channels_on_one_connection(lab):
    options = {"username": "admin", "client_keys": [str(lab.keys.users["admin"])], "known_hosts": None, "config": None}
    async with asyncssh.connect("127.0.0.1", lab.ssh_port, **options) as connection:
        streams = [await connection.open_session(subsystem="netconf", encoding=None) for _ in range(3)]
        hellos = [await reader.readuntil(END_OF_MESSAGE) for _, reader, _ in streams]
        assert len({hello.partition(b"<session-id>")[2] for hello in hellos}) == 3


PIECES = st.sampled_from(
    [b"\n#", b"\n##\n", b"3\n", b"<rpc>", b"</rpc>", b"]]>]]>", b"<!DOCTYPE", b"&lt;", b"\x00", b"\xff", b"9" * 12]
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(PIECES, st.binary(max_size=30)), max_size=30), st.booleans())
async def test_noise_on_the_wire(lab, noise, framed):
    from yangkit.session import Peer

    class Sink:
        def write(self, data: bytes) -> None: ...
        def close(self) -> None: ...
        def pause_reading(self) -> None: ...
        def resume_reading(self) -> None: ...

    session = lab.server.new_session(Peer("admin", "here", "ietf-netconf-monitoring:netconf-ssh"), Sink())
    session.data_received((HELLO % 1).encode() + END_OF_MESSAGE)
    data = b"".join(noise)
    session.data_received(chunk(data) if framed and data else data)
    await session.finished()
    session.connection_lost()
    assert session.id not in lab.server.sessions


async def test_the_server_is_well_after_all_that(raw, lab):
    await still_serves(lab)
