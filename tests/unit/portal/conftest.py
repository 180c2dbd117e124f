"""The portal over TLS beside a real identity and a real GRO, each a process of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest
from portal.app import Portal

from tests.unit.portal.south import South
from tests.unit.portal.world import (
    Browser,
    World,
    browser_of,
    free_port,
    identities,
    running,
    start_gro,
    wait_until_it_answers,
)  # fmt: skip

NUMBERS = count(1)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("world")
    identity = identities.make(directory)
    identity.authority.issue("gro", ["gro.elasticlab.example"])
    url = f"https://127.0.0.1:{free_port()}"
    text = identity.settings.read_text().replace(identities.CALLBACK, f"{url}/callback")
    identity.settings.write_text(text.replace(identities.GOODBYE, f"{url}/"))
    peer = South(directory / "south", directory / "manager", (free_port(), free_port()))
    identity.start()
    process, gro_url = start_gro(directory, identity.url, peer)
    try:
        wait_until_it_answers(process, gro_url, directory / "ca.pem")
        made = World(directory, identity, peer, gro_url, url)
        for tenant in ("acme", "globex"):
            made.scim(
                "POST", "Tenants",
                {"schemas": ["urn:elasticlab:scim:Tenant"], "name": tenant, "displayName": tenant.capitalize()},
            )  # fmt: skip
        made.add_user("ann", "acme", "Ann <script>alert(1)</script>")
        made.add_user("bob", "globex")
        made.add_user("root", None)
        yield made
    finally:
        process.kill()
        process.wait()
        identity.kill()
        peer.close()


@pytest.fixture
async def portal(world: World, tmp_path: Path) -> AsyncIterator[Portal]:
    async with running(world, world.settings(tmp_path / "portal")) as made:
        yield made


@pytest.fixture
async def browser(world: World, portal: Portal) -> AsyncIterator[Browser]:
    made = browser_of(world)
    yield made
    await made.client.aclose()


@pytest.fixture
async def ann(browser: Browser) -> Browser:
    """Logged in, of tenant acme."""
    answer = await browser.log_in("ann")
    assert answer.status_code == 200, answer.text
    return browser


@pytest.fixture
async def bob(world: World, portal: Portal) -> AsyncIterator[Browser]:
    """Logged in elsewhere, of tenant globex."""
    made = browser_of(world)
    assert (await made.log_in("bob")).status_code == 200
    yield made
    await made.client.aclose()


@pytest.fixture
async def root(world: World, portal: Portal) -> AsyncIterator[Browser]:
    """An administrator."""
    made = browser_of(world)
    assert (await made.log_in("root")).status_code == 200
    yield made
    await made.client.aclose()


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
