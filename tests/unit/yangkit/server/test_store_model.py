"""Datastores against a model that is too simple to be wrong, over bursts of edits, commits and crashes."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from yangkit import treejson, xmlutil
from yangkit.backend import NullBackend
from yangkit.confirmed import Commits
from yangkit.datastores import Datastores
from yangkit.edit import Editor
from yangkit.errors import RpcError
from yangkit.startup import Startup, journal_of
from yangkit.tree import Container

KT = "urn:example:kit-test"
SESSION = 7
ANSWERED = 20
"""Seconds after which an edit that nobody has answered is forgotten."""
Items = dict[str, dict[str, int]]
Change = tuple[str, str, int | None]  # operation, item, serial; or "limit" with a number

EDITS = st.lists(
    st.tuples(
        st.sampled_from(["create", "merge", "replace", "delete"]),
        st.sampled_from("abcd"),
        st.none() | st.integers(1, 3),
    )
    | st.tuples(st.just("limit"), st.just(""), st.sampled_from([10, 20, 60, 70])),
    min_size=1,
    max_size=6,
)


class Refused(Exception):
    pass


def carried_out(model: dict[str, Any], change: Change) -> dict[str, Any]:
    """One edit by itself: what it makes, or Refused."""
    operation, key, number = change
    items: Items = model["items"]
    if operation == "limit":
        made = {**model, "limit": number}
    elif operation == "delete":
        if key not in items:
            raise Refused("data-missing")
        made = {**model, "items": {k: v for k, v in items.items() if k != key}}
    else:
        if operation == "create" and key in items:
            raise Refused("data-exists")
        before = items.get(key, {}) if operation == "merge" else {}
        entry = {**before, **({} if number is None else {"serial": number})}
        made = {**model, "items": {**items, key: entry}}
    return made


def valid(model: dict[str, Any]) -> bool:
    serials = [item["serial"] for item in model["items"].values() if "serial" in item]
    return len(serials) == len(set(serials)) and (model["limit"] or 0) < 50


def text_of(change: Change) -> bytes:
    operation, key, number = change
    if operation == "limit":
        inner = f"<limit>{number}</limit>"
    else:
        serial = "" if number is None or operation == "delete" else f"<serial>{number}</serial>"
        inner = f'<item nc:operation="{operation}"><id>{key}</id>{serial}</item>'
    return f'<c xmlns:nc="{xmlutil.NC}"><top xmlns="{KT}">{inner}</top></c>'.encode()


def as_model(tree: Container) -> dict[str, Any]:
    top = treejson.dump(tree).get("kit-test:top", {})
    items = {i["id"]: {k: v for k, v in i.items() if k != "id"} for i in top.get("item", [])}
    return {"items": items, "limit": top.get("limit"), "name": top.get("name")}


def machine(schema) -> type[RuleBasedStateMachine]:
    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.runner = asyncio.Runner()
            self.folder = tempfile.TemporaryDirectory()
            self.path = Path(self.folder.name) / "startup.xml"
            self.model: dict[str, Any] = {"items": {}, "limit": None, "name": None}
            self.durable = self.model
            self.mine: str | None = None  # what the candidate has changed
            self.pending = False

        @initialize()
        def begin(self) -> None:
            self.stores = Datastores(schema, NullBackend(), self.path, many_edits=True)
            self.runner.run(self.stores.start())
            self.commits = Commits(self.stores)

        def teardown(self) -> None:
            self.runner.run(self.commits.close())
            self.runner.run(self.stores.close())
            self.runner.close()
            self.folder.cleanup()

        async def put(self, change: Change) -> str | None:
            element = xmlutil.parse(text_of(change))

            def edit(old: Container) -> tuple[Container, set[str]]:
                self.commits.check_free(0)
                editor = Editor()
                new = editor.run(old, element)
                return (old if new.same(old) else new), editor.touched

            try:
                await self.stores.edit_running(edit, carry_over=True)
            except RpcError as error:
                return error.tag
            return None

        def judge(self, changes: list[Change], outcomes: list[str | None]) -> None:
            """What was accepted is there, in its order; what was refused could not be, after those before it."""
            model = self.model
            for change, outcome in zip(changes, outcomes, strict=True):
                try:
                    made = carried_out(model, change)
                    reason = None
                except Refused as refused:
                    made, reason = model, str(refused)
                if outcome is None:
                    assert reason is None
                    model = made
                else:
                    assert outcome == (reason or "operation-failed")
                    assert reason is not None or not valid(made)
            assert valid(model)
            self.model = model

        @rule(changes=EDITS)
        def edits_at_once(self, changes: list[Change]) -> None:
            async def burst() -> list[str | None]:
                async with asyncio.timeout(ANSWERED):
                    return await asyncio.gather(*(self.put(change) for change in changes))

            outcomes = self.runner.run(burst())
            if self.pending:
                assert outcomes == ["in-use"] * len(changes)
                return
            self.judge(changes, outcomes)
            self.durable = self.model

        @rule(name=st.sampled_from("xyz"))
        def candidate_is_edited(self, name: str) -> None:
            text = f'<c><top xmlns="{KT}"><name>{name}</name></top></c>'.encode()
            self.stores.candidate_tree = Editor().run(self.stores.candidate_tree, xmlutil.parse(text))
            self.mine = name

        @rule(changes=EDITS, confirmed=st.booleans())
        def commit_among_edits(self, changes: list[Change], confirmed: bool) -> None:
            """A commit never takes back what was acknowledged before it, nor do edits take back the commit."""
            if self.pending or confirmed:
                changes = []
            half = len(changes) // 2

            async def burst() -> list[str | None]:
                commit = self.commits.commit(
                    lambda: self.stores.candidate_tree, SESSION, "me", confirmed=confirmed, seconds=1000
                )
                before = [asyncio.ensure_future(self.put(change)) for change in changes[:half]]
                await asyncio.sleep(0)
                done = asyncio.ensure_future(commit)
                after = [asyncio.ensure_future(self.put(change)) for change in changes[half:]]
                async with asyncio.timeout(ANSWERED):
                    await done
                    return [await one for one in (*before, *after)]

            outcomes = self.runner.run(burst())
            self.judge(changes, outcomes)
            self.model = {**self.model, "name": self.mine or self.model["name"]}
            self.mine = None
            self.pending = confirmed
            if not confirmed:
                self.durable = self.model

        @rule()
        def cancel(self) -> None:
            if self.pending:
                self.runner.run(self.commits.cancel(SESSION, "me", None))
                self.pending = False
                self.model = self.durable
                # What the candidate has is that of the commit, for whoever goes on working on it.
                self.stores.discard()
                self.mine = None

        @rule(torn=st.binary(max_size=40))
        def crash(self, torn: bytes) -> None:
            """The process is gone; half a record may lie at the end."""
            if journal_of(self.path).exists():
                with journal_of(self.path).open("ab") as file:
                    file.write(torn)
            self.begin()
            self.model, self.mine, self.pending = self.durable, None, False

        @invariant()
        def running_is_the_models(self) -> None:
            assert as_model(self.stores.running_tree) == self.model
            assert as_model(self.stores.candidate_tree) == {**self.model, "name": self.mine or self.model["name"]}

        @invariant()
        def the_disk_has_what_was_acknowledged(self) -> None:
            kept = Startup(schema, self.path).read()
            assert (as_model(kept) if kept is not None else {"items": {}, "limit": None, "name": None}) == self.durable

    return Machine


@pytest.mark.parametrize("examples", [20, pytest.param(1500, marks=pytest.mark.exhaustive)])
def test_datastores_are_those_of_the_model(schema, examples):
    case = machine(schema).TestCase
    case.settings = settings(max_examples=examples, stateful_step_count=12, deadline=None)
    case().runTest()
