"""Ordering by forms: what is asked, what is shown before anything is done, and that it is done once."""

from __future__ import annotations

import asyncio
import re
from itertools import count

import httpx
import pytest

from tests.unit.portal.world import ORDERING, Browser, browser_of, free_port, hidden, running

NUMBERS = count(1)


@pytest.fixture
def site(world):
    """A new site on a device of its own, which is plugged in; as fields of the form."""

    def make(prefix="site", plugged=True, **changes):
        number = next(NUMBERS)
        serial = f"EL-{number}"
        if plugged:
            world.south.plug_in(serial)
        values = {"name": f"s{number}", "device": serial, "access": "routed", "gateway": f"10.{number}.0.1/24"}
        return {f"{prefix}.{name}": value for name, value in {**values, **changes}.items()}

    return make


async def planned(browser: Browser, fields: dict[str, str], offer: str = "site-to-internet") -> httpx.Response:
    answer = await browser.post(f"/catalogue/{offer}", fields)
    assert answer.status_code == 303, answer.text
    return await browser.follow(answer)


async def ordered(browser: Browser, fields: dict[str, str], offer: str = "site-to-internet") -> str:
    """Plan, then order; the path of the order's page."""
    plan = await planned(browser, fields, offer)
    answer = await browser.post(plan.url.path, {}, csrf=hidden(plan.text, "csrf"))
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def until(browser: Browser, path: str, state: str) -> str:
    async with asyncio.timeout(20):
        while True:
            page = (await browser.get(path)).text
            if f'class="state {state}"' in page.partition('id="order-state"')[2][:60]:
                return page
            await asyncio.sleep(0.05)


def orders_at_gro(world):
    with world.identity.admin() as admin:
        return admin.get(f"{world.gro_url}{ORDERING}/serviceOrder").json()


class TestForm:
    async def test_the_catalogue_shows_what_gro_offers(self, ann):
        page = (await ann.get("/catalogue")).text
        assert "Site to Internet" in page
        assert "/catalogue/site-to-site" in page

    async def test_the_form_asks_for_what_the_offer_names(self, ann):
        page = (await ann.get("/catalogue/site-to-internet")).text
        for name in ("name", "device", "access", "port", "vlan", "gateway"):
            assert f'name="site.{name}"' in page
        assert "<option>routed</option>" in page
        assert 'placeholder="lan"' in page

    async def test_sites_are_added_and_removed_without_scripts(self, ann):
        form = (await ann.get("/catalogue/site-to-site")).text
        assert form.count('class="group"') == 2
        typed = {"sites.0.name": "one", "sites.1.name": "two"}
        more = await ann.post("/catalogue/site-to-site", {**typed, "_add": "sites"})
        assert more.text.count('class="group"') == 3
        typed["sites.2.name"] = "three"
        less = await ann.post("/catalogue/site-to-site", {**typed, "_remove": "sites.1"})
        names = re.findall(r'name="sites\.\d\.name"[^>]*value="(\w*)"', less.text)
        assert names == ["one", "three"]

    @pytest.mark.parametrize("what", ["sites.99", "sites.x", "nothing.0", "sites", ""])
    async def test_what_is_not_there_is_not_removed(self, ann, what):
        answer = await ann.post("/catalogue/site-to-site", {"sites.0.name": "one", "_remove": what})
        assert answer.status_code == 200
        assert 'value="one"' in answer.text

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"gateway": "10.0.0.0/24"}, "site.gateway"),
            ({"vlan": "many"}, "site.vlan"),
            ({"vlan": "5000"}, "site.vlan"),
            ({"name": "No Label"}, "site.name"),
            ({"device": ""}, "site.device"),
        ],
        ids=["gateway", "no-number", "too-high", "name", "missing"],
    )
    async def test_what_gro_refuses_is_said_at_its_field(self, ann, site, changes, field):
        answer = await ann.post("/catalogue/site-to-internet", site(**changes))
        assert answer.status_code == 400
        mark = field.replace(".", "-")
        assert f'id="field-{mark}-error"' in answer.text
        assert re.search(rf'name="{re.escape(field)}"[^>]*aria-invalid="true"', answer.text)
        assert f'href="#field-{mark}"' in answer.text

    async def test_what_was_typed_stays(self, ann, site):
        answer = await ann.post("/catalogue/site-to-internet", site(name='"><script>alert(1)</script>', vlan="12"))
        assert answer.status_code == 400
        assert "<script>alert" not in answer.text
        assert "&#34;&gt;&lt;script&gt;alert(1)" in answer.text
        assert 'value="12"' in answer.text

    async def test_an_offer_that_is_none_is_not_found(self, ann):
        assert (await ann.get("/catalogue/nothing")).status_code == 404
        assert (await ann.get("/catalogue/..%2F..%2FserviceOrder")).status_code == 404


class TestPlan:
    async def test_it_shows_each_edit_by_device_and_does_nothing(self, ann, site, world):
        before = len(orders_at_gro(world))
        plan = await planned(ann, site())
        assert "ucpe-s1" in plan.text
        assert "an edit" in plan.text
        assert "&lt;x/&gt;" in plan.text
        assert len(orders_at_gro(world)) == before

    async def test_the_form_comes_back_as_it_was(self, ann, site):
        fields = site(vlan="7") | {"_name": "branch office"}
        plan = await planned(ann, fields)
        form = (await ann.get(f"/catalogue/site-to-internet?plan={plan.url.path.rpartition('/')[2]}")).text
        for value in fields.values():
            assert f'value="{value}"' in form or f"<option selected>{value}</option>" in form

    async def test_a_device_that_is_not_registered_yet_is_said_and_may_be_ordered(self, ann, site):
        fields = site(plugged=False)
        plan = await planned(ann, fields)
        assert f"device {fields['site.device']} of site {fields['site.name']} is not registered" in plan.text
        path = await ordered(ann, fields)
        assert "is not registered" in await until(ann, path, "held")

    async def test_without_a_controller_there_is_a_reason_instead(self, ann, site, world):
        world.south.controller_is(away=True)
        try:
            plan = await planned(ann, site())
        finally:
            world.south.controller_is(away=False)
        assert "There is no plan at this moment" in plan.text

    async def test_anothers_plan_is_not_there(self, ann, bob, site):
        plan = await planned(ann, site())
        assert (await bob.get(plan.url.path)).status_code == 404
        assert (await bob.post(plan.url.path, {})).status_code == 404


class TestOrder:
    async def test_its_page_shows_the_steps_with_their_times(self, ann, site):
        page = await until(ann, await ordered(ann, site()), "completed")
        for step in ("Reserve", "Wait for the devices", "Build the network", "Prove that it works"):
            assert step in page
        assert page.count('<time datetime="') >= 6
        assert "Cancel the order" not in page

    async def test_a_double_click_and_a_reload_make_one_order(self, ann, site, world):
        before = len(orders_at_gro(world))
        plan = await planned(ann, site())
        csrf = hidden(plan.text, "csrf")
        answers = await asyncio.gather(*(ann.post(plan.url.path, {}, csrf=csrf) for _ in range(5)))
        places = {answer.headers["location"] for answer in answers}
        again = await ann.post(plan.url.path, {}, csrf=csrf)
        assert places == {again.headers["location"]}
        assert len(orders_at_gro(world)) == before + 1
        assert "Ordered: show the order" in (await ann.get(plan.url.path)).text

    async def test_an_order_whose_answer_was_lost_is_found_again(self, ann, site, world, portal):
        """As if the portal had been killed after the order had reached GRO."""
        plan = await planned(ann, site())
        place = (await ann.post(plan.url.path, {})).headers["location"]
        with portal.database.begin() as connection:
            connection.exec_driver_sql("UPDATE plans SET order_id = NULL")
        count_before = len(orders_at_gro(world))
        assert (await ann.post(plan.url.path, {})).headers["location"] == place
        assert len(orders_at_gro(world)) == count_before

    async def test_it_is_sent_anew_if_it_never_arrived(self, ann, site, portal):
        """As if the portal had been killed before the order left."""
        plan = await planned(ann, site())
        with portal.database.begin() as connection:
            connection.exec_driver_sql("UPDATE plans SET claimed = 1")
        assert (await ann.post(plan.url.path, {})).headers["location"].startswith("/orders/")

    async def test_another_tenant_sees_nothing_of_it(self, ann, bob, site):
        fields = site() | {"_name": "secret of acme"}
        path = await ordered(ann, fields)
        page = await until(ann, path, "completed")
        service = re.search(r"/services/[0-9a-f-]+", page)
        assert service
        for place in (path, f"{path}/live", service[0]):
            assert (await ann.get(place)).status_code == 200
            assert (await bob.get(place)).status_code == 404
        for place in ("/orders", "/services", "/sites"):
            assert fields["site.name"] not in (await bob.get(place)).text
            assert "secret of acme" not in (await bob.get(place)).text
        await bob.post(f"{path}/cancel", {})
        assert (await bob.post(f"{service[0]}/delete", {})).status_code == 404

    async def test_hostile_names_are_texts(self, ann, site):
        name = "<script>alert('x')</script><img src=x onerror=alert(1)>"
        path = await ordered(ann, site() | {"_name": name, "_description": name})
        page = await until(ann, path, "completed")
        for text in (page, (await ann.get("/orders")).text, (await ann.get("/services")).text):
            assert "<script>alert" not in text
            assert "<img" not in text
            assert "&lt;script&gt;alert(" in text

    async def test_a_cancelled_order_leaves_nothing(self, ann, site):
        fields = site(plugged=False)
        path = await ordered(ann, fields)
        await until(ann, path, "held")
        assert (await ann.post(f"{path}/cancel", {})).headers["location"] == path
        page = await until(ann, path, "cancelled")
        assert "Undo:" in page
        assert fields["site.name"] not in (await ann.get("/sites")).text
        # Once more does no harm.
        assert (await ann.post(f"{path}/cancel", {})).headers["location"] == path

    async def test_two_sites_in_one_order(self, ann, site):
        fields = site("sites.0") | site("sites.1", access="bridged", vlan="20")
        page = await until(ann, await ordered(ann, fields, "site-to-site"), "completed")
        assert "failed" not in page
        sites = (await ann.get("/sites")).text
        assert fields["sites.0.name"] in sites
        assert fields["sites.1.name"] in sites

    async def test_a_service_is_ended_with_a_plan(self, ann, site):
        fields = site() | {"_name": "short-lived"}
        page = await until(ann, await ordered(ann, fields), "completed")
        service = re.search(r"/services/[0-9a-f-]+", page)
        assert service
        plan = await ann.follow(await ann.post(f"{service[0]}/delete", {}))
        assert "This ends the service" in plan.text
        answer = await ann.post(plan.url.path, {})
        await until(ann, answer.headers["location"], "completed")
        assert "terminated" in (await ann.get(service[0])).text
        assert fields["site.name"] not in (await ann.get("/sites")).text


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
        path = await ordered(ann, site(plugged=False))
        csrf = hidden((await ann.get("/orders")).text, "csrf")
        other = browser_of(world)
        other.client.cookies = ann.client.cookies
        stream = asyncio.create_task(self.events(other, path, lambda _: False))
        await ann.post("/logout", {}, csrf=csrf)
        assert (await stream).endswith("event: end\ndata: end\n\n")
        await other.client.aclose()

    async def test_the_table_of_sites_alone(self, ann):
        text = (await ann.get("/sites/table")).text
        assert "<table>" in text
        assert "<html" not in text


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
