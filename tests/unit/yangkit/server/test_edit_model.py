"""The edit engine against a model that is too simple to be wrong: dictionaries."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yangkit import treejson, treexml, xmlutil
from yangkit.diff import changes
from yangkit.edit import Editor
from yangkit.errors import RpcError
from yangkit.tree import empty

KT = "urn:example:kit-test"
NC = xmlutil.NC
OPERATIONS = st.sampled_from([None, "merge", "replace", "create", "delete", "remove"])
LEAFS = st.dictionaries(st.sampled_from(["serial", "note"]), st.integers(0, 3), max_size=2)
EDIT = st.tuples(OPERATIONS, st.sampled_from("abc"), LEAFS)
Model = dict[str, dict[str, int]]


class Refused(Exception):
    pass


def model_edit(model: Model, operation: str | None, key: str, leafs: dict[str, int]) -> Model:
    there = key in model
    if operation == "create" and there:
        raise Refused("data-exists")
    if operation == "delete" and not there:
        raise Refused("data-missing")
    if operation in ("delete", "remove"):
        return {k: v for k, v in model.items() if k != key}
    old = {} if operation in ("replace", "create") else model.get(key, {})
    return {**model, key: {**old, **leafs}}


def xml(edits) -> bytes:
    items = ""
    for operation, key, leafs in edits:
        attribute = f' nc:operation="{operation}"' if operation else ""
        inner = "".join(f"<{name}>{value}</{name}>" for name, value in leafs.items())
        items += f"<item{attribute}><id>{key}</id>{inner}</item>"
    return f'<config xmlns:nc="{NC}"><top xmlns="{KT}">{items}</top></config>'.encode()


def as_model(tree) -> Model:
    items = treejson.dump(tree).get("kit-test:top", {}).get("item", [])
    return {i["id"]: {n: int(v) for n, v in i.items() if n != "id"} for i in items}


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(EDIT, max_size=4), max_size=5))
def test_edits_are_those_of_the_model(schema, edits):
    tree, model = empty(schema), {}
    for edit in edits:
        try:
            expected: Model | str = model
            for step in edit:
                expected = model_edit(expected, *step)
        except Refused as error:
            expected = str(error)
        before = treexml.dump(tree)
        try:
            result = Editor().run(tree, xmlutil.parse(xml(edit)))
        except RpcError as error:
            assert error.tag == expected  # noqa: PT017 - both ends are right at times
        else:
            assert as_model(result) == expected
            assert bool(list(changes(tree, result))) == (as_model(tree) != expected or not tree.same(result))
            again = Editor().run(empty(schema), xmlutil.parse(f"<c>{treexml.dump(result)}</c>".encode()))
            assert again.same(result)
            assert treejson.load(schema, treejson.dump(result)).same(result)
            assert treexml.dump(tree) == before  # trees do not change under their readers
            tree, model = result, expected


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=20))
def test_any_text_survives(schema, text):
    tree = treejson.load(schema, {"kit-test:top": {"supported": text}})
    again = Editor().run(empty(schema), xmlutil.parse(f"<c>{treexml.dump(tree)}</c>".encode()))
    assert treejson.dump(again) == {"kit-test:top": {"supported": text}}


STEPS = st.tuples(
    st.sampled_from(["first", "last", "before", "after"]), st.sampled_from("abcd"), st.sampled_from("abcd")
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=8))
def test_user_order_is_that_of_a_list(schema, steps):
    tree, model = empty(schema), []
    for where, value, anchor in steps:
        attributes = f'y:insert="{where}"' + (f' y:value="{anchor}"' if where in ("before", "after") else "")
        request = f'<c xmlns:y="{xmlutil.YANG1}"><top xmlns="{KT}"><step {attributes}>{value}</step></top></c>'
        others = [v for v in model if v != value]
        if where in ("before", "after") and anchor not in others:
            with pytest.raises(RpcError) as caught:
                Editor().run(tree, xmlutil.parse(request.encode()))
            assert caught.value.app_tag == "missing-instance"
            continue
        place = {"first": 0, "last": len(others)}.get(where)
        if place is None:
            place = others.index(anchor) + (where == "after")
        model = [*others[:place], value, *others[place:]]
        tree = Editor().run(tree, xmlutil.parse(request.encode()))
        assert treejson.dump(tree)["kit-test:top"]["step"] == model
