"""The datastore resource and data resources: methods, their conditions and their answers (RFC 8040, 3.4, 3.5, 4)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from yangkit import defaults
from yangkit.datastores import Changed
from yangkit.errors import RpcError
from yangkit.nacm import Access, Rules
from yangkit.restconf import conditions, encode, query, reading, yangpatch
from yangkit.restconf.editing import Edit, body_of_child, body_of_target, key_of, place
from yangkit.restconf.invoking import call_action
from yangkit.restconf.media import ACCEPT_PATCH, DATA, PATCH, Encoding, encoding_of, media_type, negotiate
from yangkit.restconf.messages import Headers, Request, Response, bad_request, not_allowed, not_found
from yangkit.restconf.problems import status_of
from yangkit.restconf.resources import Target, branch, find, parse
from yangkit.tree import Container, List, merge, only

if TYPE_CHECKING:
    from yangkit.server import NetconfServer

_READ = ["GET", "HEAD", "OPTIONS"]
#: RESTCONF has no sessions; RFC 6470 calls whoever is none 0.
NO_SESSION = 0


def allowed(target: Target) -> list[str]:
    """The methods of a resource."""
    schema = target.schema
    if schema.kind == "action":
        return ["OPTIONS", "POST"]
    if not target.steps:
        return [*_READ, "PATCH", "POST", "PUT"]
    if not schema.config or target.is_collection or target.is_key:
        return _READ
    return [*_READ, "DELETE", "PATCH", *(["POST"] if schema.kind in ("container", "list") else []), "PUT"]


def _now() -> datetime:
    """As exact as a header can say it (RFC 9110, section 5.6.7)."""
    return datetime.now(UTC).replace(microsecond=0)


class DataResources:
    """Everything at {+restconf}/data."""

    def __init__(self, server: NetconfServer, prefix: str) -> None:
        self._server = server
        self._prefix = prefix
        self._stores = server.stores
        self._schema = server.stores.schema
        self._modified = _now()
        server.stores.change_listeners.append(self._changed)

    def _changed(self, _: Changed) -> None:
        self._modified = _now()

    def access(self, user: str, running: Container | None = None) -> Access:
        """What a user may do now, or with another tree as running."""
        rules = Rules.of(self._schema, running or self._stores.running_tree)
        return self._server.access(rules, user)

    async def handle(self, request: Request, path: str) -> Response:
        """Any method."""
        target = parse(self._schema, path)
        methods = allowed(target)
        if request.method not in methods:
            raise not_allowed(request.method, methods)
        if request.method == "OPTIONS":
            patch = [("accept-patch", ACCEPT_PATCH)] if "PATCH" in methods else []
            return Response(200, b"", [("allow", ", ".join(methods)), *patch])
        encoding = negotiate(request)
        if not request.mutates:
            return await self._get(request, target, encoding)
        if target.schema.kind == "action":
            query.parameters(request, ())
            return await call_action(self._server, self.access(request.user), request, target, encoding)
        if request.method == "PATCH" and media_type(request) in PATCH:
            return await self._yang_patch(request, target, encoding)
        return await self._edit(request, target, encoding)

    # -- reading -----------------------------------------------------------------------------------------------------

    async def _get(self, request: Request, target: Target, encoding: Encoding) -> Response:
        view = query.view(request)
        chosen = query.fields(target.schema, view.fields) if view.fields is not None else None
        running, modified = self._stores.running_tree, self._modified
        wanted = frozenset({target.steps[0].schema.json_name}) if target.steps else None
        # Of the whole tree, which knows its defaults from the last time; a part may refer to what it has not.
        tree = only(defaults.apply_mode(self._schema, running, view.with_defaults), wanted)
        if view.content != "config":
            tree = merge(tree, await self._server.state.tree(wanted, target.path() if target.steps else None))
        node = find(self.access(request.user).readable(branch(tree, target)), target)
        if node is not None and view.content == "nonconfig":
            node = reading.nonconfig(node)
        if node is None:
            raise not_found(target.url())
        headers: Headers = []
        if target.schema.config:
            headers = conditions.headers(running, modified, encoding)
            # What has state data in it may have changed without the configuration.
            stateful = view.content != "config" and reading.has_state(node)
            if not stateful and conditions.unchanged(request, running, modified):
                return Response(304, b"", headers)
        node = reading.shape(node, view.depth, chosen)
        headers.append(("content-type", f"application/yang-data+{encoding}"))
        if not target.steps:
            assert isinstance(node, Container)
            return Response(200, encode.datastore(node, encoding), headers)
        if encoding == "xml" and isinstance(node, List) and len(node.entries) != 1:
            raise bad_request(f"XML carries one entry of {target.schema.name}, not {len(node.entries)}; JSON all")
        step = target.steps[-1]
        if step.key is not None and not isinstance(node, List):
            node = List(step.schema, {step.key: node})  # type: ignore[dict-item]
        return Response(200, encode.document(node, encoding), headers)

    # -- writing -----------------------------------------------------------------------------------------------------

    def _begin(self, request: Request, old: Container, target: Target) -> Edit:
        """Locks, pending commits (section 1.4) and preconditions, seen when nobody else changes anything."""
        for store in ("running", "candidate"):
            self._stores.check_unlocked(store, NO_SESSION)
        self._server.commits.check_free(NO_SESSION)
        edit = Edit(self._schema, self.access(request.user, old), old)
        # What another edit of the same group has made is as new as can be.
        modified = self._modified if old is self._stores.running_tree else _now()
        conditions.check(request, old, modified, edit.has(target))
        return edit

    async def _edit(self, request: Request, target: Target, encoding: Encoding) -> Response:
        if request.method in ("POST", "PUT") and target.schema.kind != "leaf":
            given = query.parameters(request, ("insert", "point"))
        else:
            given = query.parameters(request, ())
        element, operation, made = None, "delete", target
        if request.method == "POST":
            schema, element = body_of_child(request, encoding_of(request), target)
            operation, made = "create", target.child(schema, key_of(schema, element))
        elif request.method in ("PUT", "PATCH"):
            element = body_of_target(request, encoding_of(request, DATA), target)
            operation = "replace" if request.method == "PUT" else "merge"
        where = place(self._schema, made, given.get("insert"), given.get("point")) if made.steps else None
        if not made.steps and given:
            raise bad_request("insert and point are for entries of lists")
        created = False

        def change(old: Container) -> tuple[Container, set[str]]:
            nonlocal created
            edit = self._begin(request, old, target)
            if not made.steps:
                assert element is not None
                edit.replace_all(element, operation)
                return edit.result()
            edit.need_parent(made)
            there = edit.has(made) or (request.method == "PATCH" and made.schema.is_np_container)
            if request.method in ("PATCH", "DELETE") and not there:
                raise not_found(made.url())
            created = request.method == "POST" or (request.method == "PUT" and find(old, made) is None)
            edit.apply(made, element, operation, where)
            return edit.result()

        result = await self._stores.edit_running(change, session=NO_SESSION, user=request.user, carry_over=True)
        headers = conditions.headers(result, self._modified, encoding)
        if created:
            return Response(201, b"", [*headers, ("location", f"{self._prefix}/data{made.url()}")])
        return Response(204, b"", headers)

    async def _yang_patch(self, request: Request, target: Target, encoding: Encoding) -> Response:
        query.parameters(request, ())
        patch = yangpatch.read(request, encoding_of(request, PATCH))
        begun = False

        def change(old: Container) -> tuple[Container, set[str]]:
            nonlocal begun
            begun = False
            edit = self._begin(request, old, target)
            if not edit.may_hold(target):
                raise not_found(target.url())
            begun = True
            yangpatch.run(self._schema, edit, target, patch, status_of)
            return edit.result()

        try:
            result = await self._stores.edit_running(change, session=NO_SESSION, user=request.user, carry_over=True)
        except yangpatch.EditFailed as failed:
            return yangpatch.status(self._schema, patch, encoding, failed.status, failed.error, failed.edit)
        except RpcError as error:
            if not begun:
                raise
            return yangpatch.status(self._schema, patch, encoding, status_of(error), error)
        answer = yangpatch.status(self._schema, patch, encoding)
        answer.headers += conditions.headers(result, self._modified, encoding)
        return answer
