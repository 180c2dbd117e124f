"""Who is not taken in: refused, alarmed, and given nothing (RFC 8572, RFC 9646; images/stack/README.md, "PKI")."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from harness.factory.authority import Authority, key_pem, new_key, now
from harness.lab import Lab

from .conftest import EST, Operator, Shown, Spare, Workbench, of_serial, request, serial_name

pytestmark = pytest.mark.topology("admission")

BOXES = ("vmsr-1", "ucpe-1", "ucpe-2")
UNKNOWN, HELD = "EL-UCPE-9999", "EL-UCPE-0002"


def fresh_request(serial: str) -> bytes:
    return request(new_key(), serial_name(serial))


def error_tag(text: str) -> str:
    """Of an error of RESTCONF (RFC 8040, section 7.1), which tells a stranger nothing of the reason."""
    error = json.loads(text)["ietf-restconf:errors"]["error"][0]
    assert error["error-message"] == "access denied"
    return str(error["error-tag"])


def test_an_unknown_serial_number(operator: Operator, workbench: Workbench) -> None:
    with operator.gives_nothing(), operator.leaves_alone(*BOXES):
        with operator.alarmed("unknown-device", of_serial(UNKNOWN), "warning"):
            answer = workbench.bootstrap(workbench.idevid(UNKNOWN), fresh_request(UNKNOWN))
        assert (answer.status, error_tag(answer.text)) == (403, "access-denied")
    assert UNKNOWN not in operator.statuses()
    assert workbench.report(workbench.idevid(UNKNOWN), "bootstrap-complete").status == 403
    assert UNKNOWN not in operator.statuses()


@pytest.fixture(params=["another maker", "one that has the maker's name", "our own service CA", "expired"])
def foreign(request: pytest.FixtureRequest, workbench: Workbench, tmp_path: Path) -> Shown:
    """A certificate for a device that we expect, of somebody who makes none of our devices, or over."""
    match request.param:
        case "another maker":
            return workbench.idevid(HELD, Authority.open(tmp_path / "other", "another maker CA", None))
        case "one that has the maker's name":
            true = workbench.authority("maker").certificate
            forged = Authority.open(tmp_path / "same", "x", None)
            key, builder = forged._key, x509.CertificateBuilder().subject_name(true.subject).issuer_name(true.subject)
            builder = builder.public_key(key.public_key()).serial_number(true.serial_number)
            builder = builder.not_valid_before(true.not_valid_before_utc).not_valid_after(true.not_valid_after_utc)
            for extension in forged.certificate.extensions:
                builder = builder.add_extension(extension.value, extension.critical)
            signed = builder.sign(key, hashes.SHA256())
            (tmp_path / "same" / "ca.pem").write_bytes(signed.public_bytes(Encoding.PEM))
            return workbench.idevid(HELD, Authority(tmp_path / "same"))
        case "our own service CA":
            return workbench.idevid(HELD, workbench.authority("service"))
        case _:
            return workbench.idevid(HELD, not_after=now() - timedelta(minutes=1))


def test_a_certificate_of_nobody_whom_we_know(operator: Operator, workbench: Workbench, foreign: Shown) -> None:
    with operator.gives_nothing(), operator.leaves_alone(*BOXES):
        with operator.alarmed("foreign-certificate", workbench.address, "warning"):
            answer = workbench.bootstrap(foreign, fresh_request(HELD))
        assert answer.status == 0, "TLS ends before a request is read"
    assert operator.device(HELD)["status"] == "managed"


def test_no_certificate_at_all(operator: Operator, workbench: Workbench) -> None:
    with operator.gives_nothing():
        assert workbench.bootstrap(None, fresh_request(HELD)).status == 401
        assert workbench.enrol(None, "simpleenroll", fresh_request(HELD)).status == 403


def test_the_same_serial_number_with_another_key(operator: Operator, workbench: Workbench) -> None:
    """The maker's own signature, but not the key that this serial number came with."""
    before = operator.device(HELD)
    with operator.gives_nothing(), operator.leaves_alone(*BOXES):
        with operator.alarmed("wrong-device-key", of_serial(HELD), "major"):
            answer = workbench.bootstrap(workbench.idevid(HELD), fresh_request(HELD))
        assert (answer.status, error_tag(answer.text)) == (403, "access-denied")
    now_known = operator.device(HELD)
    assert {k: now_known[k] for k in ("status", "pinned-key")} == {k: before[k] for k in ("status", "pinned-key")}
    assert not any(operator.certificates(HELD).values()), "somebody without the key cannot cut the box off"


def test_an_operational_certificate_is_no_identity_of_the_maker(operator: Operator, workbench: Workbench) -> None:
    with operator.gives_nothing(), operator.leaves_alone(*BOXES):
        with operator.alarmed("foreign-certificate", workbench.address, "warning"):
            answer = workbench.bootstrap(workbench.copied_operational("ucpe-2"), fresh_request(HELD))
        assert answer.status == 403


def test_the_makers_identity_is_no_operational_certificate(operator: Operator, workbench: Workbench) -> None:
    with operator.gives_nothing(), operator.leaves_alone(*BOXES):
        with operator.alarmed("foreign-certificate", workbench.address, "warning"):
            answer = workbench.enrol(workbench.copied_idevid("ucpe-2"), "simpleenroll", fresh_request(HELD))
        assert answer.status == 403


def test_no_device_gets_the_name_of_another(operator: Operator, workbench: Workbench) -> None:
    """RFC 7030, section 4.2.2: names are those of the certificate shown."""
    other = workbench.copied_operational("vmsr-1").subject
    with operator.gives_nothing(), operator.leaves_alone(*BOXES):
        for operation in ("simpleenroll", "simplereenroll"):
            answer = workbench.enrol(workbench.copied_operational("ucpe-2"), operation, request(new_key(), other))
            assert answer.status == 400, answer.text


class TestCopiesOfTheFactorysKey:
    """Nobody can tell original and copy apart: the second one that comes costs both what they have."""

    def test_used_at_the_same_time(self, operator: Operator, workbench: Workbench, spare: Spare) -> None:
        own_key = new_key()
        own = request(own_key, serial_name(spare.serial))
        first = workbench.bootstrap(spare.idevid, own)
        assert first.status == 200
        operational = Shown(conveyed_certificate(first.text), key_pem(own_key))
        again = workbench.bootstrap(spare.idevid, own)
        assert conveyed_certificate(again.text) == operational.certificate, "a cut box gets what it had"
        with operator.gives_nothing(), operator.leaves_alone(*BOXES):
            with operator.alarmed("copied-device-key", of_serial(spare.serial), "critical"):
                answer = workbench.bootstrap(spare.idevid, fresh_request(spare.serial))
            assert (answer.status, error_tag(answer.text)) == (403, "access-denied")
            assert operator.device(spare.serial)["status"] == "quarantined"
            assert list(operator.certificates(spare.serial).values()) == [True]
            with operator.alarmed("quarantined-device", of_serial(spare.serial), "minor"):
                assert workbench.bootstrap(spare.idevid, own).status == 403, "nor does the first get it again"
            with operator.alarmed("revoked-device", of_serial(spare.serial), "major"):
                renewal = request(new_key(), operational.subject)
                assert workbench.enrol(operational, "simpleenroll", renewal).status == 403
            assert workbench.report(spare.idevid, "bootstrap-complete").status == 403

    @pytest.mark.parametrize("what", ["the same request", "no request"])
    def test_replayed_later(self, operator: Operator, workbench: Workbench, spare: Spare, what: str) -> None:
        """Also its own request once more: what was bootstrapped does not bootstrap again."""
        own = fresh_request(spare.serial)
        again = own if what == "the same request" else None
        assert workbench.bootstrap(spare.idevid, own).status == 200
        assert workbench.report(spare.idevid, "bootstrap-complete").status == 204
        assert operator.device(spare.serial)["status"] == "managed"
        with operator.gives_nothing(), operator.leaves_alone(*BOXES):
            with operator.alarmed("copied-device-key", of_serial(spare.serial), "critical"):
                answer = workbench.bootstrap(spare.idevid, again)
            assert (answer.status, error_tag(answer.text)) == (403, "access-denied")
            assert operator.device(spare.serial)["status"] == "quarantined"
            assert list(operator.certificates(spare.serial).values()) == [True]

    def test_a_release_permits_one_bootstrap(self, operator: Operator, workbench: Workbench, spare: Spare) -> None:
        own = fresh_request(spare.serial)
        assert workbench.bootstrap(spare.idevid, own).status == 200
        assert workbench.bootstrap(spare.idevid, fresh_request(spare.serial)).status == 403
        assert operator.release(spare.serial) == 204
        assert (operator.alarm("copied-device-key", of_serial(spare.serial)) or {})["is-cleared"]
        assert workbench.bootstrap(workbench.idevid(spare.serial), own).status == 403, "its key stays pinned"
        new = workbench.bootstrap(spare.idevid, own)
        assert new.status == 200
        assert sorted(operator.certificates(spare.serial).values()) == [False, True], "what was revoked stays so"
        assert workbench.bootstrap(spare.idevid, fresh_request(spare.serial)).status == 403


def test_somebody_elses_recorded_request_is_not_answered(
    lab: Lab, operator: Operator, workbench: Workbench, spare: Spare
) -> None:
    """The body of a device's request, sent by somebody who has another maker's identity."""
    own = fresh_request(spare.serial)
    assert workbench.bootstrap(spare.idevid, own).status == 200
    with operator.gives_nothing(), operator.leaves_alone(*BOXES):
        assert workbench.bootstrap(workbench.idevid(UNKNOWN), own).status == 403
        assert workbench.bootstrap(workbench.idevid(spare.serial), own).status == 403
    assert operator.device(spare.serial)["status"] == "bootstrapping"
    assert list(operator.certificates(spare.serial).values()) == [False]


def test_what_is_public_is_the_revocation_list_and_the_authority(workbench: Workbench) -> None:
    assert workbench.ask("/crl", method="GET").status == 200
    assert workbench.ask(f"{EST}cacerts", method="GET").status == 200
    for path in ("/", "/restconf/data/elasticlab-devices:devices", "/openapi.json"):
        assert workbench.ask(path, method="GET").status == 404


def conveyed_certificate(text: str) -> bytes:
    """The device's certificate in the answer to a bootstrap, in PEM."""
    cms = base64.b64decode(json.loads(text)["ietf-sztp-bootstrap-server:output"]["conveyed-information"])
    inner = json.loads(cms[cms.index(b"{") : cms.rindex(b"}") + 1])
    document = base64.b64decode(inner["ietf-sztp-conveyed-info:onboarding-information"]["configuration"])
    begin, end = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
    return document[document.index(begin) : document.index(end)] + end
