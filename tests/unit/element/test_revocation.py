"""Which revocation list is in force, and which are not taken (RFC 5280)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from element.revocation import RevocationError, Revocations, is_revoked

Make = Callable[[str], Any]


@pytest.fixture
def ca(authority: Make) -> Any:
    return authority("operator")


@pytest.fixture
def lists(ca: Any, tmp_path: Path) -> Revocations:
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    given(tmp_path, ca.crl(5))
    return Revocations(tmp_path / "ca.pem", tmp_path / "given.pem", tmp_path / "installed.pem")


def given(folder: Path, crl: bytes) -> None:
    (folder / "given.pem").write_bytes(x509.load_der_x509_crl(crl).public_bytes(Encoding.PEM))


def device(ca: Any) -> x509.Certificate:
    return ca.issue(x509.Name([]), ca.key.public_key())


def test_a_newer_list_comes_into_force_and_stays(ca: Any, lists: Revocations, tmp_path: Path) -> None:
    bad = device(ca)
    assert not lists.revoked(bad.public_bytes(Encoding.DER))
    lists.install(ca.crl(6, bad))
    again = Revocations(tmp_path / "ca.pem", tmp_path / "given.pem", tmp_path / "installed.pem")
    assert again.revoked(bad.public_bytes(Encoding.DER))
    assert not again.revoked(device(ca).public_bytes(Encoding.DER))
    assert (tmp_path / "installed.pem").stat().st_mode & 0o777 == 0o600


def test_the_newest_of_both_ways_counts(ca: Any, lists: Revocations, tmp_path: Path) -> None:
    lists.install(ca.crl(6))
    assert lists.path == tmp_path / "installed.pem"
    given(tmp_path, ca.crl(7))
    assert lists.path == tmp_path / "given.pem"
    with pytest.raises(RevocationError, match="number 6 is not newer than number 7"):
        lists.install(ca.crl(6))


def test_the_same_list_again_is_no_mistake(ca: Any, lists: Revocations) -> None:
    crl = ca.crl(6)
    lists.install(crl)
    lists.install(crl)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda ca, other: b"nonsense", "no certificate revocation list"),
        (lambda ca, other: ca.crl(6)[:-1], "no certificate revocation list"),
        (lambda ca, other: ca.crl(6)[:-2] + b"\0\0", "not signed by the operator's CA"),
        (lambda ca, other: other.crl(6), "not signed by the operator's CA"),
        (lambda ca, other: ca.crl(4), "number 4 is not newer than number 5"),
        (lambda ca, other: ca.crl(5, device(ca)), "number 5 is not newer"),
        (lambda ca, other: ca.crl(None), "has no number"),
        (lambda ca, other: ca.crl(6, ends=timedelta(hours=-1)), "ended at"),
    ],
    ids=["nonsense", "cut", "forged", "namesake's", "older", "other of the same number", "unnumbered", "out of date"],
)
def test_other_lists_are_refused(
    ca: Any, authority: Make, lists: Revocations, tmp_path: Path, make: Callable[[Any, Any], bytes], reason: str
) -> None:
    with pytest.raises(RevocationError, match=reason):
        lists.install(make(ca, authority("operator")))
    assert lists.path == tmp_path / "given.pem"
    assert not (tmp_path / "installed.pem").exists()


def test_another_operators_list_is_not_used(ca: Any, authority: Make, lists: Revocations, tmp_path: Path) -> None:
    lists.install(ca.crl(6))
    new = authority("operator")
    (tmp_path / "ca.pem").write_bytes(new.pem)
    given(tmp_path, new.crl(1))
    assert lists.path == tmp_path / "given.pem"


def test_numbers_mean_certificates_of_their_issuer_only(ca: Any, authority: Make) -> None:
    bad = device(ca)
    crl = x509.load_der_x509_crl(authority("another").crl(1, bad))
    assert not is_revoked(crl, bad)
