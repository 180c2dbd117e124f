"""The portal, by clicking: Playwright in Debian's chromium (EV-01, EV-02).

Nobody plugs devices in here, so orders are held until they are cancelled; what comes of them is the demo's business.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, Route, expect

from harness.lab import Lab
from harness.orchestrator.accounts import ensure_tenant, ensure_user
from harness.orchestrator.client import Orchestrator
from harness.wait import wait_for
from tests.system.browser.people import People, Person

pytestmark = pytest.mark.topology("orchestrator")

PASSWORD = "a password for the portal's tests"
DEVICES = "/restconf/data/elasticlab-devices:devices"
PROCESS = "python -m portal$"
YANG = "application/yang-data+json"
expect.set_options(timeout=10_000)


@pytest.fixture
def orchestrator(lab: Lab) -> Orchestrator:
    """With a user of each of two tenants."""
    found = Orchestrator.of(lab)
    for tenant in ("initech", "hooli"):
        ensure_tenant(found, tenant)
        ensure_user(found, f"{tenant}-clicks", PASSWORD, tenant)
    return found


@pytest.fixture
def ann(people: People, orchestrator: Orchestrator) -> Person:
    """Of tenant initech, logged in."""
    person = people.someone()
    person.log_in("initech-clicks", PASSWORD)
    return person


@dataclass(frozen=True)
class Site:
    name: str
    device: str
    gateway: str

    def fill(self, person: Person, place: str = "site") -> None:
        """Type it into the form's fieldset."""
        group = person.page.locator(f"#field-{place}")
        group.get_by_label("Name").fill(self.name)
        group.get_by_label("Device").fill(self.device)
        group.get_by_label("Access", exact=True).select_option("routed")
        group.get_by_label("Gateway", exact=True).fill(self.gateway)


@pytest.fixture
def site() -> Site:
    mark = secrets.token_bytes(2)
    return Site(f"clicked-{mark.hex()}", f"EL-CLICK-{mark.hex()}", f"10.{mark[0]}.{mark[1]}.1/24")


def order(person: Person, site: Site, name: str = "") -> str:
    """From the catalogue to the order's page; its address."""
    page = person.page
    person.open("Catalogue")
    page.get_by_role("link", name="Order Site to Internet").click()
    site.fill(person)
    page.get_by_label("Name of the service").fill(name)
    page.get_by_role("button", name="Show the plan").click()
    expect(page.get_by_role("heading", name="Plan")).to_be_visible()
    page.get_by_role("button", name="Order", exact=True).click()
    expect(page.get_by_role("heading", name=re.compile("Order [0-9a-f]{8}"))).to_be_visible()
    return page.url


def cancel(person: Person) -> None:
    person.page.get_by_role("button", name="Cancel the order").click()
    expect(person.page.locator("#order-state")).to_have_text("cancelled")


def test_an_order_is_placed_watched_and_cancelled_by_clicking(
    ann: Person, site: Site, orchestrator: Orchestrator
) -> None:
    page = ann.page
    order(ann, site)
    expect(page.locator("#order-state")).to_have_text("held")
    expect(page.locator("#panel")).to_contain_text(f"device {site.device} of site {site.name} is not registered")
    # What follows comes by itself: this page is not opened again.
    page.evaluate("window.same_page = true")
    entry = {"serial": site.device, "name": site.device.lower(), "model": "ucpe-100", "owner": "initech"}
    place = f"{DEVICES}/device={site.device}"
    orchestrator.call("manager", "PUT", place, {"elasticlab-devices:device": [entry]}, media=YANG)
    expect(page.locator("#panel")).to_contain_text("plug it in", timeout=20_000)
    assert page.evaluate("window.same_page")
    cancel(ann)
    expect(page.locator("#panel")).to_contain_text("Undo: reserve names and addresses")
    expect(page.get_by_role("button", name="Cancel the order")).to_have_count(0)
    ann.open("Sites")
    expect(page.get_by_text(site.name)).to_have_count(0)
    orchestrator.call("manager", "DELETE", place)


def test_an_order_that_makes_no_sense_is_told_at_its_field(ann: Person, site: Site) -> None:
    page = ann.page
    page.goto("/catalogue/site-to-internet")
    Site("No Label", site.device, site.gateway).fill(ann)
    page.get_by_role("button", name="Show the plan").click()
    name = page.get_by_label("Name", exact=False).first
    expect(page.get_by_role("alert")).to_contain_text("No Label")
    expect(name).to_have_attribute("aria-invalid", "true")
    expect(name).to_have_value("No Label")
    expect(page.get_by_label("Gateway", exact=True)).to_have_value(site.gateway)


def test_sites_are_added_and_removed_in_place(ann: Person, site: Site) -> None:
    page = ann.page
    page.goto("/catalogue/site-to-site")
    page.evaluate("window.same_page = true")
    site.fill(ann, "sites-0")
    page.get_by_role("button", name="Add another").click()
    expect(page.locator("#field-sites-2")).to_be_visible()
    page.locator("#field-sites-2").get_by_label("Name").fill("third")
    page.get_by_role("button", name="Remove site 2").click()
    expect(page.locator("#field-sites-2")).to_have_count(0)
    expect(page.locator("#field-sites-0").get_by_label("Name")).to_have_value(site.name)
    expect(page.locator("#field-sites-1").get_by_label("Name")).to_have_value("third")
    assert page.evaluate("window.same_page")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_what_is_optional_is_unfolded_and_filled_by_keyboard(
    people: People, orchestrator: Orchestrator, site: Site, scripts: bool
) -> None:
    ann = people.someone(java_script_enabled=scripts)
    ann.log_in("initech-clicks", PASSWORD)
    page = ann.page
    page.goto("/catalogue/site-to-internet")
    site.fill(ann)
    page.locator("#field-site-localInternet > summary").press("Enter")
    page.get_by_role("button", name="Add one to rules").press("Enter")
    rule = page.locator("#field-site-localInternet-rules-0")
    rule.get_by_label("Name").fill("web")
    rule.get_by_label("Action").select_option("pop")
    rule.get_by_label("Destination port").fill("443")
    page.get_by_role("button", name="Show the plan").last.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("give protocol tcp or udp")
    expect(rule.get_by_label("Destination port")).to_have_attribute("aria-invalid", "true")
    rule.get_by_label("Protocol").fill("tcp")
    page.get_by_role("button", name="Show the plan").last.press("Enter")
    expect(page.get_by_role("heading", name="Plan")).to_be_visible()
    page.get_by_role("link", name="Change it").press("Enter")
    expect(rule.get_by_label("Destination port")).to_have_value("443")
    expect(rule.get_by_label("Protocol")).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_a_key_is_typed_once_and_shown_never(
    people: People, orchestrator: Orchestrator, site: Site, scripts: bool
) -> None:
    ann = people.someone(java_script_enabled=scripts)
    ann.log_in("initech-clicks", PASSWORD)
    page = ann.page
    page.goto("/catalogue/site-to-dc")
    site.fill(ann, "sites-0")
    page.locator("#field-cloud-gateway").fill("192.0.2.9")
    page.locator("#field-cloud-identity").fill("vpc.example")
    page.locator("#field-cloud-remotePrefixes-0").fill("172.31.0.0/16")
    key = f"key-of-{site.name}-and-nobody"
    page.get_by_label("Shared key").fill(key)
    expect(page.get_by_label("Shared key")).to_have_attribute("type", "password")
    page.locator("#field-cloud-remotePrefixes").get_by_role("button", name="Add another").click()
    page.locator("#field-cloud-remotePrefixes-1").fill("172.30.0.0/16")
    assert key not in page.content()
    page.get_by_role("button", name="Show the plan").last.click()
    expect(page.get_by_role("heading", name="Plan")).to_be_visible()
    assert key not in page.content()
    page.get_by_role("link", name="Change it").click()
    expect(page.locator("#field-cloud-remotePrefixes-1")).to_have_value("172.30.0.0/16")
    expect(page.get_by_label("Shared key")).to_have_attribute("placeholder", "given; type to replace it")
    assert key not in page.content()


def test_another_tenant_sees_nothing_of_it(ann: Person, site: Site, people: People) -> None:
    address = order(ann, site, "secret of initech")
    bob = people.someone()
    bob.log_in("hooli-clicks", PASSWORD)
    answer = bob.page.goto(address)
    assert answer
    assert answer.status == 404
    for name in ("Orders", "Services", "Sites"):
        bob.open(name)
        expect(bob.page.get_by_role("main")).not_to_contain_text("initech")
        expect(bob.page.get_by_role("main")).not_to_contain_text(site.name)
    cancel(ann)


def test_an_administrator_sees_it_with_its_customer(ann: Person, site: Site, people: People, lab: Lab) -> None:
    order(ann, site, f"seen by the administrator, {site.name}")
    root = people.someone()
    root.log_in("admin", (lab.factory.directory / "stacks" / "stack" / "admin-password").read_text().strip())
    root.open("Orders")
    row = root.page.get_by_role("row").filter(has_text=site.name)
    expect(row).to_contain_text("initech")
    row.get_by_role("link").click()
    expect(root.page.locator("#order-state")).to_have_text("held")
    cancel(ann)
    # Nobody reloaded the administrator's page.
    expect(root.page.locator("#order-state")).to_have_text("cancelled")


def test_a_double_click_orders_once(ann: Person, site: Site) -> None:
    page = ann.page
    page.goto("/catalogue/site-to-internet")
    site.fill(ann)
    page.get_by_label("Name of the service").fill(f"once {site.name}")
    page.get_by_role("button", name="Show the plan").click()
    page.get_by_role("button", name="Order", exact=True).dblclick()
    expect(page.locator("#order-state")).to_have_text("held")
    address = page.url
    page.reload()
    assert page.url == address
    ann.open("Orders")
    expect(page.get_by_role("row").filter(has_text=f"once {site.name}")).to_have_count(1)
    page.goto(address)
    cancel(ann)


def test_a_name_that_is_a_script_is_a_name(ann: Person, site: Site) -> None:
    """A dialog, an error or a refused script would be a complaint of the browser, and fail the test."""
    name = f"<script>alert('{site.name}')</script><img src=x onerror=alert(1)>"
    address = order(ann, site, name)
    expect(ann.page.get_by_role("link", name=name)).to_be_visible()
    ann.open("Orders")
    expect(ann.page.get_by_text(name)).to_be_visible()
    ann.page.goto(address)
    cancel(ann)


def test_it_works_without_scripts(people: People, orchestrator: Orchestrator, site: Site) -> None:
    ann = people.someone(java_script_enabled=False)
    ann.log_in("initech-clicks", PASSWORD)
    ann.page.goto("/catalogue/site-to-site")
    ann.page.get_by_role("button", name="Add another").click()
    expect(ann.page.locator("#field-sites-2")).to_be_visible()
    order(ann, site)
    expect(ann.page.locator("time").first).to_contain_text("UTC")
    ann.page.get_by_role("button", name="Cancel the order").click()

    def state() -> str:
        ann.page.reload()
        return ann.page.locator("#order-state").inner_text()

    wait_for("the order to be cancelled", lambda: state() == "cancelled", 20)


def test_times_are_the_readers(people: People, orchestrator: Orchestrator, site: Site) -> None:
    ann = people.someone(timezone_id="Asia/Tokyo", locale="de-DE")
    ann.log_in("initech-clicks", PASSWORD)
    order(ann, site)
    moment = ann.page.locator("dd time")
    expect(moment).not_to_contain_text("UTC")
    shown = ann.page.evaluate(
        "new Date(document.querySelector('dd time').dateTime).toLocaleTimeString('de-DE', {timeZone: 'Asia/Tokyo'})"
    )
    expect(moment).to_contain_text(shown)
    cancel(ann)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_small_screen_shows_all_of_it(people: People, orchestrator: Orchestrator, site: Site, scheme: str) -> None:
    ann = people.someone(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    ann.log_in("initech-clicks", PASSWORD)
    order(ann, site)
    places = [
        ann.page.url,
        "/catalogue",
        "/catalogue/site-to-site",
        "/catalogue/site-to-dc",
        "/orders",
        "/services",
        "/sites",
    ]
    for place in places:
        ann.page.goto(place)
        width = ann.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, f"{place} is {width} pixels wide"
    ann.page.goto(places[0])
    cancel(ann)


PAGES = ("/", "/catalogue", "/catalogue/site-to-internet", "/catalogue/site-to-dc", "/orders", "/services", "/sites")


def test_everybody_can_read_and_work_it(ann: Person, site: Site) -> None:
    """No page breaks a rule of WCAG that axe can check: contrast, names of fields, order of headings, …"""
    places = [*PAGES, order(ann, site)]
    found = {}
    for place in places:
        ann.page.goto(place)
        found[place] = broken_rules(ann.page)
        ann.page.emulate_media(color_scheme="dark")
        found[f"{place} in the dark"] = broken_rules(ann.page, "color-contrast")
        ann.page.emulate_media(color_scheme="light")
    assert {place: rules for place, rules in found.items() if rules} == {}
    cancel(ann)


def broken_rules(page: Page, *rules: str) -> list[str]:
    """All rules, or these: with the elements that break them, and why."""
    only = {"runOnly": {"type": "rule", "values": list(rules)}} if rules else {}
    said = Axe().run(page, options={"resultTypes": ["violations"], **only}).response["violations"]
    return [f"{rule['id']}: {node['html'][:80]} {node['failureSummary']}" for rule in said for node in rule["nodes"]]


def test_whoever_logs_out_is_out(ann: Person) -> None:
    page = ann.page
    ann.open("Orders")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Welcome")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Orders")).to_have_count(0)
    page.goto("/orders")
    expect(page.get_by_label("Password")).to_be_visible()


@pytest.mark.parametrize("answer", ["none", "busy"])
def test_a_page_that_nobody_answers_at_first_is_live_later(ann: Person, site: Site, answer: str) -> None:
    refused: list[str] = []

    def refuse(route: Route) -> None:
        refused.append(route.request.url)
        if answer == "none":
            route.abort("connectionrefused")
        else:
            route.fulfill(status=503)

    ann.page.route("**/live", refuse, times=2)
    order(ann, site)
    expect(ann.page.locator("#order-state")).to_have_text("held")
    # Playwright hears of requests while it is asked something.
    wait_for("it to be refused twice", lambda: ann.page.title() != "" and len(refused) == 2, 20)
    other = ann.page.context.new_page()
    other.goto(ann.page.url)
    other.get_by_role("button", name="Cancel the order").click()
    expect(ann.page.locator("#order-state")).to_have_text("cancelled")
    ann.forgive("net::ERR", "Failed to fetch", "503")


@pytest.mark.parametrize("script", ["hx-sse.min.js", "portal.js"])
def test_a_script_that_is_late_is_waited_for(ann: Person, script: str) -> None:
    """One that came too late would leave the page dead, or dead after a first failure."""
    page = ann.page
    held: list[Route] = []
    page.route(re.compile(script), lambda route: held.append(route))  # noqa: PLW0108 - asks how many arguments it takes
    page.route("**/sites/live", lambda route: route.abort("connectionrefused"), times=1)
    page.goto("/sites", wait_until="commit")
    # Asked each time anew: what the page itself evaluates, as `wait_for_function` does, its policy forbids.
    wait_for("htmx to be there", lambda: page.evaluate("!!window.htmx"), 10)
    # What htmx put off when it was loaded, as it does in a page that has been read, has run when this has.
    page.evaluate("new Promise(done => setTimeout(done, 10))")
    wait_for("the script to be asked for", lambda: page.url and held, 10)
    with page.expect_response("**/sites/live"):
        held.pop().continue_()
    ann.forgive("net::ERR", "Failed to fetch")


def test_a_killed_portal_comes_back_with_its_sessions_and_orders_go_on_being_watched(
    ann: Person, site: Site, lab: Lab
) -> None:
    order(ann, site)
    expect(ann.page.locator("#order-state")).to_have_text("held")
    stack = lab["stack"]
    killed = stack.exec("pgrep", "-f", PROCESS).strip()
    stack.exec("kill", "-KILL", killed)
    wait_for("another portal", lambda: stack.run("pgrep", "-f", PROCESS).stdout.strip() not in ("", killed), 20)
    # In another tab, because the first one shall find back by itself.
    other = ann.page.context.new_page()
    wait_for("the portal to answer", lambda: _opens(other), 20)
    expect(other.get_by_role("heading", name="Orders")).to_be_visible()
    other.goto(ann.page.url)
    other.get_by_role("button", name="Cancel the order").click()
    expect(ann.page.locator("#order-state")).to_have_text("cancelled")
    ann.forgive("net::ERR", "Failed to fetch", "htmx:sse:error")  # while nobody answered


def _opens(page: Page) -> bool:
    try:
        return page.goto("/orders") is not None
    except PlaywrightError:
        return False


def test_a_page_that_watches_leaves_when_the_session_ends(ann: Person) -> None:
    """Logged out in one tab, the other says so by itself and shows nothing any more."""
    ann.open("Sites")
    other = ann.page.context.new_page()
    other.goto("/orders")
    other.get_by_role("button", name="Log out").click()
    expect(ann.page.get_by_role("alert")).to_contain_text("Your session has ended")
    expect(ann.page.get_by_role("table")).to_have_count(0)
