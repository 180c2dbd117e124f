"""Order files: what is wrong is told with place and remedy; the same content is the same order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.orchestrator.orderfile import OrderFileError, load_order, load_orders

SITE = {"name": "branch-1", "device": "EL-1", "access": "routed", "gateway": "10.1.0.1/24"}


def item(number: str = "1", value: Any = None, name: str = "site") -> dict[str, Any]:
    service = {
        "serviceSpecification": {"id": "site-to-internet"},
        "serviceCharacteristic": [{"name": name, "value": SITE if value is None else value}],
    }
    return {"id": number, "action": "add", "service": service}


def content(**changed: Any) -> dict[str, Any]:
    return {"tenant": "acme", "order": {"serviceOrderItem": [item()], **changed}}


def write(path: Path, what: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(what if isinstance(what, str) else json.dumps(what))
    return path


def test_a_good_file_names_its_customer_and_its_devices(tmp_path: Path) -> None:
    other = {**SITE, "name": "branch-2", "device": "EL-2"}
    body = {"serviceOrderItem": [item(), item("2", [SITE, other, {"name": "branch-3"}], "sites")]}
    order = load_order(write(tmp_path / "a.json", {"tenant": "acme", "order": body}))
    assert order.devices() == {"EL-1", "EL-2"}
    assert order.body()["relatedParty"] == [{"role": "customer", "id": "acme"}]
    assert order.body()["serviceOrderItem"] == body["serviceOrderItem"]


def test_other_parties_stay(tmp_path: Path) -> None:
    seller = {"role": "seller", "id": "s"}
    order = load_order(write(tmp_path / "a.json", content(relatedParty=[seller])))
    assert order.body()["relatedParty"] == [seller, {"role": "customer", "id": "acme"}]


class TestExternalId:
    def test_it_is_the_same_for_the_same_content_however_written(self, tmp_path: Path) -> None:
        one = load_order(write(tmp_path / "a.json", content()))
        again = load_order(write(tmp_path / "elsewhere" / "a.json", json.dumps(content(), indent=3)))
        assert one.external_id == again.external_id
        assert one.body()["externalId"] == one.external_id

    def test_nobody_can_try_keys_on_it(self, tmp_path: Path) -> None:
        def order(key: str) -> str:
            cloud = {"gateway": "192.0.2.9", "sharedKey": key}
            body = {"serviceOrderItem": [item("1", cloud, "cloud")]}
            return load_order(write(tmp_path / "a.json", {"tenant": "acme", "order": body})).external_id

        assert order("one-key") == order("another")

    @pytest.mark.parametrize("changed", [{"tenant": "globex"}, content(description="other")], ids=["tenant", "order"])
    def test_it_is_another_for_another(self, tmp_path: Path, changed: dict[str, Any]) -> None:
        one = load_order(write(tmp_path / "a.json", content()))
        two = load_order(write(tmp_path / "b" / "a.json", {**content(), **changed}))
        assert one.external_id != two.external_id

    def test_no_name_of_a_file_breaks_the_question_for_it(self, tmp_path: Path) -> None:
        """TMF630 filters separate values by commas."""
        order = load_order(write(tmp_path / "a,b & c.json", content()))
        assert set(order.external_id) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:._-")

    def test_the_customers_own_is_kept(self, tmp_path: Path) -> None:
        order = load_order(write(tmp_path / "a.json", content(externalId="PO-17")))
        assert order.body()["externalId"] == "PO-17"


@pytest.mark.parametrize(
    ("what", "where", "remedy"),
    [
        ("{", ":1:2: no JSON", "mend"),
        ("[1]", ": an object is expected", "write {"),
        ("[" * 100_000, "nested too deep", "mend"),
        ('{"tenant": "a", "tenant": "b"}', "'tenant' is there twice", "remove one"),
        ({**content(), "colour": "red"}, ":/colour: this member is not known", "write {"),
        ({"order": content()["order"]}, ":/tenant: no name of a tenant", "a-z"),
        ({**content(), "tenant": "Acme Inc"}, ":/tenant: no name of a tenant", "a-z"),
        ({"tenant": "acme"}, ":/order: an object is expected", "TMF641"),
        ({"tenant": "acme", "order": {}}, ":/order/serviceOrderItem: an order has at least one item", "add one"),
        (content(relatedParty={}), ":/order/relatedParty: an array is expected", "leave it out"),
        (
            content(relatedParty=[{"role": "customer", "id": "globex"}]),
            ":/order/relatedParty/0: the customer",
            "remove",
        ),
        (content(externalId=7), ":/order/externalId: a text is expected", "leave it out"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_a_remedy(tmp_path: Path, what: Any, where: str, remedy: str) -> None:
    path = write(tmp_path / "wrong.json", what)
    with pytest.raises(OrderFileError) as refusal:
        load_order(path)
    said = str(refusal.value)
    assert said.startswith(str(path))
    assert where in said
    assert remedy in said


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.json"
    path.write_bytes(b'{"tenant": "\xe9"}')
    with pytest.raises(OrderFileError, match="UTF-8"):
        load_order(path)


@pytest.mark.parametrize("odd", [None, 3, "x", [[]], [{"service": 1}], [{"service": {"serviceCharacteristic": {}}}]])
def test_items_that_only_gro_can_judge_name_no_device(tmp_path: Path, odd: Any) -> None:
    order = {"serviceOrderItem": [{"id": "1"}], "x": odd}
    if isinstance(odd, list):
        order["serviceOrderItem"] = odd
    assert load_order(write(tmp_path / "a.json", {"tenant": "acme", "order": order})).devices() == set()


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    for name in ("20-b.json", "10-a.json"):
        write(tmp_path / "orders" / name, content(description=name))
    assert [order.path.name for order in load_orders(tmp_path)] == ["10-a.json", "20-b.json"]
    assert load_orders(tmp_path / "orders") == []


def test_one_order_in_two_files_is_refused(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        write(tmp_path / "orders" / name, content(externalId="PO-17"))
    with pytest.raises(OrderFileError, match=r"b\.json: it is the order of a\.json again"):
        load_orders(tmp_path)
