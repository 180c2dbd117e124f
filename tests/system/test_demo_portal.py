"""A tenant ends a service and buys it again, by clicking, and the packets follow (EV-01)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from harness.lab import Lab
from tests.system.browser.people import People
from tests.system.lifecycle import Life

pytestmark = pytest.mark.topology("demo")

SERVER, HOST_2 = "198.51.100.80", "10.2.0.10"
SERVICE = "branch-1-internet"
BUILT_MILLISECONDS = 60_000


@pytest.fixture
def bought_again(life: Life) -> Iterator[None]:
    """In the end all is as it was ordered, whatever has become of the test."""
    yield
    if SERVICE not in {one["name"] for one in life.services("active")}:
        life.clear()
        life.completed(life.place())


@pytest.mark.usefixtures("bought_again")
def test_what_is_clicked_is_built_and_taken_down(people: People, lab: Lab) -> None:
    acme, host = people.someone(), lab["host-1"]
    page = acme.page
    state = page.locator("#order-state")
    acme.log_in("acme", lab.factory.password("acme").read_text().strip())
    host.must_reach(SERVER)

    acme.open("Services")
    page.get_by_role("row").filter(has_text=SERVICE).filter(has_text="active").get_by_role("link").click()
    page.get_by_role("button", name="End the service").click()
    expect(page.get_by_role("heading", name="vmsr-1")).to_be_visible()
    assert host.reaches(SERVER), "a plan changed the network"
    page.get_by_role("button", name="Order the end").click()
    expect(state).to_have_text("completed", timeout=BUILT_MILLISECONDS)
    host.must_not_reach(SERVER)
    assert host.reaches(HOST_2), "the end of one service took another one along"

    acme.open("Catalogue")
    page.get_by_role("link", name="Order Site to Internet").click()
    page.locator("#field-site").get_by_label("Name").fill("branch-1")
    page.get_by_label("Name of the service").fill(SERVICE)
    page.get_by_role("button", name="Show the plan").click()
    expect(page.get_by_role("heading", name="vmsr-1")).to_be_visible()
    host.must_not_reach(SERVER)
    page.get_by_role("button", name="Order", exact=True).click()
    expect(state).to_have_text("completed", timeout=BUILT_MILLISECONDS)
    host.must_reach(SERVER)
    expect(page.get_by_role("row").filter(has_text="Prove that it works")).to_contain_text("done")

    acme.open("Sites")
    expect(page.get_by_role("row").filter(has_text="branch-1")).to_contain_text("up")
