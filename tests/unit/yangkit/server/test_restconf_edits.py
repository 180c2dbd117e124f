"""RESTCONF (RFC 8040): edits, their conditions, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from yangkit import Datastores
from yangkit.backend import ApplyError

from tests.unit.yangkit.server.rest import KT, XML, Rest, opened, refused


@pytest.fixture
async def rest(lab) -> AsyncIterator[Rest]:
    async with opened(lab) as client:
        yield client


# -- editing ---------------------------------------------------------------------------------------------------------


async def test_put_creates_then_replaces(rest, lab):
    path = "/data/kit-test:top/item=3"
    made = await rest("PUT", path, {"kit-test:item": [{"id": "3", "serial": 3}]})
    assert (made.status_code, made.headers["location"]) == (201, "/restconf/data/kit-test:top/item=3")
    assert "etag" in made.headers
    assert (await rest("PUT", path, f'<item xmlns="{KT}"><id>3</id><note>z</note></item>')).status_code == 204
    assert lab.stores.running["kit-test:top"]["item"][2] == {"id": "3", "note": "z"}
    assert lab.backend.applied[-1] == lab.stores.running
    assert "<note>z</note>" in lab.startup.read_text()


async def test_post_creates_once(rest):
    body = {"kit-test:item": [{"id": "3/x"}]}
    made = await rest("POST", "/data/kit-test:top", body)
    assert (made.status_code, made.headers["location"]) == (201, "/restconf/data/kit-test:top/item=3%2Fx")
    assert (await rest("GET", made.headers["location"].removeprefix("/restconf"))).status_code == 200
    refused(await rest("POST", "/data/kit-test:top", body), 409, "data-exists")
    assert (await rest("POST", "/data", {"kit-test:second": {"value": "v"}})).status_code == 201
    made = await rest("POST", "/data/kit-test:top", {"kit-test:tag": ["t,1"]})
    assert made.headers["location"] == "/restconf/data/kit-test:top/tag=t%2C1"
    assert (await rest("DELETE", "/data/kit-test:top/tag=t%2C1")).status_code == 204


async def test_patch_merges_what_is_there(rest, lab):
    assert (await rest("PATCH", "/data/kit-test:top", {"kit-test:top": {"count": 7}})).status_code == 204
    assert lab.stores.running["kit-test:top"]["name"] == "a"
    assert (
        await rest("PATCH", "/data", {"ietf-restconf:data": {"kit-test:second": {"value": "v"}}})
    ).status_code == 204
    assert lab.stores.running["kit-test:second"] == {"value": "v"}
    assert (await rest("PATCH", "/data/kit-test:second", {"kit-test:second": {}})).status_code == 204
    missing = {"kit-test:item": [{"id": "9"}]}
    refused(await rest("PATCH", "/data/kit-test:top/item=9", missing), 404, "invalid-value")


async def test_put_on_the_datastore_replaces_it(rest, lab):
    body = (
        f'<data xmlns="urn:ietf:params:xml:ns:yang:ietf-restconf"><second xmlns="{KT}"><value>v</value></second></data>'
    )
    assert (await rest("PUT", "/data", body)).status_code == 204
    assert lab.stores.running == {"kit-test:second": {"value": "v"}}
    refused(await rest("DELETE", "/data"), 405, "operation-not-supported")


async def test_delete(rest, lab):
    assert (await rest("DELETE", "/data/kit-test:top/item=1")).status_code == 204
    assert lab.stores.running["kit-test:top"]["item"] == [{"id": "2", "note": "y"}]
    refused(await rest("DELETE", "/data/kit-test:top/item=1"), 404, "invalid-value")
    refused(await rest("DELETE", "/data/kit-test:top/item"), 405, "operation-not-supported")
    refused(await rest("DELETE", "/data/kit-test:top/item=2/id"), 405, "operation-not-supported")


async def test_insert_and_point(rest, lab):
    post = lambda name, q: rest("POST", f"/data/kit-test:top?{q}", {"kit-test:rule": [{"name": name}]})  # noqa: E731
    names = lambda: [r["name"] for r in lab.stores.running["kit-test:top"]["rule"]]  # noqa: E731
    assert (await post("b", "insert=last")).status_code == 201
    assert (await post("a'\"", "insert=first")).status_code == 201
    assert (await post("c", "insert=after&point=/kit-test:top/rule=a%27%22")).status_code == 201
    assert names() == ["a'\"", "c", "b"]
    put = await rest(
        "PUT", "/data/kit-test:top/rule=b?insert=before&point=/kit-test:top/rule=c", {"kit-test:rule": [{"name": "b"}]}
    )
    assert put.status_code == 204
    assert names() == ["a'\"", "b", "c"]
    assert (await rest("PUT", "/data/kit-test:top/step=x?insert=first", {"kit-test:step": ["x"]})).status_code == 201
    for wrong in (
        "insert=middle",
        "insert=after",
        "point=/kit-test:top/rule=b",
        "insert=first&point=/kit-test:top/rule=b",
        "insert=after&point=/kit-test:top/item=1",
        "insert=after&point=/kit-test:top/rule",
    ):
        assert (await post("d", wrong)).status_code == 400
    refused(await post("d", "insert=before&point=/kit-test:top/rule=none"), 400, "bad-attribute")
    put = await rest("PUT", "/data/kit-test:top/item=1?insert=first", {"kit-test:item": [{"id": "1"}]})
    refused(put, 400, "invalid-value")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/top/item=1", {"kit-test:item": [{"id": "2"}]}),
        ("/top/item=1", {"kit-test:item": []}),
        ("/top/item=1", {"kit-test:item": [{"id": "1"}, {"id": "2"}]}),
        ("/top/item=1", {"kit-test:item": {"id": "1"}}),
        ("/top/item=1", {"kit-test:item": [{"id": "1", "none": 1}]}),
        ("/top/item=1", {"kit-test:item": [{"id": "1", "@note": {}}]}),
        ("/top/item=1", {"kit-test:item": [{"id": "1", "note": "a", "kit-test:note": "b"}]}),
        ("/top/item=1", {"item": [{"id": "1"}]}),
        ("/top/item=1", {"kit-test:item": [{"id": "1"}], "kit-test:name": "x"}),
        ("/top/item=1", {}),
        ("/top/item=1", [1]),
        ("/top/item=1", b'{"kit-test:item":[{"id":"1","id":"1"}]}'),
        ("/top/item=1", b'{"kit-test:item":[{"id":"1","serial":NaN}]}'),
        ("/top/item=1", b'{"kit-test:item":[{"id":"1","note":"\\ud800"}]}'),
        ("/top/item=1", b'{"kit-test:item":[{"id":"1","note":"\\u0001"}]}'),
        ("/top/item=1", b"[" * 100_000),
        ("/top/item=1", b"1" * 5000),
        ("/top/blob", b'{"kit-test:blob":' + b'{"x":' * 300 + b"1" + b"}" * 301),
        ("/top/item=1", b"\xff"),
        ("/top/item=1", b"<item/>"),
        ("/top/big", {"kit-test:big": 5}),
        ("/top/count", {"kit-test:count": "5"}),
        ("/top/count", {"kit-test:count": 5.5}),
        ("/top/count", {"kit-test:count": 101}),
        ("/top/count", {"kit-test:count": True}),
        ("/top/count", {"kit-test:count": None}),
        ("/top/flag", {"kit-test:flag": "true"}),
        ("/top/nothing", {"kit-test:nothing": ""}),
        ("/top/pet", {"kit-test:pet": "none:dog"}),
        ("/top/name", {"kit-test:name": "longer than ten"}),
        ("/top/name", "<name>x</name>"),
        ("/top/name", f'<name xmlns="{KT}">x'),
        ("/top/name", f'<!DOCTYPE x><name xmlns="{KT}">x</name>'),
        ("/top/name", f'<name xmlns="{KT}" xmlns:n="urn:ietf:params:xml:ns:netconf:base:1.0" n:operation="delete"/>'),
    ],
)
async def test_bad_bodies_are_refused_and_change_nothing(path, body, rest, lab):
    before = lab.stores.running_tree
    found = await rest("PUT", f"/data/kit-test:{path[1:]}", body)
    assert found.status_code == 400, found.text
    assert lab.stores.running_tree is before


async def test_types_of_rfc_7951(rest):
    values = {"big": "18446744073709551615", "nothing": [None], "pet": "kit-test:dog", "flag": True, "either": "abc"}
    assert (await rest("PATCH", "/data/kit-test:top", {"kit-test:top": values})).status_code == 204
    found = (await rest("GET", "/data/kit-test:top?fields=big;nothing;pet;flag;either")).json()["kit-test:top"]
    assert found == values
    xml = (await rest("GET", "/data/kit-test:top/pet", accept=XML)).text
    assert (await rest("PUT", "/data/kit-test:top/pet", xml)).status_code == 204
    assert (await rest("GET", "/data/kit-test:top/pet")).json() == {"kit-test:pet": "kit-test:dog"}


async def test_anydata(rest):
    blob = {"kit-test:second": {"value": "v"}, "ietf-interfaces:other": [{"x": "1"}, {"x": "2"}]}
    assert (await rest("PUT", "/data/kit-test:top/blob", {"kit-test:blob": blob})).status_code == 201
    assert (await rest("GET", "/data/kit-test:top/blob")).json() == {"kit-test:blob": blob}
    typed = {"kit-test:top": {"count": 3, "nothing": [None]}}
    assert (await rest("PUT", "/data/kit-test:top/blob", {"kit-test:blob": typed})).status_code == 204
    assert (await rest("GET", "/data/kit-test:top/blob")).json() == {"kit-test:blob": typed}
    refused(await rest("PUT", "/data/kit-test:top/blob", {"kit-test:blob": {"no such:x": 1}}), 400, "unknown-element")


async def test_what_is_accepted_can_be_read_again_after_a_restart(rest, lab):
    """The deepest anydata that goes in must not make the startup file one that nobody can read."""
    path, accepted = "/data/kit-test:top/blob", 0
    for depth in range(110, 130):
        body = b'{"kit-test:blob":' + b'{"x":' * depth + b"1" + b"}" * (depth + 1)
        status = (await rest("PUT", path, body)).status_code
        assert status in (201, 204, 400)
        accepted += status != 400
    assert 0 < accepted < 20
    again = Datastores(lab.schema, lab.backend, lab.startup)
    await again.start()
    assert again.problem is None
    assert again.running == lab.stores.running
    assert (await rest("GET", path)).status_code == 200


async def test_constraints_and_the_system_refuse(rest, lab):
    found = refused(await rest("PUT", "/data/kit-test:top/limit", {"kit-test:limit": 60}), 412, "operation-failed")
    assert found["error-app-tag"] == "must-violation"
    assert found["error-path"] == "/kit-test:top/limit"
    found = await rest("PUT", "/data/kit-test:top/favourite", {"kit-test:favourite": "none"})
    refused(found, 409, "data-missing")
    lab.backend.refuse = ApplyError("no room", "/kit-test:top/name", "resource-denied")
    refused(await rest("PUT", "/data/kit-test:top/name", {"kit-test:name": "b"}), 409, "resource-denied")
    lab.backend.refuse = RuntimeError("broken")
    refused(await rest("PUT", "/data/kit-test:top/name", {"kit-test:name": "b"}), 500, "operation-failed")
    lab.backend.refuse = None
    assert lab.stores.running["kit-test:top"]["name"] == "a"


async def test_parents_must_exist_but_containers_do(rest):
    body = {"kit-test:note": "n"}
    refused(await rest("PUT", "/data/kit-test:top/item=9/note", body), 404, "invalid-value")
    refused(await rest("PUT", "/data/kit-test:top/present/note", body), 404, "invalid-value")
    assert (await rest("PUT", "/data/kit-test:second/value", {"kit-test:value": "v"})).status_code == 201


# -- conditions, locks, negotiation ----------------------------------------------------------------------------------


async def test_conditions_of_edits(rest):
    path, body = "/data/kit-test:top/name", {"kit-test:name": "b"}
    tag = (await rest("GET", path)).headers["etag"]
    assert (await rest("PUT", path, body, if_match=tag)).status_code == 204
    refused(await rest("PUT", path, body, if_match=tag), 412, "operation-failed")
    refused(await rest("PUT", path, body, if_none_match="*"), 412, "operation-failed")
    refused(await rest("PUT", "/data/kit-test:second", {"kit-test:second": {}}, if_match="*"), 412, "operation-failed")
    early = "Sat, 01 Jan 2000 00:00:00 GMT"
    refused(await rest("DELETE", path, if_unmodified_since=early), 412, "operation-failed")
    assert (await rest("DELETE", path, if_unmodified_since="no date")).status_code == 204


async def test_locks_and_confirmed_commits(rest, client):
    path, body = "/data/kit-test:top/name", {"kit-test:name": "b"}
    for store in ("running", "candidate"):
        await client.lock(store)
        refused(await rest("PUT", path, body), 409, "in-use")
        await client.unlock(store)
    await client.edit_config(f'<top xmlns="{KT}"><name>c</name></top>', target="candidate")
    await client.commit(confirmed=True, confirm_timeout=60)
    refused(await rest("PUT", path, body), 409, "in-use")
    await client.commit()
    assert (await rest("PUT", path, body)).status_code == 204


async def test_concurrent_edits_are_all_kept(rest, lab):
    puts = [rest("PUT", f"/data/kit-test:top/item=n{n}", {"kit-test:item": [{"id": f"n{n}"}]}) for n in range(20)]
    assert {r.status_code for r in await asyncio.gather(*puts)} == {201}
    assert len(lab.stores.running["kit-test:top"]["item"]) == 22


async def test_what_was_acknowledged_outlives_the_commit_of_an_older_candidate(rest, client, lab):
    """NETCONF's commit copies the whole candidate to running, also what it had before somebody else's edit."""
    await client.edit_config(f'<top xmlns="{KT}"><item><id>a</id><note>mine</note></item></top>', target="candidate")
    path = "/data/kit-test:top/item=z"
    assert (await rest("PUT", path, {"kit-test:item": [{"id": "z", "note": "theirs"}]})).status_code == 201
    assert (await rest("GET", path)).status_code == 200
    await client.commit()
    notes = {one["id"]: one.get("note") for one in lab.stores.running["kit-test:top"]["item"]}
    assert (notes["a"], notes["z"]) == ("mine", "theirs")
    assert (await rest("DELETE", path)).status_code == 204
    assert not lab.stores.modified


async def test_edits_by_both_protocols_are_all_kept(rest, client, lab, until):
    lab.backend.gate = asyncio.Event()
    lab.backend.entered.clear()
    slow = asyncio.create_task(rest("PUT", "/data/kit-test:top/name", {"kit-test:name": "b"}))
    await lab.backend.entered.wait()
    other = asyncio.create_task(client.edit_config(f'<top xmlns="{KT}"><flag>true</flag></top>', "running"))
    await until(lambda: lab.server.counters["in-rpcs"] > 0)
    lab.backend.gate.set()
    assert (await slow).status_code == 204
    await other
    assert (lab.stores.running["kit-test:top"]["name"], lab.stores.running["kit-test:top"]["flag"]) == ("b", True)
