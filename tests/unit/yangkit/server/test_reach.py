"""What a change can reach: a part that is valid means a valid whole, whatever the constraints and the change."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yangkit import validation, xmlutil
from yangkit.edit import Editor
from yangkit.errors import RpcError
from yangkit.reachrules import Rules
from yangkit.schema import Module, Schema
from yangkit.tree import Container, empty
from yangkit.treejson import dump, load
from yangkit.treexml import dump as xml
from yangkit.treexml import dump_node
from yangkit.xpathreach import climb, sight

from .conftest import YANG

KR = "urn:example:kit-reach"
EXACT = ("pair", "look", "absent", "alone", "boxed", "hops", "counted", "bounded", "deep", "below", "beyond")
"""Of what these see, the part has all: what is wrong with it is wrong with the whole."""
FEATURES = (*EXACT, "total", "order", "hidden", "union", "default", "default-target", "deref", "any", "near", "implied")
ID = st.sampled_from("abc")
SMALL = st.sampled_from("1234")


def leaf(name: str, value: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Set, or taken away."""
    return value.map(lambda text: f"<{name}>{text}</{name}>") | st.just(f'<{name} nc:operation="remove"/>')


def some(*parts: st.SearchStrategy[str], most: int = 2) -> st.SearchStrategy[str]:
    return st.lists(st.one_of(*parts), max_size=most).map(_once) if parts else st.just("")


def _once(parts: list[str]) -> str:
    return "".join({part[1:].split(">")[0].split(" ")[0].split("/")[0]: part for part in parts}.values())


def entry(name: str, key: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def made(operation: str, value: str, inner: str) -> str:
        content = inner if operation != "remove" else ""
        return f'<{name} nc:operation="{operation}"><{key}>{value}</{key}>{content}</{name}>'

    return st.builds(made, st.sampled_from(["merge", "merge", "replace", "remove"]), ID, some(*parts))


PERMIT = ID.map(lambda text: f"<permit>{text}</permit>")
INNER = st.sampled_from(["", "<need>a</need>", "<need>a</need><twin>1</twin>"]).map(
    lambda text: f"<inner>{text}</inner>"
)
VPN = (PERMIT, leaf("size", SMALL), leaf("kind", ID), leaf("extra", ID), INNER)
PORT = entry("port", "name", leaf("beside", ID), leaf("far", ID))
PLAIN = (leaf("vpn", ID), leaf("tag", ID), leaf("next", ID), leaf("like", ID), PORT)
#: Leafs of a site by the feature that they need.
MORE = {
    "order": leaf("rank", SMALL),
    "pair": leaf("other", ID),
    "union": leaf("either", ID | SMALL),
    "default": leaf("usual", ID),
    "default-target": leaf("level", ID) | leaf("same", ID),
    "deref": leaf("owner", ID),
    "any": leaf("point", ID.map(lambda key: f"/kr:net/kr:sites/kr:site[kr:id='{key}']")),
    "look": leaf("wants", ID),
    "absent": leaf("shuns", ID),
    "implied": leaf("likes", ID),
    "alone": leaf("serial", SMALL),
    "hops": entry("hop", "id", leaf("cost", SMALL), leaf("over", ID)),
    "counted": entry("leg", "id") | leaf("legs", SMALL),
    "deep": leaf("deeply", ID),
    "below": entry("way", "id"),
    "beyond": entry("gap", "id") | leaf("outer", ID),
    "bounded": ID.map(lambda text: f"<call>{text}</call>"),
}
#: The same of a VPN.
OF_A_VPN = {
    "deep": entry("mark", "id").map(lambda text: f"<marks>{text}</marks>"),
    "implied": leaf("grade", ID),
    "boxed": SMALL.map(lambda text: f"<box><lid>{text}</lid></box>") | st.just('<box nc:operation="remove"/>'),
}


def edits(feature: str | None) -> st.SearchStrategy[list[bytes]]:
    a_site = entry("site", "id", *PLAIN, *([MORE[feature]] * 3 if feature in MORE else []))
    a_vpn = entry("vpn", "id", *VPN, *([OF_A_VPN[feature]] * 3 if feature in OF_A_VPN else []))
    kinds = [a_vpn, a_site, a_site, leaf("main", ID), leaf("mode", ID)]
    kinds += [entry("number", "id", leaf("serial", SMALL)), entry("few", "id"), entry("many", "id")]
    if feature == "near":
        kinds.append(leaf("both", ID))
    if feature == "total":
        kinds.append(leaf("count", SMALL).map(lambda text: f"<most>{text}</most>"))
    if feature == "hidden":
        kinds.append(entry("secret", "id").map(lambda text: f"<veiled>{text}</veiled>"))
    places = {"<vpn ": "vpns", "<site ": "sites"}

    def placed(parts: list[str]) -> bytes:
        inner = ""
        for part in parts:
            around = next((name for begin, name in places.items() if part.startswith(begin)), None)
            inner = f"<{around}>{part}</{around}>" if around else part
        return f'<c xmlns:nc="{xmlutil.NC}" xmlns:kr="{KR}"><net xmlns="{KR}">{inner}</net></c>'.encode()

    return st.lists(st.lists(st.one_of(kinds), min_size=1, max_size=1).map(placed), min_size=4, max_size=25)


def settled(schema: Schema, new: Container, old: Container, editor: Editor, partly: bool) -> Container | str:
    copy = Container(new.schema, new.children)  # which does not know yet that it is valid
    try:
        return validation.settle(schema, copy, old, editor.touched, partly=partly)
    except RpcError as error:
        return f"{error} {error.path} {[str(other) for other in error.others]}"


@pytest.mark.parametrize("feature", [None, *FEATURES])
@pytest.mark.parametrize("examples", [8, pytest.param(3000, marks=pytest.mark.exhaustive)])
def test_a_valid_part_means_a_valid_whole(feature, examples):
    """Random edits, each judged by the part and by all of it; those that are valid stay."""
    schema = Schema([YANG], [Module("kit-reach", (feature,) if feature else ())])

    @settings(max_examples=examples, deadline=None)
    @given(edits(feature))
    def run(texts: list[bytes]) -> None:
        old = empty(schema)
        validation.check(schema, old)
        for text in texts:
            editor = Editor()
            new = editor.run(old, xmlutil.parse(text))
            part = schema.reach.part(old, new)
            wrong = bool(schema.library.validate(xml(new)))
            if part is not None and feature in (
                None,
                *EXACT,
            ):  # so the whole is not asked only to find that all is well
                assert bool(schema.library.validate(xml(part))) == wrong
            whole = settled(schema, new, old, editor, False)
            partly = settled(schema, new, old, editor, True)
            if isinstance(whole, str) or isinstance(partly, str):
                assert whole == partly
            else:
                assert whole.same(partly)
                old = partly

    run()


def edited(old: Container, inner: str) -> tuple[Container, Editor]:
    editor = Editor()
    text = f'<c xmlns:nc="{xmlutil.NC}" xmlns:kr="{KR}"><net xmlns="{KR}">{inner}</net></c>'
    return editor.run(old, xmlutil.parse(text.encode())), editor


def site(key: str, inner: str = "", operation: str = "merge") -> str:
    return f'<sites><site nc:operation="{operation}"><id>{key}</id>{inner}</site></sites>'


def vpn(key: str, inner: str = "", operation: str = "merge") -> str:
    return f'<vpns><vpn nc:operation="{operation}"><id>{key}</id>{inner}</vpn></vpns>'


BASE = {
    "vpns": {"vpn": [{"id": f"v{number}", "permit": [f"s{number}"]} for number in range(50)]},
    "sites": {"site": [{"id": f"s{number}", "vpn": f"v{number % 5}", "tag": "t"} for number in range(50)]},
    "main": "s7",
    "picked": {"chosen": [{"id": "c"}]},
}


@pytest.mark.parametrize(
    ("feature", "list_", "inner"),
    [
        (None, "vpn/permit", True),
        (None, "site/port", False),  # others refer into it
        ("hops", "site/hop", True),
        ("counted", "site/leg", False),  # by a must beside it
        ("bounded", "site/call", False),  # by itself
        ("deep", "marks/mark", False),  # from another entry
        ("below", "site/way", False),  # they look into all entries of another list
        ("beyond", "site/gap", False),  # and out of their own
    ],
)
def test_a_list_is_inner_when_nothing_sees_more_than_one_of_its_entries(feature, list_, inner):
    schema = Schema([YANG], [Module("kit-reach", (feature,) if feature else ())])
    found = {"/".join(node.path().split("/")[-2:]) for node in Rules(schema).inner}
    assert (list_ in found) == inner


IDS = [f"s{number}" for number in range(50)]
ALWAYS = {"site": ["s7"], "vpn": ["v2"], "chosen": ["c"]}


@pytest.mark.parametrize(
    ("edit", "left"),
    [
        (vpn("v9", "<size>1</size>"), {"vpn": ["v9", "v4"], "site": ["s9"]}),
        (vpn("v9", "<permit>s20</permit>"), {"vpn": ["v9", "v0"], "site": ["s20"]}),
        (site("new"), {"site": ["new"]}),
        (site("new", "<next>s3</next>"), {"vpn": ["v3"], "site": ["new", "s3"]}),
        (
            site("new", "<like>t</like>"),
            {"vpn": ["v0", "v1", "v3", "v4"], "site": [f"s{n}" for n in range(50)] + ["new"]},
        ),
        (vpn("v9", operation="remove"), {}),
        (vpn("v4", operation="remove"), {"site": [f"s{n}" for n in range(4, 50, 5)]}),
        (site("s9", operation="remove"), {"vpn": ["v9"]}),
        (site("s1", "<tag>u</tag>"), {"site": ["s1"], "vpn": ["v1"]}),
        ("<mode>a</mode>", None),
    ],
)
def test_no_more_is_looked_at_than_can_be_reached(edit, left):
    schema = Schema([YANG], [Module("kit-reach")])
    old = load(schema, {"kit-reach:net": BASE})
    assert not schema.library.validate(xml(old))
    new = edited(old, edit)[0]
    part = schema.reach.part(old, new)
    if left is None:
        assert part is None
        return
    found = {
        name: {entry["id"] for entry in entries}
        for holder in dump(part)["kit-reach:net"].values()
        for name, entries in (holder.items() if isinstance(holder, dict) else ())
    }
    assert found == {name: {*ids, *left.get(name, ())} for name, ids in ALWAYS.items()}
    assert bool(schema.library.validate(xml(part))) == bool(schema.library.validate(xml(new)))


@pytest.mark.parametrize(
    ("feature", "before", "edit"),
    [
        (None, {"main": "s", "sites": {"site": [{"id": "s"}]}}, site("s", operation="remove")),
        (None, {"sites": {"site": [{"id": "s", "like": "t", "tag": "t"}]}}, site("s", "<tag>u</tag>")),
        (None, {"number": [{"id": "a", "serial": 1}, {"id": "b"}]}, "<number><id>b</id><serial>1</serial></number>"),
        (None, {"few": [{"id": "a"}, {"id": "b"}]}, "<few><id>c</id></few>"),
        ("total", {"most": {"count": 1}, "sites": {"site": [{"id": "s"}]}}, site("t")),
        ("order", {"sites": {"site": [{"id": "s", "rank": 1}, {"id": "t"}]}}, site("t", "<rank>1</rank>")),
        (
            "pair",
            {"sites": {"site": [{"id": "s", "tag": "a"}, {"id": "t", "tag": "x", "other": "s"}]}},
            site("s", "<tag>c</tag>"),
        ),
        ("hidden", {"veiled": {"secret": [{"id": "x"}]}}, site("s", "<tag>b</tag>")),
        (
            "union",
            {"vpns": {"vpn": [{"id": "v", "kind": "b"}]}, "sites": {"site": [{"id": "s", "either": "b"}]}},
            vpn("v", "<kind>c</kind>"),
        ),
        (
            "default-target",
            {"sites": {"site": [{"id": "s"}, {"id": "t", "level": "e", "same": "c"}]}},
            site("s", "<level>d</level>"),
        ),
        (
            "deref",
            {"vpns": {"vpn": [{"id": "v", "kind": "a"}]}, "sites": {"site": [{"id": "s", "owner": "v"}]}},
            vpn("v", "<kind>b</kind>"),
        ),
        (
            "any",
            {
                "vpns": {"vpn": [{"id": "v", "kind": "b"}]},
                "sites": {"site": [{"id": "s", "point": "/kit-reach:net/vpns/vpn[id='v']/kind"}]},
            },
            vpn("v", operation="replace"),
        ),
        ("near", {"both": "x"}, "<many><id>a</id></many>"),
    ],
)
def test_what_is_wrong_elsewhere_is_found(feature, before, edit):
    """An entry that has not changed is wrong, or goes, because of another that has."""
    schema = Schema([YANG], [Module("kit-reach", (feature,) if feature else ())])
    old = load(schema, {"kit-reach:net": before})
    validation.check(schema, old)
    new, editor = edited(old, edit)
    whole, partly = (settled(schema, new, old, editor, way) for way in (False, True))
    if feature == "hidden":
        assert "veiled" not in dump(partly)["kit-reach:net"]
    else:
        assert isinstance(whole, str)
        assert partly == whole


@pytest.mark.parametrize(
    ("rpc", "given", "seen"),
    [
        ("look", "", {}),
        ("look", "<site>s3</site>", {"site": ["s3"]}),
        ("look", "<site>none</site>", {}),
        ("look", "<tag>t</tag>", {"site": IDS}),
        ("look", "<tag>none</tag>", {"site": IDS}),
        ("look", "<main>s7</main>", {}),
        ("look", "<main>s8</main>", {}),
        ("look", "<way><length>1</length><vpn>v1</vpn><vpn>v2</vpn></way><most>2</most>", {"vpn": ["v1", "v2"]}),
        ("look", "<way><length>3</length></way><most>2</most>", {}),
        ("count", "<text>a</text>", None),
        ("when-many", "<text>a</text>", None),
        ("near", "<text>t</text><of>s1</of>", None),
        ("near", "<text>t</text><of>none</of>", None),
        ("nothing", "", None),
        ("plain", "<text>a</text>", {}),
        ("plain", "", {}),
    ],
)
def test_an_rpc_is_held_against_what_its_input_can_see(rpc, given, seen):
    """And what is wrong with it is the same as before the whole configuration."""
    schema = Schema([YANG], [Module("kit-reach")])
    running = load(schema, {"kit-reach:net": BASE})
    node = schema.rpcs[f"{{{KR}}}{rpc}"]
    input_ = Editor(state_allowed=True).load(node, xmlutil.parse(f'<{rpc} xmlns="{KR}">{given}</{rpc}>'.encode()))
    context = schema.reach.context(node, input_, running)
    if seen is None:
        assert context is running
        return
    net = dump(context)["kit-reach:net"]
    assert net["main"] == "s7"
    found = {name: [one["id"] for one in net.get(f"{name}s", {}).get(name, [])] for name in ("site", "vpn")}
    assert found == {"site": [], "vpn": []} | seen
    text = dump_node(input_)
    assert schema.library.validate_rpc(text, xml(context), part=True) == schema.library.validate_rpc(text, xml(running))


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        (". < 50", 0),
        ("../a = 'b/../..' and ../../c", 2),
        ("../a or ../b or ../c", 1),
        ("current()/../../x", 2),
        ("../a[b = current()/../c]/d", 2),
        ("(../..)/../a", 3),
        ("../a and /b", None),
        ("/a:b/c", None),
        ("//a", None),
        ("count(.//a) * 2", 0),
        ("a * /b", None),
        ("ancestor::a", None),
        ("../preceding-sibling::a", None),
        ("deref(../a)/../b", None),
        ("id(../a)/b", None),
        ("../id = id", 1),
        ("derived-from-or-self(../../a, 'm:identity') and not(../b:c/*)", 2),
    ],
)
def test_how_far_an_xpath_looks(text, levels):
    assert climb(text) == levels


def told(text):
    """How far, over which names, and where to from the root, with keys; "?" after what only has to be there."""
    if (found := sight(text)) is None:
        return None
    ways = []
    for way in found.ways:
        steps = [step.name + (f"[{step.key[0]}={'/'.join(step.key[1])}]" if step.key else "") for step in way.steps]
        ways.append("/" + "/".join(steps) + ("" if way.content else "?"))
    return found.levels, found.names and set(found.names), *ways


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("../a or ../p:b", (1, {"a", "b", "or"})),
        (". < 50", (0, None)),
        ("../a/..", (2, None)),
        ("../a/*", (1, None)),
        ("/p:a/p:b[p:k = current()]/c = ../x", (1, {"x"}, "/a/b[k=]/c")),
        ("/a/b[current()/../d = k]/c = ../../e", (2, {"d", "e", ".."}, "/a/b[k=../d]/c")),
        ("not(/a/b[k = current()/p:n])", (0, {"n", "not"}, "/a/b[k=n]?")),
        ("count(/a/b) = 1", (0, {"count"}, "/a/b?")),
        ("string(/a/b) = 'x'", (0, {"string"}, "/a/b")),
        ("count(/a/b/c[. = current()]) = 1", (0, {"count"}, "/a/b/c")),
        ("not(/a/b[k = current()][l]/c)", (0, {"not"}, "/a/b[k=]")),
        ("not(/a/b[k = 'x']/c/d)", (0, {"not"}, "/a/b")),
        ("not(/a/b[k = current()][l = current()/../m]/c)", (1, {"not", "m", ".."}, "/a/b[k=]")),
        ("../b[/a/c = d]", (1, {"b", "d"}, "/a/c")),
        ("/a or /b/c", (0, {"or"}, "/a", "/b/c")),
        *(
            (text, None)
            for text in (
                "/", "//a", "/a//b", "/a/*", "/a/..", "/a/text()", "/a/child::b", "a * /b", "deref(/a)/../b",
                "/a/b[k = ../x]", "/a/b[x = /c/d]", "/a/b[/c]", "/a/b[k = current()/*]", "/a/b[k = current()//c]",
            )
        ),
    ],
)  # fmt: skip
def test_what_an_xpath_sees(text, seen):
    assert told(text) == seen
