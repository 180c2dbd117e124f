"""The catalogue's files: shared schemas are put in their place, and a file that cannot be used is refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest
from gro import catalogue, references

from tests.unit.gro.conftest import OFFERS


def test_clients_see_complete_schemas() -> None:
    offers = {one.id: one for one in catalogue.load(OFFERS)}
    assert set(offers) == {"site-to-internet", "site-to-site", "site-to-dc"}
    assert "$ref" not in json.dumps([one.document for one in offers.values()])
    site = offers["site-to-internet"].characteristics["site"]["valueSchema"]
    for other in ("site-to-site", "site-to-dc"):
        assert offers[other].characteristics["sites"]["valueSchema"]["items"] == site
    rule = site["properties"]["localInternet"]["properties"]["rules"]["items"]["properties"]
    assert rule["source"]["format"] == "ip-prefix"
    assert rule["source"]["description"] != rule["destination"]["description"], "what stands beside a reference wins"
    assert offers["site-to-dc"].secret_members == {"sharedKey"}


def write(folder: Path, schema: Any, **shared: Any) -> Path:
    (folder / "schema").mkdir()
    for name, content in shared.items():
        (folder / "schema" / f"{name}.json").write_text(json.dumps(content))
    offer = {"id": "o", "name": "O", "network": {"internet": False}}
    offer["specCharacteristic"] = [{"name": "site", "valueSchema": schema}]
    file = folder / "o.json"
    file.write_text(json.dumps(offer))
    return file


@pytest.mark.parametrize(
    ("schema", "shared", "why"),
    [
        ({"$ref": "schema/none.json"}, {}, "none.json"),
        ({"$ref": "schema/a.json#/$defs/b"}, {"a": {}}, "cannot be read"),
        ({"$ref": "schema/a.json#/b"}, {"a": {"b": 7}}, "is no schema"),
        ({"$ref": "schema/a.json"}, {"a": {"items": {"$ref": "a.json"}}}, "in a circle"),
        ({"type": "thing"}, {}, "not a service specification"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused_by_its_file(
    tmp_path: Path, schema: Any, shared: Any, why: str
) -> None:
    write(tmp_path, schema, **shared)
    with pytest.raises(catalogue.OfferError, match=why) as caught:
        catalogue.load(tmp_path)
    assert "o.json" in str(caught.value)


def test_a_characteristic_that_nobody_translates_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, {"type": "object"})
    file.write_text(file.read_text().replace('"site"', '"colour"'))
    with pytest.raises(catalogue.OfferError, match="no characteristic colour"):
        catalogue.load(tmp_path)


def test_a_reference_within_a_file_is_of_that_file(tmp_path: Path) -> None:
    a = {"items": {"$ref": "#/$defs/x"}, "$defs": {"x": {"type": "string", "title": "X"}}}
    file = write(tmp_path, {"$ref": "schema/a.json"}, a=a)
    found = references.resolve({"$ref": "schema/a.json", "title": "A"}, file)
    assert found == {"items": {"type": "string", "title": "X"}, "title": "A"}
