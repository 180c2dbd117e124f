"""Ordering by forms: what is asked, what is shown before anything is done, and that it is done once."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.unit.portal.world import (
    hidden,
    ordered,
    orders_at_gro,
    planned,
    until,
)  # fmt: skip


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

    async def test_groups_and_lists_are_asked_for_without_scripts(self, ann):
        page = (await ann.get("/catalogue/site-to-internet")).text
        for name in ("DHCP", "DNS", "Local Internet access"):
            assert f"<summary>{name}</summary>" in page
        assert 'name="site.localInternet.rules.0.name"' not in page
        more = await ann.post("/catalogue/site-to-internet", {"site.name": "one", "_add": "site.localInternet.rules"})
        assert 'name="site.localInternet.rules.0.name"' in more.text
        assert re.search(r'<details id="field-site-localInternet"[^>]* open', more.text)
        assert '<datalist id="field-site-localInternet-rules-0-protocol-choices">' in more.text
        less = {"site.name": "one", "site.localInternet.rules.0.name": "r", "_remove": "site.localInternet.rules.0"}
        assert "rules.0.name" not in (await ann.post("/catalogue/site-to-internet", less)).text

    async def test_what_is_wrong_deep_inside_is_said_there(self, ann, site):
        rule = {"name": "r", "action": "local", "destinationPort": "443"}
        sent = site() | {f"site.localInternet.rules.0.{key}": value for key, value in rule.items()}
        answer = await ann.post("/catalogue/site-to-internet", sent)
        assert answer.status_code == 400
        assert 'id="field-site-localInternet-rules-0-destinationPort-error"' in answer.text
        assert "give protocol tcp or udp" in answer.text

    async def test_an_offer_that_is_none_is_not_found(self, ann):
        assert (await ann.get("/catalogue/nothing")).status_code == 404
        assert (await ann.get("/catalogue/..%2F..%2FserviceOrder")).status_code == 404


CLOUD = {"cloud.gateway": "192.0.2.9", "cloud.identity": "vpc.example", "cloud.remotePrefixes.0": "10.100.0.0/16"}


class TestSecret:
    KEY = "a-key-of-nobody-0001"

    async def test_it_is_typed_once_and_shown_never(self, ann, site, world, tmp_path):
        sent = {name.replace("site.", "sites.0."): value for name, value in site().items()} | CLOUD
        form = await ann.post("/catalogue/site-to-dc", {**sent, "cloud.sharedKey": self.KEY, "_add": "sites"})
        assert re.search(r'<input id="field-cloud-sharedKey"[^>]*type="password"', form.text)
        sealed = hidden(form.text, "_sealed.cloud.sharedKey")
        plan = await planned(ann, {**sent, "_sealed.cloud.sharedKey": sealed}, "site-to-dc")
        again = (await ann.get(f"/catalogue/site-to-dc?plan={plan.url.path.rpartition('/')[2]}")).text
        assert not [page for page in (form.text, plan.text, again) if self.KEY in page]
        assert "given; type to replace it" in again
        order = await ann.post(plan.url.path, {}, csrf=hidden(plan.text, "csrf"))
        await until(ann, order.headers["location"], "completed")
        assert self.KEY in str(world.south.controller.intent), "the plan's order has it"
        assert not [file for file in tmp_path.rglob("*") if file.is_file() and self.KEY.encode() in file.read_bytes()]


class TestPlan:
    async def test_it_shows_each_edit_by_device_and_does_nothing(self, ann, site, world):
        before = len(orders_at_gro(world))
        plan = await planned(ann, site())
        assert "ucpe-s1" in plan.text
        assert "an edit" in plan.text
        assert "&lt;x/&gt;" in plan.text
        assert len(orders_at_gro(world)) == before

    async def test_the_form_comes_back_as_it_was(self, ann, site):
        fields = site(vlan="7", access="bridged") | {"_name": "branch office"}
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
        await ann.post(f"{path}/cancel", {})
        await until(ann, path, "cancelled")

    async def test_without_a_controller_there_is_a_reason_instead(self, ann, site, world):
        world.south.controller_is(away=True)
        try:
            plan = await planned(ann, site())
        finally:
            world.south.controller_is(away=False)
        assert "There is no plan at this moment" in plan.text

    async def test_old_plans_go(self, ann, site, monkeypatch):
        monkeypatch.setattr("portal.plans.MOST", 2)
        places = [(await planned(ann, site())).url.path for _ in range(3)]
        assert [(await ann.get(place)).status_code for place in places] == [404, 200, 200]

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
        assert ">short-lived</a>" in plan.text
        answer = await ann.post(plan.url.path, {})
        await until(ann, answer.headers["location"], "completed")
        assert "terminated" in (await ann.get(service[0])).text
        assert fields["site.name"] not in (await ann.get("/sites")).text


async def active(browser, fields):
    """The path of the page of a service that is there."""
    path = await ordered(browser, fields)
    page = await until(browser, path, "completed")
    return re.search(r'href="(/services/[^"]+)"', page)[1]


class TestChange:
    async def test_a_service_is_changed_by_the_form_that_shows_it(self, ann, site, world):
        fields = site() | {"_name": "branch office"}
        service = await active(ann, fields)
        assert f'href="{service}/change"' in (await ann.get(service)).text
        form = (await ann.get(f"{service}/change")).text
        for value in fields.values():
            assert f'value="{value}"' in form or f"<option selected>{value}</option>" in form
        changed = fields | {"site.dns": "yes", "site.localInternet.rules.0.name": "web",
                            "site.localInternet.rules.0.action": "local"}  # fmt: skip
        more = await ann.post(f"{service}/change", {**changed, "_add": "site.localInternet.rules"})
        assert 'name="site.localInternet.rules.1.name"' in more.text
        assert f'action="{service}/change"' in more.text
        wrong = await ann.post(f"{service}/change", {**changed, "site.device": "EL-none"})
        assert wrong.status_code == 400
        assert "a site keeps its device" in wrong.text
        plan = await ann.follow(await ann.post(f"{service}/change", changed))
        assert "This changes the service" in plan.text
        assert f"{service}/change?plan=" in plan.text
        again = (await ann.get(re.search(r'href="([^"]+/change[^"]+)"', plan.text)[1])).text
        assert f'action="{service}/change"' in again
        assert '<input type="checkbox" name="site.dns" value="yes" checked>' in again
        order = await ann.post(plan.url.path, {}, csrf=hidden(plan.text, "csrf"))
        page = await until(ann, order.headers["location"], "completed")
        assert "Changes" in page
        assert "change of" in (await ann.get("/orders")).text
        assert "localInternet" in (await ann.get(service)).text
        intent = str(world.south.controller.intent)
        assert "local-internet" in intent

    async def test_an_administrator_changes_it_for_its_customer(self, ann, root, site):
        fields = site()
        service = await active(ann, fields)
        form = (await root.get(f"{service}/change")).text
        assert "_customer" not in form
        plan = await root.follow(await root.post(f"{service}/change", fields | {"_name": "renamed"}))
        assert "for acme" in plan.text
        order = await root.post(plan.url.path, {}, csrf=hidden(plan.text, "csrf"))
        await until(root, order.headers["location"], "completed")
        assert "renamed" in (await ann.get(service)).text

    async def test_another_tenants_service_is_not_there(self, ann, bob, site):
        service = await active(ann, site())
        assert (await bob.get(f"{service}/change")).status_code == 404
        assert (await bob.post(f"{service}/change", {})).status_code == 404
