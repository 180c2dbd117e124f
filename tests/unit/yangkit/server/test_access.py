"""NACM (RFC 8341), monitoring (RFC 6022), YANG library (RFC 8525), RPCs, actions, notifications (RFC 5277, 6470)."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from yangkit.diff import changes
from yangkit.errors import RpcError
from yangkit.nacm import Access, Rules
from yangkit.restconf.resources import Step, Target, branch, find
from yangkit.tree import empty
from yangkit.treejson import load

KT = "urn:example:kit-test"
NS = {
    "k": KT,
    "nm": "urn:ietf:params:xml:ns:yang:ietf-netconf-monitoring",
    "nn": "urn:ietf:params:xml:ns:yang:ietf-netconf-notifications",
    "yl": "urn:ietf:params:xml:ns:yang:ietf-yang-library",
    "n": "urn:ietf:params:xml:ns:netconf:notification:1.0",
}


def top(inner: str) -> str:
    return f'<top xmlns="{KT}">{inner}</top>'


def nacm(rules: list[dict], **more) -> dict:
    groups = {"group": [{"name": "guests", "user-name": ["guest"]}]}
    listed = [{"name": f"r{n}", **rule} for n, rule in enumerate(rules)]
    rule_list = [{"name": "guests", "group": ["guests"], "rule": listed}]
    return {"ietf-netconf-acm:nacm": {"groups": groups, "rule-list": rule_list, **more}}


DATA = {
    "kit-test:top": {"name": "a", "item": [{"id": "1", "note": "x"}, {"id": "2", "note": "y"}]},
    "kit-test:second": {"value": "s"},
}


@pytest.fixture
async def guest(lab):
    return await lab.ssh("guest")


async def rules(lab, *rule: dict, **more) -> None:
    await lab.stores.replace_running({**DATA, **nacm(list(rule), **more)})


async def seen(client) -> list[str]:
    return [element.text for element in (await client.get_config()).iter() if element.text]


async def test_defaults_read_all_but_nacm_write_nothing(guest, lab):
    await rules(lab)
    assert await seen(guest) == ["a", "1", "x", "2", "y", "s"]
    for inner in ("<name>b</name>", '<name nc:operation="remove"/>', "<item><id>3</id></item>"):
        with pytest.raises(RpcError) as caught:
            await guest.edit_config(top(inner))
        assert (caught.value.tag, caught.value.type) == ("access-denied", "application")
        assert caught.value.path.startswith("/kit-test:top/")
    await guest.edit_config(top("<name>a</name>"))  # alters nothing, so needs no right


async def test_the_recovery_user_is_not_bound(client, lab):
    await rules(lab, {"access-operations": "*", "action": "deny"})
    assert len(await seen(client)) > 6
    await client.edit_config(top("<name>b</name>"), "running")


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        ({"path": "/kit-test:top/kit-test:item", "action": "deny"}, ["a", "s"]),
        ({"path": "/kit-test:top/item[id='1']", "action": "deny"}, ["a", "2", "y", "s"]),
        ({"path": "/kit-test:top/item/note", "action": "deny"}, ["a", "1", "2", "s"]),
        ({"path": "/kit-test:top", "access-operations": "update", "action": "deny"}, ["a", "1", "x", "2", "y", "s"]),
        ({"module-name": "kit-test", "action": "deny", "access-operations": "read"}, []),
        ({"module-name": "other", "action": "deny"}, ["a", "1", "x", "2", "y", "s"]),
    ],
)
async def test_read_rules_hide_silently(rule, left, guest, lab):
    await rules(lab, rule)
    assert await seen(guest) == left
    assert [
        e.text for e in (await guest.get(filter=f'<top xmlns="{KT}"/><second xmlns="{KT}"/>')).iter() if e.text
    ] == left


async def test_a_permitted_path_below_a_denied_one_is_shown_with_its_keys(guest, lab):
    await rules(lab, {"path": "/kit-test:top/item[id='2']/note", "action": "permit"}, **{"read-default": "deny"})
    assert await seen(guest) == ["2", "y"]


async def test_hidden_data_cannot_be_found_by_filters(guest, lab):
    await rules(lab, {"path": "/kit-test:top/item/note", "action": "deny"})
    data = await guest.get_config(xpath="/k:top/k:item[k:note='x']", namespaces={"k": KT})
    assert len(data) == 0
    assert len(await guest.get_config(filter=top("<item><note>x</note></item>"))) == 0


async def test_write_rules(guest, lab):
    await rules(
        lab,
        {"path": "/kit-test:top/item[id='1']", "action": "deny"},
        {"path": "/kit-test:top/item", "access-operations": "create update", "action": "permit"},
    )
    await guest.edit_config(top("<item><id>3</id></item><item><id>2</id><note>z</note></item>"))
    await guest.commit()
    for inner in ('<item nc:operation="delete"><id>2</id></item>', "<item><id>1</id><note>z</note></item>"):
        with pytest.raises(RpcError) as caught:
            await guest.edit_config(top(inner), "running")
        assert caught.value.tag == "access-denied"


async def test_nacm_itself_is_closed_even_when_writing_is_open(guest, lab):
    await rules(lab, **{"write-default": "permit"})
    await guest.edit_config(top("<name>b</name>"), "running")
    acm = '<nacm xmlns="urn:ietf:params:xml:ns:yang:ietf-netconf-acm"><enable-nacm>false</enable-nacm></nacm>'
    with pytest.raises(RpcError) as caught:
        await guest.edit_config(acm, "running")
    assert caught.value.tag == "access-denied"


async def test_another_users_candidate_cannot_be_committed_past_the_rules(client, guest, lab):
    await rules(lab)
    await client.edit_config(top("<name>b</name>"))
    with pytest.raises(RpcError) as caught:
        await guest.commit()
    assert caught.value.tag == "access-denied"


async def test_exec_rules(guest, client, lab):
    await rules(lab, {"module-name": "kit-test", "rpc-name": "echo", "access-operations": "exec", "action": "deny"})
    for request in (
        f'<echo xmlns="{KT}"><text>x</text></echo>',
        f"<kill-session><session-id>{client.session_id}</session-id></kill-session>",
    ):
        with pytest.raises(RpcError) as caught:
            await guest.rpc(request)
        assert (caught.value.tag, caught.value.type) == ("access-denied", "protocol")
    await rules(lab, **{"exec-default": "deny"})
    with pytest.raises(RpcError) as caught:
        await guest.get_config()
    assert caught.value.tag == "access-denied"
    await guest.rpc("<close-session/>")


async def test_rules_take_effect_at_once_and_can_be_disabled(guest, lab):
    await rules(lab, {"path": "/kit-test:second", "action": "deny"})
    assert "s" not in await seen(guest)
    await lab.stores.replace_running({**DATA, **nacm([], **{"enable-nacm": False})})
    assert "s" in await seen(guest)
    await guest.edit_config(top("<name>b</name>"), "running")


SECOND = '<second xmlns="urn:example:kit-test"><key>{}</key></second>'


async def test_what_is_write_only_is_read_back_by_nobody(client, guest, lab):
    await client.edit_config(SECOND.format("abcdefgh"), "running")
    assert lab.stores.running["kit-test:second"] == {"key": "abcdefgh"}
    await rules(lab, {"module-name": "kit-test", "access-operations": "*", "action": "permit"})
    await guest.edit_config(SECOND.format("hgfedcba"), "running")
    assert lab.stores.running["kit-test:second"]["key"] == "hgfedcba"
    for reader in (client, guest):
        assert "hgfedcba" not in await seen(reader)
        for ask in (SECOND.format(""), SECOND.format("hgfedcba")):
            assert "key" not in etree.tostring(await reader.get(filter=ask)).decode()


@pytest.mark.parametrize("wrong", ["abc", "ABCDEFGH"])
async def test_a_wrong_secret_is_not_repeated(wrong, client, lab):
    with pytest.raises(RpcError) as caught:
        await client.edit_config(SECOND.format(wrong))
    assert caught.value.path.endswith("key")
    assert wrong not in str(caught.value)
    with pytest.raises(RpcError) as caught:
        await client.edit_config(top("<count>abc</count>"))
    assert "abc" in str(caught.value)  # what is no secret is


# -- monitoring ------------------------------------------------------------------------------------------------------


async def test_monitoring(client, lab):
    other = await lab.tls()
    await other.lock("running")
    data = await client.get(filter='<netconf-state xmlns="{}"/>'.format(NS["nm"]))
    state = data.find("nm:netconf-state", NS)
    assert {c.text for c in state.iterfind("nm:capabilities/nm:capability", NS)} == client.capabilities
    locked = state.findtext(
        "nm:datastores/nm:datastore[nm:name='running']/nm:locks/nm:global-lock/nm:locked-by-session", None, NS
    )
    assert locked == str(other.session_id)
    sessions = state.findall("nm:sessions/nm:session", NS)
    assert [s.findtext("nm:transport", None, NS).rpartition(":")[2] for s in sessions] == ["netconf-ssh", "netconf-tls"]
    assert int(state.findtext("nm:statistics/nm:in-sessions", None, NS)) == 2
    assert {s.text for s in state.iterfind("nm:schemas/nm:schema/nm:identifier", NS)} >= {"kit-test", "ietf-ip"}


async def test_get_schema(client, lab):
    assert (await client.get_schema("kit-test")).startswith("module kit-test {")
    assert "module ietf-ip" in await client.get_schema("ietf-ip", "2018-02-22")
    with pytest.raises(RpcError):
        await client.get_schema("ietf-ip", "1999-01-01")


async def test_yang_library(client, schema):
    (capability,) = [c for c in client.capabilities if ":yang-library:" in c]
    data = await client.get(xpath="/yl:yang-library", namespaces={"yl": NS["yl"]})
    content_id = data.findtext("yl:yang-library/yl:content-id", None, NS)
    assert content_id == schema.content_id
    assert f"content-id={content_id}" in capability
    names = {n.text for n in data.iterfind("yl:yang-library/yl:module-set/yl:module/yl:name", NS)}
    assert {"kit-test", "ietf-netconf-acm"} <= names


# -- RPCs, actions, notifications ------------------------------------------------------------------------------------


async def test_rpc(client, lab):
    reply = await client.rpc(f'<echo xmlns="{KT}"><text>h&lt;i</text></echo>')
    assert reply.findtext("k:text", None, NS) == "h<i"
    assert (lab.calls[0].user, lab.calls[0].input) == ("admin", {"text": "h<i"})


async def test_an_rpc_refers_to_what_is_configured_at_that_moment(client, lab):
    def call(which):
        return client.rpc(f'<echo xmlns="{KT}"><text>x</text><which>{which}</which></echo>')

    await client.edit_config(top("<item><id>1</id></item><item><id>2</id></item>"), "running")
    await call("2")
    assert lab.calls[-1].input == {"text": "x", "which": "2"}
    await client.edit_config(top('<item nc:operation="delete"><id>2</id></item>'), "running")
    await call("1")
    with pytest.raises(RpcError, match="instance-required"):
        await call("2")
    assert len(lab.calls) == 2


async def test_action(client, lab):
    yang = "urn:ietf:params:xml:ns:yang:1"
    restart = "<restart><delay>3</delay></restart>"
    request = f'<action xmlns="{yang}"><machine xmlns="{KT}"><name>m1</name>{restart}</machine></action>'
    with pytest.raises(RpcError) as caught:
        await client.rpc(request)
    assert caught.value.tag == "data-missing"
    lab.backend.operational = {"kit-test:machine": [{"name": "m1", "power": "on"}]}
    reply = await client.rpc(request)
    assert reply.findtext("k:finished", None, NS) == "m1 after 3"
    with pytest.raises(RpcError) as caught:
        await client.rpc(request.replace("<delay>3</delay>", ""))
    assert (caught.value.tag, caught.value.info["bad-element"]) == ("missing-element", "delay")


async def test_an_action_leaves_nothing_behind_in_the_schema(client, lab):
    yang = "urn:ietf:params:xml:ns:yang:1"
    restart = "<restart><delay>3</delay></restart>"
    request = f'<action xmlns="{yang}"><machine xmlns="{KT}"><name>m1</name>{restart}</machine></action>'
    lab.backend.operational = {"kit-test:machine": [{"name": "m1", "power": "on"}]}
    await client.rpc(request)
    known = len(lab.schema.reach._inputs)
    for _ in range(3):
        await client.rpc(request)
    assert len(lab.schema.reach._inputs) == known


async def test_notifications(client, lab):
    watcher = await lab.ssh()
    await watcher.subscribe()
    await client.edit_config(top("<name>x</name>"))
    await client.commit(confirmed=True)
    await client.close()
    found = []
    async with asyncio.timeout(10):
        while "netconf-session-end" not in found or "cancel" not in found:
            event = (await watcher.notifications.get())[1]
            found.append(event.tag.rpartition("}")[2])
            found += [e.text for e in event.iterfind("nn:confirm-event", NS)]
            found += [e.text for e in event.iterfind("nn:edit/nn:target", NS)]
    assert found[:4] == ["netconf-config-change", "/kit-test:top", "netconf-confirmed-commit", "start"]
    assert (await watcher.get_config()) is not None  # interleaved
    with pytest.raises(RpcError):
        await watcher.subscribe()


async def test_state_that_does_not_fit_is_an_error_of_the_server(client, lab):
    lab.backend.operational = {"kit-test:nonsense": 1}
    with pytest.raises(RpcError) as caught:
        await client.get()
    assert caught.value.tag == "operation-failed"
    await client.get_config()


PATHS = [
    "/",
    *(f"/kit-test:{at}" for at in ("top", "top/item", "top/item[id='1']", "top/item[id='1']/note", "top/tag")),
]
PATHS += [f"/kit-test:{at}" for at in ("top/name", "top/present", "second", "second/key", "machine[name='m']")]
RULES = st.fixed_dictionaries(
    {"action": st.sampled_from(["permit", "deny"]), "access-operations": st.sampled_from(["*", "read", "update"])},
    optional={"path": st.sampled_from(PATHS), "module-name": st.sampled_from(["kit-test", "other"])},
)
SHOWN = {
    "kit-test:top": {**DATA["kit-test:top"], "tag": ["t", "u"], "present": {"note": "n"}},
    "kit-test:second": {"key": "secretsecret"},
    "kit-test:machine": [{"name": "m"}],
}


@given(rules=st.lists(RULES, max_size=4), default=st.sampled_from(["permit", "deny"]), hidden=st.booleans())
def test_what_an_edit_sees_is_what_a_reader_is_shown(schema, rules, default, hidden):
    """Access.sees at every place, beside the whole of what is readable."""
    given_rules = Rules(nacm(rules, **{"read-default": default})["ietf-netconf-acm:nacm"])
    access = Access(given_rules, "guest", False, frozenset({"kit-test:note"} if hidden else ()))
    tree = load(schema, SHOWN)
    for _, path in changes(empty(schema), tree):
        ways = [path, *([type(path)((*path.steps[:-1], (path.steps[-1][0], ())))] if path.steps[-1][1] else [])]
        for way in ways:
            target = Target(schema.root, tuple(Step(node, key or None) for node, key in way.steps))
            shown = find(access.readable(branch(tree, target)), target) is not None
            assert access.sees(tree, way) == shown, (str(way), rules)
