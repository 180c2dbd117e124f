"""The NETCONF operations: RFC 6241, sections 7 and 8; RPCs and actions of models go to their handlers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lxml import etree

from yangkit import defaults, filters, treejson, treexml, validation
from yangkit.backend import ApplyError, Tree
from yangkit.confirmed import DEFAULT_TIMEOUT
from yangkit.edit import Editor
from yangkit.errors import RpcError
from yangkit.params import Params, bad
from yangkit.schema import SchemaNode
from yangkit.tree import Container, List, empty, merge, only
from yangkit.xmlutil import MONITORING, NC, NOTIFICATION, YANG1, escape, nc, split, text_of

if TYPE_CHECKING:
    from yangkit.server import NetconfServer
    from yangkit.session import Session

Reply = str
Result = Reply | Awaitable[Reply]
OK = "<ok/>"
_STORES = ("running", "candidate")


@dataclass(frozen=True)
class RpcCall:
    """What the handler of an RPC or action gets; all data are RFC 7951 dictionaries."""

    name: str
    input: Tree
    user: str
    session: int
    #: For actions: keys of the list entries on the way to it, by the list's name.
    path: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


Handler = Callable[[RpcCall], Awaitable[Tree]]


class Operations:
    """Carries out what sessions ask for."""

    def __init__(self, server: NetconfServer) -> None:
        self._server = server
        self._stores = server.stores
        self._schema = server.stores.schema
        own: dict[str, Callable[[Session, etree._Element], Result]] = {
            "get": self._get,
            "get-config": self._get_config,
            "edit-config": self._edit_config,
            "copy-config": self._copy_config,
            "delete-config": self._delete_config,
            "lock": self._lock,
            "unlock": self._unlock,
            "commit": self._commit,
            "cancel-commit": self._cancel_commit,
            "discard-changes": self._discard,
            "validate": self._validate,
            "close-session": self._close_session,
            "kill-session": self._kill_session,
        }
        self._own = {nc(name): handler for name, handler in own.items()}
        self._own[f"{{{MONITORING}}}get-schema"] = self._get_schema
        self._own[f"{{{NOTIFICATION}}}create-subscription"] = self._create_subscription

    def call(self, session: Session, element: etree._Element) -> Result:
        """Start an operation; the result is the inside of the <rpc-reply>, or will be."""
        rpc = self._schema.rpcs.get(element.tag)
        own = self._own.get(element.tag)
        namespace, name = split(element)
        if element.tag == f"{{{YANG1}}}action":
            return self._action(session, element)
        if own is None and rpc is None:
            if namespace != NC and namespace not in self._schema.by_namespace:
                info = {"bad-element": name, "bad-namespace": namespace or ""}
                raise RpcError(
                    "unknown-namespace", f"No module has the namespace {namespace!r}", type="protocol", info=info
                )
            raise RpcError("operation-not-supported", f"There is no operation {name}", type="protocol")
        session.access().check_exec(rpc, rpc.module.name if rpc is not None else "notifications", name)
        if own is not None:
            return own(session, element)
        assert rpc is not None
        return self._rpc(session, rpc, element)

    # -- reading -----------------------------------------------------------------------------------------------------

    def _tree(self, name: str) -> Container:
        return self._stores.running_tree if name == "running" else self._stores.candidate_tree

    def _get_config(self, session: Session, element: etree._Element) -> Reply:
        params = Params(element, ("source", "filter", "with-defaults"))
        source, _ = params.datastore("source", _STORES)
        tree = defaults.apply_mode(self._schema, self._tree(source), params.mode())
        return _data(filters.select(session.access().readable(tree), params.get("filter")))

    async def _get(self, session: Session, element: etree._Element) -> Reply:
        params = Params(element, ("filter", "with-defaults"))
        mode = params.mode()
        wanted = filters.wanted(self._schema, params.get("filter"))
        state = await self._server.state.tree(wanted)
        # Of the whole tree, which knows its defaults from the last time; a part may refer to what it has not.
        config = only(defaults.apply_mode(self._schema, self._stores.running_tree, mode), wanted)
        return _data(filters.select(session.access().readable(merge(config, state)), params.get("filter")))

    def _get_schema(self, session: Session, element: etree._Element) -> Reply:
        params = Params(element, ("identifier", "version", "format"), MONITORING)
        identifier = text_of(params.need("identifier"))
        text = self._server.state.schema_text(identifier, params.text("version"), params.text("format") or "yang")
        return f'<data xmlns="{MONITORING}">{escape(text)}</data>'

    # -- writing -----------------------------------------------------------------------------------------------------

    async def _edit_config(self, session: Session, element: etree._Element) -> Reply:
        params = Params(element, ("target", "default-operation", "test-option", "error-option", "config"))
        target, _ = params.datastore("target", _STORES)
        operation = params.choice("default-operation", ("merge", "replace", "none"), "merge")
        test = params.choice("test-option", ("set", "test-then-set", "test-only"), "set")
        option = params.choice(
            "error-option", ("stop-on-error", "continue-on-error", "rollback-on-error"), "stop-on-error"
        )
        config = params.need("config")
        editor = Editor()

        def edit(old: Container) -> tuple[Container, set[str]]:
            nonlocal editor
            editor = Editor(continue_on_error=option == "continue-on-error")
            self._check_writable(session, target)
            new = editor.run(empty(self._schema) if operation == "replace" else old, config, operation)
            session.access(old if target == "running" else None).check_write(old, new)
            # Without a test-option a candidate may be built in several steps; it is validated when it is committed
            # (RFC 7950, section 8.3.3). Running is validated always.
            if test in ("test-then-set", "test-only"):
                new = validation.settle(self._schema, new, old, editor.touched)
            return (old if test == "test-only" or new.same(old) else new), editor.touched

        if target == "candidate":
            self._stores.candidate_tree = edit(self._stores.candidate_tree)[0]
        else:
            await self._stores.edit_running(edit, session=session.id, user=session.user)
        if editor.errors:
            editor.errors[0].others = editor.errors[1:]
            raise editor.errors[0]
        return OK

    def _check_writable(self, session: Session, store: str) -> None:
        self._stores.check_unlocked(store, session.id)
        if store == "running":
            self._server.commits.check_free(session.id)

    async def _copy_config(self, session: Session, element: etree._Element) -> Reply:
        params = Params(element, ("target", "source", "with-defaults"))
        target, _ = params.datastore("target", _STORES)
        source, holder = params.datastore("source", (*_STORES, "config"))
        if target == source:
            raise bad("invalid-value", "source", "source and target are the same datastore")
        params.mode()

        def copy() -> Container:
            self._check_writable(session, target)
            new = self._tree(source) if source != "config" else Editor().run(empty(self._schema), holder)
            session.access().check_write(self._tree(target), new)
            return new

        if target == "candidate":
            self._stores.candidate_tree = copy()
        else:
            await self._stores.set_running(copy, session=session.id, user=session.user)
        return OK

    def _delete_config(self, session: Session, element: etree._Element) -> Reply:
        target, _ = Params(element, ("target",)).datastore("target", (*_STORES, "startup"))
        message = f"{target} cannot be deleted (RFC 6241, section 7.4)"
        raise RpcError("operation-not-supported", message, type="protocol")

    def _lock(self, session: Session, element: etree._Element) -> Reply:
        target, _ = Params(element, ("target",)).datastore("target", _STORES)
        blocker = self._server.commits.blocker(session.id) if target == "running" else None
        self._stores.lock(target, session.id, blocker)
        return OK

    def _unlock(self, session: Session, element: etree._Element) -> Reply:
        target, _ = Params(element, ("target",)).datastore("target", _STORES)
        self._stores.unlock(target, session.id)
        return OK

    async def _commit(self, session: Session, element: etree._Element) -> Reply:
        params = Params(element, ("confirmed", "confirm-timeout", "persist", "persist-id"))
        confirmed = params.flag("confirmed")
        for name in ("confirm-timeout", "persist"):
            if params.flag(name) and not confirmed:
                raise bad("missing-element", "confirmed", f"{name} is for confirmed commits only")

        def candidate() -> Container:
            for store in _STORES:
                self._stores.check_unlocked(store, session.id)
            new = self._stores.candidate_tree
            session.access().check_write(self._stores.running_tree, new)
            return new

        await self._server.commits.commit(
            candidate,
            session.id,
            session.user,
            confirmed=confirmed,
            seconds=params.number("confirm-timeout", DEFAULT_TIMEOUT, 1, 2**32 - 1),
            persist=params.text("persist"),
            persist_id=params.text("persist-id"),
        )
        return OK

    async def _cancel_commit(self, session: Session, element: etree._Element) -> Reply:
        params = Params(element, ("persist-id",))
        await self._server.commits.cancel(session.id, session.user, params.text("persist-id"))
        return OK

    def _discard(self, session: Session, element: etree._Element) -> Reply:
        Params(element, ())
        self._stores.check_unlocked("candidate", session.id)
        self._stores.discard()
        return OK

    def _validate(self, session: Session, element: etree._Element) -> Reply:
        source, holder = Params(element, ("source",)).datastore("source", (*_STORES, "config"))
        tree = self._tree(source) if source != "config" else Editor().run(empty(self._schema), holder)
        validation.check(self._schema, tree)
        return OK

    # -- sessions ----------------------------------------------------------------------------------------------------

    def _close_session(self, session: Session, element: etree._Element) -> Reply:
        Params(element, ())
        session.close_after_reply("closed")
        return OK

    def _kill_session(self, session: Session, element: etree._Element) -> Reply:
        number = Params(element, ("session-id",))
        number.need("session-id")
        wanted = number.number("session-id", 0, 1, 2**32 - 1)
        other = self._server.sessions.get(wanted)
        if other is None or other is session:
            message = "a session cannot kill itself" if other is session else f"there is no session {wanted}"
            raise bad("invalid-value", "session-id", message)
        other.end("killed", killed_by=session.id)
        return OK

    def _create_subscription(self, session: Session, element: etree._Element) -> Reply:
        params = Params(element, ("stream", "filter", "startTime", "stopTime"), NOTIFICATION)
        if params.text("stream", "NETCONF") != "NETCONF":
            raise bad("invalid-value", "stream", "the only event stream is NETCONF")
        if params.flag("startTime") or params.flag("stopTime"):
            raise bad("operation-not-supported", "startTime", "there is no replay of notifications")
        self._server.notifications.subscribe(session, params.get("filter"))
        return OK

    # -- RPCs and actions of models ----------------------------------------------------------------------------------

    async def _rpc(self, session: Session, rpc: SchemaNode, element: etree._Element) -> Reply:
        return _output(await self.invoke(rpc, rpc.qualified_name, element, session.user, session.id))

    async def invoke(
        self,
        rpc: SchemaNode,
        name: str,
        element: etree._Element,
        user: str,
        session: int,
        path: Mapping[str, Mapping[str, str]] | None = None,
        above: tuple[str, str] = ("", ""),
    ) -> Container:
        """Call the handler of an RPC or action with the input in an element; the output's nodes.

        Of an action ``path`` has the keys on the way to it, and ``above`` the tags around it.
        """
        handler = self._server.rpcs.get(name)
        if handler is None:
            what = "action" if rpc.kind == "action" else "operation"
            raise RpcError("operation-not-supported", f"The {what} {name} is not implemented here", type="protocol")
        tree = Editor(state_allowed=True).load(rpc, element)
        self._check_input(rpc, tree, above)
        try:
            output = await handler(RpcCall(name, treejson.dump(tree), user, session, path or {}))
        except ApplyError as error:
            raise RpcError(error.tag, error.message, path=error.path) from None
        return treejson.load_output(rpc, output)

    def _check_input(self, rpc: SchemaNode, given: Container, above: tuple[str, str]) -> None:
        running = self._stores.running_tree
        seen = self._schema.reach.context(rpc, given, running)
        xml = above[0] + treexml.dump_node(given) + above[1]
        issues = self._schema.library.validate_rpc(xml, treexml.dump(seen), part=seen is not running)
        if issues:
            raise validation.error_of(self._schema, issues[0], missing_tag="missing-element")

    async def _action(self, session: Session, element: etree._Element) -> Reply:
        """RFC 7950, section 7.15.2."""
        names = self._schema.root.children
        above: list[str] = []
        path: dict[str, Mapping[str, str]] = {}
        before = after = ""
        holder: Container | None = merge(self._stores.running_tree, await self._server.state.tree())
        node = element
        while True:
            steps = [
                child for child in node if child.tag in names and names[child.tag].kind not in ("leaf", "leaf-list")
            ]
            if len(steps) != 1:
                raise bad("bad-element", split(node)[1], "an action's element names one instance on each level")
            node = steps[0]
            schema = names[node.tag]
            above.append(schema.json_name)
            if schema.kind == "action":
                break
            holder, keys = _step(holder, schema, node)
            named = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in keys.items())
            before, after = before + schema.open_tag + named, schema.close_tag + after
            if keys:
                path[schema.name] = keys
            names = schema.children | schema.actions
        if holder is None:
            raise RpcError("data-missing", f"The instance that holds the action {schema.name} does not exist")
        session.access().check_exec(schema, schema.module.name, schema.name)
        name = "/" + "/".join(above)
        return _output(await self.invoke(schema, name, node, session.user, session.id, path, (before, after)))


def _step(
    holder: Container | None, schema: SchemaNode, element: etree._Element
) -> tuple[Container | None, Mapping[str, str]]:
    """The instance that an element on the way to an action means, and its keys."""
    child = holder.children.get(schema) if holder is not None else None
    if schema.kind != "list":
        if child is None and schema.is_np_container and holder is not None:
            return Container(schema, {}), {}
        return (child if isinstance(child, Container) else None), {}
    key = Editor(state_allowed=True).key_of(schema, element)
    entry = child.entries.get(key) if isinstance(child, List) else None
    return (entry if isinstance(entry, Container) else None), dict(zip(schema.keys, key, strict=True))


def _data(tree: Container) -> Reply:
    return f"<data>{treexml.dump(tree)}</data>"


def _output(tree: Container) -> Reply:
    return treexml.dump(tree) or OK
