"""POST, PUT, PATCH and DELETE on the datastore and on data resources (RFC 8040, sections 4.4 to 4.7)."""

from __future__ import annotations

from copy import deepcopy

from lxml import etree

from yangkit import treexml
from yangkit.edit import Editor
from yangkit.errors import RpcError
from yangkit.nacm import Access
from yangkit.ordering import Place
from yangkit.restconf import decode
from yangkit.restconf.encode import rooted
from yangkit.restconf.media import Encoding
from yangkit.restconf.messages import HttpError, Request, bad_request, not_found
from yangkit.restconf.problems import RESTCONF
from yangkit.restconf.resources import Target, child_of, creatable, find, parse
from yangkit.schema import Schema, SchemaNode
from yangkit.tree import Container, Key, Leaf
from yangkit.xmlutil import MalformedXml, check_depth, nc

_OPERATION = nc("operation")


def message(request: Request, encoding: Encoding) -> tuple[str, object]:
    """The one thing that a body holds: its JSON name and value, or its Clark name and element."""
    if not request.body:
        raise bad_request(f"{request.method} needs a body", "malformed-message")
    if encoding == "json":
        return decode.single(decode.parse_json(request.body), "the body")
    root = decode.parse_xml(request.body)
    return str(root.tag), root


def body_of_target(request: Request, encoding: Encoding, target: Target) -> etree._Element:
    """The body of PUT and PATCH: the target itself."""
    name, value = message(request, encoding)
    schema = target.schema
    if not target.steps:
        expected = "ietf-restconf:data" if encoding == "json" else f"{{{RESTCONF}}}data"
        if name != expected:
            raise _bad_body(name, expected)
        return value if isinstance(value, etree._Element) else decode.data_elements(schema.schema, value)
    expected = schema.qualified_name if encoding == "json" else schema.clark
    if name != expected:
        raise _bad_body(name, expected)
    element = value if isinstance(value, etree._Element) else decode.element_of(schema, value)
    check_key(target, element)
    return element


def body_of_child(request: Request, encoding: Encoding, target: Target) -> tuple[SchemaNode, etree._Element]:
    """The body of POST: a new child of the target."""
    name, value = message(request, encoding)
    if isinstance(value, etree._Element):
        schema = target.schema.children.get(name)
    else:
        schema = child_of(target.schema, name) if ":" in name else None
    if schema is None or schema.kind in ("rpc", "notification", "action"):
        info = {"bad-element": name.rpartition("}")[2]}
        text = f"{name} is no node below {target.schema.path()}; its name needs its module"
        raise HttpError(400, RpcError("unknown-element", text, type="protocol", info=info))
    element = value if isinstance(value, etree._Element) else decode.element_of(schema, value)
    return schema, element


def _bad_body(name: str, expected: str) -> HttpError:
    info = {"bad-element": name.rpartition("}")[2]}
    return HttpError(400, RpcError("bad-element", f"the body holds {name}, not {expected}", type="protocol", info=info))


def check_key(target: Target, element: etree._Element) -> None:
    """The entry that the body describes must be the one that the path names (sections 4.5, 4.6.1)."""
    key = target.steps[-1].key
    if key is not None and key_of(target.schema, element) != key:
        raise bad_request(f"the body is about another entry of {target.schema.name} than the path")


def key_of(schema: SchemaNode, element: etree._Element) -> Key | None:
    """The key of an entry in an element; None for what is no entry."""
    if schema.kind not in ("list", "leaf-list") or (schema.kind == "list" and not schema.keys):
        return None
    return Editor(state_allowed=True).key_of(schema, element)


class Edit:
    """One edit or several, one after the other, on a tree that only the caller sees until all are done."""

    def __init__(self, schema: Schema, access: Access, old: Container) -> None:
        self._schema = schema
        self._access = access
        self.old = old
        self.tree = old
        self.touched: set[str] = set()

    def has(self, target: Target) -> bool:
        """Is the target there, for this user to see?"""
        return find(self.tree, target) is not None and self._access.sees(self.tree, target.path())

    def need_parent(self, target: Target) -> None:
        """404 unless the parent is there."""
        if not self.may_hold(target.parent):
            raise not_found(target.parent.url() or "/")

    def may_hold(self, target: Target) -> bool:
        """May something be put into the target?"""
        return self.has(creatable(target))

    def replace_all(self, elements: etree._Element, operation: str) -> None:
        """PUT and PATCH on the datastore itself."""
        editor = Editor()
        base = Container(self._schema.root, {}) if operation == "replace" else self.tree
        self.tree = editor.run(base, elements, "merge")
        self.touched |= editor.touched

    def apply(self, target: Target, element: etree._Element | None, operation: str, place: Place | None = None) -> None:
        """Carry out one operation of NETCONF's on the target."""
        root, holder = _ancestors(target.parent)
        if element is None:
            element = decode.document(_bare(target))
        element = deepcopy(element)  # the same edit may be tried again
        element.set(_OPERATION, operation)
        holder.append(element)
        try:
            check_depth(root)  # or the startup file, which holds the whole of it, could not be read again
        except MalformedXml as error:
            raise bad_request(f"{target.url()}: {error}") from None
        editor = Editor(places={str(target.path()): place} if place is not None else {})
        # A case of a choice is chosen by containers on the way, but not by what removes something.
        inherited = "none" if operation in ("delete", "remove") else "merge"
        self.tree = editor.run(self.tree, root, inherited)
        self.touched |= editor.touched

    def result(self) -> tuple[Container, set[str]]:
        """The new tree, if the user may make it."""
        self._access.check_write(self.old, self.tree)
        return (self.old if self.tree.same(self.old) else self.tree), self.touched


def keys_xml(target: Target) -> str:
    """The keys of the entry that a target is, as XML."""
    step = target.steps[-1]
    nodes = step.schema.key_nodes if step.schema.kind == "list" else ()
    pairs = zip(nodes, step.key or (), strict=True)
    return "".join(treexml.dump_node(Leaf(node, value, node.facts.base)) for node, value in pairs)


def _ancestors(parent: Target) -> tuple[etree._Element, etree._Element]:
    """The elements on the way to a target, and the innermost of them."""
    before = after = ""
    above = Target(parent.root)
    for step in parent.steps:
        above = above.child(step.schema, step.key)
        before += step.schema.open_tag + keys_xml(above)
        after = step.schema.close_tag + after
    root = decode.document(f"<config>{before}{after}</config>")
    holder = root
    for _ in parent.steps:
        holder = holder[-1]
    return root, holder


def _bare(target: Target) -> str:
    """The target with nothing but what names it."""
    step = target.steps[-1]
    if step.schema.kind == "leaf-list":
        text = treexml.dump_node(Leaf(step.schema, (step.key or ("",))[0], step.schema.facts.base))
    else:
        text = step.schema.open_tag + (keys_xml(target) if step.schema.kind == "list" else "") + step.schema.close_tag
    return rooted(step.schema, text)


def place(schema: Schema, target: Target, insert: str | None, point: str | None, what: str = "insert") -> Place | None:
    """Where an entry goes: the parameters ``insert`` and ``point`` (sections 4.8.5 and 4.8.6)."""
    if insert is None:
        if point is not None:
            raise bad_request(f"point needs {what}=before or {what}=after")
        return None
    if insert not in ("first", "last", "before", "after"):
        raise bad_request(f"{what} is first, last, before or after, not {insert!r}")
    if not target.schema.user_ordered:
        raise bad_request(f"{what} is for lists that are ordered by the user; {target.schema.name} is none")
    if insert in ("first", "last"):
        if point is not None:
            raise bad_request(f"point has no meaning with {what}={insert}")
        return Place(insert)
    if point is None:
        raise bad_request(f"{what}={insert} needs point", "missing-attribute")
    anchor = parse(schema, point)
    siblings = anchor.parent.steps == target.parent.steps and anchor.steps and anchor.schema is target.schema
    if not siblings or anchor.steps[-1].key is None:
        raise bad_request(f"point names no entry beside {target.url()}")
    return Place(insert, anchor.steps[-1].key, "point")
