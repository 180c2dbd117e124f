"""What a startup file and its journal say after any crash: what was kept last, or before it; never something else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yangkit import Datastores, NullBackend, treejson, treexml, xmlutil
from yangkit import startup as files
from yangkit.delta import delta
from yangkit.edit import Editor
from yangkit.startup import Startup, StartupError, journal_of
from yangkit.tree import Container, empty

LEAFS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["a", "<b>", "c\r\nd"]),
        "pet": st.just("kit-test:dog"),
        "nothing": st.just([None]),
        "present": st.just({}) | st.just({"note": "n"}),
        "copper": st.sampled_from("xy"),
        "blob": st.sampled_from(['<x xmlns="urn:x"></x>', '<y xmlns="urn:x">1</y>']),
        "step": st.lists(st.sampled_from("abcd"), unique=True, min_size=1),
        "tag": st.lists(st.sampled_from("abcd"), unique=True, min_size=1),
        "rule": st.lists(st.sampled_from("abc"), unique=True, min_size=1).map(lambda ns: [{"name": n} for n in ns]),
        "item": st.dictionaries(st.sampled_from("abc"), st.integers(0, 2), min_size=1).map(
            lambda items: [{"id": key, "note": str(value)} for key, value in items.items()]
        ),
        "pair": st.sets(st.tuples(st.integers(0, 1), st.sampled_from(["'", '"', "&"])), min_size=1).map(
            lambda keys: [{"left": left, "right": right} for left, right in sorted(keys)]
        ),
    },
)
TREES = st.tuples(LEAFS, st.booleans()).map(
    lambda pair: {
        "kit-test:top": {
            **({"fibre": "f"} if pair[1] else {}),
            **{name: value for name, value in pair[0].items() if not (pair[1] and name == "copper")},
        }
    }
)


def tree(schema, data: dict[str, Any]) -> Container:
    return treejson.load(schema, data)


def named(schema, name: str) -> Container:
    return tree(schema, {"kit-test:top": {"name": name}})


def name_in(kept: Container | None) -> str | None:
    return None if kept is None else treejson.dump(kept).get("kit-test:top", {}).get("name")


@settings(max_examples=100, deadline=None)
@given(TREES, TREES)
def test_a_delta_makes_the_one_of_the_other(schema, one, other):
    old, new = tree(schema, one), tree(schema, other)
    text = delta(old, new)
    made = Editor().run(old, xmlutil.parse(f'<config xmlns="{xmlutil.NC}">{text}</config>'.encode()))
    assert made.same(new)
    assert bool(text) == (not old.same(new))


def test_a_delta_says_only_what_changes(schema):
    before = tree(schema, {"kit-test:top": {"item": [{"id": str(n), "note": "x"} for n in range(50)]}})
    text = '<c><top xmlns="urn:example:kit-test"><item><id>7</id><note>y</note></item></top></c>'
    after = Editor().run(before, xmlutil.parse(text.encode()))
    assert delta(before, after) == text.removeprefix("<c>").removesuffix("</c>")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(TREES, st.booleans()), min_size=1, max_size=8))
def test_what_was_kept_last_is_read_again(tmp_path_factory, schema, kept):
    path = tmp_path_factory.mktemp("kept") / "startup.xml"
    store = Startup(schema, path, journal=True)
    for data, again in kept:
        new = tree(schema, data)
        store.write(new)
        if again:
            store = Startup(schema, path, journal=True)
            assert store.read().same(new)
    store.fold()
    assert not journal_of(path).exists()
    assert Startup(schema, path).read().same(tree(schema, kept[-1][0]))


@pytest.fixture
def kept(schema, tmp_path) -> Path:
    """v0 in the file, v1 to v3 in the journal."""
    path = tmp_path / "startup.xml"
    store = Startup(schema, path, journal=True)
    for number in range(4):
        store.write(named(schema, f"v{number}"))
    assert b"v3" in journal_of(path).read_bytes()
    return path


def test_a_journal_that_is_torn_anywhere_ends_with_its_last_whole_record(schema, kept):
    journal = journal_of(kept)
    whole = journal.read_bytes()
    ends = [
        whole.index(f"v{n}</name></top></config>\n".encode()) + len("v1</name></top></config>\n") for n in (1, 2, 3)
    ]
    assert ends[-1] == len(whole)
    for end in range(len(whole)):
        for garbage in (b"", b"\0" * 40):
            journal.write_bytes(whole[:end] + garbage)
            if garbage and end <= ends[0] - len(garbage) and end < 98:
                continue  # nothing writes more before the beginning is on the disk
            store = Startup(schema, kept, journal=True)
            assert name_in(store.read()) == f"v{sum(end >= one for one in ends)}"
    store.write(named(schema, "after"))
    assert name_in(files.read(schema, kept)) == "after"


def test_damage_before_whole_records_is_no_torn_end(schema, kept):
    journal = journal_of(kept)
    whole = journal.read_bytes()
    last = whole.rindex(b"<?xml")
    for place in (3, 40, 120, last - 25):
        journal.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(StartupError, match="damaged"):
            files.read(schema, kept)
    journal.write_bytes(whole[: last + 5] + b"?" + whole[last + 6 :])
    assert name_in(files.read(schema, kept)) == "v2"


def test_a_record_inside_of_a_value_is_none(schema, tmp_path):
    """What a client writes cannot make of a torn end a damage in the middle."""
    path = tmp_path / "startup.xml"
    store = Startup(schema, path, journal=True)
    store.write(empty(schema))
    store.write(named(schema, "v1"))
    journal = journal_of(path)
    before = journal.stat().st_size
    stolen = journal.read_bytes()[98:].decode().replace("<", "&lt;").replace(">", "&gt;")
    store.write(tree(schema, {"kit-test:top": {"name": "v1", "supported": stolen}}))
    text = journal.read_bytes()
    journal.write_bytes(text[:before] + text[before:].replace(b"&lt;", b"<").replace(b"&gt;", b">")[:-1])
    assert name_in(files.read(schema, path)) == "v1"


def test_a_journal_of_another_file_is_not_read(schema, kept, tmp_path):
    """As a crash leaves it that comes between a new file and the end of its old journal."""
    old = tmp_path / "old"
    shutil.copy(journal_of(kept), old)
    store = Startup(schema, kept, journal=True)
    store.read()
    store.fold()
    shutil.copy(old, journal_of(kept))
    assert name_in(files.read(schema, kept)) == "v3"
    again = Startup(schema, kept, journal=True)
    again.read()
    again.write(named(schema, "v4"))
    assert name_in(files.read(schema, kept)) == "v4"


def test_a_long_journal_is_folded_into_the_file(schema, tmp_path):
    path = tmp_path / "startup.xml"
    store = Startup(schema, path, journal=True)
    lengths = []
    for number in range(40):
        items = [{"id": str(n), "note": f"{number}" * 2000} for n in range(10)]
        store.write(tree(schema, {"kit-test:top": {"item": items}}))
        lengths.append(journal_of(path).stat().st_size if journal_of(path).exists() else 0)
    assert max(lengths) < 400_000
    assert sum(length == 0 for length in lengths) in range(2, 6)
    assert treexml.dump(files.read(schema, path)).count("39" * 2000) == 10


def test_a_journal_that_cannot_be_written_gives_way_to_the_file(schema, kept):
    store = Startup(schema, kept, journal=True)
    store.read()
    journal_of(kept).unlink()
    journal_of(kept).mkdir()
    with pytest.raises(OSError, match="startup"):
        store.write(named(schema, "v4"))
    journal_of(kept).rmdir()
    store.write(named(schema, "v5"))
    assert name_in(files.read(schema, kept)) == "v5"


def test_files_are_for_their_owner_only(kept):
    assert {path.stat().st_mode & 0o777 for path in (kept, journal_of(kept))} == {0o600}


async def test_a_damaged_journal_is_kept_aside_with_its_file_and_told(schema, kept):
    """The file alone would be a configuration that nobody has acknowledged for long."""
    journal = journal_of(kept)
    whole = journal.read_bytes()
    journal.write_bytes(whole[:120] + b"?" + whole[121:])
    stores = Datastores(schema, NullBackend(), kept, {"kit-test:top": {"name": "default"}}, many_edits=True)
    await stores.start()
    assert "damaged" in stores.problem
    assert stores.running["kit-test:top"]["name"] == "default"
    assert sorted(path.name for path in kept.parent.iterdir()) == ["startup.xml.journal.refused", "startup.xml.refused"]
    await stores.close()
