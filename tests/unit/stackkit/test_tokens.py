"""Access tokens against a real issuer on a real socket: which are believed, and every way to be refused."""

# No postponed annotations here: FastAPI looks names up in the module, and the verifier is a local of its maker.

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Request
from joserfc import jws, jwt
from joserfc.jwk import ECKey
from stackkit import http, problems, tls, tokens, web
from stackkit.tokens import Caller, Session, Unauthorized, Unavailable, Verifier

from .conftest import Pki, Serving

ISSUER = "https://192.0.2.10:8441"


@dataclass
class Issuer:
    """Signs tokens, publishes keys, gives tokens to programs."""

    url: str = ""
    keys: list[ECKey] = field(default_factory=list)
    fetches: int = 0
    grants: list[tuple[str, str]] = field(default_factory=list)
    lifetime: int = 300

    def new_key(self, kid: str) -> ECKey:
        key = ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": "ES256"})
        self.keys.append(key)
        return key

    def token(self, key: ECKey | None = None, **claims: Any) -> str:
        key = key or self.keys[0]
        now = int(time.time())
        body = {
            "iss": ISSUER,
            "sub": "u-1",
            "aud": "elasticlab",
            "iat": now,
            "exp": now + 300,
            "jti": "j-1",
            "client_id": "portal",
            "scope": "openid orders",
            "tenant": "acme",
            "roles": ["tenant"],
            "name": "Acme's user",
        } | claims
        body = {name: value for name, value in body.items() if value is not None}
        head = {"alg": "ES256", "typ": "at+jwt", "kid": key.kid}
        return jwt.encode(head, body, key, algorithms=["ES256"])

    def application(self) -> FastAPI:
        app = FastAPI()

        @app.get("/oauth2/jwks")
        async def jwks() -> dict[str, object]:
            self.fetches += 1
            return {"keys": [key.as_dict(private=False) for key in self.keys]}

        @app.post("/oauth2/token")
        async def token(request: Request) -> dict[str, object]:
            form = dict(item.split("=") for item in (await request.body()).decode().split("&"))
            if request.state.peer_certificate is None:
                raise problems.Problem(401, "Unauthorized", "no certificate")
            self.grants.append((form["grant_type"], form["client_id"]))
            bound = {"x5t#S256": tokens.thumbprint(request.state.peer_certificate)}
            value = self.token(client_id=form["client_id"], roles=["service"], cnf=bound, jti=f"j-{len(self.grants)}")
            return {"access_token": value, "token_type": "Bearer", "expires_in": self.lifetime}

        return app


@pytest.fixture
async def issuer(serving: Serving) -> AsyncIterator[Issuer]:
    one = Issuer()
    one.new_key("k1")
    async with serving(one.application()) as running:
        one.url = running.url
        yield one


@pytest.fixture
async def verifier(issuer: Issuer, pki: Pki) -> AsyncIterator[Verifier]:
    one = Verifier(ISSUER, issuer.url + "/oauth2/jwks", tls.client_context(pki.ca.path))
    yield one
    await one.aclose()


async def test_good_token(issuer: Issuer, verifier: Verifier) -> None:
    caller = await verifier.verify(issuer.token(), None)
    assert caller == Caller(
        "u-1", "acme", frozenset({"tenant"}), "portal", frozenset({"openid", "orders"}), "Acme's user"
    )
    await verifier.verify(issuer.token(aud=["x", "elasticlab"], exp=int(time.time()) - 20), None)  # leeway 30 s
    assert issuer.fetches == 1


async def test_what_is_signed_must_be_claims(issuer: Issuer, verifier: Verifier) -> None:
    key = issuer.keys[0]
    head = {"alg": "ES256", "typ": "at+jwt", "kid": key.kid}
    for payload in (b"[]", b"7", b"no JSON", b"\xff"):
        token = jws.serialize_compact(head, payload, key, algorithms=["ES256"])
        with pytest.raises(Unauthorized):
            await verifier.verify(token, None)


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"aud": "other"}, "audience"),
        ({"aud": ["elasticlab2"]}, "audience"),
        ({"iss": "https://192.0.2.10:8441/"}, "issuer"),
        ({"exp": int(time.time()) - 40}, "expired"),
        ({"exp": "tomorrow"}, "exp"),
        ({"exp": None}, "exp"),
        ({"iat": int(time.time()) + 86_400}, "not valid yet"),
        ({"nbf": int(time.time()) + 86_400}, "not valid yet"),
        ({"sub": None}, "sub"),
        ({"client_id": None}, "client_id"),
        ({"roles": "admin"}, "roles"),
        ({"roles": [["admin"]]}, "roles"),
        ({"tenant": ["acme"]}, "tenant"),
        ({"cnf": {"jkt": "x"}}, "bound"),
        ({"cnf": "x"}, "bound"),
    ],
)
async def test_bad_claims(issuer: Issuer, verifier: Verifier, claims: dict[str, Any], says: str) -> None:
    with pytest.raises(Unauthorized, match=says):
        await verifier.verify(issuer.token(**claims), None)


@pytest.mark.parametrize(
    ("header", "says"),
    [({"typ": "JWT"}, "typ"), ({"kid": None}, "names no key"), ({"crit": ["exp"], "exp": 1}, "extension")],
)
async def test_bad_header(issuer: Issuer, verifier: Verifier, header: dict[str, Any], says: str) -> None:
    body = issuer.token().split(".")
    changed = json.loads(part(body[0])) | header
    with pytest.raises(Unauthorized, match=says):
        await verifier.verify(".".join([encode(changed), *body[1:]]), None)


def part(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encode(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def test_algorithm_is_not_the_tokens_choice(issuer: Issuer, verifier: Verifier) -> None:
    _header, body, _signature = issuer.token().split(".")
    unsigned = encode({"alg": "none", "typ": "at+jwt", "kid": "k1"}) + "." + body + "."
    with pytest.raises(Unauthorized, match="ES256"):
        await verifier.verify(unsigned, None)
    # HS256 with the public key as the secret: what a verifier that trusts `alg` would accept.
    signed = encode({"alg": "HS256", "typ": "at+jwt", "kid": "k1"}) + "." + body
    for secret in (issuer.keys[0].as_pem(private=False), json.dumps(issuer.keys[0].as_dict(private=False)).encode()):
        forged = signed + "." + encode(hmac.new(secret, signed.encode(), hashlib.sha256).digest())
        with pytest.raises(Unauthorized, match="ES256"):
            await verifier.verify(forged, None)


@pytest.mark.parametrize("token", ["", "x", "a.b", "....", "e30.e30.", "é.é.é", "x" * 9000, "bnVsbA.e30.AAAA"])
async def test_malformed(verifier: Verifier, token: str) -> None:
    with pytest.raises(Unauthorized):
        await verifier.verify(token, None)


async def test_changed_body_or_foreign_key(issuer: Issuer, verifier: Verifier) -> None:
    header, body, signature = issuer.token().split(".")
    richer = encode(json.loads(part(body)) | {"roles": ["admin"]})
    with pytest.raises(Unauthorized, match="signature"):
        await verifier.verify(f"{header}.{richer}.{signature}", None)
    foreign = ECKey.generate_key("P-256", {"kid": "k1"})
    with pytest.raises(Unauthorized, match="signature"):
        await verifier.verify(issuer.token(foreign), None)


async def test_bound_token_is_good_with_its_certificate_only(issuer: Issuer, verifier: Verifier, pki: Pki) -> None:
    token = issuer.token(cnf={"x5t#S256": tokens.thumbprint(pki.client.der)})
    assert (await verifier.verify(token, pki.client.der)).subject == "u-1"
    for thief in (None, pki.second.der):
        with pytest.raises(Unauthorized, match="another certificate"):
            await verifier.verify(token, thief)


async def test_new_key_is_fetched_and_a_flood_is_not(issuer: Issuer, verifier: Verifier) -> None:
    await verifier.verify(issuer.token(), None)
    verifier.keys._pause = 0
    second = issuer.new_key("k2")
    await verifier.verify(issuer.token(second), None)
    assert issuer.fetches == 2
    verifier.keys._pause = 60
    for number in range(20):
        with pytest.raises(Unauthorized, match="key"):
            await verifier.verify(issuer.token(ECKey.generate_key("P-256", {"kid": f"unknown-{number}"})), None)
    assert issuer.fetches == 2


async def test_withdrawn_key_ends_with_the_cache(issuer: Issuer, verifier: Verifier) -> None:
    old = issuer.token()
    await verifier.verify(old, None)
    issuer.keys.clear()
    issuer.new_key("k2")
    verifier.keys._max_age = verifier.keys._pause = 0
    with pytest.raises(Unauthorized, match="key"):
        await verifier.verify(old, None)


async def test_a_token_that_is_known_ends_all_the_same(
    issuer: Issuer, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the clock that the verifier reads: on the true one the token may end before it is known."""
    end = int(time.time()) + 60
    token = issuer.token(exp=end)
    await verifier.verify(token, None)
    monkeypatch.setattr(time, "time", lambda: end + tokens.LEEWAY_SECONDS - 0.5)
    await verifier.verify(token, None)
    monkeypatch.setattr(time, "time", lambda: float(end + tokens.LEEWAY_SECONDS))
    with pytest.raises(Unauthorized, match="expired"):
        await verifier.verify(token, None)
    assert issuer.fetches == 1


async def test_no_issuer_is_not_the_callers_fault(issuer: Issuer, pki: Pki) -> None:
    verifier = Verifier(ISSUER, issuer.url + "/nowhere", tls.client_context(pki.ca.path))
    with pytest.raises(Unavailable):
        await verifier.verify(issuer.token(), None)
    await verifier.aclose()


def guarded(verifier: Verifier) -> FastAPI:
    app = FastAPI()
    problems.install(app)

    @app.get("/mine")
    async def mine(who: Annotated[Caller, Depends(web.caller(verifier))]) -> str:
        return who.client_id

    @app.get("/admin")
    async def admin(who: Annotated[Caller, Depends(web.caller(verifier, "admin", "service"))]) -> str:
        return who.client_id

    return app


async def test_dependency(issuer: Issuer, verifier: Verifier, serving: Serving, pki: Pki) -> None:
    async with (
        serving(guarded(verifier)) as running,
        http.client(tls.client_context(pki.ca.path), base_url=running.url) as client,
    ):
        assert (await client.get("/mine", headers={"authorization": f"bearer {issuer.token()}"})).json() == "portal"
        for headers in ({}, {"authorization": "Basic eA=="}, {"authorization": "Bearer"}):
            response = await client.get("/mine", headers=headers)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == 'Bearer realm="elasticlab"'
        response = await client.get("/mine", headers={"authorization": "Bearer x.y.z"})
        assert (response.status_code, response.headers["content-type"]) == (401, "application/problem+json")
        assert 'error="invalid_token"' in response.headers["www-authenticate"]
        response = await client.get("/admin", headers={"authorization": f"Bearer {issuer.token()}"})
        assert response.status_code == 403
        assert 'error="insufficient_scope"' in response.headers["www-authenticate"]


async def test_session_gets_a_bound_token_and_renews(
    issuer: Issuer, verifier: Verifier, serving: Serving, pki: Pki
) -> None:
    context = tls.client_context(pki.ca.path, pki.client.cert, pki.client.key)
    session = Session(issuer.url, "gro", context)
    async with (
        serving(guarded(verifier)) as running,
        http.client(context, session, running.url) as client,
        http.client(tls.client_context(pki.ca.path, pki.second.cert, pki.second.key), base_url=running.url) as thief,
    ):
        for _ in range(3):
            assert (await client.get("/admin")).json() == "gro"
        assert issuer.grants == [("client_credentials", "gro")]
        stolen = await session.token()
        assert (await thief.get("/admin", headers={"authorization": f"Bearer {stolen}"})).status_code == 401
        # A refused token is replaced once.
        session._token = issuer.token(exp=1)
        assert (await client.get("/admin")).json() == "gro"
        assert len(issuer.grants) == 2
        issuer.lifetime = 0
        session._renew_at = 0
        await session.token()
        await session.token()
        assert len(issuer.grants) == 4
    await session.aclose()


async def test_session_without_a_certificate_says_why(issuer: Issuer, pki: Pki) -> None:
    session = Session(issuer.url, "gro", tls.client_context(pki.ca.path))
    with pytest.raises(Unavailable, match="refuses gro: 401"):
        await session.token()
    await session.aclose()


async def test_session_without_an_issuer(pki: Pki, issuer: Issuer) -> None:
    session = Session("https://localhost:9", "gro", tls.client_context(pki.ca.path))
    with pytest.raises(Unavailable):
        async with httpx.AsyncClient(auth=session, trust_env=False) as client:
            await client.get(issuer.url)
    await session.aclose()
