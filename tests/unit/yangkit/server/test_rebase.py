"""A candidate that somebody works on does not take back what others have been told is done."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from yangkit import treejson
from yangkit.rebase import rebase

NOTES = st.dictionaries(st.sampled_from(["serial", "note"]), st.integers(0, 2), max_size=2)
ITEMS = st.dictionaries(st.sampled_from("abc"), NOTES, max_size=3)
RULES = st.lists(st.sampled_from("abcd"), unique=True)


def tree_of(schema, items=None, rules=()):
    top: dict[str, Any] = {}
    if items:
        top["item"] = [
            {"id": key, **{n: v if n == "serial" else str(v) for n, v in notes.items()}} for key, notes in items.items()
        ]
    if rules:
        top["rule"] = [{"name": name} for name in rules]
    return treejson.load(schema, {"kit-test:top": top} if top else {})


def items_of(tree) -> dict[str, dict[str, int]]:
    items = treejson.dump(tree).get("kit-test:top", {}).get("item", [])
    return {i["id"]: {n: int(v) for n, v in i.items() if n != "id"} for i in items}


def carried(base, theirs, ours):
    """The model: of each value the one that somebody changed; ours where both did."""
    found = {}
    for key in {**theirs, **ours}:
        before, first, second = base.get(key), theirs.get(key), ours.get(key)
        if before in (first, second):
            kept = second if before == first else first
        elif first is None or second is None:
            kept = second
        else:
            kept = {}
            for leaf in {**first, **second}:
                one, other, mine = (before or {}).get(leaf), first.get(leaf), second.get(leaf)
                value = mine if one == other else other if one == mine else mine
                if value is not None:
                    kept[leaf] = value
        if kept is not None:
            found[key] = kept
    return found


@settings(max_examples=300, deadline=None)
@given(ITEMS, ITEMS, ITEMS)
def test_each_change_is_in_it(schema, base, theirs, ours):
    result = rebase(*(tree_of(schema, one) for one in (base, theirs, ours)))
    assert items_of(result) == carried(base, theirs, ours)


@settings(max_examples=200, deadline=None)
@given(RULES, RULES, RULES)
def test_users_order_is_that_of_whoever_changed_it(schema, base, theirs, ours):
    result = rebase(*(tree_of(schema, rules=one) for one in (base, theirs, ours)))
    names = [one["name"] for one in treejson.dump(result).get("kit-test:top", {}).get("rule", [])]
    there = {n for n in {*theirs, *ours} if (n in ours if (n in base) == (n in theirs) else n in theirs)}
    assert set(names) == there
    if ours == base:
        assert names == theirs
    if theirs == base:
        assert names == ours
