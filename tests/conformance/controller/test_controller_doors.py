"""Who gets in at the controller: people's certificates and keys (RFC 7589, 6242), tokens (RFC 6750, 8705, 9068)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import paramiko
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from ncclient.transport.errors import AuthenticationError, SSHUnknownHostError, TLSError, TransportError

from harness.factory.authority import CLIENT, Authority, Subject, key_pem, new_key, now
from harness.lab import Lab

from .conftest import PREFIXES, Curl, entry, over_ssh, over_tls, service

pytestmark = pytest.mark.topology("orchestrator")

NETWORK = "/restconf/data/elasticlab-network:network"
INTENDED = "/restconf/operations/elasticlab-network:get-intended"


# -- NETCONF ---------------------------------------------------------------------------------------------------------


def of_service_ca(lab: Lab) -> Authority:
    return Authority(lab.factory.directory / "authorities" / "service")


def written(folder: Path, authority: Authority, subject: Subject) -> tuple[Path, Path]:
    """Key and certificate of somebody, in files."""
    key = new_key()
    (folder / "who.key").write_bytes(key_pem(key))
    (folder / "who.pem").write_bytes(authority.issue(subject, key.public_key()))
    return folder / "who.key", folder / "who.pem"


def in_stack(lab: Lab, name: str) -> tuple[Path, Path]:
    folder = lab.factory.directory / "stacks" / "stack"
    return folder / f"{name}.key", folder / f"{name}.pem"


ADMIN = Subject("admin", dns_names=("admin",), uses=CLIENT)
OVER = Subject("admin", dns_names=("admin",), uses=CLIENT, not_after=now() - timedelta(minutes=5))
OTHER = Subject("tenant", dns_names=("tenant",), uses=CLIENT)
STRANGERS: dict[str, Callable[[Lab, Path], tuple[Path, Path]]] = {
    "expired": lambda lab, folder: written(folder, of_service_ca(lab), OVER),
    "forged": lambda lab, folder: written(folder, Authority.open(folder / "ca", "elasticlab service CA", None), ADMIN),
    "the maker's": lambda lab, folder: written(
        folder, Authority(lab.factory.directory / "authorities" / "maker"), ADMIN
    ),
    "somebody else's": lambda lab, folder: written(folder, of_service_ca(lab), OTHER),
    "a component's": lambda lab, folder: in_stack(lab, "gro"),
    "the controller's own": lambda lab, folder: in_stack(lab, "controller"),
}


@pytest.mark.parametrize("who", STRANGERS)
def test_a_certificate_that_is_no_administrators_opens_no_session(lab: Lab, tmp_path: Path, who: str) -> None:
    key, certificate = STRANGERS[who](lab, tmp_path)
    with pytest.raises((TransportError, OSError)):
        over_tls(lab, key, certificate)


def test_the_administrators_does(lab: Lab, tmp_path: Path) -> None:
    """The twin: also one that was made like those above."""
    key, certificate = written(tmp_path, of_service_ca(lab), ADMIN)
    with over_tls(lab, key, certificate) as session:
        wanted = f"/m:netconf-state/m:sessions/m:session[m:session-id={session.session_id}]/m:username"
        found = session.get(("xpath", ({"m": PREFIXES["ncm"]}, wanted))).data_ele
        assert found.findtext(".//ncm:username", namespaces=PREFIXES) == "admin"


def test_the_controller_is_nobody_else(lab: Lab) -> None:
    admin = lab.factory.admin
    with pytest.raises(TLSError):
        over_tls(lab, admin.tls_key, admin.tls_certificate, server_hostname="gro.elasticlab.example")
    with pytest.raises(TLSError):
        over_tls(lab, admin.tls_key, admin.tls_certificate, ca_certs=str(lab.factory.maker_ca))
    with pytest.raises(SSHUnknownHostError):
        over_ssh(lab, hostkey_b64=host_key_of_somebody_else())


def host_key_of_somebody_else() -> str:
    public = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return public.decode().split()[1]


def test_other_keys_users_and_passwords_are_refused(lab: Lab, tmp_path: Path) -> None:
    stranger = tmp_path / "id_stranger"
    paramiko.ECDSAKey.generate().write_private_key_file(str(stranger))
    with pytest.raises(AuthenticationError):
        over_ssh(lab, key_filename=str(stranger))
    with pytest.raises(AuthenticationError):
        over_ssh(lab, key_filename=None, password="admin")
    for user in ("root", "acme", "controller"):
        with pytest.raises(TransportError):
            over_ssh(lab, username=user)


# -- RESTCONF --------------------------------------------------------------------------------------------------------


def test_without_a_token_nobody(curl: Curl) -> None:
    for method, path in (("GET", NETWORK), ("GET", "/restconf"), ("POST", INTENDED), ("GET", "/restconf/nothing")):
        answer = curl.ask(method, path, {} if method == "POST" else None, token=None)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.error["error-tag"] == "access-denied"


def changed(token: str, **claims: object) -> str:
    head, old, signature = token.split(".")
    content = json.loads(base64.urlsafe_b64decode(old + "=="))
    new = base64.urlsafe_b64encode(json.dumps(content | claims).encode()).decode().rstrip("=")
    return f"{head}.{new}.{signature}"


def unsigned(token: str) -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').decode().rstrip("=")
    return f"{head}.{token.split('.')[1]}."


@pytest.mark.parametrize(
    "forge",
    [
        lambda token: changed(token, roles=["admin"]),
        lambda token: changed(token, exp=4_000_000_000),
        unsigned,
        lambda token: token[:-8] + "AAAAAAAA",
        lambda token: "x" * 9000,
        lambda token: "a.b.c",
    ],
    ids=["another role", "longer life", "no signature", "another signature", "too long", "no token"],
)
def test_a_token_that_was_touched_is_worth_nothing(curl: Curl, forge: Callable[[str], str]) -> None:
    answer = curl.ask("GET", NETWORK, token=forge(curl.tenant_token("acme")))
    assert answer.status == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_a_tenant_has_nothing_to_do_with_the_network(curl: Curl, vpn: str) -> None:
    acme = curl.tenant_token("acme")
    order = {"ietf-l3vpn-svc:vpn-service": [service(vpn, "acme")]}
    for method, path, sent in (
        ("GET", NETWORK, None),
        ("GET", "/restconf/data/ietf-alarms:alarms", None),
        ("PUT", entry(vpn), order),
        ("POST", INTENDED, {"elasticlab-network:input": {"device": "ucpe-1"}}),
    ):
        answer = curl.ask(method, path, sent, token=acme)
        assert (answer.status, answer.error["error-tag"]) == (403, "access-denied"), f"{method} {path}"
        assert "GRO" in answer.error["error-message"], "the remedy"
    assert curl.ask("GET", entry(vpn)).status == 404


def test_a_token_is_good_with_the_certificate_that_it_is_bound_to(curl: Curl, vpn: str) -> None:
    """RFC 8705, section 3: stolen from its component it is worth nothing."""
    token = curl.bound_token("gro")
    own, other = {"cert": curl.component("gro")}, {"cert": curl.component("portal")}
    order = {"ietf-l3vpn-svc:vpn-service": [service(vpn)]}
    for more in ({}, other):
        answer = curl.ask("PUT", entry(vpn), order, token=token, more=more)
        assert answer.status == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert curl.ask("PUT", entry(vpn), order, token=token, more=own).status == 201


def test_components_may_do_what_they_are_for(curl: Curl, vpn: str) -> None:
    """RFC 8341: GRO orders services and nothing else, the others read."""
    order = {"ietf-l3vpn-svc:vpn-service": [service(vpn)]}
    portal = {"token": curl.bound_token("portal"), "more": {"cert": curl.component("portal")}}
    gro = {"token": curl.bound_token("gro"), "more": {"cert": curl.component("gro")}}
    for who in (portal, gro):
        assert curl.ask("GET", NETWORK, **who).status == 200  # type: ignore[arg-type]
    refused = curl.ask("PUT", entry(vpn), order, **portal)  # type: ignore[arg-type]
    assert (refused.status, refused.error["error-tag"]) == (403, "access-denied")
    assert curl.ask("PUT", entry(vpn), order, **gro).status == 201  # type: ignore[arg-type]
    rules = {"ietf-netconf-acm:nacm": {"enable-nacm": False}}
    assert curl.ask("PATCH", "/restconf/data/ietf-netconf-acm:nacm", rules, **gro).status == 403  # type: ignore[arg-type]


def test_a_certificate_of_another_authority_gets_no_answer(curl: Curl, lab: Lab, tmp_path: Path) -> None:
    key, certificate = written(tmp_path, Authority.open(tmp_path / "ca", "elasticlab service CA", None), ADMIN)
    shown = {"cert": curl.put("stranger.pem", certificate.read_text() + key.read_text())}
    with pytest.raises(ConnectionError):
        curl.ask("GET", NETWORK, more=shown)
    key, certificate = written(tmp_path, of_service_ca(lab), ADMIN)
    shown = {"cert": curl.put("known.pem", certificate.read_text() + key.read_text())}
    assert curl.ask("GET", NETWORK, more=shown).status == 200
