"""curl reads and orders at the controller: RFC 8040, YANG Patch (RFC 8072), NMDA's library (RFC 8525)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lxml import etree

from .conftest import JSON, L3VPN, PREFIXES, SERVICES, XML, Curl, Ids, entry, service

pytestmark = pytest.mark.topology("orchestrator")

ROOT = "/restconf/data/ietf-l3vpn-svc:l3vpn-svc"
NETWORK = "/restconf/data/elasticlab-network:network"
PATCH = "application/yang-patch+json"


def body(name: str, customer: str = "conformance") -> dict[str, Any]:
    return {"ietf-l3vpn-svc:vpn-service": [service(name, customer)]}


def patch(*edits: dict[str, Any]) -> dict[str, Any]:
    numbered = [{"edit-id": f"e{number}", **edit} for number, edit in enumerate(edits, 1)]
    return {"ietf-yang-patch:yang-patch": {"patch-id": "p1", "edit": numbered}}


def create(name: str) -> dict[str, Any]:
    return {"operation": "create", "target": f"/vpn-service={name}", "value": body(name)}


# -- finding and reading ---------------------------------------------------------------------------------------------


def test_the_interface_is_found(curl: Curl) -> None:
    meta = curl.ask("GET", "/.well-known/host-meta", token=None)
    assert meta.status == 200
    [link] = etree.fromstring(meta.text.encode())
    assert (link.get("rel"), link.get("href")) == ("restconf", "/restconf")
    resource = curl.ask("GET", "/restconf").body["ietf-restconf:restconf"]
    assert set(resource) == {"data", "operations", "yang-library-version"}
    operations = curl.ask("GET", "/restconf/operations").body["ietf-restconf:operations"]
    assert "elasticlab-network:plan" in operations


def test_the_library_names_what_can_be_ordered(curl: Curl) -> None:
    answer = curl.ask("GET", "/restconf/data/ietf-yang-library:yang-library?fields=module-set/module(name;revision)")
    [modules] = answer.body["ietf-yang-library:yang-library"]["module-set"]
    found = {module["name"]: module.get("revision") for module in modules["module"]}
    assert found["ietf-l3vpn-svc"] == "2018-01-19"
    assert {"elasticlab-access", "elasticlab-network", "ietf-alarms"} <= set(found)


def test_content_tells_configuration_from_state(curl: Curl, vpn: str) -> None:
    assert curl.ask("PUT", entry(vpn), body(vpn)).status == 201
    assert curl.ask("GET", f"{ROOT}?content=config").status == 200
    assert curl.ask("GET", f"{NETWORK}?content=nonconfig").body["elasticlab-network:network"]["healthy"] in (
        True,
        False,
    )
    everything = curl.ask("GET", "/restconf/data?content=config").body["ietf-restconf:data"]
    assert "ietf-l3vpn-svc:l3vpn-svc" in everything
    assert not {"elasticlab-network:network", "ietf-alarms:alarms"} & {
        name for name in everything if name != "ietf-alarms:alarms"
    }


def test_depth_cuts(curl: Curl, vpn: str) -> None:
    assert curl.ask("PUT", entry(vpn), body(vpn)).status == 201
    assert curl.ask("GET", f"{ROOT}?depth=1").body == {"ietf-l3vpn-svc:l3vpn-svc": {}}
    two = curl.ask("GET", f"{ROOT}?depth=2").body["ietf-l3vpn-svc:l3vpn-svc"]
    assert two["vpn-services"] == {}


def test_fields_select(curl: Curl, vpn: str) -> None:
    assert curl.ask("PUT", entry(vpn), body(vpn)).status == 201
    [found] = curl.ask("GET", f"{entry(vpn)}?fields=customer-name").body["ietf-l3vpn-svc:vpn-service"]
    assert found == {"vpn-id": vpn, "customer-name": "conformance"}, "and the key, by which an entry is known"


@pytest.mark.parametrize(
    "query", ["depth=0", "depth=x", "content=all&content=all", "fields=", "fields=colour", "colour=red", "insert=first"]
)
def test_a_query_that_makes_no_sense_is_refused(curl: Curl, query: str) -> None:
    answer = curl.ask("GET", f"{NETWORK}?{query}")
    assert answer.status == 400, answer.text
    assert answer.error["error-tag"] == "invalid-value"


def test_it_speaks_xml_as_well(curl: Curl, vpn: str) -> None:
    sent = f'<vpn-service xmlns="{L3VPN}"><vpn-id>{vpn}</vpn-id><customer-name>x</customer-name></vpn-service>'
    assert curl.ask("PUT", entry(vpn), sent, media=XML).status == 201
    answer = curl.ask("GET", entry(vpn), headers={"Accept": XML})
    assert answer.headers["content-type"].startswith(XML)
    assert etree.fromstring(answer.text.encode()).findtext("svc:customer-name", namespaces=PREFIXES) == "x"
    refused = curl.ask("PUT", entry(vpn), sent.replace("customer-name", "colour"), media=XML, headers={"Accept": XML})
    assert refused.status == 400
    assert refused.headers["content-type"].startswith(XML)
    assert etree.fromstring(refused.text.encode()).findtext(".//{*}error-tag") == "unknown-element"


def test_head_and_options(curl: Curl, vpn: str) -> None:
    assert curl.ask("PUT", entry(vpn), body(vpn)).status == 201
    head = curl.ask("HEAD", ROOT)
    assert (head.status, head.text, head.headers["content-type"]) == (200, "", JSON)
    options = curl.ask("OPTIONS", SERVICES)
    assert options.status in (200, 204)
    assert {"GET", "POST", "PUT", "PATCH", "DELETE"} <= {word.strip() for word in options.headers["allow"].split(",")}
    assert PATCH in options.headers["accept-patch"]


# -- ordering --------------------------------------------------------------------------------------------------------


def test_a_resource_is_made_changed_and_ended(curl: Curl, vpn: str, ids: Ids) -> None:
    made = curl.ask("POST", SERVICES, body(vpn))
    assert made.status == 201, made.text
    assert made.headers["location"].endswith(entry(vpn))
    again = curl.ask("POST", SERVICES, body(vpn))
    assert (again.status, again.error["error-tag"]) == (409, "data-exists")
    assert curl.ask("PATCH", entry(vpn), body(vpn, "other")).status in (200, 204)
    assert curl.ask("GET", entry(vpn)).body["ietf-l3vpn-svc:vpn-service"][0]["customer-name"] == "other"
    bare = {"vpn-id": vpn, "customer-name": "conformance"}
    assert curl.ask("PUT", entry(vpn), {"ietf-l3vpn-svc:vpn-service": [bare]}).status == 204
    explicit = curl.ask("GET", f"{entry(vpn)}?content=config&with-defaults=explicit")
    assert explicit.body == {"ietf-l3vpn-svc:vpn-service": [bare]}
    assert curl.ask("DELETE", entry(vpn)).status == 204
    assert vpn not in ids()
    for method, sent in (("GET", None), ("DELETE", None), ("PATCH", body(vpn))):
        answer = curl.ask(method, entry(vpn), sent)
        assert (answer.status, answer.error["error-tag"]) in ((404, "invalid-value"), (404, "data-missing")), method


def test_entity_tags_keep_two_people_apart(curl: Curl, vpn: str) -> None:
    assert curl.ask("PUT", entry(vpn), body(vpn)).status == 201
    seen = curl.ask("GET", f"{entry(vpn)}?content=config")
    tag = seen.headers["etag"]
    assert "last-modified" in seen.headers
    unchanged = curl.ask("GET", f"{entry(vpn)}?content=config", headers={"If-None-Match": tag})
    assert (unchanged.status, unchanged.text) == (304, "")
    assert curl.ask("PUT", entry(vpn), body(vpn, "first"), headers={"If-Match": tag}).status == 204
    late = curl.ask("PUT", entry(vpn), body(vpn, "second"), headers={"If-Match": tag})
    assert late.status == 412
    assert curl.ask("DELETE", entry(vpn), headers={"If-Match": tag}).status == 412
    assert curl.ask("PUT", entry(vpn), body(vpn, "second"), headers={"If-None-Match": "*"}).status == 412
    assert curl.ask("GET", entry(vpn)).body["ietf-l3vpn-svc:vpn-service"][0]["customer-name"] == "first"
    assert curl.ask("GET", f"{entry(vpn)}?content=config", headers={"If-None-Match": tag}).status == 200


def test_a_yang_patch_is_done_as_a_whole(curl: Curl, vpn: str, ids: Ids) -> None:
    two = patch(create(vpn), {"operation": "merge", "target": f"/vpn-service={vpn}", "value": body(vpn, "merged")})
    answer = curl.ask("PATCH", SERVICES, two, media=PATCH)
    assert answer.status == 200, answer.text
    assert answer.body["ietf-yang-patch:yang-patch-status"]["patch-id"] == "p1"
    assert "ok" in answer.body["ietf-yang-patch:yang-patch-status"]
    assert curl.ask("GET", entry(vpn)).body["ietf-l3vpn-svc:vpn-service"][0]["customer-name"] == "merged"
    assert vpn in ids()


def test_or_not_at_all(curl: Curl, vpn: str, ids: Ids) -> None:
    answer = curl.ask("PATCH", SERVICES, patch(create(vpn), create(vpn)), media=PATCH)
    assert answer.status == 409, answer.text
    status = answer.body["ietf-yang-patch:yang-patch-status"]["edit-status"]["edit"]
    [failed] = [edit for edit in status if "errors" in edit]
    assert failed["edit-id"] == "e2"
    assert failed["errors"]["error"][0]["error-tag"] == "data-exists"
    assert vpn not in ids()


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "tag", "said"),
    [
        ("{", "malformed-message", ""),
        ({}, "", ""),
        ({"ietf-l3vpn-svc:vpn-service": [{"vpn-id": "NAME", "colour": "red"}]}, "unknown-element", "colour"),
        ({"ietf-l3vpn-svc:vpn-service": [{"vpn-id": "another"}]}, "", ""),
        ({"ietf-l3vpn-svc:vpn-service": [{"vpn-id": "NAME", "vpn-service-topology": "ring"}]}, "invalid-value", "ring"),
        ({"elasticlab-nowhere:vpn-service": [{"vpn-id": "NAME"}]}, "", ""),
    ],
    ids=["no JSON", "nothing in it", "an unknown leaf", "another key", "no such topology", "another module"],
)
def test_a_body_that_makes_no_sense_is_refused_by_name(
    curl: Curl, vpn: str, ids: Ids, sent: object, tag: str, said: str
) -> None:
    text = (sent if isinstance(sent, str) else json.dumps(sent)).replace("NAME", vpn)
    answer = curl.ask("PUT", entry(vpn), text)
    assert answer.status == 400, answer.text
    assert answer.error["error-type"] in ("protocol", "application")
    assert not tag or answer.error["error-tag"] == tag, answer.text
    assert said in answer.text
    assert vpn not in ids()


def test_what_the_controller_cannot_do_is_refused_with_place_and_remedy(curl: Curl, vpn: str, ids: Ids) -> None:
    """RFC 8299 has more than the controller (module elasticlab-access says what)."""
    order = {"ietf-l3vpn-svc:vpn-service": [service(vpn) | {"vpn-service-topology": "hub-spoke"}]}
    answer = curl.ask("PUT", entry(vpn), order)
    assert answer.status in (400, 412, 501), answer.text
    assert answer.error["error-tag"] == "operation-not-supported"
    assert vpn in answer.error["error-path"]
    assert vpn not in ids()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("DELETE", "/restconf/data", 405),
        ("DELETE", "/restconf/operations/elasticlab-network:plan", 405),
        ("PUT", NETWORK, 405),
        ("PATCH", f"{NETWORK}/healthy", 405),
        ("POST", "/restconf/operations/elasticlab-network:nothing", 404),
        ("GET", "/restconf/data/elasticlab-nowhere:x", 404),
        ("GET", f"{ROOT}/colour", 404),
        ("GET", "/restconf/nothing", 404),
        ("GET", "/", 404),
    ],
)
def test_what_is_not_there_or_not_done(curl: Curl, method: str, path: str, status: int) -> None:
    answer = curl.ask(method, path, {} if method in ("PUT", "PATCH", "POST") else None)
    assert answer.status == status, answer.text
    assert answer.error["error-tag"]
    assert status != 405 or method not in {word.strip() for word in answer.headers["allow"].split(",")}


def test_other_media_are_refused(curl: Curl, vpn: str, ids: Ids) -> None:
    assert curl.ask("PUT", entry(vpn), "a=b", media="application/x-www-form-urlencoded").status == 415
    assert curl.ask("PATCH", SERVICES, "[]", media="application/json-patch+json").status == 415
    assert curl.ask("GET", ROOT, headers={"Accept": "text/html"}).status == 406
    assert vpn not in ids()


def test_an_operation_says_what_is_wrong(curl: Curl) -> None:
    path = "/restconf/operations/elasticlab-network:get-intended"
    answer = curl.ask("POST", path, {"elasticlab-network:input": {"device": "nobody"}})
    assert answer.status == 409
    assert answer.error["error-tag"] == "data-missing"
    assert "nobody" in answer.error["error-message"]
    assert curl.ask("POST", path, {"elasticlab-network:input": {}}).status == 400
