"""Edits that come at once: carried out together, and to each client as if they were not."""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from yangkit import RestconfApp, startup, xmlutil
from yangkit.datastores import Changed
from yangkit.edit import Editor
from yangkit.restconf.conditions import digest
from yangkit.startup import journal_of
from yangkit.treejson import dump, load, shared

KT = "urn:example:kit-test"
TOP = "/restconf/data/kit-test:top"
TYPE = {"content-type": "application/yang-data+json", "accept": "application/yang-data+json"}
DATA: dict[str, Any] = {"kit-test:top": {"name": "a", "item": [{"id": "old", "serial": 1}]}}


async def who(scope) -> str:
    return dict(scope["headers"]).get(b"x-user", b"admin").decode()


@pytest.fixture
async def rest(lab) -> AsyncIterator[httpx.AsyncClient]:
    lab.many_edits = True
    await lab.stop()
    await lab.start()
    await lab.stores.replace_running(DATA)
    app = RestconfApp(lab.server, authenticate=who)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://box") as client:
        yield client
    await app.close()


def put(rest, leaf: str, value: object, **headers: str):
    name = leaf.partition("=")[0]
    if "=" in leaf:
        value = [{"id": leaf.partition("=")[2], **value}]  # type: ignore[dict-item]
    headers = TYPE | {name.replace("_", "-"): text for name, text in headers.items()}
    return rest.put(f"{TOP}/{leaf}", content=json.dumps({f"kit-test:{name}": value}), headers=headers)


async def at_once(lab, *requests) -> list[httpx.Response]:
    """The first is held by the backend until all others wait."""
    lab.backend.gate, lab.backend.applied = asyncio.Event(), []
    lab.backend.entered.clear()
    tasks = [asyncio.create_task(requests[0])]
    await asyncio.wait_for(lab.backend.entered.wait(), 5)
    tasks += [asyncio.create_task(request) for request in requests[1:]]
    for _ in range(20):  # turns of the loop, until each stands in the queue
        await asyncio.sleep(0)
    lab.backend.gate.set()
    return await asyncio.gather(*tasks)


def statuses(answers: list[httpx.Response]) -> list[int]:
    return [answer.status_code for answer in answers]


def kept(lab) -> dict[str, Any]:
    return dump(startup.read(lab.schema, lab.startup))


async def test_those_who_wait_share_one_commit(rest, lab):
    answers = await at_once(lab, *(put(rest, f"item={n}", {"note": str(n)}) for n in range(20)))
    assert statuses(answers) == [201] * 20
    assert len(lab.backend.applied) == 2
    assert journal_of(lab.startup).read_bytes().count(b"<config") == 2
    assert [item["id"] for item in kept(lab)["kit-test:top"]["item"]] == ["old", *map(str, range(20))]
    tags = [answer.headers["etag"] for answer in answers]
    assert len(set(tags)) == 20
    assert (await rest.get(TOP, params={"content": "config"}, headers=TYPE)).headers["etag"] == tags[-1]


async def test_nothing_is_acknowledged_before_it_is_kept(rest, lab):
    lab.backend.gate = asyncio.Event()
    lab.backend.entered.clear()
    tasks = [asyncio.create_task(put(rest, f"item={n}", {})) for n in range(3)]
    await lab.backend.entered.wait()
    assert not any(task.done() for task in tasks)
    lab.backend.gate.set()
    for task in asyncio.as_completed(tasks):
        assert (await task).status_code == 201
        assert len(kept(lab)["kit-test:top"]["item"]) >= 2
    assert len(kept(lab)["kit-test:top"]["item"]) == 4


async def test_what_one_is_refused_for_does_not_fail_the_others(rest, lab):
    answers = await at_once(
        lab,
        put(rest, "item=first", {}),
        put(rest, "item=2", {"serial": 2}),
        put(rest, "limit", 60),
        put(rest, "item=3", {"serial": 3}),
        put(rest, "item=4", {"serial": 1}),
        put(rest, "favourite", "nobody"),
        put(rest, "item=5", {"serial": 5}),
    )
    assert statuses(answers) == [201, 201, 412, 201, 412, 409, 201]
    assert "below 50" in answers[2].text
    assert "data-not-unique" in answers[4].text
    assert [item["id"] for item in lab.stores.running["kit-test:top"]["item"]] == ["old", "first", "2", "3", "5"]
    assert kept(lab) == lab.stores.running


async def test_who_is_overwritten_at_once_must_have_been_right(rest, lab):
    answers = await at_once(lab, put(rest, "item=first", {}), put(rest, "limit", 60), put(rest, "limit", 40))
    assert statuses(answers) == [201, 412, 201]
    assert lab.stores.running["kit-test:top"]["limit"] == 40


async def test_one_is_not_refused_for_what_another_was_refused(rest, lab):
    """The second would be there already, had the first been right."""

    def post(serial: int):
        body = json.dumps({"kit-test:item": [{"id": "x", "serial": serial}]})
        return rest.post(TOP, content=body, headers=TYPE)

    answers = await at_once(lab, put(rest, "item=first", {}), post(1), post(2), post(3))
    assert statuses(answers) == [201, 412, 201, 409]
    assert {"id": "x", "serial": 2} in lab.stores.running["kit-test:top"]["item"]


async def test_who_was_beside_the_others_may_be_in_their_way_when_they_are_tried_again(rest, lab):
    """The last changes nothing while the first's entry is there, and the third is refused. The first goes; then both
    are about the same."""
    third = json.dumps({"kit-test:item": [{"id": "x", "serial": 3}]})
    requests = [put(rest, "item=x", {"serial": 1}), put(rest, "item=y", {})]
    requests += [rest.post(TOP, content=third, headers=TYPE), put(rest, "item=x", {"serial": 1})]
    async with asyncio.timeout(10):
        answers = await at_once(lab, put(rest, "item=first", {}), *requests)
    assert statuses(answers) == [201, 412, 201, 201, 412]
    assert {"id": "x", "serial": 3} in lab.stores.running["kit-test:top"]["item"]


async def test_of_those_with_one_precondition_one_wins(rest, lab):
    tag = (await rest.get(TOP, params={"content": "config"}, headers=TYPE)).headers["etag"]
    since = {"if_unmodified_since": "Thu, 01 Jan 2099 00:00:00 GMT"}
    answers = await at_once(
        lab,
        put(rest, "item=1", {}, if_match=tag),
        put(rest, "item=2", {}, if_match=tag),
        put(rest, "item=3", {}, if_match=tag),
        put(rest, "item=4", {}, **since),
    )
    assert statuses(answers) == [201, 412, 412, 201]
    chain = [answers[3].headers["etag"], *(f"item={n}" for n in "56")]
    answers = await at_once(lab, put(rest, chain[1], {}), put(rest, chain[2], {}, if_match=chain[0]))
    assert statuses(answers) == [201, 412]


async def test_rights_are_those_that_an_edit_before_it_has_left(rest, lab):
    """The administrator takes the guest's right away; what the guest asks after that is refused."""
    nacm = {"enable-nacm": True, "write-default": "permit"}
    url = "/restconf/data/ietf-netconf-acm:nacm"
    body = json.dumps({"ietf-netconf-acm:nacm": nacm})
    lab.server.recovery_users = frozenset({"admin"})
    assert (await rest.put(url, content=body, headers=TYPE)).status_code == 201
    closed = json.dumps({"ietf-netconf-acm:write-default": "deny"})
    answers = await at_once(
        lab,
        put(rest, "item=first", {}),
        put(rest, "item=2", {}, x_user="guest"),
        rest.put(f"{url}/write-default", content=closed, headers=TYPE),
        put(rest, "item=3", {}, x_user="guest"),
    )
    assert statuses(answers) == [201, 201, 204, 403]


async def test_each_is_told_as_its_own(rest, lab):
    order: contextvars.ContextVar[str] = contextvars.ContextVar("order", default="")
    heard: list[tuple[str, str | None, int, int]] = []

    def listen(change: Changed) -> None:
        sizes = [len(dump(tree)["kit-test:top"]["item"]) for tree in (change.old, change.new)]
        heard.append((order.get(), change.user, *sizes))

    async def named(name: str, request) -> httpx.Response:
        order.set(name)
        return await request

    lab.server.recovery_users = frozenset({"u0", "u1", "u2"})
    lab.stores.change_listeners.append(listen)
    await at_once(lab, *(named(f"o{n}", put(rest, f"item={n}", {}, x_user=f"u{n}")) for n in range(3)))
    assert heard == [("o0", "u0", 1, 2), ("o1", "u1", 2, 3), ("o2", "u2", 3, 4)]


async def test_a_full_disk_fails_all_of_them(rest, lab):
    lab.stores.files.path = lab.startup / "not-a-directory"
    journal = lab.stores.files.journal
    lab.stores.files.journal = None
    answers = await at_once(lab, *(put(rest, f"item={n}", {}) for n in range(4)))
    assert statuses(answers) == [409] * 4
    assert all("durable" in answer.text for answer in answers)
    assert len(lab.stores.running["kit-test:top"]["item"]) == 1
    lab.stores.files.path, lab.stores.files.journal = lab.startup, journal
    assert (await put(rest, "item=after", {})).status_code == 201
    assert kept(lab) == lab.stores.running


async def test_a_commit_does_not_take_back_what_was_acknowledged_meanwhile(rest, lab):
    """The candidate is taken when it is its turn, with what has come to running before that."""
    client = await lab.ssh()
    await client.edit_config(f'<top xmlns="{KT}"><name>mine</name></top>')
    answers = await at_once(lab, put(rest, "item=1", {}), client.commit(), put(rest, "item=2", {}))
    assert [answers[0].status_code, answers[2].status_code] == [201, 201]
    top = lab.stores.running["kit-test:top"]
    assert (top["name"], [item["id"] for item in top["item"]]) == ("mine", ["old", "1", "2"])
    assert not lab.stores.modified


async def test_a_patch_that_is_tried_again_is_the_same(rest, lab):
    """It shares its first turn with an edit that is refused."""
    value = f'<item xmlns="{KT}"><id>p</id><serial>7</serial></item>'
    body = (
        '<yang-patch xmlns="urn:ietf:params:xml:ns:yang:ietf-yang-patch"><patch-id>p</patch-id><edit>'
        f"<edit-id>1</edit-id><operation>create</operation><target>/item=p</target><value>{value}</value>"
        "</edit></yang-patch>"
    )
    headers = {"content-type": "application/yang-patch+xml", "accept": "application/yang-data+json"}
    patch = rest.patch(TOP, content=body, headers=headers)
    answers = await at_once(lab, put(rest, "item=first", {}), put(rest, "limit", 60), patch)
    assert statuses(answers) == [201, 412, 200]
    assert {"id": "p", "serial": 7} in lab.stores.running["kit-test:top"]["item"]


def test_equal_configurations_have_one_tag_whatever_order_their_parts_came_in(schema):
    def tag(**top) -> str:
        return digest(load(schema, {"kit-test:top": top}))

    items = [{"id": "a", "note": "1"}, {"note": "2", "id": "b"}]
    first = tag(name="x", item=items, tag=["t", "u"], rule=[{"name": "r"}, {"name": "s"}])
    again = {"rule": [{"name": "r"}, {"name": "s"}], "tag": ["u", "t"], "item": items[::-1], "name": "x"}
    assert tag(**again) == first
    others = [
        again | {"rule": [{"name": "s"}, {"name": "r"}]},  # the user's order
        again | {"name": "y"},
        again | {"item": [{"id": "a", "note": "2"}, {"id": "b", "note": "1"}]},
        again | {"item": items[:1]},
        {**again, "box": {"must-have": "1"}},
        {name: value for name, value in again.items() if name != "tag"} | {"step": ["u", "t"]},
    ]
    assert len({first, *(tag(**one) for one in others)}) == 1 + len(others)


def test_shared_trees_share_what_is_equal(schema):
    old = load(schema, {"kit-test:top": {"item": [{"id": "a"}, {"id": "b"}]}})
    text = f'<c><top xmlns="{KT}"><item><id>b</id><note>n</note></item></top></c>'
    new = Editor().run(old, xmlutil.parse(text.encode()))
    first, second = (shared(tree)["kit-test:top"]["item"] for tree in (old, new))
    assert (second, shared(new)) == ([{"id": "a"}, {"id": "b", "note": "n"}], dump(new))
    assert first[0] is second[0]
    assert first[1] == {"id": "b"}
