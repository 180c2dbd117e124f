"""Coming in, staying in and going out; and what every answer carries."""

from __future__ import annotations

import sqlite3
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.unit.portal.world import browser_of, hidden


def set_cookies(answers):
    return [cookie for answer in answers for cookie in answer.headers.get_list("set-cookie")]


async def test_every_answer_has_a_policy_that_allows_our_own_files_only(browser, world):
    for path in ("/", "/static/portal.css", "/nothing", "/health", "/login"):
        answer = await browser.get(path)
        policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["form-action"] == f"'self' {world.identity.url}"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"


async def test_pages_hold_no_script_and_no_style_of_their_own(ann):
    for path in ("/catalogue", "/catalogue/site-to-site", "/orders", "/services", "/sites", "/nothing"):
        page = (await ann.get(path)).text
        assert "<style" not in page
        assert " style=" not in page
        assert " onclick=" not in page
        assert page.count("<script") == page.count("<script src=")


async def test_pages_are_not_stored_and_files_are_kept(browser):
    page = await browser.get("/")
    assert page.headers["cache-control"] == "no-store"
    sheet = page.text.partition('stylesheet" href="')[2].partition('"')[0]
    assert "immutable" in (await browser.get(sheet)).headers["cache-control"]
    assert (await browser.get("/static/missing.css?v=1")).headers["cache-control"] == "no-store"


async def test_log_in_gives_a_strict_cookie_and_the_page_that_was_asked_for(browser):
    page = await browser.log_in("ann", "/orders")
    assert (page.status_code, page.url.path) == (200, "/orders")
    cookie = next(one for one in set_cookies(browser.seen) if one.startswith("__Host-portal="))
    flags = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert flags == {"httponly", "secure", "path=/", "samesite=lax"}


async def test_the_authorization_request_is_as_the_standards_want_it(browser, world):
    target = urlsplit((await browser.get("/login")).headers["location"])
    query = {name: values[0] for name, values in parse_qs(target.query).items()}
    assert f"{target.scheme}://{target.netloc}" == world.identity.url
    assert query["code_challenge_method"] == "S256"
    assert query["redirect_uri"] == f"{world.url}/callback"
    assert len(query["code_challenge"]) == 43
    assert min(len(query["state"]), len(query["nonce"])) >= 43
    again = urlsplit((await browser.get("/login")).headers["location"])
    assert parse_qs(again.query)["state"][0] != query["state"]


async def callback(browser):
    """The address that identity sends a logged-in browser to, not yet opened."""
    answer = await browser.get("/login")
    back = await browser.client.get(answer.headers["location"])
    assert back.is_redirect, back.text
    return back.headers["location"]


@pytest.mark.parametrize("wrong", ["state", "iss", "code"])
async def test_an_answer_that_was_changed_lets_nobody_in(ann, wrong):
    place = urlsplit(await callback(ann))
    query = {name: values[0] for name, values in parse_qs(place.query).items()}
    before = ann.session
    answer = await ann.get(f"/callback?{urlencode({**query, wrong: 'x' * 43})}")
    assert answer.status_code == 400
    assert ann.session == before


async def test_an_answer_to_another_browser_is_refused(ann, world):
    place = urlsplit(await callback(ann))
    other = browser_of(world)
    await other.get("/login")
    answer = await other.get(f"/callback?{place.query}")
    assert (answer.status_code, other.session) == (400, None)
    await other.client.aclose()


async def test_an_answer_is_good_once(ann):
    place = urlsplit(await callback(ann))
    assert (await ann.get(f"/callback?{place.query}")).status_code == 303
    assert (await ann.get(f"/callback?{place.query}")).status_code == 400


async def test_a_token_for_another_nonce_is_refused(ann, portal):
    place = urlsplit(await callback(ann))
    with portal.database.begin() as connection:
        connection.exec_driver_sql("UPDATE logins SET nonce = 'another'")
    answer = await ann.get(f"/callback?{place.query}")
    assert answer.status_code == 400
    assert "not good" in answer.text


async def test_log_ins_that_nobody_ends_do_not_pile_up(browser, portal, monkeypatch):
    monkeypatch.setattr("portal.sessions.MOST_LOGINS", 3)
    for number in range(10):
        await browser.get("/login")
        with portal.database.begin() as connection:
            # As if each were a second later than the one before.
            connection.exec_driver_sql("UPDATE logins SET expires = expires - 1")
            assert connection.exec_driver_sql("SELECT count(*) FROM logins").scalar_one() <= min(number + 1, 4)


async def test_a_planted_cookie_is_not_the_session_that_follows(browser):
    browser.client.cookies.set("__Host-portal", "planted-by-somebody", domain="127.0.0.1", path="/")
    await browser.log_in("ann")
    assert browser.session not in (None, "planted-by-somebody")


ELSEWHERE = ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)")


@pytest.mark.parametrize("target", ELSEWHERE)
async def test_after_the_log_in_nobody_is_sent_elsewhere(browser, world, target):
    page = await browser.log_in("ann", f"/login?{urlencode({'next': target})}")
    assert str(page.url).startswith(f"{world.url}/")


async def test_the_database_tells_neither_cookies_nor_tokens(ann, portal, tmp_path):
    secret = ann.session
    for file in (tmp_path / "portal").iterdir():
        content = file.read_bytes()
        assert secret.encode() not in content
        assert b"eyJ" not in content  # how every JWT begins
    with sqlite3.connect(tmp_path / "portal" / "portal.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM sessions").fetchone() == (1,)


def age(portal, **columns):
    with portal.database.begin() as connection:
        for name, value in columns.items():
            connection.exec_driver_sql(f"UPDATE sessions SET {name} = {name} - {value}")


def tokens(portal, browser):
    return portal.sessions.get(browser.session, use=False).tokens


async def test_a_token_near_its_end_is_renewed_and_its_successor_works(ann, portal):
    before = tokens(portal, ann)
    age(portal, renew=3600)
    assert (await ann.get("/orders")).status_code == 200
    after = tokens(portal, ann)
    assert before.access != after.access
    assert before.refresh != after.refresh


async def test_many_requests_at_once_renew_once(ann, portal):
    import asyncio

    age(portal, renew=3600)
    answers = await asyncio.gather(*(ann.get("/orders") for _ in range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8


@pytest.mark.parametrize("column", ["used", "created"])
async def test_a_session_ends_when_it_is_idle_or_old(ann, portal, column):
    age(portal, **{column: 9 * 3600})
    answer = await ann.get("/orders")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=%2Forders"


async def test_a_timer_keeps_no_session_alive(ann, portal):
    age(portal, used=1000)
    async with ann.client.stream("GET", "/sites/live") as answer:
        assert answer.status_code == 200
    age(portal, used=1000)
    answer = await ann.get("/sites/live", headers={"hx-request": "true", "hx-current-url": f"{ann.world.url}/sites"})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/login?next=%2Fsites")


async def test_a_session_that_identity_revoked_is_over(browser, world, portal):
    user = world.add_user("temp", "acme")
    await browser.log_in("temp")
    patch = {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "active", "value": False}],
    }
    world.scim("PATCH", f"Users/{user}", patch)
    # What changes something is refused at once, what only reads within a minute.
    form = (await browser.get("/catalogue")).text
    answer = await browser.post("/catalogue/site-to-internet", {}, csrf=hidden(form, "csrf"))
    assert answer.status_code == 401
    assert (await browser.get("/catalogue")).status_code == 303
    world.scim("DELETE", f"Users/{user}")


async def test_a_revoked_session_is_noticed_by_readers_after_a_while(ann, portal):
    await portal.app.state.provider.revoke(tokens(portal, ann))
    age(portal, checked=61)
    assert (await ann.get("/orders")).status_code == 303


async def test_log_out_ends_it_here_and_at_identity(ann, portal, world):
    held, secret = tokens(portal, ann), ann.session
    answer = await ann.post("/logout", {})
    assert answer.headers["location"].startswith(f"{world.identity.url}/oauth2/logout?id_token_hint=")
    page = await ann.follow(answer)
    assert (page.status_code, str(page.url)) == (200, f"{world.url}/")
    assert "Log in" in page.text
    assert portal.sessions.get(secret) is None
    assert not await portal.app.state.provider.is_active(held)
    form = await ann.follow(await ann.get("/catalogue"))
    assert 'name="password"' in form.text


class TestForms:
    @pytest.mark.parametrize(
        "headers",
        [
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
        ],
        ids=["origin", "null", "cross-site", "same-site"],
    )
    async def test_what_stood_elsewhere_is_refused(self, ann, headers):
        answer = await ann.post("/logout", {}, **headers)
        assert answer.status_code == 403
        assert (await ann.get("/orders")).status_code == 200

    @pytest.mark.parametrize("token", ["", "x" * 43])
    async def test_a_form_without_this_sessions_token_is_refused(self, ann, token):
        assert (await ann.post("/logout", {}, csrf=token)).status_code == 403

    async def test_the_token_of_another_session_is_none(self, ann, bob):
        other = hidden((await bob.get("/catalogue")).text, "csrf")
        assert (await ann.post("/logout", {}, csrf=other)).status_code == 403

    async def test_other_media_types_are_no_forms(self, ann):
        answer = await ann.client.post("/logout", json={}, headers={"origin": ann.world.url})
        assert answer.status_code == 415

    async def test_bytes_that_are_no_text_are_no_form(self, ann):
        kind = {"content-type": "application/x-www-form-urlencoded", "origin": ann.world.url}
        assert (await ann.client.post("/logout", content=b"csrf=%ff%fe", headers=kind)).status_code == 400


async def test_health_needs_nobody(browser):
    answer = await browser.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "up"})
