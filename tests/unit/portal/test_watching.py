"""What is seen of orders and sites: as they happen, in pages, by administrators."""

from __future__ import annotations

import asyncio

from tests.unit.portal.world import (
    ORDERING,
    browser_of,
    free_port,
    hidden,
    ordered,
    running,
    until,
)  # fmt: skip


class TestAdministrator:
    async def test_orders_for_a_tenant_and_sees_all(self, root, ann, site):
        form = (await root.get("/catalogue/site-to-internet")).text
        assert 'name="_customer"' in form
        assert '<option value="globex">' in form
        fields = site()
        path = await ordered(root, fields | {"_customer": "acme"})
        await until(root, path, "completed")
        assert (await ann.get(path)).status_code == 200
        page = (await root.get("/sites")).text
        assert fields["site.name"] in page
        assert "Customer" in page

    async def test_is_told_when_the_customer_is_missing(self, root, site):
        answer = await root.post("/catalogue/site-to-internet", site() | {"_customer": ""})
        assert answer.status_code == 400
        assert 'id="field-_customer-error"' in answer.text

    async def test_is_not_what_a_tenant_becomes_by_a_field(self, ann, site):
        answer = await ann.post("/catalogue/site-to-internet", site() | {"_customer": "globex"})
        assert answer.status_code == 400
        assert "a tenant orders for itself" in answer.text

    async def test_sees_devices_and_alarms(self, root, world):
        world.south.plug_in("EL-SEEN")
        page = (await root.get("/devices")).text
        assert "EL-SEEN" in page
        assert "managed" in page
        assert "There is no alarm" in (await root.get("/alarms")).text

    async def test_is_told_whose_alarms_are_missing(self, root, world):
        world.south.controller_is(away=True)
        try:
            page = await root.get("/alarms")
        finally:
            world.south.controller_is(away=False)
        assert page.status_code == 200
        assert "controller does not answer" in page.text


async def test_lists_have_pages(ann, site, monkeypatch):
    monkeypatch.setattr("portal.desk.PAGE", 2)
    paths = [await ordered(ann, site(plugged=False)) for _ in range(3)]
    first, second = (await ann.get("/orders")).text, (await ann.get("/orders?page=1")).text
    assert [path in first for path in paths] == [False, True, True]
    assert paths[0] in second
    assert 'href="/orders?page=1"' in first
    assert 'href="/orders?page=0"' in second
    for odd in ("x", "-1", "99999", "9" * 40):
        assert (await ann.get(f"/orders?page={odd}")).status_code == 200
    for path in paths:
        await ann.post(f"{path}/cancel", {})
        await until(ann, path, "cancelled")


async def test_orders_of_programs_are_shown_as_well(ann, site, world):
    """A program may name the offer by its name alone, give no name, note what it likes, and order several things."""
    fields = {name.removeprefix("site."): value for name, value in site(plugged=False).items()}
    item = {
        "id": "1", "action": "add",
        "service": {
            "name": "", "serviceSpecification": {"name": "Site to Internet"},
            "serviceCharacteristic": [{"name": "site", "value": fields}],
        },
    }  # fmt: skip
    other = {"id": "2", "action": "add", "service": {**item["service"], "name": "second"}}
    body = {
        "serviceOrderItem": [item, other],
        "note": [{"text": "<b>"}],
        "relatedParty": [{"role": "customer", "id": "acme"}, {"role": "friend"}],
    }
    with world.identity.admin() as admin:
        answer = admin.post(f"{world.gro_url}{ORDERING}/serviceOrder", json=body)
    assert answer.status_code == 201, answer.text
    path = f"/orders/{answer.json()['id']}"
    page = (await ann.get(path)).text
    assert ">Site to Internet</a>" in page
    assert ">second</a>" in page
    for place in ("/orders", "/services"):
        assert (await ann.get(place)).status_code == 200
    await ann.post(f"{path}/cancel", {})
    await until(ann, path, "cancelled")


class TestLive:
    async def events(self, browser, path, enough):
        """What the stream says until `enough`."""
        text = ""
        async with asyncio.timeout(20), browser.client.stream("GET", f"{path}/live") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for piece in answer.aiter_text():
                text += piece
                if enough(text):
                    break
        return text

    async def test_steps_come_as_they_happen_and_the_stream_ends_with_the_order(self, ann, site, world):
        fields = site(plugged=False)
        path = await ordered(ann, fields)
        plugged = False

        def plug_in(text):
            nonlocal plugged
            if not plugged and "state held" in text:
                plugged = True
                world.south.plug_in(fields["site.device"])
            return False

        text = await self.events(ann, path, plug_in)
        assert plugged
        assert "state completed" in text
        assert text.endswith("event: end\ndata: end\n\n")

    async def test_it_ends_with_the_session(self, ann, site, world, monkeypatch):
        monkeypatch.setattr("portal.live.LOOK_SECONDS", 0.05)
        fields = site(plugged=False)
        path = await ordered(ann, fields)
        csrf = hidden((await ann.get("/orders")).text, "csrf")
        other = browser_of(world)
        other.client.cookies = ann.client.cookies
        began = asyncio.Event()

        def seen(text):
            began.set()
            return False

        stream = asyncio.create_task(self.events(other, path, seen))
        await asyncio.wait_for(began.wait(), 20)
        await ann.post("/logout", {}, csrf=csrf)
        text = await stream
        assert text.endswith("event: end\ndata: end\n\n")
        assert "Your session has ended" in text
        await other.client.aclose()
        world.south.plug_in(fields["site.device"])

    async def test_sites_come_and_go_as_they_do(self, ann, site):
        fields = site(plugged=False)
        name = fields["site.name"]
        path = await ordered(ann, fields)
        cancelled = None

        async with asyncio.timeout(20), ann.client.stream("GET", "/sites/live") as answer:
            text = ""
            async for piece in answer.aiter_text():
                text += piece
                last = text.rpartition("data: <table>")[2]
                if cancelled is None and name in last:
                    cancelled = asyncio.create_task(ann.post(f"{path}/cancel", {}))
                elif cancelled is not None and name not in last and "</table>" in last:
                    break
        assert cancelled
        await cancelled

    async def test_another_tenants_sites_do_not_come(self, ann, bob, site, monkeypatch):
        monkeypatch.setattr("portal.live.LOOK_SECONDS", 0.2)
        fields = site(plugged=False)
        path = await ordered(ann, fields)
        async with asyncio.timeout(20), bob.client.stream("GET", "/sites/live") as answer:
            text = ""
            async for piece in answer.aiter_text():
                text += piece
                if "still here" in text:
                    break
        assert fields["site.name"] not in text
        await ann.post(f"{path}/cancel", {})
        await until(ann, path, "cancelled")


async def test_gro_away_is_said_with_a_remedy(world, tmp_path, monkeypatch):
    monkeypatch.setattr("portal.app.DEADLINE_SECONDS", 1.0)
    settings = world.settings(tmp_path / "portal", gro_url=f"https://127.0.0.1:{free_port()}")
    async with running(world, settings):
        browser = browser_of(world)
        page = await browser.log_in("ann")
        assert page.status_code == 503
        assert "does not answer" in page.text
        assert "Try again" in page.text
        await browser.client.aclose()
