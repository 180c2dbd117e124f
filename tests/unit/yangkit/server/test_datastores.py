"""Candidate, locks, confirmed commit, order, choices, defaults and filters, over a real session."""

from __future__ import annotations

import asyncio

import pytest
from yangkit.backend import ApplyError
from yangkit.errors import RpcError
from yangkit.startup import read

KT = "urn:example:kit-test"
NS = {"k": KT}


def top(inner: str) -> str:
    return f'<top xmlns="{KT}">{inner}</top>'


def texts(data, path: str) -> list[str]:
    return [element.text for element in data.findall(path, NS)]


async def commit(client, inner: str) -> None:
    await client.edit_config(top(inner))
    await client.commit()


# -- edits -----------------------------------------------------------------------------------------------------------


async def test_operations(client, lab):
    await commit(client, "<name>a</name><item><id>1</id><note>n</note></item><item><id>2</id></item>")
    await commit(client, '<item nc:operation="replace"><id>1</id><serial>9</serial></item>')
    await commit(client, '<item nc:operation="delete"><id>2</id></item><item nc:operation="remove"><id>no</id></item>')
    assert lab.stores.running == {"kit-test:top": {"name": "a", "item": [{"id": "1", "serial": 9}]}}
    await client.edit_config(top("<flag>true</flag>"), default_operation="replace")
    await client.commit()
    assert lab.stores.running == {"kit-test:top": {"flag": True}}


async def test_removing_the_last_child_removes_the_container(client, lab):
    await commit(client, "<name>a</name>")
    await commit(client, '<name nc:operation="delete"/>')
    assert lab.stores.running == {}


async def test_a_case_replaces_the_other(client, lab):
    await commit(client, "<copper>c</copper><pairs>2</pairs>")
    await commit(client, "<fibre>f</fibre>")
    assert lab.stores.running == {"kit-test:top": {"fibre": "f"}}


async def test_a_false_when_deletes_what_was_there(client, lab):
    await commit(client, "<flag>true</flag><extra>x</extra>")
    await commit(client, "<flag>false</flag>")
    assert lab.stores.running == {"kit-test:top": {"flag": False}}


async def test_user_order(client, lab):
    await commit(client, "<step>b</step><step>d</step>")
    await client.edit_config(top('<step yang:insert="first">a</step>'))
    await client.edit_config(top('<step yang:insert="before" yang:value="d">c</step>'))
    await client.edit_config(top("<step>e</step>"))
    await client.edit_config(top('<step yang:insert="after" yang:value="e">b</step>'))
    await client.commit()
    assert lab.stores.running["kit-test:top"]["step"] == ["a", "c", "d", "e", "b"]
    await commit(client, "<rule><name>2</name></rule>")
    await commit(client, '<rule yang:insert="first"><name>1</name></rule>')
    anchor = f"[z:name='1']\" xmlns:z=\"{KT}"
    await commit(client, f'<rule yang:insert="after" yang:key="{anchor}"><name>x</name></rule>')
    assert [rule["name"] for rule in lab.stores.running["kit-test:top"]["rule"]] == ["1", "x", "2"]


async def test_values_come_back_as_they_mean(client, lab):
    await commit(
        client, f'<pet xmlns:q="{KT}">q:dog</pet><big>18446744073709551615</big><nothing/><either>300</either>'
    )
    assert lab.stores.running["kit-test:top"] == {
        "pet": "kit-test:dog",
        "big": "18446744073709551615",
        "nothing": [None],
        "either": "300",
    }
    data = await client.get_config()
    pet = data.find("k:top/k:pet", NS)
    prefix, _, name = pet.text.partition(":")
    assert (pet.nsmap[prefix], name) == (KT, "dog")
    await client.edit_config(data[0], "candidate", default_operation="replace")
    assert not lab.stores.modified


async def test_markup_in_values_survives(client):
    await commit(client, "<supported>&lt;a&gt; &amp; \"b\" 'c' \u00e9\u4e2d</supported>")
    assert texts(await client.get_config(), "k:top/k:supported") == ["<a> & \"b\" 'c' \u00e9\u4e2d"]


async def test_anydata(client):
    await commit(client, '<blob><x xmlns="urn:x"><y/></x></blob>')
    assert (await client.get_config()).find("k:top/k:blob/{urn:x}x/{urn:x}y", NS) is not None


# -- with-defaults and filters ---------------------------------------------------------------------------------------


async def test_with_defaults(client):
    await commit(client, "<count>5</count><item><id>1</id></item>")
    assert texts(await client.get_config(), "k:top/k:count") == ["5"]
    assert texts(await client.get_config(with_defaults="trim"), "k:top/k:count") == []
    await commit(client, '<count nc:operation="delete"/>')
    assert texts(await client.get_config(), "k:top/k:count") == []
    assert texts(await client.get_config(with_defaults="report-all"), "k:top/k:count") == ["5"]
    tagged = (await client.get_config(with_defaults="report-all-tagged")).find("k:top/k:count", NS)
    assert tagged.get("{urn:ietf:params:xml:ns:netconf:default:1.0}default") == "true"


async def test_subtree_filters(client):
    items = "".join(f"<item><id>{n}</id><serial>{n}</serial><note>n{n}</note></item>" for n in range(3))
    await commit(client, f"<name>a</name>{items}")

    async def ask(inner: str) -> list[str]:
        data = await client.get_config(filter=inner)
        return [element.text or element.tag.rpartition("}")[2] for element in data.iter() if not len(element)]

    assert await ask(top("<name/>")) == ["a"]
    assert await ask(top("<item><id>1</id></item>")) == ["1", "1", "n1"]
    assert await ask(top("<item><id>1</id><note/></item>")) == ["1", "n1"]
    assert await ask(top("<item><note/></item>")) == ["0", "n0", "1", "n1", "2", "n2"]
    assert await ask(top("<item><id>1</id><note/></item><item><id>2</id></item>")) == ["1", "n1", "2", "2", "n2"]
    assert await ask(top("<item><id>9</id></item>")) == ["data"]
    assert await ask(top("<name>b</name>")) == ["data"]
    assert await ask(f'<top xmlns="{KT}x"/>') == ["data"]
    assert await ask('<top xmlns=""><name/></top>') == ["a"]
    assert await ask("") == ["data"]


async def test_xpath_filters(client):
    await commit(client, "<name>a</name>" + "".join(f"<item><id>{n}</id><note>n{n}</note></item>" for n in range(3)))

    async def ask(path: str) -> list[str]:
        data = await client.get_config(xpath=path, namespaces={"k": KT})
        return [element.text for element in data.iter() if element.text]

    assert await ask("/k:top/k:name") == ["a"]
    assert await ask("/k:top/k:item[k:id='1']") == ["1", "n1"]
    assert await ask("//k:note[../k:id > 1] | /k:top/k:name") == ["a", "2", "n2"]
    assert await ask("/k:top/k:item[k:note = /k:top/k:item[2]/k:note]/k:id") == ["1"]
    assert await ask("/k:nothing") == []
    assert len(await ask("/")) == 7


# -- locks -----------------------------------------------------------------------------------------------------------


async def test_locks(client, lab):
    other = await lab.ssh()
    for name in ("running", "candidate"):
        await client.lock(name)
        with pytest.raises(RpcError) as caught:
            await other.lock(name)
        assert (caught.value.tag, caught.value.type) == ("lock-denied", "protocol")
        assert caught.value.info == {"session-id": str(client.session_id)}
        with pytest.raises(RpcError, match=r"in-use|locked"):
            await other.edit_config(top("<name>x</name>"), name)
        with pytest.raises(RpcError):
            await other.unlock(name)
    with pytest.raises(RpcError, match="locked"):
        await other.commit()
    with pytest.raises(RpcError, match="locked"):
        await other.discard()
    await client.edit_config(top("<name>mine</name>"))
    await client.close()
    await other.lock("candidate")  # given back with the session, its changes discarded
    assert not lab.stores.modified


async def test_a_modified_candidate_cannot_be_locked(client, lab):
    await client.edit_config(top("<name>x</name>"))
    with pytest.raises(RpcError) as caught:
        await client.lock("candidate")
    assert (caught.value.tag, caught.value.info) == ("lock-denied", {"session-id": "0"})
    await client.discard()
    await client.lock("candidate")


async def test_a_lost_connection_gives_locks_back(client, lab, until):
    other = await lab.ssh()
    await client.lock("running")
    client.abort()
    await until(lambda: not lab.stores.locks)
    await other.lock("running")


async def test_kill_session(client, lab):
    other = await lab.tls()
    await other.lock("running")
    await client.kill_session(other.session_id)
    await asyncio.wait_for(other.wait_closed(), 5)
    await client.lock("running")
    with pytest.raises(RpcError) as caught:
        await client.kill_session(client.session_id)
    assert caught.value.tag == "invalid-value"


# -- confirmed commit ------------------------------------------------------------------------------------------------


async def names(lab) -> tuple[str | None, str | None]:
    """The name in running, and in the startup file."""
    stored = read(lab.schema, lab.startup)
    from yangkit.treejson import dump

    found = [lab.stores.running, dump(stored) if stored is not None else {}]
    return tuple(tree.get("kit-test:top", {}).get("name") for tree in found)


async def confirmed(client, name: str, **more) -> None:
    await client.edit_config(top(f"<name>{name}</name>"))
    await client.commit(confirmed=True, **more)


async def test_a_commit_is_durable_when_acknowledged(client, lab):
    await commit(client, "<name>a</name>")
    assert await names(lab) == ("a", "a")


async def test_confirming(client, lab):
    await commit(client, "<name>a</name>")
    await confirmed(client, "b")
    assert await names(lab) == ("b", "a")
    await client.commit()
    assert await names(lab) == ("b", "b")


async def test_timeout_reverts(client, lab, until):
    await commit(client, "<name>a</name>")
    await confirmed(client, "b", confirm_timeout=1)
    await until(lambda: lab.stores.running["kit-test:top"]["name"] == "a")
    assert await names(lab) == ("a", "a")
    assert lab.backend.applied[-1]["kit-test:top"]["name"] == "a"
    await commit(client, "<name>c</name>")
    assert await names(lab) == ("c", "c")


@pytest.mark.parametrize("way", ["close", "abort"])
async def test_session_loss_reverts(way, client, lab, until):
    await commit(client, "<name>a</name>")
    mine = await lab.ssh()
    await confirmed(mine, "b")
    if way == "close":
        await mine.close()
    else:
        mine.abort()
    await until(lambda: lab.stores.running["kit-test:top"]["name"] == "a")


async def test_persist_survives_the_session_and_needs_its_id(client, lab, until):
    await commit(client, "<name>a</name>")
    mine = await lab.ssh()
    await confirmed(mine, "b", persist="secret")
    await mine.close()
    await until(lambda: len(lab.server.sessions) == 1)
    assert await names(lab) == ("b", "a")
    for persist_id, tag in ((None, "in-use"), ("wrong", "invalid-value")):
        with pytest.raises(RpcError) as caught:
            await client.commit(persist_id=persist_id)
        assert caught.value.tag == tag
        with pytest.raises(RpcError) as caught:
            await client.cancel_commit(persist_id=persist_id)
        assert caught.value.tag == tag
    with pytest.raises(RpcError) as caught:
        await client.lock("running")
    assert (caught.value.tag, caught.value.info) == ("lock-denied", {"session-id": "0"})
    with pytest.raises(RpcError) as caught:
        await client.edit_config(top("<name>z</name>"), "running")
    assert caught.value.tag == "in-use"
    await client.commit(persist_id="secret")
    assert await names(lab) == ("b", "b")


async def test_cancel_and_extend(client, lab):
    await commit(client, "<name>a</name>")
    await confirmed(client, "b")
    await confirmed(client, "c", confirm_timeout=100)  # extends; what was before the first counts
    await client.cancel_commit()
    assert await names(lab) == ("a", "a")


async def test_a_pending_commit_is_not_for_other_sessions(client, lab):
    other = await lab.ssh()
    await confirmed(client, "b")
    with pytest.raises(RpcError) as caught:
        await other.commit()
    assert (caught.value.tag, caught.value.info) == ("in-use", {"session-id": str(client.session_id)})
    with pytest.raises(RpcError) as caught:
        await other.lock("running")
    assert caught.value.tag == "lock-denied"
    await client.edit_config(top("<count>7</count>"), "running")  # its own edits go on, and revert with it
    await client.cancel_commit()
    assert lab.stores.running == {}


async def test_a_client_that_leaves_during_a_commit_does_not_tear_it(client, lab, until):
    lab.backend.gate = asyncio.Event()
    lab.backend.entered.clear()
    await client.lock("running")
    await client.edit_config(top("<name>x</name>"))
    commit = asyncio.create_task(client.commit())
    await lab.backend.entered.wait()
    client.abort()
    with pytest.raises(ConnectionError):
        await commit
    assert lab.stores.locks  # kept until the operation is done
    lab.backend.gate.set()
    await until(lambda: not lab.stores.locks)
    assert await names(lab) == ("x", "x")


# -- start -----------------------------------------------------------------------------------------------------------


async def test_restart_loads_what_was_committed(client, lab):
    await commit(client, "<name>a</name><step>2</step><step>1</step>")
    await lab.stop()
    lab.backend.applied.clear()
    await lab.start(default={"kit-test:top": {"name": "default"}})
    assert lab.backend.applied == [{"kit-test:top": {"name": "a", "step": ["2", "1"]}}]


async def test_first_start_takes_the_default(lab):
    await lab.stop()
    await lab.start(default={"kit-test:top": {"name": "default"}})
    assert lab.stores.running["kit-test:top"]["name"] == "default"


@pytest.mark.parametrize(
    "content", ["", "<config", "<x/>", f"<config><top xmlns='{KT}'><count>0</count></top></config>"]
)
async def test_a_broken_startup_file_is_kept_and_told(content, lab):
    await lab.stop()
    lab.startup.write_text(content)
    await lab.start(default={"kit-test:top": {"name": "default"}})
    assert "startup" in lab.stores.problem
    assert lab.startup.with_name("startup.xml.refused").read_text() == content
    assert lab.stores.running["kit-test:top"]["name"] == "default"


async def test_a_backend_that_refuses_at_the_start_is_tried_again(lab, until):
    await lab.stop()
    lab.backend.refuse = ApplyError("not yet")
    await lab.start(default={"kit-test:top": {"name": "default"}})
    assert not lab.stores.applied
    assert "not yet" in lab.stores.problem
    lab.backend.refuse = None
    await until(lambda: lab.stores.applied)
    assert lab.stores.problem is None


async def test_a_full_disk_refuses_the_commit_and_undoes_it(client, lab):
    await commit(client, "<name>a</name>")
    lab.stores.files.path = lab.startup / "not-a-directory"
    with pytest.raises(RpcError) as caught:
        await commit(client, "<name>b</name>")
    assert caught.value.tag == "resource-denied"
    assert lab.stores.running["kit-test:top"]["name"] == "a"
    assert lab.backend.applied[-1]["kit-test:top"]["name"] == "a"


async def test_a_backend_that_breaks_is_told_and_healed(client, lab, until):
    await commit(client, "<name>a</name>")
    lab.backend.refuse = RuntimeError("boom")
    with pytest.raises(RpcError) as caught:
        await commit(client, "<name>b</name>")
    assert caught.value.tag == "operation-failed"
    lab.backend.refuse = None
    await until(lambda: lab.stores.applied)
    assert lab.backend.applied[-1]["kit-test:top"]["name"] == "a"


async def test_what_is_new_is_checked_and_what_was_accepted_is_not_checked_again(lab):
    """Not at a start, not when a confirmed commit is given up, and not when the disk gives way."""
    asked, barred = [], set()

    def check(old, new):
        names = [tree.get("kit-test:top", {}).get("name") for tree in (old, new)]
        asked.append(names)
        if names[1] in barred:
            raise ApplyError("not this one", "/kit-test:top/name", "invalid-value")

    await lab.stop()
    barred.add("default")
    await lab.start(default={"kit-test:top": {"name": "default"}}, check=check)
    assert lab.stores.applied
    assert not asked
    client = await lab.ssh()
    barred.add("b")
    applied = len(lab.backend.applied)
    with pytest.raises(RpcError) as caught:
        await commit(client, "<name>b</name>")
    assert (caught.value.tag, caught.value.message, asked) == ("invalid-value", "not this one", [["default", "b"]])
    assert len(lab.backend.applied) == applied
    await client.discard()
    await client.edit_config(top("<name>c</name>"))
    await client.commit(confirmed=True, confirm_timeout=60)
    assert lab.stores.running["kit-test:top"]["name"] == "c"
    await client.cancel_commit()
    assert lab.stores.running["kit-test:top"]["name"] == "default"
    assert lab.stores.applied
    lab.stores.files.path = lab.startup / "not-a-directory"
    with pytest.raises(RpcError):
        await commit(client, "<name>d</name>")
    assert lab.backend.applied[-1]["kit-test:top"]["name"] == "default"
    assert [new for _, new in asked] == ["b", "c", "d"]
