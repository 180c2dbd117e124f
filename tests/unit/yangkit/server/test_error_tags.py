"""RFC 6241, appendix A, and RFC 7950, sections 8.3 and 15, over a real session: request, and the error it must get."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from yangkit.errors import RpcError

KT = "urn:example:kit-test"
SEED = (
    f'<top xmlns="{KT}"><name>old</name><tag>a</tag><step>1</step><step>2</step>'
    "<item><id>i1</id><serial>1</serial></item><rule><name>r1</name></rule></top>"
)


@dataclass(frozen=True)
class Case:
    """An edit of the candidate (with what it must be refused as), or a whole operation."""

    what: str
    request: str
    tag: str
    app_tag: str | None = None
    path: str | None = None
    info: dict[str, str] = field(default_factory=dict)
    type: str = "application"


def top(inner: str) -> str:
    return f'<top xmlns="{KT}">{inner}</top>'


P = "/kit-test:top"
ITEM = P + "/kit-test:item[kit-test:id='i1']"

EDITS = [
    Case("create what is there", top('<name nc:operation="create">x</name>'), "data-exists", path=P + "/kit-test:name"),
    Case("create an entry twice", top('<item nc:operation="create"><id>i1</id></item>'), "data-exists", path=ITEM),
    Case("create a leaf-list entry twice", top('<tag nc:operation="create">a</tag>'), "data-exists"),
    Case("delete what is not there", top('<flag nc:operation="delete"/>'), "data-missing", path=P + "/kit-test:flag"),
    Case(
        "delete an entry that is not there",
        top('<item nc:operation="delete"><id>no</id></item>'),
        "data-missing",
        path=P + "/kit-test:item[kit-test:id='no']",
    ),
    Case("delete a container that is not there", '<second xmlns="' + KT + '" nc:operation="delete"/>', "data-missing"),
    Case("unknown element", top("<wrong/>"), "unknown-element", path=P, info={"bad-element": "wrong"}),
    Case("unknown top", f'<wrong xmlns="{KT}"/>', "unknown-element", info={"bad-element": "wrong"}),
    Case(
        "unknown namespace",
        '<top xmlns="urn:nobody"/>',
        "unknown-namespace",
        info={"bad-element": "top", "bad-namespace": "urn:nobody"},
    ),
    Case("no namespace", '<top xmlns=""/>', "unknown-namespace"),
    Case("feature off", top("<unsupported>x</unsupported>"), "unknown-element", info={"bad-element": "unsupported"}),
    Case("state data", top("<state><uptime>1</uptime></state>"), "unknown-element", info={"bad-element": "state"}),
    Case("an rpc as data", f'<echo xmlns="{KT}"/>', "unknown-element"),
    Case("wrong type", top("<flag>maybe</flag>"), "invalid-value", path=P + "/kit-test:flag"),
    Case("range", top("<count>101</count>"), "invalid-value", path=P + "/kit-test:count"),
    Case("length with app-tag", top("<name>12345678901</name>"), "invalid-value", "name-length"),
    Case("unknown identity", top("<pet>kt:cat</pet>"), "invalid-value"),
    Case("element in a leaf", top("<name><b/></name>"), "bad-element", info={"bad-element": "b"}),
    Case("text in a container", top("hello"), "bad-element", info={"bad-element": "top"}),
    Case("leaf twice", top("<name>a</name><name>b</name>"), "bad-element", info={"bad-element": "name"}),
    Case("two cases", top("<copper>x</copper><fibre>y</fibre>"), "bad-element", info={"bad-element": "fibre"}),
    Case("no key", top("<item><note>x</note></item>"), "missing-element", info={"bad-element": "id"}),
    Case("key twice", top("<item><id>a</id><id>b</id></item>"), "bad-element", info={"bad-element": "id"}),
    Case("key of the wrong type", top("<pair><left>x</left><right>y</right></pair>"), "invalid-value"),
    Case(
        "unknown operation",
        top('<name nc:operation="destroy">x</name>'),
        "bad-attribute",
        info={"bad-attribute": "operation", "bad-element": "name"},
    ),
    Case(
        "unknown operation on a key",
        top('<item><id nc:operation="destroy">x</id></item>'),
        "bad-attribute",
        info={"bad-attribute": "operation", "bad-element": "id"},
    ),
    Case(
        "unknown attribute",
        top('<name colour="red">x</name>'),
        "unknown-attribute",
        info={"bad-attribute": "colour", "bad-element": "name"},
    ),
    Case(
        "insert on a system-ordered list",
        top('<item yang:insert="first"><id>x</id></item>'),
        "unknown-attribute",
        info={"bad-attribute": "insert", "bad-element": "item"},
    ),
    Case("unknown place", top('<step yang:insert="middle">x</step>'), "bad-attribute"),
    Case(
        "no anchor",
        top('<step yang:insert="before">x</step>'),
        "missing-attribute",
        info={"bad-attribute": "value", "bad-element": "step"},
    ),
    Case(
        "anchor that is not there",
        top('<step yang:insert="before" yang:value="no">x</step>'),
        "bad-attribute",
        "missing-instance",
        info={"bad-attribute": "value", "bad-element": "step"},
    ),
    Case(
        "key anchor that is not there",
        top(f"<rule yang:insert=\"after\" yang:key=\"[k:name='no']\" xmlns:k='{KT}'><name>x</name></rule>"),
        "bad-attribute",
        "missing-instance",
        info={"bad-attribute": "key", "bad-element": "rule"},
    ),
    Case("anchor that is none", top('<rule yang:insert="after" yang:key="zz"><name>x</name></rule>'), "bad-attribute"),
]


@pytest.fixture
async def seeded(lab):
    client = await lab.ssh()
    await client.edit_config(SEED)
    await client.commit()
    return client


def verify(case: Case, error: RpcError) -> None:
    assert (error.tag, error.app_tag, error.type) == (case.tag, case.app_tag, case.type), str(error)
    assert error.severity == "error"
    assert error.message
    if case.path is not None:
        assert error.path == case.path
        assert error.path_namespaces["kit-test"] == KT
    assert case.info.items() <= error.info.items(), error.info


@pytest.mark.parametrize("case", EDITS, ids=lambda c: c.what)
async def test_edit_is_refused_and_nothing_changes(case, seeded, lab):
    before = lab.stores.candidate_tree
    with pytest.raises(RpcError) as caught:
        await seeded.edit_config(case.request)
    verify(case, caught.value)
    assert lab.stores.candidate_tree is before


async def test_default_operation_none_wants_existing_data(seeded):
    with pytest.raises(RpcError) as caught:
        await seeded.edit_config(top("<item><id>no</id></item>"), default_operation="none")
    assert caught.value.tag == "data-missing"
    await seeded.edit_config(
        top('<item><id>i1</id><note nc:operation="create">n</note></item>'), default_operation="none"
    )


VALIDATIONS = [
    Case("must", top("<limit>60</limit>"), "operation-failed", "must-violation", P + "/kit-test:limit"),
    Case(
        "unique",
        top("<item><id>i2</id><serial>1</serial></item>"),
        "operation-failed",
        "data-not-unique",
    ),
    Case("too many", top("<tag>b</tag><tag>c</tag><tag>d</tag>"), "operation-failed", "too-many-elements"),
    Case("too few", top("<crowd><member>one</member></crowd>"), "operation-failed", "too-few-elements"),
    Case("leafref", top("<favourite>no</favourite>"), "data-missing", "instance-required", P + "/kit-test:favourite"),
    Case("mandatory leaf", top("<box/>"), "data-missing", None, P + "/kit-test:box"),
    Case(
        "mandatory choice",
        top("<pick/>"),
        "data-missing",
        "missing-choice",
        P + "/kit-test:pick",
        {"{urn:ietf:params:xml:ns:yang:1}missing-choice": "one"},
    ),
    Case("when", top("<extra>x</extra>"), "unknown-element", info={"bad-element": "extra"}),
]


@pytest.mark.parametrize("way", ["commit", "validate", "test-then-set", "test-only", "running", "copy"])
@pytest.mark.parametrize("case", VALIDATIONS, ids=lambda c: c.what)
async def test_invalid_configurations(case, way, seeded, lab):
    running = lab.stores.running_tree
    applied = len(lab.backend.applied)
    if way in ("commit", "validate"):
        await seeded.edit_config(case.request)
    with pytest.raises(RpcError) as caught:  # noqa: PT012 - the ways differ, the refusal does not
        if way == "commit":
            await seeded.commit()
        elif way == "validate":
            await seeded.validate()
        elif way == "running":
            await seeded.edit_config(case.request, "running")
        elif way == "copy":
            await seeded.edit_config(case.request)
            await seeded.copy_config("candidate", "running")
        else:
            await seeded.edit_config(case.request, test_option=way)
    verify(case, caught.value)
    assert lab.stores.running_tree is running
    assert len(lab.backend.applied) == applied


OPERATIONS = [
    Case("unknown rpc", f'<dance xmlns="{KT}"/>', "operation-not-supported", type="protocol"),
    Case("rpc of nobody", '<dance xmlns="urn:nobody"/>', "unknown-namespace", type="protocol"),
    Case("rpc without handler", f'<unhandled xmlns="{KT}"/>', "operation-not-supported", type="protocol"),
    Case("no source", "<get-config/>", "missing-element", info={"bad-element": "source"}, type="protocol"),
    Case("empty source", "<get-config><source/></get-config>", "missing-element", type="protocol"),
    Case(
        "startup is a feature we lack",
        "<get-config><source><startup/></source></get-config>",
        "unknown-element",
        info={"bad-element": "startup"},
        type="protocol",
    ),
    Case("unknown parameter", "<discard-changes><x/></discard-changes>", "unknown-element", type="protocol"),
    Case("parameter twice", "<get><filter/><filter/></get>", "bad-element", type="protocol"),
    Case(
        "bad test-option",
        "<edit-config><target><candidate/></target><test-option>x</test-option><config/></edit-config>",
        "invalid-value",
        info={"bad-element": "test-option"},
        type="protocol",
    ),
    Case("bad filter type", '<get><filter type="magic"/></get>', "bad-attribute", type="protocol"),
    Case("xpath without select", '<get><filter type="xpath"/></get>', "missing-attribute", type="protocol"),
    Case("bad xpath", '<get><filter type="xpath" select="///"/></get>', "invalid-value"),
    Case("xpath prefix of nobody", '<get><filter type="xpath" select="/x:y"/></get>', "invalid-value"),
    Case("xpath that selects no nodes", '<get><filter type="xpath" select="1+1"/></get>', "invalid-value"),
    Case("delete running", "<delete-config><target><running/></target></delete-config>", "operation-not-supported",
         type="protocol"),
    Case("copy onto itself", "<copy-config><target><running/></target><source><running/></source></copy-config>",
         "invalid-value", type="protocol"),
    Case("unlock what is not locked", "<unlock><target><running/></target></unlock>", "operation-failed",
         type="protocol"),
    Case("cancel nothing", "<cancel-commit/>", "operation-failed", type="protocol"),
    Case("unknown persist-id", "<commit><persist-id>x</persist-id></commit>", "invalid-value", type="protocol"),
    Case("timeout without confirmed", "<commit><confirm-timeout>9</confirm-timeout></commit>", "missing-element",
         type="protocol"),
    Case("kill nobody", "<kill-session><session-id>9999</session-id></kill-session>", "invalid-value", type="protocol"),
    Case("kill without whom", "<kill-session/>", "missing-element", type="protocol"),
    Case("unknown schema", f'<get-schema xmlns="{"urn:ietf:params:xml:ns:yang:ietf-netconf-monitoring"}">'
         "<identifier>no</identifier></get-schema>", "invalid-value"),
    Case("rpc input missing", f'<echo xmlns="{KT}"/>', "missing-element", info={"bad-element": "text"}),
    Case("rpc input unknown", f'<echo xmlns="{KT}"><text>a</text><x/></echo>', "unknown-element"),
    Case("rpc input dangling", f'<echo xmlns="{KT}"><text>a</text><which>no</which></echo>', "data-missing",
         "instance-required"),
]  # fmt: skip


@pytest.mark.parametrize("case", OPERATIONS, ids=lambda c: c.what)
async def test_operation_is_refused_and_the_session_goes_on(case, seeded):
    with pytest.raises(RpcError) as caught:
        await seeded.rpc(case.request)
    verify(case, caught.value)
    await seeded.get_config()


async def test_backend_refuses(seeded, lab):
    from yangkit.backend import ApplyError

    lab.backend.refuse = ApplyError("no such port", path="/kit-test:top/item[id='i1']", tag="resource-denied")
    await seeded.edit_config(top("<name>new</name>"))
    running = lab.stores.running_tree
    with pytest.raises(RpcError) as caught:
        await seeded.commit()
    verify(Case("", "", "resource-denied", path=ITEM), caught.value)
    assert caught.value.message == "no such port"
    assert lab.stores.running_tree is running
    lab.backend.refuse = None
    await seeded.commit()
    assert lab.stores.running["kit-test:top"]["name"] == "new"


async def test_continue_on_error_does_the_rest_and_tells_all(seeded, lab):
    with pytest.raises(RpcError) as caught:
        await seeded.edit_config(top("<flag>maybe</flag><name>new</name><wrong/>"), error_option="continue-on-error")
    assert [error.tag for error in caught.value.all()] == ["invalid-value", "unknown-element"]
    assert (await seeded.get_config("candidate")).findtext(f"{{{KT}}}top/{{{KT}}}name") == "new"


@pytest.mark.parametrize("option", ["stop-on-error", "rollback-on-error"])
async def test_other_error_options_change_nothing(option, seeded, lab):
    with pytest.raises(RpcError) as caught:
        await seeded.edit_config(top("<name>new</name><flag>maybe</flag>"), "running", error_option=option)
    assert caught.value.tag == "invalid-value"
    assert lab.stores.running["kit-test:top"]["name"] == "old"
