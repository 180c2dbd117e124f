"""Who is not believed to be a device: copies of operational keys, and callers whom nobody has certified (RFC 8071)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from harness.factory.authority import Authority, Subject, key_pem, new_key, now
from harness.lab import Lab
from harness.wait import wait_for

from .conftest import (
    INTERNET,
    PYTHON,
    WAN,
    Operator,
    Shown,
    Workbench,
    associations,
    of_name,
    of_serial,
    request,
    reset,
)

pytestmark = pytest.mark.topology("admission")

NAME = "ucpe-1"
#: Name, serial number, address.
Box = tuple[str, str, str]
BOXES: tuple[Box, Box] = (("ucpe-1", "EL-UCPE-0001", "192.0.2.2"), ("ucpe-2", "EL-UCPE-0002", "192.0.2.6"))
UNKNOWN = of_name("unknown")
CALL_HOME = 4335
# Calls home with the identity on standard input: the caller is the TLS server (RFC 8071, section 3.1). Prints what the
# controller says to it, which speaks first as far as NETCONF is concerned (RFC 6241, section 8.1: both say hello).
CALLER = """
import socket, ssl, sys, tempfile
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
with tempfile.NamedTemporaryFile("w") as file:
    file.write(sys.stdin.read())
    file.flush()
    context.load_cert_chain(file.name)
try:
    with context.wrap_socket(socket.create_connection((sys.argv[1], int(sys.argv[2])), 10), server_side=True) as tls:
        print("heard", tls.recv(4096))
except (ssl.SSLError, ConnectionError) as refusal:
    print("refused", refusal)
"""


def call(workbench: Workbench, shown: Shown) -> str:
    """How a call to the controller ends."""
    return workbench.node.exec(PYTHON, "-c", CALLER, WAN, str(CALL_HOME), stdin=shown.pem).strip()


def certified(authority: Authority, name: str, serial: str, not_after: datetime | None = None) -> Shown:
    """What a device would show, had the authority certified it."""
    key = new_key()
    names = (f"{name}.elasticlab.example",)
    subject = Subject(name, serial_number=serial, dns_names=names, not_after=not_after)
    return Shown(authority.issue(subject, key.public_key()), key_pem(key))


@pytest.fixture
def operational(lab: Lab, tmp_path: Path) -> Authority:
    """The manager's own authority, which no thief has: for what it would not sign."""
    folder = tmp_path / "operational"
    folder.mkdir(mode=0o700)
    for name in ("ca.key", "ca.pem"):
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(lab["stack"].exec("cat", f"/var/lib/manager/authority/{name}"))
    return Authority(folder)


def test_callers_whom_nobody_has_certified(operator: Operator, workbench: Workbench, tmp_path: Path) -> None:
    foreign = certified(Authority.open(tmp_path / "foreign", "elasticlab operational CA", None), NAME, "EL-UCPE-0001")
    with operator.gives_nothing(), operator.leaves_alone("vmsr-1", "ucpe-1", "ucpe-2"):
        with operator.alarmed("device-refused", UNKNOWN, "warning"):
            for shown in (foreign, workbench.copied_idevid(NAME)):
                assert call(workbench, shown).startswith("refused")
        assert workbench.address in (operator.alarm("device-refused", UNKNOWN) or {})["alarm-text"]


def test_a_certificate_that_is_over(operator: Operator, workbench: Workbench, operational: Authority) -> None:
    over = certified(operational, NAME, "EL-UCPE-0001", now() - timedelta(minutes=1))
    with operator.gives_nothing(), operator.leaves_alone("vmsr-1", "ucpe-1", "ucpe-2"):
        with operator.alarmed("device-refused", UNKNOWN, "warning"):
            assert call(workbench, over).startswith("refused")
        assert "expired" in (operator.alarm("device-refused", UNKNOWN) or {})["alarm-text"]


@pytest.mark.parametrize(
    ("name", "serial"),
    [("ghost", "EL-GHOST-0001"), ("vmsr-1", "EL-UCPE-0002"), ("ucpe-9", "EL-UCPE-0002")],
    ids=["not in the registry", "the name of another device", "a name that is not its own"],
)
def test_a_name_and_a_serial_number_that_the_registry_does_not_have_together(
    operator: Operator, workbench: Workbench, operational: Authority, name: str, serial: str
) -> None:
    """The signature is good, the registry decides; whose name it is keeps its session."""
    with operator.gives_nothing(), operator.leaves_alone("vmsr-1", "ucpe-1", "ucpe-2"):
        with operator.alarmed("device-refused", of_name(name), "warning"):
            assert not call(workbench, certified(operational, name, serial)).startswith("heard b'<")
        assert serial in (operator.alarm("device-refused", of_name(name)) or {})["alarm-text"]


def test_a_copied_key_at_the_same_time(lab: Lab, operator: Operator, workbench: Workbench) -> None:
    """Whoever copied it sits elsewhere and calls while the box is there: both are out, also at manager and POP."""
    name, serial, address = BOXES[0]
    was, stolen = operator.certificates(serial), workbench.copied_operational(name)
    assert address in associations(lab, "vmsr-1")
    with operator.gives_nothing(), operator.leaves_alone("vmsr-1", "ucpe-2"):
        with operator.alarmed("device-cloned", of_name(name), "critical"), workbench.clone(name):
            wait_for("neither to be believed", lambda: not operator.connected(name), 20)
            wait_for("refused calls to be told", lambda: operator.active("device-refused", of_name(name)), 10)
            locked_out(operator, serial, was)
            wait_for("the tunnel at the POP to end", lambda: address not in associations(lab, "vmsr-1"), 10)
        for component in (("device-cloned", of_name(name)), ("copied-device-key", of_serial(serial))):
            said = operator.alarm(*component) or {}
            assert workbench.address in said["alarm-text"]
            assert address in said["alarm-text"]
        for operation in ("simpleenroll", "simplereenroll"):
            assert workbench.enrol(stolen, operation, request(new_key(), stolen.subject)).status == 403
        lab["host-1"].must_not_reach(INTERNET)
        assert not operator.connected(name)
        assert address not in associations(lab, "vmsr-1"), "it came back by IKE"
    taken_in_anew(lab, operator, BOXES[0], was)


def test_a_copied_key_while_the_box_is_off(lab: Lab, operator: Operator, workbench: Workbench) -> None:
    """The key is right and nobody else is there: only the return of the box tells, and then both are out."""
    name, serial, _ = BOXES[1]
    was = operator.certificates(serial)
    with operator.gives_nothing(), operator.leaves_alone("vmsr-1", "ucpe-1"):
        cloned = operator.alarmed("device-cloned", of_name(name), "critical")
        with cloned, switched_off(lab, name) as switch_on, workbench.clone(name):
            wait_for("the copy to be believed", lambda: stands_at(operator, name, workbench.address), 20)
            switch_on()
            wait_for("neither to be believed", lambda: not operator.connected(name), 20)
            locked_out(operator, serial, was)
    taken_in_anew(lab, operator, BOXES[1], was)


def locked_out(operator: Operator, serial: str, certificates: Collection[str]) -> None:
    """The registry says so, and nothing that the box had holds any more."""
    wait_for("the registry to say so", lambda: operator.device(serial)["status"] == "quarantined", 10)
    assert operator.certificates(serial) == dict.fromkeys(certificates, True)


def taken_in_anew(lab: Lab, operator: Operator, box: Box, before: Collection[str]) -> None:
    """Released and reset the box is back with other keys, and what was said of it is over."""
    name, serial, address = box
    assert operator.release(serial) == 204
    assert operator.active("device-cloned", of_name(name)), "it has not come yet"
    reset(lab, name)
    operator.wait_until_back((name, serial))
    wait_for("the box to be where it was", lambda: stands_at(operator, name, address), 15)
    fresh = {number: revoked for number, revoked in operator.certificates(serial).items() if number not in before}
    assert list(fresh.values()) == [False, False]
    for alarm in (("device-cloned", of_name(name)), ("copied-device-key", of_serial(serial))):
        wait_for(f"the end of the alarm {alarm[0]}", lambda alarm=alarm: not operator.active(*alarm), 10)


@contextmanager
def switched_off(lab: Lab, box: str) -> Iterator[Callable[[], None]]:
    """A box whose software stands still until the end of the block, or until what is yielded is called."""
    lab[box].exec("sv", "-w", "20", "stop", "element")

    def switch_on() -> None:
        lab[box].exec("sv", "up", "element")

    try:
        yield switch_on
    finally:
        switch_on()


def stands_at(operator: Operator, name: str, address: str) -> bool:
    """Has the controller a session with whoever is there?"""
    found = operator.network(name)
    return (found.get("connected"), found.get("wan-address")) == (True, address)
