"""Administration over SCIM 2.0 (RFC 7643, RFC 7644)."""

from __future__ import annotations

import importlib.util
import sys
import uuid
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location("identity_world", Path(__file__).with_name("conftest.py"))
assert _SPEC
assert _SPEC.loader
world = importlib.util.module_from_spec(_SPEC)
sys.modules["identity_world"] = world
_SPEC.loader.exec_module(world)

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
ACCOUNT = "urn:elasticlab:scim:Account"
TENANT = "urn:elasticlab:scim:Tenant"
PROGRAM = "urn:elasticlab:scim:Program"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"


def name():
    return "t" + uuid.uuid4().hex[:10]


@pytest.fixture
def admin(identity):
    with identity.admin() as client:
        yield client


def tenant(admin, label):
    answer = admin.post("/scim/v2/Tenants", json={"schemas": [TENANT], "name": label, "displayName": label.title()})
    assert answer.status_code == 201, answer.text
    return answer.json()


def user_body(user, label, **more):
    account = {"tenant": label, "roles": ["tenant"]}
    return {"schemas": [USER, ACCOUNT], "userName": user, "password": "correct horse", ACCOUNT: account, **more}


def make_user(admin, label):
    answer = admin.post("/scim/v2/Users", json=user_body(name(), label))
    assert answer.status_code == 201, answer.text
    return answer.json()


def change(op, path=None, value=None):
    operation = {"op": op} | ({"path": path} if path else {}) | ({"value": value} if value is not None else {})
    return {"schemas": [PATCH], "Operations": [operation]}


def refused(answer, status, kind=None):
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["schemas"] == [ERROR]
    assert body["status"] == str(status)
    assert body.get("scimType") == kind
    return body["detail"]


def test_a_user_s_life(identity, admin):
    label = name()
    tenant(admin, label)
    made = make_user(admin, label)
    at = f"/scim/v2/Users/{made['id']}"
    assert "password" not in made
    assert made[ACCOUNT] == {"tenant": label, "roles": ["tenant"]}
    read = admin.get(at)
    assert read.json() == made
    assert (read.headers["etag"], read.headers["content-type"]) == (made["meta"]["version"], "application/scim+json")
    assert admin.get(at, headers={"If-None-Match": read.headers["etag"]}).status_code == 304
    found = admin.get("/scim/v2/Users", params={"filter": f'userName eq "{made["userName"].upper()}"'}).json()
    assert (found["totalResults"], found["Resources"]) == (1, [made])

    proof = world.pkce()
    code = world.get_code(identity, proof.challenge, made["userName"], "correct horse")
    token = world.redeem(identity, code, proof.verifier).json()
    with identity.client("portal") as person:
        answer = person.get("/scim/v2/Users", headers={"Authorization": f"Bearer {token['access_token']}"})
    refused(answer, 403)

    renamed = admin.patch(at, json=change("replace", "displayName", "Somebody"))
    assert renamed.json()["displayName"] == "Somebody"
    assert admin.patch(at, json=change("add", value={"displayName": "Other"})).json()["displayName"] == "Other"
    assert "displayName" not in {
        k for k, v in admin.patch(at, json=change("remove", "displayName")).json().items() if v
    }
    stale = {"If-Match": made["meta"]["version"]}
    refused(admin.patch(at, json=change("replace", "displayName", "x"), headers=stale), 412)
    refused(admin.delete(at, headers=stale), 412)

    assert admin.patch(at, json=change("Replace", "active", False)).json()["active"] is False
    form = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"], "client_id": "portal"}
    with identity.client("portal") as portal:
        assert portal.post("/oauth2/token", data=form).json()["error"] == "invalid_grant"
    with identity.client() as browser:
        request = world.authorization(proof.challenge)
        assert world.log_in(browser, request, made["userName"], "correct horse").status_code == 401
    assert admin.delete(at).status_code == 204
    refused(admin.get(at), 404)


def test_put_keeps_the_password_and_twice_is_once(admin):
    label = name()
    tenant(admin, label)
    made = make_user(admin, label)
    at = f"/scim/v2/Users/{made['id']}"
    body = {key: value for key, value in user_body(made["userName"], label).items() if key != "password"}
    once = admin.put(at, json={**body, "displayName": "A"})
    assert once.status_code == 200, once.text
    assert admin.put(at, json={**body, "displayName": "A"}).headers["etag"] == once.headers["etag"]
    detail = refused(admin.post("/scim/v2/Users", json=user_body(made["userName"].upper(), label)), 409, "uniqueness")
    assert made["userName"].upper() in detail


def test_tenant_is_kept_while_somebody_needs_it(admin):
    label = name()
    made = tenant(admin, label)
    user = make_user(admin, label)
    assert "1 user" in refused(admin.delete(f"/scim/v2/Tenants/{made['id']}"), 409)
    assert admin.delete(f"/scim/v2/Users/{user['id']}").status_code == 204
    assert admin.delete(f"/scim/v2/Tenants/{made['id']}").status_code == 204
    refused(admin.post("/scim/v2/Users", json=user_body(name(), label)), 400, "invalidValue")


def test_program_of_a_tenant(identity, admin):
    label = name()
    tenant(admin, label)
    body = {"schemas": [PROGRAM], "clientId": name(), "tenant": label, "roles": ["tenant"]}
    made = admin.post("/scim/v2/Programs", json=body).json()
    at = f"/scim/v2/Programs/{made['id']}"
    assert "secret" not in admin.get(at).json()
    with identity.client() as client:
        form, auth = {"grant_type": "client_credentials"}, (made["clientId"], made["secret"])
        token = client.post("/oauth2/token", data=form, auth=auth).json()["access_token"]
        refused(client.get("/scim/v2/Users", headers={"Authorization": f"Bearer {token}"}), 403)
        shown = client.post("/oauth2/introspect", data={"token": token}, auth=auth).json()
        assert (shown["tenant"], shown["roles"]) == (label, ["tenant"])
        other = client.post("/oauth2/introspect", data={"token": identity.labctl_token()}, auth=auth)
        assert other.json() == {"active": False}
        assert client.post("/oauth2/token", data=form, auth=(made["clientId"], "wrong")).status_code == 401
        admin.patch(at, json=change("replace", "active", False))
        assert client.post("/oauth2/token", data=form, auth=auth).status_code == 401
        assert client.get("/scim/v2/Users", headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_discovery_and_pages(admin):
    assert admin.get("/scim/v2/ServiceProviderConfig").json()["patch"] == {"supported": True}
    assert {one["id"] for one in admin.get("/scim/v2/ResourceTypes").json()["Resources"]} == {
        "User",
        "Tenant",
        "Program",
    }
    assert {one["id"] for one in admin.get("/scim/v2/Schemas").json()["Resources"]} == {USER, ACCOUNT, TENANT, PROGRAM}
    assert admin.get(f"/scim/v2/Schemas/{TENANT}").json()["id"] == TENANT
    everything = admin.get("/scim/v2/Programs").json()
    assert everything["totalResults"] >= 5
    one = admin.get("/scim/v2/Programs", params={"startIndex": 2, "count": 1}).json()
    assert (one["Resources"], one["startIndex"]) == (everything["Resources"][1:2], 2)
    assert admin.get("/scim/v2/Programs", params={"count": 0}).json()["Resources"] == []


def test_last_administrator_and_components_stay(admin):
    found = admin.get("/scim/v2/Users", params={"filter": 'userName eq "admin"'}).json()["Resources"][0]
    refused(admin.delete(f"/scim/v2/Users/{found['id']}"), 409)
    refused(admin.patch(f"/scim/v2/Users/{found['id']}", json=change("replace", "active", False)), 409)
    manager = admin.get("/scim/v2/Programs", params={"filter": 'clientId eq "manager"'}).json()["Resources"][0]
    at = f"/scim/v2/Programs/{manager['id']}"
    refused(admin.patch(at, json=change("add", "roles", ["admin"])), 400, "mutability")
    refused(admin.patch(at, json=change("replace", "secret", "x" * 20)), 400, "mutability")


def test_nobody_without_a_token(identity):
    with identity.client() as client:
        for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}):
            answer = client.get("/scim/v2/Users", headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
    with identity.client("manager") as client:
        form = {"grant_type": "client_credentials", "client_id": "manager"}
        token = client.post("/oauth2/token", data=form).json()["access_token"]
        refused(client.get("/scim/v2/Users", headers={"Authorization": f"Bearer {token}"}), 403)


@pytest.mark.parametrize(
    "body",
    [
        None,
        1,
        "x",
        [],
        {},
        {"schemas": []},
        {"schemas": "x"},
        {"schemas": [USER]},
        {"schemas": [{}], "userName": "a"},
        {"schemas": [USER], "userName": 1},
        {"schemas": [USER], "userName": ""},
        {"schemas": [USER], "userName": None},
        {"schemas": [USER], "userName": "a\u0000b"},
        {"schemas": [USER], "userName": "x" * 2000},
        {"schemas": [USER], "userName": "a", "password": "short"},
        {"schemas": [USER], "userName": "a", "active": "yes"},
        {"schemas": [USER], "userName": "a", "colour": "red"},
        {"schemas": [USER, TENANT], "userName": "a"},
        {"schemas": [USER], "userName": "a", ACCOUNT: []},
        {"schemas": [USER], "userName": "a", ACCOUNT: {"roles": "admin"}},
        {"schemas": [USER], "userName": "a", ACCOUNT: {"roles": ["root"]}},
        {"schemas": [USER], "userName": "a", ACCOUNT: {"roles": ["service"]}},
        {"schemas": [USER], "userName": "a", ACCOUNT: {"roles": ["tenant"]}},
        {"schemas": [USER], "userName": "a", ACCOUNT: {"roles": [{}]}},
        {"schemas": [USER], "userName": "a", "userNAME": "b", ACCOUNT: {"tenant": "no-such"}},
    ],
)
def test_bad_users(admin, body):
    answer = admin.post("/scim/v2/Users", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["schemas"] == [ERROR]


@pytest.mark.parametrize(
    "uri",
    [
        "http://a.example/",
        "https:///x",
        "/x",
        "https://a.example/#f",
        "https://a.example:x/",
        "https://[::1/",
        "javascript:alert(1)",
        "https://u@a.example/",
    ],
)
def test_bad_redirect_uris(admin, uri):
    body = {"schemas": [PROGRAM], "clientId": name(), "redirectUris": [uri]}
    assert "redirectUris" in refused(admin.post("/scim/v2/Programs", json=body), 400, "invalidValue")


def test_bad_requests(admin):
    refused(
        admin.post("/scim/v2/Users", content=b"{", headers={"Content-Type": "application/scim+json"}),
        400,
        "invalidSyntax",
    )
    refused(
        admin.post("/scim/v2/Users", content=b"[" * 50_000, headers={"Content-Type": "application/json"}),
        400,
        "invalidSyntax",
    )
    refused(
        admin.post("/scim/v2/Users", content=b"\xff", headers={"Content-Type": "application/json"}),
        400,
        "invalidSyntax",
    )
    refused(admin.post("/scim/v2/Users", content=b"a=b", headers={"Content-Type": "text/plain"}), 415)
    assert admin.post("/scim/v2/Users", content=b"x" * 200_000).status_code == 413
    lone = b'{"schemas":["%s"],"userName":"\\ud800"}' % USER.encode()
    refused(
        admin.post("/scim/v2/Users", content=lone, headers={"Content-Type": "application/json"}), 400, "invalidValue"
    )
    for text in (
        "userName",
        'userName co "a"',
        'userName eq "a',
        "userName eq 1",
        'password eq "a"',
        'userName eq "a" or id eq "b"',
        "",
    ):
        refused(admin.get("/scim/v2/Users", params={"filter": text}), 400, "invalidFilter")
    assert admin.get("/scim/v2/Users", params={"filter": 'userName eq "\\ud800"'}).status_code == 200
    for value in ("x", "1.5", "--1", "²", "9" * 30):
        refused(admin.get("/scim/v2/Users", params={"startIndex": value}), 400, "invalidValue")
    refused(admin.get("/scim/v2/Nothing"), 404)
    refused(admin.get("/scim/v2/Users/a/b"), 404)
    refused(admin.put("/scim/v2/Users"), 405)
    assert admin.request("OPTIONS", "/scim/v2/Users").status_code == 405


def test_bad_patches(admin):
    made = tenant(admin, name())
    at = f"/scim/v2/Tenants/{made['id']}"
    for body in (
        {},
        [],
        {"schemas": [PATCH]},
        {"schemas": [PATCH], "Operations": [1]},
        {"schemas": [PATCH], "Operations": []},
        change("move", "displayName"),
        {**change("add", "displayName", "x"), "schemas": 3},
    ):
        refused(admin.patch(at, json=body), 400, "invalidSyntax")
    refused(admin.patch(at, json=change("remove")), 400, "noTarget")
    refused(admin.patch(at, json=change("replace", "id", "x")), 400, "invalidPath")
    refused(admin.patch(at, json=change("replace", 'emails[type eq "x"].value', "x")), 400, "invalidPath")
    refused(admin.patch(at, json=change("replace", "displayName", {"a": 1})), 400, "invalidValue")
    refused(admin.patch(at, json=change("replace", "displayName")), 400, "invalidValue")
    refused(admin.patch(at, json=change("replace", "name", "other")), 400, "mutability")
    refused(admin.patch(at, json=change("remove", "name")), 400, "mutability")
    two = {
        "schemas": [PATCH],
        "Operations": [
            {"op": "replace", "path": "displayName", "value": "new"},
            {"op": "replace", "path": "name", "value": "other"},
        ],
    }
    refused(admin.patch(at, json=two), 400, "mutability")
    assert admin.get(at).json() == made
