"""Several sessions at once, sessions that die, and bytes that are no NETCONF: the box serves whoever is left (R9)."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator

import paramiko
import pytest
from ncclient import NCClientError
from ncclient.operations import RPCError

from harness.lab import Lab
from harness.wait import wait_for

from .conftest import NC, PREFIXES, SECONDS, Dial, config, loopback

pytestmark = pytest.mark.topology("demo")

END = b"]]>]]>"
BASE = "urn:ietf:params:netconf:base:1."
MEGABYTE = 1024 * 1024
LAUGHS = b'<!DOCTYPE lolz [<!ENTITY a "ha">' + b"".join(
    b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(12)
) + b"]>"  # fmt: skip


def hello(minor: int, before: bytes = b"") -> bytes:
    capabilities = f"<capabilities><capability>{BASE}{minor}</capability></capabilities>"
    return before + f'<hello xmlns="{NC}">{capabilities}</hello>'.encode() + END


def rpc(inner: str) -> bytes:
    return f'<rpc xmlns="{NC}" message-id="1">{inner}</rpc>'.encode()


def chunk(data: bytes) -> bytes:
    """RFC 6242, section 4.2."""
    return b"\n#%d\n%s\n##\n" % (len(data), data)


class Raw:
    """The NETCONF subsystem without a NETCONF client, by paramiko."""

    def __init__(self, lab: Lab, box: str) -> None:
        self.tcp = socket.create_connection((lab[box].management_address, 830), SECONDS)
        self._transport = paramiko.Transport(self.tcp)
        key = paramiko.Ed25519Key.from_private_key_file(str(lab.factory.admin.ssh_key))
        self._transport.connect(username="admin", pkey=key)
        self.channel = self._transport.open_session(timeout=SECONDS)
        self.channel.settimeout(SECONDS)
        self.channel.invoke_subsystem("netconf")

    def send(self, data: bytes) -> None:
        """Send what the box is willing to take; it may hang up in the middle."""
        with contextlib.suppress(OSError):
            self.channel.sendall(data)

    def until(self, mark: bytes) -> bytes:
        """What comes, up to a mark or to the end of the session."""
        found = b""
        while mark not in found:
            more = self.channel.recv(65536)
            if not more:
                break
            found += more
        return found

    def ends(self) -> bool:
        """Whether the box ends the session."""
        try:
            while self.channel.recv(65536):
                pass
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        self._transport.close()


@pytest.fixture
def raw(lab: Lab, box: str, dial: Dial) -> Iterator[Callable[[], Raw]]:
    opened: list[Raw] = []

    def connect() -> Raw:
        opened.append(Raw(lab, box))
        return opened[-1]

    yield connect
    for session in opened:
        session.close()


def sessions_of(dial: Dial) -> set[str]:
    data = dial().get(("xpath", ({"m": PREFIXES["ncm"]}, "/m:netconf-state/m:sessions"))).data_ele
    return {e.text for e in data.findall(".//ncm:session-id", PREFIXES)}


def element(lab: Lab, box: str) -> tuple[int, int]:
    """Process number and resident bytes of the box's NETCONF server."""
    number = int(lab[box].exec("pgrep", "-o", "-f", "python.* -m element"))
    pages = int(lab[box].exec("cat", f"/proc/{number}/statm").split()[1])
    return number, pages * 4096


# -- several, and those that go --------------------------------------------------------------------------------------


def test_two_sessions_at_once_have_numbers_of_their_own_and_one_candidate(dial: Dial) -> None:
    first, second = dial(), dial()
    assert first.session_id != second.session_id
    first.edit_config(config(loopback("guest")), target="candidate")
    assert b"guest" in second.get_config("candidate").xml.encode()
    assert b"guest" not in second.get_config("running").xml.encode()
    second.discard_changes()
    assert b"guest" not in first.get_config("candidate").xml.encode()
    assert {first.session_id, second.session_id} <= sessions_of(dial)


def test_a_killed_session_is_gone_with_its_lock_and_its_changes(dial: Dial) -> None:
    victim, killer = dial(), dial()
    victim.lock("candidate")
    victim.edit_config(config(loopback("guest")), target="candidate")
    killer.kill_session(victim.session_id)
    with killer.locked("candidate"):
        assert "guest" not in killer.get_config("candidate").xml
    wait_for("the client to notice", lambda: not victim.connected, 10)
    assert victim.session_id not in sessions_of(dial)


def test_nobody_kills_himself(dial: Dial) -> None:
    client = dial()
    with pytest.raises(RPCError) as refusal:
        client.kill_session(client.session_id)
    assert refusal.value.tag == "invalid-value"
    assert client.connected


def test_a_connection_cut_in_the_middle_gives_its_lock_back(raw: Callable[[], Raw], dial: Dial) -> None:
    cut = raw()
    number = cut.until(END).split(b"<session-id>")[1].split(b"<")[0].decode()
    cut.send(hello(0) + rpc("<lock><target><candidate/></target></lock>") + END)
    assert b"<ok/>" in cut.until(END)
    client = dial()
    with pytest.raises(RPCError):
        client.lock("candidate")
    cut.send(b"<rpc xmlns=")
    # No farewell of SSH or TCP: a reset, as a router in the middle would send.
    cut.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    cut.tcp.close()

    def free() -> bool:
        try:
            client.lock("candidate")
        except RPCError:
            return False
        client.unlock("candidate")
        return True

    wait_for("the lock to be free", free, 10)
    assert number not in sessions_of(dial)


def test_a_closed_session_takes_no_more_requests(dial: Dial) -> None:
    client = dial()
    client.close_session()
    with pytest.raises((NCClientError, OSError)):
        client.get_config("running")


# -- framing ---------------------------------------------------------------------------------------------------------


def test_a_client_of_base_1_0_is_served_with_end_marks(raw: Callable[[], Raw]) -> None:
    session = raw()
    session.until(END)
    session.send(hello(0) + rpc("<get-config><source><running/></source></get-config>") + END)
    reply = session.until(END)
    assert reply.endswith(END)
    assert b"100.127.1.1" in reply


def test_chunks_may_be_of_any_size(raw: Callable[[], Raw]) -> None:
    session = raw()
    session.until(END)
    request = rpc("<get-config><source><running/></source></get-config>")
    session.send(hello(1) + b"".join(b"\n#1\n%c" % octet for octet in request) + b"\n##\n")
    reply = session.until(b"\n##\n")
    assert reply.startswith(b"\n#")
    assert b"100.127.1.1" in reply


def test_requests_may_come_before_their_answers(raw: Callable[[], Raw]) -> None:
    """RFC 6241, section 4.5: pipelining; answers keep the order."""
    session = raw()
    session.until(END)
    one = rpc("<get-config><source><running/></source></get-config>")
    many = [one.replace(b'"1"', b'"%d"' % number) for number in range(50)]
    session.send(hello(0) + b"".join(request + END for request in many))
    replies = b""
    while replies.count(END) < len(many):
        replies += session.until(END)
    order = [int(part.split(b'message-id="')[1].split(b'"')[0]) for part in replies.split(END)[:-1]]
    assert order == list(range(50))


# -- no NETCONF at all -----------------------------------------------------------------------------------------------

AFTER_HELLO_1_0 = {
    "no XML": b"GET / HTTP/1.1\r\n\r\n" + END,
    "octets": bytes(range(256)) + END,
    "an unfinished element": b"<rpc><get>" + END,
    "billion laughs": LAUGHS + rpc("<get>&m;</get>") + END,
}
INSTEAD_OF_HELLO = {
    "no XML": b"GET / HTTP/1.1\r\n\r\n" + END,
    "octets": bytes(range(256)) * 16 + END,
    "billion laughs": LAUGHS + b"<hello>&m;</hello>" + END,
    "a hello with billion laughs": hello(1, LAUGHS),
    "a file of the box": b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><hello>&f;</hello>' + END,
    "no capability in common": f'<hello xmlns="{NC}"><capabilities/></hello>'.encode() + END,
    "a request": rpc("<get/>") + END,
    "a server's hello": f'<hello xmlns="{NC}"><capabilities><capability>{BASE}0</capability></capabilities>'
    "<session-id>1</session-id></hello>".encode() + END,
}  # fmt: skip
WRONG_FRAMES = {
    "no chunk": b"<rpc/>",
    "a chunk of nothing": b"\n#0\n",
    "a chunk of letters": b"\n#abc\n",
    "a chunk of a negative size": b"\n#-1\n",
    "a chunk beyond the limit of the RFC": b"\n#99999999999999999999\n",
    "an end mark": rpc("<get/>") + END,
}
MALFORMED = {
    "no XML": b"hello there",
    "billion laughs": LAUGHS + rpc("<get>&m;</get>"),
    "a file of the box": b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>' + rpc("<get>&f;</get>"),
    "deeper than deep": b"<a>" * 100_000,
    "not UTF-8": b"\xff\xfe\xfd",
}


@pytest.fixture
def unharmed(lab: Lab, box: str, dial: Dial) -> Iterator[None]:
    """Another session, open all the time, and the server's process are as well as before."""
    witness = dial()
    number, resident = element(lab, box)
    yield
    assert b"100.127.1.1" in witness.get_config("running").xml.encode()
    assert b"100.127.1.1" in dial().get_config("running").xml.encode()
    now, grown = element(lab, box)
    assert now == number, "the server died"
    assert grown < resident + 32 * MEGABYTE, "the server keeps what it was fed"


@pytest.mark.parametrize("name", INSTEAD_OF_HELLO)
def test_no_hello_no_session(raw: Callable[[], Raw], unharmed: None, name: str) -> None:
    session = raw()
    session.until(END)
    session.send(INSTEAD_OF_HELLO[name])
    said = session.until(END)
    assert b"root:" not in said
    assert session.ends()


@pytest.mark.parametrize("name", AFTER_HELLO_1_0)
def test_garbage_ends_a_session_of_base_1_0(raw: Callable[[], Raw], unharmed: None, name: str) -> None:
    session = raw()
    session.until(END)
    session.send(hello(0) + AFTER_HELLO_1_0[name])
    assert session.ends()


@pytest.mark.parametrize("name", WRONG_FRAMES)
def test_wrong_frames_end_a_session_of_base_1_1(raw: Callable[[], Raw], unharmed: None, name: str) -> None:
    """RFC 6242, section 4.2: the session is terminated."""
    session = raw()
    session.until(END)
    session.send(hello(1) + WRONG_FRAMES[name])
    assert session.ends()


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_messages_are_told_so(raw: Callable[[], Raw], unharmed: None, name: str) -> None:
    session = raw()
    session.until(END)
    session.send(hello(1) + chunk(MALFORMED[name]))
    reply = session.until(b"\n##\n")
    assert b"malformed-message" in reply
    assert b"root:" not in reply
    session.send(chunk(rpc("<get-config><source><running/></source></get-config>")))
    assert b"100.127.1.1" in session.until(b"\n##\n"), "the session goes on (RFC 6241, appendix A)"


def test_a_message_without_end_is_cut_off(raw: Callable[[], Raw], unharmed: None) -> None:
    session = raw()
    session.until(END)
    session.send(hello(1))
    for _ in range(128):
        session.send(b"\n#%d\n" % MEGABYTE + b"x" * MEGABYTE)
        if session.channel.closed or session.channel.exit_status_ready():
            break
    assert session.ends()
