"""Forms out of schemas, without a network: what a schema asks, what a form says, where an error belongs."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path

import pytest
from gro import catalogue
from portal import fields, ordering, pages, secrecy
from portal.failures import Fault, refused

OFFERS = Path(__file__).parents[3] / "models" / "offers"
SITE = {"name": "one", "device": "EL-1", "access": "routed", "vlan": 12, "gateway": "10.1.0.1/24"}


CATALOGUE = {one.id: one.document for one in catalogue.load(OFFERS)}


def offer(name):
    return copy.deepcopy(CATALOGUE[name])


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


BRANCH = {
    **SITE,
    "gateway6": "2001:db8::1/64",
    "dhcp": {"start": "10.1.0.9", "end": "10.1.0.20"},
    "dns": {},
    "localInternet": {"default": "pop", "rules": [
        {"name": "a", "protocol": "tcp", "destinationPort": "443", "action": "local"},
        {"name": "b", "protocol": 47, "dscp": 46, "source": "10.1.0.0/25", "action": "pop"}]},
}  # fmt: skip
CLOUD = {"gateway": "192.0.2.9", "identity": "vpc.example", "allowInsecureAggressive": False, "sharedKey": "k" * 20,
         "remotePrefixes": ["10.100.0.0/16", "2001:db8:9::/48"]}  # fmt: skip
DEEP = [
    ("site-to-internet", {"site": BRANCH}),
    ("site-to-site", {"sites": [BRANCH, {"name": "two"}], "directPaths": True}),
    ("site-to-dc", {"sites": [{"name": "two", "dns": {"forwarders": ["9.9.9.9"]}}], "cloud": CLOUD}),
]


def shown(found, above=None):
    """Fields as a browser has them: name and value of every input, those of sealed secrets included."""
    sent = {}
    for one in found:
        if one.may_be_empty and one.used:
            sent[one.name] = fields.YES
        if one.sealed:
            sent[ordering.SEALED + one.name] = one.sealed
        if one.kind not in ("group", "list"):
            sent[one.name] = one.value
        sent |= shown(one.children)
    return sent


@pytest.mark.parametrize(("name", "values"), DEEP)
def test_whatever_a_schema_knows_can_be_typed_shown_and_sent_again(name, values):
    given = [{"name": key, "value": value} for key, value in values.items()]
    body = {"serviceOrderItem": [{"service": {"serviceCharacteristic": given}}]}
    form = ordering.from_body(offer(name), body)
    form.seal = lambda text: text[::-1]
    sent = ordering.unsealed(shown(form.fields), lambda text: text[::-1])
    again = ordering.from_pairs(offer(name), sent).body()
    assert again["serviceOrderItem"][0]["service"]["serviceCharacteristic"] == given


def test_what_is_optional_is_folded_until_something_is_in_it():
    form = ordering.from_pairs(offer("site-to-internet"), {"site.name": "one", "site.dhcp.start": "10.1.0.9"})
    form.errors["site.localInternet.rules"] = ["wrong"]
    (site,) = form.fields
    parts = {one.name: one for one in site.children}
    assert (site.optional, parts["site.name"].required) == (False, True)
    groups = {name: part.is_open for name, part in parts.items() if part.optional}
    assert groups == {"site.dhcp": True, "site.dns": False, "site.localInternet": True}
    assert not any(child.required for child in parts["site.dhcp"].children), "browsers would insist on them"


def test_lists_within_lists_grow_and_shrink():
    form = ordering.from_pairs(offer("site-to-site"), {"sites.0.name": "a", "sites.1.name": "b"})
    for _ in range(2):
        form.resize("sites.1.localInternet.rules", more=True)
    form.resize("sites.1.dns.forwarders", more=True)
    form.drafts["sites"][1]["localInternet"]["rules"][1]["name"] = "last"
    form.resize("sites.1.localInternet.rules.0", more=False)
    second = form.drafts["sites"][1]
    assert [rule["name"] for rule in second["localInternet"]["rules"]] == ["last"]
    assert second["dns"]["forwarders"] == [""]
    for place in ("sites.9.dns.forwarders", "sites.1.colour", "sites.1.dns", "sites.x", "", "sites.1.name", "cloud"):
        form.resize(place, more=True)
        form.resize(place, more=False)
    assert len(form.drafts["sites"]) == 2


def test_a_secret_is_never_shown_and_stays_with_whoever_gave_it():
    form = ordering.from_pairs(offer("site-to-dc"), {"cloud.sharedKey": "a-key"})
    assert "a-key" not in str(form.fields), "not without a seal"
    form.seal = lambda text: secrecy.seal("of this session", text.encode())
    assert "a-key" not in str(form.fields)
    (field,) = fields.secrets(form.fields)
    sent = {ordering.SEALED + field.name: field.sealed, field.name: ""}
    assert ordering.unsealed(sent, lambda text: secrecy.unseal("of this session", text).decode())[field.name] == "a-key"
    assert ordering.unsealed(sent, lambda text: secrecy.unseal("another", text).decode())[field.name] == ""
    assert ordering.unsealed({**sent, field.name: "new"}, lambda _: "a-key")[field.name] == "new"


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
