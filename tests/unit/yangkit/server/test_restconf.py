"""RESTCONF (RFC 8040): discovery, reading, conditions, negotiation, rights."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
from yangkit.xmlutil import parse

from tests.unit.yangkit.server.rest import DATA, JSON, KT, XML, Rest, opened, refused


@pytest.fixture
async def rest(lab) -> AsyncIterator[Rest]:
    async with opened(lab) as client:
        yield client


# -- discovery -------------------------------------------------------------------------------------------------------


async def test_host_meta_tells_the_root_to_everybody(rest):
    found = await rest("GET", "/.well-known/host-meta", x_user="nobody")
    assert (found.status_code, found.headers["content-type"]) == (200, "application/xrd+xml")
    assert parse(found.content)[0].attrib == {"rel": "restconf", "href": "/restconf"}
    assert (await rest("DELETE", "/.well-known/host-meta")).status_code == 405


async def test_the_api_resource(rest):
    found = (await rest("GET", "")).json()["ietf-restconf:restconf"]
    assert found == {"data": {}, "operations": {}, "yang-library-version": "2019-01-04"}
    assert parse((await rest("GET", "", accept=XML)).content).tag.endswith("}restconf")
    version = (await rest("GET", "/yang-library-version")).json()
    assert version == {"ietf-restconf:yang-library-version": "2019-01-04"}
    refused(await rest("GET", "/nothing"), 404, "invalid-value")
    refused(await rest("POST", "", {}), 405, "operation-not-supported")


async def test_monitoring_lists_capabilities_and_the_stream(rest):
    found = (await rest("GET", "/data/ietf-restconf-monitoring:restconf-state")).json()
    state = found["ietf-restconf-monitoring:restconf-state"]
    assert "urn:ietf:params:restconf:capability:yang-patch:1.0" in state["capabilities"]["capability"]
    (stream,) = state["streams"]["stream"]
    assert stream["name"] == "NETCONF"
    assert {a["location"] for a in stream["access"]} == {"/restconf/streams/NETCONF", "/restconf/streams/NETCONF-JSON"}


async def test_authentication(rest):
    found = await rest("GET", "/data", x_user="nobody")
    assert found.headers["www-authenticate"] == 'Bearer realm="test"'
    refused(found, 401, "access-denied")
    refused(await rest("GET", "/data", x_user="stranger"), 403, "access-denied")


# -- reading ---------------------------------------------------------------------------------------------------------


async def test_get_in_both_encodings(rest):
    path = "/data/kit-test:top/item=2"
    assert (await rest("GET", path)).json() == {"kit-test:item": [{"id": "2", "note": "y"}]}
    found = await rest("GET", path, accept=XML)
    assert found.headers["content-type"] == XML
    assert found.text == f'<item xmlns="{KT}"><id>2</id><note>y</note></item>'
    assert (await rest("GET", "/data/kit-test:top/name")).json() == {"kit-test:name": "a"}
    head = await rest("HEAD", path)
    assert (head.status_code, head.content, head.headers["cache-control"]) == (200, b"", "no-cache")


async def test_paths(rest):
    assert (await rest("GET", "/data/kit-test:machine=m%2F1%2C%C3%BC")).json()["kit-test:machine"] == [
        {"name": "m/1,ü"}
    ]
    assert (await rest("GET", "/data/kit-test:top/kit-test:item=1/id")).json() == {"kit-test:id": "1"}
    for path in ("/top", "/kit-test:none", "/kit-test:top/item=3", "/kit-test:top/name/x", "/kit-test:top/name=1"):
        refused(await rest("GET", f"/data{path}"), 404, "invalid-value")
    for path in ("/kit-test:top/pair=1", "/kit-test:top/pair=x,y", "/kit-test:top/item=%ff"):
        refused(await rest("GET", f"/data{path}"), 400, "invalid-value")
    refused(await rest("GET", "/data/kit-test:top/item/id"), 400, "missing-element")


async def test_several_entries_need_json(rest):
    assert len((await rest("GET", "/data/kit-test:top/item")).json()["kit-test:item"]) == 2
    assert (await rest("GET", "/data/kit-test:top/item", accept=XML)).status_code == 400


async def test_a_backend_that_can_is_asked_for_what_is_wanted_only(rest, lab):
    """One entry's state from who can tell it alone; everything else from ``state``."""
    asked = []
    lab.backend.operational = {"kit-test:machine": [{"name": n, "power": "on"} for n in ("m/1,ü", "m2")]}

    async def state_at(path):
        asked.append(str(path))
        if path.steps[0][1] != ("m2",):
            return None
        return {"kit-test:machine": [{"name": "m2", "power": "off"}]}

    lab.backend.state_at = state_at
    for url, power in (("m2", "off"), ("m2/power", "off"), (quote("m/1,ü", safe=""), "on")):
        assert power in (await rest("GET", f"/data/kit-test:machine={url}")).text
    assert asked == [
        "/kit-test:machine[name='m2']",
        "/kit-test:machine[name='m2']/power",
        "/kit-test:machine[name='m/1,ü']",
    ]
    lab.backend.operational = {}
    assert (await rest("GET", "/data/kit-test:machine=m2")).status_code == 200
    assert (await rest("GET", "/data/kit-test:machine=m3")).status_code == 404
    assert "m2" not in (await rest("GET", "/data")).text


async def test_content_and_depth_and_fields(rest, lab):
    lab.backend.operational = {
        "kit-test:top": {"state": {"uptime": 7}},
        "kit-test:machine": [{"name": "m/1,ü", "power": "on"}],
    }
    get = lambda q: rest("GET", f"/data/kit-test:top?{q}")  # noqa: E731
    assert (await get("content=nonconfig")).json() == {"kit-test:top": {"state": {"uptime": 7}}}
    assert "state" not in (await get("content=config")).json()["kit-test:top"]
    assert (await get("depth=1")).json() == {"kit-test:top": {}}
    assert (await get("depth=2")).json()["kit-test:top"] == {
        "name": "a",
        "item": [{"id": "1"}, {"id": "2"}],
        "state": {},
    }
    assert (await get("fields=name;item(note)")).json()["kit-test:top"] == {
        "name": "a",
        "item": [{"id": "1", "note": "x"}, {"id": "2", "note": "y"}],
    }
    assert (await get("fields=state/uptime&depth=1")).json() == {"kit-test:top": {"state": {"uptime": 7}}}
    found = (await rest("GET", "/data/kit-test:machine?content=nonconfig")).json()
    assert found == {"kit-test:machine": [{"name": "m/1,ü", "power": "on"}]}
    for wrong in ("content=x", "depth=0", "depth=65536", "fields=none", "fields=item(", "fields=", "fields=name)",
                  "depth=1&depth=2", "unknown=1", "insert=first", "with-defaults=x", "depth=%ff"):  # fmt: skip
        refused(await get(wrong), 400, "invalid-value")


async def test_with_defaults(rest):
    path = "/data/kit-test:top?content=config&fields=count&with-defaults="
    assert (await rest("GET", path + "report-all")).json() == {"kit-test:top": {"count": 5}}
    tagged = (await rest("GET", path + "report-all-tagged")).json()["kit-test:top"]
    assert tagged == {"count": 5, "@count": {"ietf-netconf-with-defaults:default": True}}
    assert 'default="true"' in (await rest("GET", path + "report-all-tagged", accept=XML)).text
    assert (await rest("GET", path + "explicit")).json() == {"kit-test:top": {}}


async def test_conditions_of_get(rest):
    first = await rest("GET", "/data/kit-test:top?content=config")
    tag = first.headers["etag"]
    assert (await rest("GET", "/data/kit-test:top?content=config", if_none_match=tag)).status_code == 304
    since = first.headers["last-modified"]
    assert (await rest("GET", "/data?content=config", if_modified_since=since)).status_code == 304
    await rest("PUT", "/data/kit-test:top/name", {"kit-test:name": "b"})
    assert (await rest("GET", "/data/kit-test:top?content=config", if_none_match=tag)).status_code == 200
    # With state in it, an unchanged configuration does not mean an unchanged answer.
    tag = (await rest("GET", "/data")).headers["etag"]
    assert (await rest("GET", "/data", if_none_match=tag)).status_code == 200


async def test_negotiation(rest):
    path, body = "/data/kit-test:top/name", {"kit-test:name": "b"}
    assert (await rest("GET", path, accept="text/html")).status_code == 406
    assert (await rest("GET", path, accept=f"{JSON};q=0.1, application/*;q=0.5")).headers["content-type"] == XML
    assert (await rest("GET", path, accept=f"{JSON};q=0, */*;q=0")).status_code == 406
    found = await rest("PUT", path, body, content_type="text/plain")
    refused(found, 415, "operation-not-supported")
    assert (await rest("PUT", path, content_type=JSON)).status_code == 400
    found = await rest("PATCH", path, body, content_type="application/json")
    assert "application/yang-patch+json" in found.headers["accept-patch"] or found.status_code == 415
    xml = await rest("PUT", path, "<x/>")
    assert xml.headers["content-type"] == XML
    assert parse(xml.content).tag == "{urn:ietf:params:xml:ns:yang:ietf-restconf}errors"


async def test_methods(rest):
    found = await rest("OPTIONS", "/data/kit-test:top")
    assert found.headers["allow"] == "GET, HEAD, OPTIONS, DELETE, PATCH, POST, PUT"
    assert "application/yang-patch+xml" in found.headers["accept-patch"]
    assert (await rest("OPTIONS", "/data/kit-test:top/state")).headers["allow"] == "GET, HEAD, OPTIONS"
    assert (await rest("OPTIONS", "/operations/kit-test:echo")).headers["allow"] == "OPTIONS, POST"
    refused(await rest("PUT", "/data/kit-test:top/state", {}), 405, "operation-not-supported")
    refused(await rest("POST", "/data/kit-test:top/name", {}), 405, "operation-not-supported")
    refused(await rest("FETCH", "/data/kit-test:top"), 405, "operation-not-supported")


async def test_too_big(rest, lab):
    body = b"x" * (lab.server.limits.message_size + 1)
    found = await rest("PUT", "/data/kit-test:top", body, content_type=JSON)
    refused(found, 413, "too-big")


# -- rights ----------------------------------------------------------------------------------------------------------


async def test_rights(rest, lab):
    rules = [{"name": "r", "path": "/kit-test:top/kit-test:item", "action": "deny", "access-operations": "read"},
             {"name": "w", "path": "/kit-test:top/kit-test:count", "action": "permit"}]  # fmt: skip
    groups = {"group": [{"name": "g", "user-name": ["guest"]}]}
    nacm = {"groups": groups, "rule-list": [{"name": "l", "group": ["g"], "rule": rules}]}
    await lab.stores.replace_running({**DATA, "ietf-netconf-acm:nacm": nacm})
    guest = {"x_user": "guest"}
    assert (await rest("GET", "/data/kit-test:top", **guest)).json() == {"kit-test:top": {"name": "a"}}
    for method in ("GET", "DELETE"):
        refused(await rest(method, "/data/kit-test:top/item=1", **guest), 404, "invalid-value")
    refused(await rest("PUT", "/data/kit-test:top/name", {"kit-test:name": "b"}, **guest), 403, "access-denied")
    assert (await rest("PUT", "/data/kit-test:top/count", {"kit-test:count": 6}, **guest)).status_code == 201
    refused(await rest("DELETE", "/data/kit-test:top", **guest), 403, "access-denied")
