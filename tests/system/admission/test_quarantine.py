"""A box whose factory key was copied, until a person releases it; impostors wait for it when it starts anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from harness.factory.authority import Authority, Subject, key_pem, new_key
from harness.lab import Lab
from harness.wait import wait_for

from .conftest import Operator, Workbench, of_serial, request, reset, serial_name

pytestmark = pytest.mark.topology("admission")

NAME, SERIAL = "ucpe-2", "EL-UCPE-0002"
LURE, PORTS = IPv4Address("192.0.2.5"), (8572, 8573, 8574)
# A bootstrap server on each port with the certificate in /run/impostor/PORT.pem, which writes down how calls ended.
IMPOSTOR = """
import socket, ssl, sys, threading
def serve(port):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"/run/impostor/{port}.pem")
    context.load_verify_locations("/run/impostor/maker.pem")
    context.verify_mode = ssl.CERT_OPTIONAL
    listener = socket.create_server((sys.argv[1], port))
    print(port, "listens", flush=True)
    while True:
        tcp, _ = listener.accept()
        try:
            with context.wrap_socket(tcp, server_side=True) as tls:
                print(port, "gets", tls.getpeercert(), tls.recv(4096), flush=True)
        except OSError as error:
            print(port, "refused", getattr(error, "reason", error), flush=True)
for port in sys.argv[2:]:
    threading.Thread(target=serve, args=[int(port)]).start()
"""


@pytest.fixture
def impostors(lab: Lab, workbench: Workbench, tmp_path: Path) -> dict[int, str]:
    """What the three of them show: a name like the anchor's, another CA of the maker, the anchor's for elsewhere."""
    there = Subject("manager", addresses=(LURE,))
    elsewhere = Subject("manager", addresses=(IPv4Address("203.0.113.6"),))
    signers = (
        (Authority.open(tmp_path / "like", "elasticlab maker's bootstrap anchor", None), there),
        (workbench.authority("maker"), there),
        (workbench.authority("anchor"), elsewhere),
    )
    shown = {}
    for port, (authority, subject) in zip(PORTS, signers, strict=True):
        key = new_key()
        shown[port] = (authority.issue(subject, key.public_key()) + key_pem(key)).decode()
    return shown


@contextmanager
def waiting(lab: Lab, workbench: Workbench, shown: dict[int, str]) -> Iterator[Path]:
    """The impostors wait for boxes until the end of the block; yields where they write (in node internet)."""
    node, log = lab["internet"], Path("/run/impostor/log")
    node.sh("rm -rf /run/impostor; umask 077; mkdir /run/impostor")
    files = {f"{port}.pem": text for port, text in shown.items()}
    files |= {"maker.pem": lab.factory.maker_ca.read_text(), "server.py": IMPOSTOR}
    for name, text in files.items():
        node.run("/bin/sh", "-euc", f"cat > /run/impostor/{name}", stdin=text).check()
    ports = " ".join(map(str, PORTS))
    run = f"setsid python3 /run/impostor/server.py {LURE} {ports} >{log} 2>&1 </dev/null & echo $!"
    pid = node.sh(run).strip()
    try:
        wait_for("the impostors to listen", lambda: node.exec("cat", str(log)).count("listens") == len(PORTS), 5)
        yield log
    finally:
        node.sh(f"kill -KILL {pid}")


def test_a_copied_factory_key_used_later(
    lab: Lab, operator: Operator, workbench: Workbench, impostors: dict[int, str]
) -> None:
    """Copy and box are locked out at once; released, the box comes back as a new one, past those that lure it."""
    copy, old = workbench.copied_idevid(NAME), workbench.copied_operational(NAME)
    before = operator.certificates(SERIAL)
    with operator.gives_nothing(), operator.leaves_alone("vmsr-1", "ucpe-1"):
        with operator.alarmed("copied-device-key", of_serial(SERIAL), "critical"):
            assert workbench.bootstrap(copy, request(new_key(), serial_name(SERIAL))).status == 403
        assert operator.device(SERIAL)["status"] == "quarantined"
        assert operator.certificates(SERIAL) == dict.fromkeys(before, True)
        wait_for("the box's session to end", lambda: not operator.connected(NAME), 10)
        assert workbench.enrol(old, "simplereenroll", request(new_key(), old.subject)).status == 403
        assert operator.release(SERIAL) == 204
        assert operator.device(SERIAL)["status"] == "expected"

    with operator.leaves_alone("vmsr-1", "ucpe-1"), waiting(lab, workbench, impostors) as log:
        reset(lab, NAME)
        operator.wait_until_back((NAME, SERIAL))
        told = lab["internet"].exec("cat", str(log))
    assert "gets" not in told, "an impostor heard something of the box"
    for port in PORTS:
        assert f"{port} refused" in told, f"the box did not ask {port}: {told}"
    fresh = {number: revoked for number, revoked in operator.certificates(SERIAL).items() if number not in before}
    assert list(fresh.values()) == [False, False]
    assert operator.device(SERIAL)["pinned-key"]
    assert not operator.active("copied-device-key", of_serial(SERIAL))
