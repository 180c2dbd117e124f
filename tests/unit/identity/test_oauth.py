"""The issuer: what it gives, and to whom it gives nothing."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from authlib.integrations.httpx_client import OAuth2Client
from identity.attempts import ACCOUNT_FREE, ADDRESS_FREE
from joserfc import jwt
from joserfc.jwk import KeySet

_SPEC = importlib.util.spec_from_file_location("identity_world", Path(__file__).with_name("conftest.py"))
assert _SPEC
assert _SPEC.loader
world = importlib.util.module_from_spec(_SPEC)
sys.modules["identity_world"] = world
_SPEC.loader.exec_module(world)


def claims(identity, token, kind):
    with identity.client() as client:
        keys = KeySet.import_key_set(client.get("/oauth2/jwks").json())
    decoded = jwt.decode(token, keys, algorithms=["ES256"])
    assert decoded.header["typ"] == kind
    return decoded.claims


def give(identity, **changes):
    proof = world.pkce()
    code = world.get_code(identity, proof.challenge, **changes)
    return world.redeem(identity, code, proof.verifier), code, proof


def refresh(identity, token, component="portal"):
    form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": component}
    with identity.client(component) as client:
        return client.post("/oauth2/token", data=form)


def introspect(identity, token, auth=("labctl", world.SECRET)):
    with identity.client() as client:
        return client.post("/oauth2/introspect", data={"token": token}, auth=auth)


def test_metadata_names_what_is_there(identity):
    with identity.client() as client:
        document = client.get("/.well-known/openid-configuration").json()
        assert document == client.get("/.well-known/oauth-authorization-server").json()
        assert document["issuer"] == identity.url
        assert document["code_challenge_methods_supported"] == ["S256"]
        assert client.get(document["jwks_uri"]).json()["keys"][0].keys() >= {"kid", "x", "y"}
        assert "d" not in client.get(document["jwks_uri"]).json()["keys"][0]


def test_foreign_client_gets_a_program_token(identity):
    with OAuth2Client("labctl", world.SECRET, verify=identity.context()) as client:
        token = client.fetch_token(f"{identity.url}/oauth2/token", grant_type="client_credentials")
    found = claims(identity, token["access_token"], "at+jwt")
    assert found["iss"] == identity.url
    assert (found["sub"], found["aud"], found["roles"]) == ("labctl", "elasticlab", ["admin"])
    assert 0 < found["exp"] - found["iat"] <= 600
    assert {"jti", "client_id", "scope", "name"} <= found.keys()
    assert "tenant" not in found
    assert "cnf" not in found
    assert "refresh_token" not in token


def test_component_proves_itself_by_certificate_and_its_token_is_bound(identity):
    with identity.client("manager") as client:
        form = {"grant_type": "client_credentials", "client_id": "manager"}
        token = client.post("/oauth2/token", data=form).json()
    found = claims(identity, token["access_token"], "at+jwt")
    assert found["roles"] == ["service"]
    assert len(found["cnf"]["x5t#S256"]) == 43


@pytest.mark.parametrize(
    ("component", "client_id"), [("portal", "manager"), ("admin", "manager"), (None, "manager"), ("manager", "labctl")]
)
def test_certificate_of_another_gets_nothing(identity, component, client_id):
    with identity.client(component) as client:
        answer = client.post("/oauth2/token", data={"grant_type": "client_credentials", "client_id": client_id})
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"
    assert "www-authenticate" in answer.headers


def test_foreign_client_logs_a_person_in(identity):
    proof = world.pkce()
    with OAuth2Client(
        "portal",
        redirect_uri=world.CALLBACK,
        scope="openid profile",
        verify=identity.context("portal"),
        token_endpoint_auth_method="none",
        code_challenge_method="S256",
    ) as client:
        url, state = client.create_authorization_url(
            f"{identity.url}/oauth2/authorize", code_verifier=proof.verifier, nonce="n9"
        )
        with identity.client() as browser:
            from urllib.parse import parse_qsl, urlsplit

            answer = world.log_in(browser, dict(parse_qsl(urlsplit(url).query)), "Admin", world.PASSWORD)
            back = browser.get(answer.headers["location"]).headers["location"]
        token = client.fetch_token(
            f"{identity.url}/oauth2/token", authorization_response=back, state=state, code_verifier=proof.verifier
        )
        about = client.get(f"{identity.url}/oauth2/userinfo").json()
    person = claims(identity, token["id_token"], "JWT")
    assert (person["aud"], person["nonce"], person["sub"]) == ("portal", "n9", about["sub"])
    assert about["preferred_username"] == "admin"
    assert claims(identity, token["access_token"], "at+jwt")["roles"] == ["admin"]


@pytest.mark.parametrize(
    "change",
    [
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": world.CALLBACK + "/x"},
        {"redirect_uri": world.CALLBACK + "?a=1"},
        {"redirect_uri": None},
        {"client_id": "nobody"},
        {"client_id": None},
        {"redirect_uri": 'https://evil.example/"'},
        {"state": "ä"},
    ],
)
def test_never_redirected_to_a_stranger(identity, change):
    with identity.client() as browser:
        answer = browser.get("/oauth2/authorize", params=world.authorization(world.pkce().challenge, **change))
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "openid everything"}, "invalid_scope"),
        ({"prompt": "none"}, "login_required"),
    ],
)
def test_refused_authorization_tells_the_client(identity, change, error):
    with identity.client() as browser:
        answer = browser.get("/oauth2/authorize", params=world.authorization(world.pkce().challenge, **change))
    assert answer.status_code in {302, 303}
    assert answer.headers["location"].startswith(world.CALLBACK)
    assert (world.query(answer)["error"], world.query(answer)["state"]) == (error, "s t/1")


def test_log_in_page_is_strict(identity):
    with identity.client() as browser:
        page = browser.get("/oauth2/authorize", params=world.authorization(world.pkce().challenge))
        assert browser.get("/static/identity.css").status_code == 200
    policy = page.headers["content-security-policy"]
    assert "unsafe-inline" not in policy
    assert "form-action 'self' https://portal.elasticlab.example" in policy
    assert "<script" not in page.text
    assert "style=" not in page.text
    cookie = page.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("__host-", "httponly", "secure", "samesite=strict"))


def test_code_is_good_once_and_its_replay_ends_what_it_gave(identity):
    answer, code, proof = give(identity)
    assert answer.status_code == 200, answer.text
    token = answer.json()
    assert introspect(identity, token["access_token"]).json()["active"] is True
    replay = world.redeem(identity, code, proof.verifier)
    assert (replay.status_code, replay.json()["error"]) == (400, "invalid_grant")
    assert introspect(identity, token["access_token"]).json() == {"active": False}
    assert refresh(identity, token["refresh_token"]).status_code == 400


def test_code_of_another_client_is_refused_and_stays_good(identity):
    proof = world.pkce()
    code = world.get_code(identity, proof.challenge)
    assert world.redeem(identity, code, proof.verifier, "manager").status_code == 400
    assert world.redeem(identity, code, world.pkce().verifier).json()["error"] == "invalid_grant"
    assert world.redeem(identity, code, proof.verifier).status_code == 200


def test_one_of_many_at_once_gets_the_code(identity):
    proof = world.pkce()
    code = world.get_code(identity, proof.challenge)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: world.redeem(identity, code, proof.verifier).status_code, range(4)))
    assert answers.count(200) <= 1
    assert set(answers) <= {200, 400}


def test_refresh_tokens_rotate_and_reuse_ends_the_family(identity):
    first = give(identity)[0].json()
    second = refresh(identity, first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert refresh(identity, second["refresh_token"], "manager").status_code == 400
    assert refresh(identity, first["refresh_token"]).json()["error"] == "invalid_grant"
    assert refresh(identity, second["refresh_token"]).status_code == 400
    assert introspect(identity, second["access_token"]).json()["active"] is False


def test_revocation(identity):
    token = give(identity)[0].json()
    with identity.client("portal") as client:
        form = {"token": token["refresh_token"], "client_id": "portal"}
        assert client.post("/oauth2/revoke", data=form).status_code == 200
        assert client.post("/oauth2/revoke", data={"token": "unknown", "client_id": "portal"}).status_code == 200
        bearer = {"Authorization": f"Bearer {token['access_token']}"}
        assert client.get("/oauth2/userinfo", headers=bearer).status_code == 401
    assert refresh(identity, token["refresh_token"]).status_code == 400
    own = identity.labctl_token()
    with identity.client() as client:
        assert client.post("/oauth2/revoke", data={"token": own}, auth=("labctl", world.SECRET)).status_code == 200
        assert client.get("/scim/v2/Users", headers={"Authorization": f"Bearer {own}"}).status_code == 401


def test_bound_token_is_good_with_its_certificate_only(identity):
    token = give(identity)[0].json()["access_token"]
    for component, status in ((None, 401), ("manager", 401), ("portal", 200)):
        with identity.client(component) as client:
            answer = client.get("/oauth2/userinfo", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status
        assert status == 200 or "invalid_token" in answer.headers["www-authenticate"]


@pytest.mark.parametrize("header", [{"alg": "none", "typ": "at+jwt"}, {"alg": "HS256", "typ": "at+jwt"}])
def test_forged_tokens(identity, header):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    real = identity.labctl_token().split(".")
    for token in (
        f"{part(header)}.{real[1]}.",
        f"{part(header)}.{real[1]}.{real[2]}",
        f"{real[0]}.{part({'roles': ['admin']})}.{real[2]}",
        "..",
        "x.y.z",
    ):
        with identity.client() as client:
            assert client.get("/scim/v2/Users", headers={"Authorization": f"Bearer {token}"}).status_code == 401
        assert introspect(identity, token).json() == {"active": False}


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"grant_type": "password"},
        {"grant_type": "authorization_code"},
        {"grant_type": "refresh_token"},
        {"grant_type": ["a", "b"]},
        {"grant_type": 'x"'},
        {"grant_type": "é"},
        {"grant_type": "client_credentials", "scope": "root"},
    ],
)
def test_malformed_token_requests(identity, form):
    with identity.client() as client:
        answer = client.post("/oauth2/token", data=form, auth=("labctl", world.SECRET))
        assert answer.status_code in {400, 401}, answer.text
        assert "error" in answer.json()
        for raw in (b"\xff=%ff", b"a=b&" * 200, b"x" * 100_000):
            answer = client.post(
                "/oauth2/token", content=raw, headers={"Content-Type": "application/x-www-form-urlencoded"}
            )
            assert 400 <= answer.status_code < 500
        assert client.post("/oauth2/token", json={"grant_type": "client_credentials"}).status_code == 400
        assert client.get("/oauth2/token").status_code == 405


def test_cross_site_form_is_refused(identity):
    with identity.client() as browser:
        form = browser.get("/oauth2/authorize", params=world.authorization(world.pkce().challenge))
        fields = {
            "csrf": world.hidden(form.text, "csrf"),
            "request": "x=y",
            "username": "admin",
            "password": world.PASSWORD,
        }
        assert browser.post("/login", data={**fields, "csrf": "0" * 64}).status_code == 403
        browser.cookies.clear()
        assert browser.post("/login", data=fields).status_code == 403


def test_log_in_leads_nowhere_else(identity):
    for target in ("//evil.example/", "https://evil.example/", "\r\nLocation: https://evil.example/"):
        with identity.client() as browser:
            form = browser.get("/oauth2/authorize", params=world.authorization(world.pkce().challenge))
            fields = {
                "csrf": world.hidden(form.text, "csrf"),
                "request": target,
                "username": "admin",
                "password": world.PASSWORD,
            }
            answer = browser.post("/login", data=fields)
        assert answer.headers["location"].startswith("/oauth2/authorize?")


def test_log_out_ends_session_and_grants(identity):
    proof = world.pkce()
    with identity.client() as browser:
        answer = world.log_in(browser, world.authorization(proof.challenge), "admin", world.PASSWORD)
        code = world.query(browser.get(answer.headers["location"]))["code"]
        token = world.redeem(identity, code, proof.verifier).json()
        assert "Do you want" in browser.get("/oauth2/logout").text
        evil = {"id_token_hint": token["id_token"], "post_logout_redirect_uri": "https://evil.example/"}
        assert browser.get("/oauth2/logout", params=evil).status_code == 400
        params = {"id_token_hint": token["id_token"], "post_logout_redirect_uri": world.GOODBYE, "state": "z"}
        gone = browser.get("/oauth2/logout", params=params)
        assert (gone.status_code, gone.headers["location"]) == (303, f"{world.GOODBYE}?state=z")
        assert "Log in" in browser.get("/oauth2/authorize", params=world.authorization(proof.challenge)).text
    assert refresh(identity, token["refresh_token"]).status_code == 400


def test_guessing_is_slowed_down_and_the_right_password_waits_too(own_identity):
    request = world.authorization(world.pkce().challenge)
    with own_identity.client() as browser:
        codes = [world.log_in(browser, request, "admin", f"guess {number}").status_code for number in range(5)]
        assert codes == [401] * 5
        blocked = world.log_in(browser, request, "admin", world.PASSWORD)
        assert blocked.status_code == 429
        own_identity.kill()
        own_identity.start()
        # It ends by itself.
        deadline = time.monotonic() + 10
        while (answer := world.log_in(browser, request, "admin", world.PASSWORD)).status_code == 429:
            assert time.monotonic() < deadline
            time.sleep(float(answer.headers["retry-after"]))
        assert answer.status_code == 303


def test_many_right_log_ins_at_once_from_one_address_all_get_in(own_identity):
    """An office behind one address; and more tabs of one person than may fail."""

    def enter(_: int) -> int:
        with own_identity.client() as browser:
            request = world.authorization(world.pkce().challenge)
            return world.log_in(browser, request, "admin", world.PASSWORD).status_code

    with ThreadPoolExecutor(25) as pool:
        assert list(pool.map(enter, range(25))) == [303] * 25


def test_programs_go_on_while_people_guess_at_their_address(own_identity):
    request = world.authorization(world.pkce().challenge)
    with own_identity.client() as browser:
        codes = [world.log_in(browser, request, f"person {n}", "guess").status_code for n in range(ADDRESS_FREE + 1)]
    assert codes[-1] == 429
    own_identity.labctl_token()


def test_a_program_that_guesses_is_told_to_wait_and_not_that_it_is_wrong(own_identity):
    form = {"grant_type": "client_credentials"}
    with own_identity.client() as client:
        for _ in range(ACCOUNT_FREE):
            assert client.post("/oauth2/token", data=form, auth=("labctl", "guess")).status_code == 401
        answer = client.post("/oauth2/token", data=form, auth=("labctl", world.SECRET))
    assert (answer.status_code, answer.json()["error"]) == (429, "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


def test_acknowledged_survives_kill(own_identity):
    with own_identity.client() as client:
        before = client.get("/oauth2/jwks").json()
    token = give(own_identity)[0].json()
    own_identity.kill()
    own_identity.start()
    with own_identity.client() as client:
        assert client.get("/oauth2/jwks").json() == before
    assert refresh(own_identity, token["refresh_token"]).status_code == 200
    for path in own_identity.data.rglob("*"):
        if path.is_file():
            assert os.stat(path).st_mode & 0o077 == 0, path
