"""Forms out of schemas, without a network: what a schema asks, what a form says, where an error belongs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from portal import fields, ordering, pages, secrecy
from portal.failures import Fault, refused

OFFERS = Path(__file__).parents[3] / "models" / "offers"
SITE = {"name": "one", "device": "EL-1", "access": "routed", "vlan": 12, "gateway": "10.1.0.1/24"}


def offer(name):
    return json.loads((OFFERS / f"{name}.json").read_text())


def pairs(prefix, **values):
    return {f"{prefix}.{name}": value for name, value in values.items()}


def test_a_form_says_the_order_that_it_shows():
    sent = pairs("site", **{name: str(value) for name, value in SITE.items()}) | {"_name": "a", "_description": "b"}
    body = ordering.from_pairs(offer("site-to-internet"), sent).body()
    item = body["serviceOrderItem"][0]
    assert item["service"]["serviceCharacteristic"] == [{"name": "site", "value": SITE}]
    assert (item["action"], item["service"]["name"], body["description"]) == ("add", "a", "b")


@pytest.mark.parametrize("name", ["site-to-internet", "site-to-site"])
def test_from_an_order_and_back(name):
    specification = offer(name)
    form = ordering.blank(specification)
    key, one = form.characteristics[0]
    form.drafts[key] = fields.draft_from(one["valueSchema"], SITE if key == "site" else [SITE, {"name": "two"}])
    body = form.body()
    assert ordering.from_body(specification, body).body() == body


def test_what_is_left_empty_is_left_out():
    body = ordering.from_pairs(offer("site-to-internet"), pairs("site", name="one", vlan="", port=" ")).body()
    value = body["serviceOrderItem"][0]["service"]["serviceCharacteristic"][0]["value"]
    assert value == {"name": "one"}


def test_lists_are_numbered_anew_and_bounded():
    specification = offer("site-to-site")
    sent = {"sites.7.name": "b", "sites.3.name": "a", "sites.x.name": "no", "sites.-1.name": "no", "sites": "no"}
    form = ordering.from_pairs(specification, sent)
    assert [one["name"] for one in form.drafts["sites"]] == ["a", "b"]
    many = {f"sites.{number}.name": "x" for number in range(fields.MAX_ENTRIES + 10)}
    assert len(ordering.from_pairs(specification, many).drafts["sites"]) == fields.MAX_ENTRIES


@pytest.mark.parametrize(
    ("pointer", "name"),
    [
        ("/serviceOrderItem/0/service/serviceCharacteristic/0/value/1/gateway", "sites.1.gateway"),
        ("/serviceOrderItem/0/service/serviceCharacteristic/0/value", "sites"),
        ("/serviceOrderItem/0/service/serviceCharacteristic/0/value/1/unknown", "sites.1"),
        ("/serviceOrderItem/0/service/name", "_name"),
        ("/description", "_description"),
        ("/relatedParty/0/id", "_customer"),
    ],
)
def test_an_error_belongs_to_the_nearest_field(pointer, name):
    form = ordering.from_pairs(offer("site-to-site"), {"sites.0.name": "a", "sites.1.name": "b"})
    form.blame(form.body(), [Fault("wrong", pointer)])
    assert form.errors == {name: ["wrong"]}
    assert form.general == []


def test_people_read_labels_and_no_names():
    labels = ordering.from_pairs(offer("site-to-site"), {"sites.0.name": "a", "sites.1.name": "b"}).labels
    assert labels["sites"] == "Sites"
    assert labels["sites.1.gateway"] == "Site 2, Gateway"


@pytest.mark.parametrize(
    "pointer",
    [None, "", "/", "/serviceOrderItem", "/serviceOrderItem/0/service/serviceCharacteristic/9/value", "/~1~0/x"],
)
def test_an_error_without_a_field_is_said_above(pointer):
    form = ordering.blank(offer("site-to-internet"))
    form.blame(form.body(), [Fault("wrong", pointer)])
    assert (form.errors, form.general) == ({}, ["wrong"])


@pytest.mark.parametrize("content", [None, [], "text", {"errors": "many"}, {"errors": [1, None]}, {"detail": 5}])
def test_any_answer_becomes_an_error_with_a_text(content):
    error = refused(502, content)
    assert error.faults
    assert isinstance(error.faults[0].text, str)


def test_what_does_not_fit_is_sent_as_it_was_typed():
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "b": {"type": "boolean"}}}
    assert fields.value_of(schema, {"n": "many", "b": "perhaps"}) == {"n": "many", "b": "perhaps"}
    assert fields.value_of(schema, {"n": "4", "b": "true"}) == {"n": 4, "b": True}


def test_nothing_that_was_changed_is_unsealed():
    secret = secrecy.new_secret()
    sealed = secrecy.seal(secret, b"tokens")
    assert secrecy.unseal(secret, sealed) == b"tokens"
    with pytest.raises(ValueError, match="another secret"):
        secrecy.unseal(secrecy.new_secret(), sealed)
    with pytest.raises(ValueError, match="changed"):
        secrecy.unseal(secret, ("A" if sealed[0] != "A" else "B") + sealed[1:])


@pytest.mark.parametrize(
    ("begin", "end", "text"),
    [
        ("2026-11-21T10:00:00.000Z", "2026-11-21T10:00:00.040Z", "40 ms"),
        ("2026-11-21T10:00:00.000Z", "2026-11-21T10:00:03.200Z", "3.2 s"),
        ("2026-11-21T10:00:00Z", "2026-11-21T10:30:00Z", "30 min"),
        ("2026-11-21T10:00:00Z", None, ""),
    ],
)
def test_how_long_something_took(begin, end, text):
    assert pages.span(begin, end) == text


def test_a_time_is_for_machines_and_people_and_never_markup():
    assert pages.when("2026-11-21T10:00:00+02:00") == (
        '<time datetime="2026-11-21T08:00:00+00:00">2026-11-21 08:00:00 UTC</time>'
    )
    assert pages.when("<script>") == "&lt;script&gt;"
    assert pages.when(None) == ""


def test_what_is_not_ours_is_what_its_readme_says():
    folder = pages.STATIC / "vendor"
    said = (folder / "README.md").read_text()
    for file in folder.glob("*.js"):
        assert f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}" in said
