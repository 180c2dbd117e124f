"""RFC 8572 with RFC 9646 over real TLS: who is taken in, and who is not."""

from __future__ import annotations

import asyncio
import base64
import json
import time

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

INPUT = "ietf-sztp-bootstrap-server:input"
XML = "application/yang-data+xml"
NS = "urn:ietf:params:xml:ns:yang:"


def refused(answer: httpx.Response) -> bool:
    """Nothing but access-denied, and no word of why."""
    assert answer.status_code == 403, answer.text
    (error,) = answer.json()["ietf-restconf:errors"]["error"]
    return error == {"error-type": "protocol", "error-tag": "access-denied", "error-message": "access denied"}


async def test_a_box_is_asked_for_its_request_then_gets_what_the_registry_says(world):
    await world.register("SN1", name="branch-1")
    box = world.visitor("SN1")
    asked = await box.ask()
    assert asked.status_code == 400
    (error,) = asked.json()["ietf-restconf:errors"]["error"]
    request = error["error-info"]["ietf-sztp-csr:csr-request"]
    assert error["error-tag"] == "missing-attribute"
    assert request["csr-generation"]["selected-format"]["format-identifier"] == "ietf-ztp-types:p10-csr"
    answer = await box.bootstrap()
    assert answer.status_code == 200, answer.text
    configuration = world.configuration_in(answer)
    assert world.text(configuration, "name") == "branch-1"
    assert world.text(configuration, "controller/port") == "4335"
    assert world.text(configuration, "user/ssh-key") == "ssh-ed25519 AAAA admin"
    certificate = world.certificate_in(answer)
    assert certificate.public_key() == box.own.public_key()
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "branch-1"
    assert certificate.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)[0].value == "SN1"
    device = await world.device("SN1")
    assert device["status"] == "bootstrapping"
    assert (await box.report("bootstrap-complete")).status_code == 204
    device = await world.device("SN1")
    assert device["status"] == "managed"
    assert device["progress"][-1]["type"] == "bootstrap-complete"
    assert device["certificate"][0]["purpose"] == "netconf"
    assert not await world.alarms()


async def test_the_last_report_may_come_twice(world):
    await world.register("SN1")
    box = world.visitor("SN1")
    await box.join()
    assert (await box.report("bootstrap-complete")).status_code == 204
    assert (await world.device("SN1"))["status"] == "managed"


async def test_a_box_that_crashed_gets_the_same_certificate_byte_for_byte(world):
    await world.register("SN1")
    box = world.visitor("SN1")
    first, second = [world.certificate_in(await box.bootstrap()) for _ in range(2)]
    assert first.public_bytes(Encoding.DER) == second.public_bytes(Encoding.DER)
    assert len((await world.device("SN1"))["certificate"]) == 1


async def test_xml_is_understood_and_answered(world):
    await world.register("SN1")
    box = world.visitor("SN1")
    csr = base64.b64encode(world.request_for(box.own)).decode()
    body = f'<input xmlns="{NS}ietf-sztp-bootstrap-server"><p10-csr xmlns="{NS}ietf-sztp-csr">{csr}</p10-csr></input>'
    support = (
        f'<input xmlns="{NS}ietf-sztp-bootstrap-server"><csr-support xmlns="{NS}ietf-sztp-csr"><csr-generation>'
        f'<supported-formats><format-identifier xmlns:z="{NS}ietf-ztp-types">z:p10-csr</format-identifier>'
        "</supported-formats></csr-generation></csr-support></input>"
    )
    path = "/restconf/operations/ietf-sztp-bootstrap-server:get-bootstrapping-data"
    async with world.client(world.anchor, box.idevid, base_url=world.wan) as client:
        asked = await client.post(path, content=support, headers={"content-type": XML})
        assert asked.status_code == 400
        assert "zt:p10-csr" in asked.text
        answer = await client.post(path, content=body, headers={"content-type": XML})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == XML
    assert b"conveyed-information" in answer.content


# -- hostile -----------------------------------------------------------------------------------------------------------


async def test_unknown_serial(world):
    assert refused(await world.visitor("SN9").bootstrap())
    alarm = (await world.alarms())["unknown-device"]
    assert "SN9" in alarm["resource"]
    assert not alarm["is-cleared"]


async def test_who_came_before_it_was_registered_is_no_alarm_once_it_may_come(world):
    box = world.visitor("SN1")
    assert refused(await box.bootstrap())
    await world.register("SN1")
    assert not (await world.alarms())["unknown-device"]["is-cleared"], "it has not come again"
    await box.bootstrap()
    assert (await world.alarms())["unknown-device"]["is-cleared"]


async def test_another_makers_certificate_does_not_get_through_tls(world):
    await world.register("SN1")
    stranger = world.visitor("SN1", maker=world.foreign)
    with pytest.raises(httpx.TransportError):
        await stranger.bootstrap()
    alarm = (await world.alarms())["foreign-certificate"]
    assert alarm["resource"] == "127.0.0.1"
    assert (await world.device("SN1"))["status"] == "expected"


async def test_the_same_serial_with_another_key_harms_nobody(world):
    await world.register("SN1")
    box = world.visitor("SN1")
    await box.join()
    assert refused(await world.visitor("SN1").bootstrap())
    assert (await world.alarms())["wrong-device-key"]["perceived-severity"] == "major"
    assert (await world.device("SN1"))["status"] == "managed"
    assert not list(await world.crl())


async def test_a_key_that_the_operator_told_counts_from_the_first_moment(world):
    await world.register("SN1", **{"idevid-key": "0" * 64})
    assert refused(await world.visitor("SN1").bootstrap())
    assert "wrong-device-key" in await world.alarms()


async def test_a_copied_key_at_the_same_time_quarantines_both(world):
    await world.register("SN1")
    box = world.visitor("SN1")
    certificate = world.certificate_in(await box.bootstrap())
    copy = world.visitor("SN1", key=box.key)
    assert refused(await copy.bootstrap())
    assert (await world.alarms())["copied-device-key"]["perceived-severity"] == "critical"
    assert (await world.device("SN1"))["status"] == "quarantined"
    assert [entry.serial_number for entry in await world.crl()] == [certificate.serial_number]
    assert refused(await box.bootstrap())  # the original too: nobody can tell which it is
    assert refused(await box.report("bootstrap-complete"))


async def test_a_copied_key_later_quarantines_until_released(world):
    await world.register("SN1")
    box = world.visitor("SN1")
    await box.join()
    assert refused(await world.visitor("SN1", key=box.key).bootstrap())
    assert (await world.device("SN1"))["status"] == "quarantined"
    assert len(list(await world.crl())) == 1
    path = "/restconf/data/elasticlab-devices:devices/device=SN1/release"
    async with world.operator() as operator:
        assert (await operator.post(path)).status_code == 204
        assert (await operator.post(path)).status_code >= 400  # in no quarantine any more
    assert (await world.alarms())["copied-device-key"]["is-cleared"]
    assert refused(await world.visitor("SN1").bootstrap())  # the key stays pinned
    await box.join()
    assert refused(await box.bootstrap())  # one bootstrap, not two


async def test_a_replayed_bootstrap_of_a_managed_box(world):
    await world.register("SN1")
    box = world.visitor("SN1")
    await box.join()
    assert refused(await box.bootstrap())  # the very same request, the very same key
    assert "copied-device-key" in await world.alarms()


async def test_a_revoked_device_gets_nothing_and_is_on_the_crl_at_once(world):
    await world.register("SN1")
    box = world.visitor("SN1")
    certificate = await box.join()
    number = (await world.crl()).extensions[1].value.crl_number
    begun = time.monotonic()
    await world.register("SN1", **{"administrative-state": "revoked"})
    crl = await world.crl()
    assert time.monotonic() - begun < 1
    assert crl.extensions[1].value.crl_number > number
    assert crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
    assert (await world.device("SN1"))["status"] == "revoked"
    assert refused(await box.bootstrap())
    assert (await box.est("simpleenroll", world.request_for(box.own))).status_code == 403
    assert "revoked-device" in await world.alarms()


async def test_a_device_that_is_legal_again_is_taken_in_again(world):
    await world.register("SN1", **{"administrative-state": "revoked"})
    box = world.visitor("SN1")
    assert refused(await box.bootstrap())
    assert not (await world.alarms())["revoked-device"]["is-cleared"]
    await world.register("SN1")
    assert (await world.alarms())["revoked-device"]["is-cleared"]
    await box.join()


async def test_an_operational_certificate_is_no_idevid(world):
    await world.register("SN1")
    box = world.visitor("SN1")
    await box.join()
    box.idevid = box.operational
    assert refused(await box.bootstrap())
    assert "foreign-certificate" in await world.alarms()


async def test_without_certificate_nothing_but_the_crl(world):
    async with world.client(world.anchor, base_url=world.wan) as client:
        path = "/restconf/operations/ietf-sztp-bootstrap-server:get-bootstrapping-data"
        headers = {"content-type": "application/yang-data+json"}
        assert (await client.post(path, json={INPUT: {}}, headers=headers)).status_code == 401
        assert (await client.post("/.well-known/est/simpleenroll", content=b"")).status_code == 403
        answer = await client.get("/crl")
        assert answer.status_code == 200
        again = await client.get("/crl", headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304


@pytest.mark.parametrize(
    ("body", "tag"),
    [
        (b"{", "malformed-message"),
        (b"[]", "malformed-message"),
        (b'{"ietf-sztp-bootstrap-server:input": 1}', "invalid-value"),
        (b'{"ietf-sztp-bootstrap-server:input": {"x": 1}}', "unknown-element"),
        (b'{"ietf-sztp-bootstrap-server:input": {}}', "missing-element"),
        (b'{"ietf-sztp-bootstrap-server:input": {"ietf-sztp-csr:p10-csr": "!"}}', "invalid-value"),
        (b'{"ietf-sztp-bootstrap-server:input": {"ietf-sztp-csr:p10-csr": "AAAA"}}', "invalid-value"),
        (b'{"ietf-sztp-bootstrap-server:input": {"ietf-sztp-csr:cmp-csr": "AAAA"}}', "operation-not-supported"),
    ],
)
async def test_bad_bodies_are_named(world, body, tag):
    await world.register("SN1")
    box = world.visitor("SN1")
    async with world.client(world.anchor, box.idevid, base_url=world.wan) as client:
        path = "/restconf/operations/ietf-sztp-bootstrap-server:get-bootstrapping-data"
        answer = await client.post(path, content=body, headers={"content-type": "application/yang-data+json"})
        assert answer.status_code == 400
        assert answer.json()["ietf-restconf:errors"]["error"][0]["error-tag"] == tag
        big = await client.post(path, content=b" " * 70000, headers={"content-type": "application/yang-data+json"})
        assert big.status_code == 413
        assert (await client.post(path, content=body, headers={"content-type": "text/plain"})).status_code == 415


async def test_a_request_without_proof_of_possession(world):
    await world.register("SN1")
    box = world.visitor("SN1")
    broken = bytearray(world.request_for(box.own))
    broken[-1] ^= 1
    body = {INPUT: {"ietf-sztp-csr:p10-csr": base64.b64encode(broken).decode()}}
    assert (await box.post("get-bootstrapping-data", body)).status_code == 400


async def test_concurrent_copies_one_certificate_at_most_stays_valid(world):
    """Two boxes with one key at the very same moment: whatever the order, nothing that was issued holds afterwards."""
    await world.register("SN1")
    box = world.visitor("SN1")
    copy = world.visitor("SN1", key=box.key)
    answers = await asyncio.gather(box.bootstrap(), copy.bootstrap())
    assert sorted(answer.status_code for answer in answers) == [200, 403]
    assert (await world.device("SN1"))["status"] == "quarantined"
    assert all(one["revoked"] for one in (await world.device("SN1"))["certificate"])


async def test_est_gives_ike_its_own_certificate_and_renews(world):
    await world.register("SN1")
    box = world.visitor("SN1")
    current = await box.join()
    ike = ec.generate_private_key(ec.SECP256R1())
    request = world.request_for(ike)
    (certificate,) = world.certificates_of(await box.est("simpleenroll", request))
    assert certificate.subject == current.subject
    assert certificate.public_key() == ike.public_key()
    (again,) = world.certificates_of(await box.est("simpleenroll", request))
    assert again == certificate
    fresh = ec.generate_private_key(ec.SECP256R1())
    (renewed,) = world.certificates_of(await box.est("simplereenroll", world.request_for(fresh, current.subject)))
    assert renewed.subject == current.subject
    assert renewed.fingerprint(hashes.SHA256()) != current.fingerprint(hashes.SHA256())
    purposes = sorted(one["purpose"] for one in (await world.device("SN1"))["certificate"])
    assert purposes == ["ike", "netconf", "netconf"]
    async with world.client(world.anchor, box.operational, base_url=world.wan) as client:
        (ca,) = world.certificates_of(await client.get("/.well-known/est/cacerts"))
        assert certificate.issuer == ca.subject
        assert (await client.get("/.well-known/est/csrattrs")).status_code == 204


async def test_est_refuses_other_names_and_idevids(world):
    await world.register("SN1")
    box = world.visitor("SN1")
    await box.join()
    other = world.visitor("SN2")
    subject = world.makers.certificate.subject
    assert (await box.est("simpleenroll", world.request_for(box.own, subject))).status_code == 400
    assert (await box.est("simpleenroll", b"nonsense")).status_code == 400
    assert (await box.est("simpleenroll", world.request_for(box.own), "text/plain")).status_code == 400
    other.operational = other.idevid
    assert (await other.est("simpleenroll", world.request_for(box.own))).status_code == 403


async def test_a_device_removed_from_the_registry_leaves_nothing_valid(world):
    await world.register("SN1")
    box = world.visitor("SN1")
    await box.join()
    async with world.operator() as operator:
        answer = await operator.delete("/restconf/data/elasticlab-devices:devices/device=SN1")
        assert answer.status_code == 204
    assert len(list(await world.crl())) == 1
    assert refused(await box.bootstrap())


async def test_north_roles(world):
    body = {"elasticlab-devices:device": [{"serial": "SN1", "name": "one"}]}
    path = "/restconf/data/elasticlab-devices:devices/device=SN1"
    headers = {"content-type": "application/yang-data+json"}
    async with world.operator("service") as client:
        assert (await client.put(path, json=body, headers=headers)).status_code == 403
    await world.register("SN1")
    async with world.operator("service") as client:
        assert (await client.get(path)).status_code == 200
        assert (await client.post(f"{path}/release")).status_code == 403
    async with world.operator("tenant") as client:
        assert (await client.get(path)).status_code == 403
    async with world.operator("nobody") as client:
        answer = await client.get(path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_two_devices_cannot_have_one_name(world):
    await world.register("SN1", name="one")
    async with world.operator() as client:
        body = {"elasticlab-devices:device": [{"serial": "SN2", "name": "one"}]}
        path = "/restconf/data/elasticlab-devices:devices/device=SN2"
        answer = await client.put(path, json=body, headers={"content-type": "application/yang-data+json"})
    assert 400 <= answer.status_code < 500


async def test_curl_is_a_device_too(world):
    """A client that nobody here wrote: IDevID in TLS, JSON in and out."""
    await world.register("SN1")
    box = world.visitor("SN1")
    anchor = world.folder / "anchor.pem"
    anchor.write_bytes(world.anchor.certificate.public_bytes(Encoding.PEM))
    csr = base64.b64encode(world.request_for(box.own)).decode()
    argv = ["curl", "-sS", "--fail-with-body", "--cacert", anchor]
    argv += ["--cert", box.idevid, "--key", box.idevid.with_suffix(".key")]
    argv += [
        "-H",
        "Content-Type: application/yang-data+json",
        "-d",
        json.dumps({INPUT: {"ietf-sztp-csr:p10-csr": csr}}),
    ]
    argv += [f"{world.wan}/restconf/operations/ietf-sztp-bootstrap-server:get-bootstrapping-data"]
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0, out
    assert world.certificate_in(httpx.Response(200, content=out)).public_key() == box.own.public_key()
