"""The CA's files, the CRL, and that what was decided outlives a `kill -9`."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from manager.authority import Authority, AuthorityError, RequestError, load_request
from manager.conveyed import unwrap, wrap


def test_the_key_is_secret_and_stays(tmp_path):
    first = Authority(tmp_path / "ca")
    key = tmp_path / "ca" / "ca.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert Authority(tmp_path / "ca").certificate == first.certificate
    key.chmod(0o640)
    with pytest.raises(AuthorityError, match="read by others"):
        Authority(tmp_path / "ca")


def test_names_of_the_request_do_not_count(tmp_path):
    authority = Authority(tmp_path / "ca")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = authority.issue("box", "SN1", "example", "ike", key.public_key())
    assert authority.issued(certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["box.example"]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    with pytest.raises(RequestError):
        load_request(b"\x30\x00")


@pytest.mark.parametrize("life", [timedelta(seconds=30), timedelta(days=365)])
def test_a_certificate_lives_as_long_as_is_set_from_now_on(tmp_path, life):
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    certificate = Authority(tmp_path / "ca", life).issue("box", "SN1", "example", "ike", key)
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    assert life - timedelta(seconds=5) <= left <= life
    before = datetime.now(UTC) - certificate.not_valid_before_utc
    assert before <= min(timedelta(hours=1), life / 10) + timedelta(seconds=5), (
        "its middle is near the middle of its use"
    )


def test_conveyed_information_is_cms_and_nothing_else_is_taken():
    der = wrap(b"hello", "xml")
    assert der.hex().startswith("3016060b2a864886f70d010910012aa0070405")
    assert unwrap(der) == ("xml", b"hello")
    with pytest.raises(ValueError, match=r"1\.2\.3"):
        unwrap(bytes.fromhex("300a06022a03a0040402ffff"))


def start(path, settings, program="from manager.main import main; main()"):
    """The manager as a process of its own; RuntimeError when it ends before it serves."""
    lines = []
    for key, value in settings.items():
        shown = "[" + ",".join(f'"{one}"' for one in value) + "]" if isinstance(value, list) else f'"{value}"'
        lines.append(f"{key} = {value if isinstance(value, int) else shown}")
    (path / "manager.toml").write_text("\n".join(lines))
    environment = {**os.environ, "ELASTICLAB_SETTINGS": str(path / "manager.toml")}
    process = subprocess.Popen([sys.executable, "-c", program], env=environment, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "serving on" in line:
            return process, [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", line)]
    raise RuntimeError(f"the manager ended: {process.wait()}")


async def test_killed_between_decision_and_answer_it_gives_the_same_certificate(world):
    """The process is killed by SIGKILL when the certificate is on record and the answer is not out yet."""
    await world.register("SN1")
    box = world.visitor("SN1")
    world.stop.set()
    settings = {name: value for name, value in vars_of(world.settings()).items() if value is not None}
    deadly = (
        "import os, signal\nfrom manager import wan\n"
        "wan.Wan._enrolment = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from manager.main import main; main()"
    )
    process, ports = start(world.folder, settings, deadly)
    world.wan = f"https://127.0.0.1:{ports[1]}"
    with pytest.raises(httpx.TransportError):
        await box.bootstrap()
    assert process.wait(10) == -signal.SIGKILL
    database = sqlite3.connect(world.folder / "data" / "manager.sqlite")
    ((stored,),) = database.execute("SELECT serial_number FROM certificate").fetchall()
    database.close()
    process, ports = start(world.folder, settings)
    try:
        world.wan = f"https://127.0.0.1:{ports[1]}"
        certificate = world.certificate_in(await box.bootstrap())
        assert f"{certificate.serial_number:x}" == stored
    finally:
        process.terminate()
        process.wait(10)


def vars_of(settings):
    from dataclasses import asdict
    from pathlib import Path

    def plain(value):
        if isinstance(value, list):
            return [plain(one) for one in value]
        return str(value) if isinstance(value, Path) else value

    return {name: plain(value) for name, value in asdict(settings).items()}
