"""Data resources: which nodes a path means (RFC 8040, section 3.5.3)."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from yangkit.errors import RpcError
from yangkit.paths import Path
from yangkit.restconf.messages import HttpError, bad_request, not_found
from yangkit.schema import Schema, SchemaNode
from yangkit.tree import AnyData, Container, Key, Leaf, List, Node

Instance = Leaf | AnyData | Container | List


@dataclass(frozen=True)
class Step:
    """A node on the way; of lists and leaf-lists the entry, or all of them (key None, last step only)."""

    schema: SchemaNode
    key: Key | None = None


@dataclass(frozen=True)
class Target:
    """A resource: the datastore (no steps), a data node, or an action below one."""

    root: SchemaNode
    steps: tuple[Step, ...] = ()

    @property
    def schema(self) -> SchemaNode:
        """The node's schema."""
        return self.steps[-1].schema if self.steps else self.root

    @property
    def parent(self) -> Target:
        """One step up."""
        return Target(self.root, self.steps[:-1])

    @property
    def is_collection(self) -> bool:
        """All entries of a list or leaf-list?"""
        return bool(self.steps) and self.schema.kind in ("list", "leaf-list") and self.steps[-1].key is None

    @property
    def is_key(self) -> bool:
        """A leaf that is a key of its list?"""
        return (
            len(self.steps) > 1
            and self.steps[-2].schema.kind == "list"
            and self.schema in self.steps[-2].schema.key_nodes
        )

    def path(self) -> Path:
        """For errors and access rules."""
        return Path(tuple((step.schema, step.key or ()) for step in self.steps))

    def child(self, schema: SchemaNode, key: Key | None = None) -> Target:
        """One step down."""
        return Target(self.root, (*self.steps, Step(schema, key)))

    def url(self) -> str:
        """The path below {+restconf}/data."""
        parts = []
        for step in self.steps:
            keys = "=" + ",".join(quote(value, safe="") for value in step.key) if step.key is not None else ""
            parts.append(f"/{step.schema.json_name}{keys}")
        return "".join(parts)


def parse(schema: Schema, text: str, base: Target | None = None) -> Target:
    """The resource that a percent-encoded path (after ``/data``) means; 404 or 400 when it means none."""
    target = base or Target(schema.root)
    for segment in text.split("/")[1:] if text.startswith("/") else text.split("/") if text else []:
        target = _descend(target, segment)
    return target


def _descend(target: Target, segment: str) -> Target:
    if target.is_collection:
        raise bad_request(f"{target.schema.name} needs the values of its keys", "missing-element")
    name_text, equals, keys_text = segment.partition("=")
    name = decoded(name_text)
    schema = child_of(target.schema, name)
    if schema is None:
        raise not_found(f"{name or 'a node without a name'} below {target.schema.path()}")
    if not equals:
        return target.child(schema)
    return target.child(schema, _key(schema, keys_text))


def child_of(parent: SchemaNode, name: str) -> SchemaNode | None:
    """The data node or action with this name below a node."""
    if parent.kind not in ("root", "container", "list"):
        return None
    found = parent.by_json_name.get(name)
    if found is not None and found.kind not in ("rpc", "notification"):
        return found
    if parent.kind == "root" or not name:
        return None
    for action in parent.actions.values():
        if name == action.qualified_name or (name == action.name and action.module is parent.module):
            return action
    return None


def _key(schema: SchemaNode, text: str) -> Key:
    """Key values: separated by commas before they are decoded, all of them given."""
    if schema.kind == "leaf-list":
        return (_value(schema, text),)
    if schema.kind != "list" or not schema.keys:
        raise not_found(f"{schema.name} has no keys, so {schema.name}={text}")
    values = text.split(",")
    if len(values) != len(schema.keys):
        raise bad_request(f"{schema.name} has the keys {', '.join(schema.keys)}; {len(values)} values are given")
    return tuple(_value(node, value) for node, value in zip(schema.key_nodes, values, strict=True))


def _value(schema: SchemaNode, text: str) -> str:
    try:
        return schema.schema.canonical(schema, decoded(text))[0]
    except RpcError as error:
        error.message = f"{schema.name}: {error.message}"
        error.type = "protocol"
        raise HttpError(400, error) from None


def decoded(text: str) -> str:
    """Percent-decoded text; 400 unless it is UTF-8."""
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise bad_request(f"{text!r} is no percent-encoded UTF-8") from None


def find(tree: Container, target: Target) -> Instance | None:
    """The instance in a tree; a container that needs no creation is there when it has content only."""
    node: Instance = tree
    for step in target.steps:
        if not isinstance(node, Container):
            return None
        child = node.children.get(step.schema)
        if child is None:
            return None
        if isinstance(child, List) and step.key is not None:
            entry = _entry(child, step.key)
            if entry is None:
                return None
            node = entry
        else:
            node = child
    return node


def branch(tree: Container, target: Target) -> Container:
    """The tree with nothing beside the way to the target, so that whoever looks at it all looks at little."""
    return _branch(tree, target.steps)


def _branch(node: Container, steps: tuple[Step, ...]) -> Container:
    if not steps:
        return node
    step = steps[0]
    child = node.children.get(step.schema)
    if isinstance(child, List) and step.key is not None and (entry := child.entries.get(step.key)) is not None:
        child = List(step.schema, {step.key: _branch(entry, steps[1:]) if isinstance(entry, Container) else entry})
    elif isinstance(child, Container):
        child = _branch(child, steps[1:])
    kept: dict[SchemaNode, Node] = (
        {key: node.children[key] for key in node.schema.key_nodes} if node.schema.keys else {}
    )
    return Container(node.schema, kept if child is None else {**kept, step.schema: child})


def _entry(listing: List, key: Key) -> Container | Leaf | None:
    found = listing.entries.get(key)
    if found is None and listing.schema.kind == "leaf-list" and not listing.schema.config:
        # Values of state leaf-lists may repeat, so that they are kept by position.
        return next((e for e in listing.entries.values() if isinstance(e, Leaf) and e.value == key[0]), None)
    return found


def exists(tree: Container, target: Target) -> bool:
    """Is there something that may get children?"""
    return find(tree, creatable(target)) is not None


def creatable(target: Target) -> Target:
    """What must be there for the target to be: containers without presence are by themselves (RFC 7950, 7.5.1)."""
    while target.steps and target.schema.is_np_container:
        target = target.parent
    return target


def only(target: Target, node: Instance) -> Node:
    """An instance as the child of its parent: an entry as a list of one."""
    step = target.steps[-1]
    if step.key is None or isinstance(node, List | AnyData):
        return node
    return List(step.schema, {step.key: node})
