"""The factory as the harness uses it: what it makes, what it keeps, what it refuses."""

import json
import multiprocessing
import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from harness.factory import Factory, FactoryError, store


@pytest.fixture
def factory(tmp_path: Path) -> Factory:
    return Factory.open(tmp_path / "lab")


@pytest.fixture
def box(factory: Factory) -> Path:
    return factory.box("ucpe-1", "ucpe", "ucpe-100")


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def openssl(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["openssl", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def snapshot(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


# What a box is given.


def test_a_box_holds_exactly_the_files_the_node_expects(box: Path) -> None:
    assert set(snapshot(box)) == {
        "identity.json",
        "idevid.key",
        "idevid.pem",
        "maker-ca.pem",
        "trust-anchor.pem",
        "day0.json",
    }


def test_identity_says_who_the_box_is(factory: Factory, box: Path) -> None:
    identity = json.loads((box / "identity.json").read_text())
    assert identity == {
        "serial": factory.identity("ucpe-1").serial,
        "model": "ucpe-100",
        "personality": "ucpe",
    }


def test_keys_are_their_owners_alone_under_any_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        factory = Factory.open(tmp_path / "lab")
        factory.box("ucpe-1", "ucpe", "ucpe-100")
    finally:
        os.umask(old)
    keys = [
        p for p in (tmp_path / "lab").rglob("*") if p.is_file() and p.suffix != ".pem" and b"PRIVATE" in p.read_bytes()
    ]
    assert len(keys) == 6  # three CAs, administrator's two, the box's one
    assert {stat.S_IMODE(p.stat().st_mode) for p in keys} == {0o600}
    assert stat.S_IMODE((tmp_path / "lab" / "authorities").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "lab" / "boxes" / "ucpe-1" / "identity.json").stat().st_mode) == 0o644


def test_files_can_be_read_under_a_narrow_umask(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        box = Factory.open(tmp_path / "lab").box("ucpe-1", "ucpe", "ucpe-100")
    finally:
        os.umask(old)
    assert stat.S_IMODE((box / "identity.json").stat().st_mode) == 0o644
    assert stat.S_IMODE(box.stat().st_mode) == 0o755


def test_no_key_of_a_ca_or_of_the_administrator_is_reachable_from_a_box(factory: Factory, box: Path) -> None:
    foreign = {
        load_pem_private_key((factory.directory / "authorities" / ca / "ca.key").read_bytes(), None)
        .private_numbers()  # type: ignore[union-attr]
        .private_value
        for ca in ("maker", "anchor", "service")
    }
    secret = [factory.admin.ssh_key.read_bytes(), factory.admin.tls_key.read_bytes()]
    paths = list(box.rglob("*"))
    assert not [p for p in paths if p.is_symlink()]
    for path in filter(Path.is_file, paths):
        assert path.stat().st_nlink == 1  # no hard link to something outside
        content = path.read_bytes()
        assert content not in secret
        if path.suffix == ".key":
            key = load_pem_private_key(content, None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            assert key.private_numbers().private_value not in foreign


def test_every_key_is_another(factory: Factory) -> None:
    for node in ("ucpe-1", "ucpe-2"):
        factory.box(node, "ucpe", "ucpe-100")
    keys = [p.read_bytes() for p in factory.directory.rglob("*") if p.is_file() and b"PRIVATE" in p.read_bytes()]
    assert len(keys) == len(set(keys)) == 7


# The certificates, field by field.


def test_idevid_is_an_802_1ar_identity(factory: Factory, box: Path) -> None:
    idevid = certificate(box / "idevid.pem")
    serial = idevid.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
    assert [a.value for a in serial] == [factory.identity("ucpe-1").serial]
    assert idevid.not_valid_after_utc == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    shown = openssl("x509", "-in", box / "idevid.pem", "-noout", "-enddate").stdout
    assert shown == "notAfter=Dec 31 23:59:59 9999 GMT\n"
    assert idevid.issuer == certificate(factory.maker_ca).subject
    with pytest.raises(x509.ExtensionNotFound):
        idevid.extensions.get_extension_for_class(x509.ExtendedKeyUsage)


def test_the_administrators_certificate_calls_and_serves_nobody(factory: Factory) -> None:
    client = certificate(factory.admin.tls_certificate)
    assert list(client.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CLIENT_AUTH
    ]
    assert client.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "admin"


def test_every_certificate_keeps_to_rfc_5280(factory: Factory, box: Path) -> None:
    authorities = {certificate(p).subject: certificate(p) for p in (factory.maker_ca, factory.service_ca)}
    leaves = [box / "idevid.pem", factory.admin.tls_certificate]
    numbers = set()
    for leaf in map(certificate, leaves):
        issuer = authorities[leaf.issuer]
        basic = leaf.extensions.get_extension_for_class(x509.BasicConstraints)
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
        aki = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        ski = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        assert leaf.version is x509.Version.v3
        assert (basic.critical, basic.value.ca) == (True, False)
        assert (usage.critical, usage.value.digital_signature, usage.value.key_cert_sign) == (True, True, False)
        assert aki.key_identifier == ski.digest
        assert issuer.not_valid_before_utc <= leaf.not_valid_before_utc
        assert leaf.serial_number.bit_length() > 64
        numbers.add(leaf.serial_number)
    assert len(numbers) == len(leaves)
    for issuer in authorities.values():
        basic = issuer.extensions.get_extension_for_class(x509.BasicConstraints)
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage)
        assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
        assert (usage.critical, usage.value.key_cert_sign, usage.value.crl_sign) == (True, True, True)
        assert not usage.value.digital_signature


def test_certificates_are_valid_from_an_hour_ago(box: Path) -> None:
    age = datetime.now(UTC) - certificate(box / "idevid.pem").not_valid_before_utc
    assert timedelta(minutes=59) < age < timedelta(minutes=65)


def test_the_administrators_ssh_key_is_in_openssh_format(factory: Factory) -> None:
    private = factory.admin.ssh_key.read_bytes()
    assert private.startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----\n")
    line = load_ssh_private_key(private, None).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    assert factory.admin.ssh_public.read_bytes().startswith(line + b" ")


# Chains, by OpenSSL, which none of us wrote.


def test_openssl_accepts_the_right_chain(factory: Factory, box: Path) -> None:
    for ca, leaf, purpose in (
        (factory.maker_ca, box / "idevid.pem", "sslclient"),
        (factory.service_ca, factory.admin.tls_certificate, "sslclient"),
    ):
        result = openssl("verify", "-x509_strict", "-CAfile", ca, "-purpose", purpose, leaf)
        assert result.returncode == 0, result.stderr


def test_openssl_refuses_the_other_cas_certificates_and_wrong_purposes(factory: Factory, box: Path) -> None:
    for ca, leaf, purpose in (
        (factory.service_ca, box / "idevid.pem", "sslclient"),
        (factory.maker_ca, factory.admin.tls_certificate, "sslclient"),
        (factory.service_ca, factory.admin.tls_certificate, "sslserver"),
    ):
        assert openssl("verify", "-x509_strict", "-CAfile", ca, "-purpose", purpose, leaf).returncode != 0


def test_another_labs_ca_is_a_stranger(tmp_path: Path, box: Path) -> None:
    other = Factory.open(tmp_path / "other")
    assert openssl("verify", "-CAfile", other.maker_ca, box / "idevid.pem").returncode != 0


def test_an_old_certificate_of_the_administrator_is_renewed_for_the_same_key(
    factory: Factory, box: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, idevid = certificate(factory.admin.tls_certificate), (box / "idevid.pem").read_bytes()
    later = datetime.now(UTC) + timedelta(days=300)
    for module in ("authority", "box"):
        monkeypatch.setattr(f"harness.factory.{module}.now", lambda: later)
    again = Factory.open(factory.directory)
    again.box("ucpe-1", "ucpe", "ucpe-100")
    new = certificate(again.admin.tls_certificate)
    assert new.not_valid_after_utc > later + timedelta(days=300)
    assert new.public_key() == old.public_key()
    assert (box / "idevid.pem").read_bytes() == idevid


# Kept, whole, and one at a time.


def test_a_second_up_keeps_everything(factory: Factory, box: Path) -> None:
    before = snapshot(factory.directory)
    again = Factory.open(factory.directory)
    assert again.box("ucpe-1", "ucpe", "ucpe-100") == box
    assert snapshot(factory.directory) == before


@contextmanager
def power_cut_after(writes: int) -> Iterator[None]:
    """The so-many-th write is the last whole one; the next leaves half a file and nothing runs after it."""
    real, left = store._write, writes

    def write(path: Path, content: bytes, mode: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            path.write_bytes(content[: len(content) // 2])
            raise KeyboardInterrupt
        real(path, content, mode)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_write", write)
        yield


def test_a_cut_in_the_middle_leaves_nothing_or_all(tmp_path: Path) -> None:
    """Every one of the 16 writes of the first `up` is cut once; what the next run finds must do."""
    for writes in range(16):
        directory = tmp_path / f"lab-{writes}"
        with power_cut_after(writes), pytest.raises(KeyboardInterrupt):
            Factory.open(directory).box("ucpe-1", "ucpe", "ucpe-100")
        factory = Factory.open(directory)
        box = factory.box("ucpe-1", "ucpe", "ucpe-100")
        assert len(snapshot(box)) == 6
        assert factory.nodes() == ("ucpe-1",)
        assert not list(directory.rglob("*.new"))
        assert openssl("verify", "-CAfile", factory.maker_ca, box / "idevid.pem").returncode == 0
    with power_cut_after(16):
        Factory.open(tmp_path / "whole").box("ucpe-1", "ucpe", "ucpe-100")


def _make(arguments: tuple[Path, str]) -> str:
    directory, node = arguments
    factory = Factory.open(directory)
    factory.box(node, "ucpe", "ucpe-100")
    return factory.service_ca.read_text() + factory.identity(node).serial


def test_two_runs_at_once_make_one_lab(tmp_path: Path) -> None:
    jobs = [(tmp_path / "lab", f"ucpe-{n % 2}") for n in range(6)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert len(set(pool.map(_make, jobs))) == 2


# Serial numbers.


def test_serial_numbers_are_unique_stable_and_may_be_chosen(factory: Factory) -> None:
    for n in range(5):
        factory.box(f"ucpe-{n}", "ucpe", "ucpe-100")
    factory.box("ucpe-9", "ucpe", "ucpe-100", serial="SN-0009")
    serials = [factory.identity(node).serial for node in factory.nodes()]
    assert len(set(serials)) == 6
    assert serials[-1] == "SN-0009"
    assert [Factory.open(factory.directory).identity(n).serial for n in factory.nodes()] == serials


def test_one_serial_number_is_on_one_box(factory: Factory) -> None:
    factory.box("ucpe-1", "ucpe", "ucpe-100", serial="SN-1")
    with pytest.raises(FactoryError, match="is on the box of 'ucpe-1'"):
        factory.box("ucpe-2", "ucpe", "ucpe-100", serial="SN-1")
    assert factory.nodes() == ("ucpe-1",)


# What the factory refuses.


def test_the_longest_names_fit_into_the_certificates(factory: Factory) -> None:
    factory.box("n" * 40, "vmsr", "m" * 64, serial="S" * 32)


@pytest.mark.parametrize(
    ("node", "personality", "model", "serial", "reason"),
    [
        ("../evil", "ucpe", "m", None, "is no node name"),
        ("", "ucpe", "m", None, "is no node name"),
        ("n" * 41, "ucpe", "m", None, "is no node name"),
        ("a\n", "ucpe", "m", None, "is no node name"),
        ("ucpe-1", "toaster", "m", None, "the factory makes ucpe, vmsr, vpcgw"),
        ("ucpe-1", "ucpe", "", None, "a model has"),
        ("ucpe-1", "ucpe", "x" * 65, None, "a model has"),
        ("ucpe-1", "ucpe", "m", "sn", "a serial number has"),
        ("ucpe-1", "ucpe", "m", "A/../B", "a serial number has"),
    ],
)
def test_refused(factory: Factory, node: str, personality: str, model: str, serial: str | None, reason: str) -> None:
    with pytest.raises(FactoryError, match=reason):
        factory.box(node, personality, model, serial)
    assert factory.nodes() == ()


@pytest.mark.parametrize(("personality", "model", "serial"), [("vmsr", "ucpe-100", None), ("ucpe", "ucpe-200", None)])
def test_a_box_does_not_change_what_it_is(
    factory: Factory, box: Path, personality: str, model: str, serial: str | None
) -> None:
    with pytest.raises(FactoryError, match="left the factory as ucpe ucpe-100"):
        factory.box("ucpe-1", personality, model, serial)


def test_what_was_never_made_cannot_be_asked(factory: Factory, box: Path) -> None:
    with pytest.raises(FactoryError, match=r"made no box for 'ucpe-7' \(boxes: ucpe-1\)"):
        factory.identity("ucpe-7")


def test_a_password_is_drawn_once_and_is_its_owners_alone(factory: Factory) -> None:
    path = factory.password("acme")
    drawn = path.read_text()
    assert len(drawn.strip()) >= 16
    assert Factory.open(factory.directory).password("acme").read_text() == drawn
    assert factory.password("globex").read_text() != drawn
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("user", ["", "../x", "Acme", "a" * 64])
def test_nobody_of_another_name_logs_in(factory: Factory, user: str) -> None:
    with pytest.raises(FactoryError, match="cannot log in"):
        factory.password(user)


def test_a_ca_key_that_others_can_read_is_refused(factory: Factory) -> None:
    (factory.directory / "authorities" / "service" / "ca.key").chmod(0o644)
    with pytest.raises(FactoryError, match="can be read by others"):
        Factory.open(factory.directory)


@pytest.mark.parametrize("name", ["ca.key", "ca.pem"])
def test_a_damaged_authority_is_refused_not_replaced(factory: Factory, name: str) -> None:
    path = factory.directory / "authorities" / "service" / name
    path.write_bytes(b"-----BEGIN")
    with pytest.raises(FactoryError, match="remove the lab directory"):
        Factory.open(factory.directory)
    assert path.read_bytes() == b"-----BEGIN"


def test_a_place_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FactoryError, match="the factory needs a directory it can write to"):
        Factory.open(tmp_path / "file" / "lab")
