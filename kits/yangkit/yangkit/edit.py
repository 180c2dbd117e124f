"""The edit engine: <edit-config> of RFC 6241, section 7.2, with the user-ordered lists of RFC 7950, 7.7.9 and 7.8.6.

It makes a new tree from an old one and the client's elements; the old tree stays as it is. Errors are those of
RFC 7950, sections 8.3.1 and 8.3.2. With *stop-on-error* and *rollback-on-error* the first error ends the edit and
nothing changes; with *continue-on-error* the parts that fail are left out, the rest is done, and all errors are
reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lxml import etree

from yangkit.errors import RpcError
from yangkit.ordering import Place, insert, place_of
from yangkit.paths import Path
from yangkit.schema import SchemaNode
from yangkit.tree import AnyData, Container, Key, Leaf, List, Node, is_empty
from yangkit.xmlutil import DEFAULT_ATTRIBUTE, NC, YANG1, split, split_name

OPERATIONS = frozenset({"merge", "replace", "create", "delete", "remove"})
_OPERATION = f"{{{NC}}}operation"
_DEFAULT = f"{{{DEFAULT_ATTRIBUTE}}}default"


@dataclass
class Editor:
    """One run of the engine."""

    continue_on_error: bool = False
    state_allowed: bool = False
    errors: list[RpcError] = field(default_factory=list)
    #: Where entries go, by their path, when it is not attributes that say so (RFC 8040, section 4.8.5).
    places: Mapping[str, Place] = field(default_factory=dict)
    _touched: list[Path] = field(default_factory=list, init=False)

    @property
    def touched(self) -> set[str]:
        """Names of all instances that the client's elements mention, for rules about what it did itself.

        They are written when somebody asks: whoever reads a whole configuration does not.
        """
        return {str(path) for path in self._touched}

    def run(self, root: Container, elements: Iterable[etree._Element], default_operation: str = "merge") -> Container:
        """The tree that results; RpcError when there is none."""
        return Container(root.schema, self._children(root, elements, default_operation, Path()))

    # -- one level ---------------------------------------------------------------------------------------------------

    def _children(
        self,
        parent: Container,
        elements: Iterable[etree._Element],
        inherited: str,
        path: Path,
        names: Mapping[str, SchemaNode] | None = None,
    ) -> dict[SchemaNode, Node]:
        work = dict(parent.children)
        names = parent.schema.children if names is None else names
        cases: dict[int, tuple[int, str]] = {}
        seen: set[SchemaNode] = set()
        for element in elements:
            try:
                schema = self._find(parent.schema, names, element, path)
                operation = self._operation(element, inherited, schema, path)
                if schema.kind not in ("list", "leaf-list"):
                    if schema in seen:
                        raise _bad_element(schema.name, path.child(schema), "appears twice")
                    seen.add(schema)
                if schema.cases and operation not in ("delete", "remove", "none"):
                    _choose(schema, cases, work, path)
                self._edit(work, schema, element, operation, path)
            except RpcError as error:
                if not self.continue_on_error:
                    raise
                self.errors.append(error)
        return work

    def _find(
        self, parent: SchemaNode, names: Mapping[str, SchemaNode], element: etree._Element, path: Path
    ) -> SchemaNode:
        schema = names.get(element.tag)
        if (
            schema is not None
            and (schema.config or self.state_allowed)
            and (schema.kind not in ("rpc", "notification"))
        ):
            return schema
        namespace, name = split(element)
        where, spaces = path.xpath()
        if schema is None and namespace not in parent.schema.by_namespace:
            raise RpcError(
                "unknown-namespace",
                f"No module here has the namespace {namespace!r} of {name}",
                path=where,
                path_namespaces=spaces,
                info={"bad-element": name, "bad-namespace": namespace or ""},
            )
        reason = "is state data, not configuration" if schema is not None else "is not in the schema here"
        raise RpcError(
            "unknown-element",
            f"{name} {reason}",
            path=where,
            path_namespaces=spaces,
            info={"bad-element": name},
        )

    def _operation(self, element: etree._Element, inherited: str, schema: SchemaNode, path: Path) -> str:
        operation = inherited
        for attribute, value in element.items():
            if attribute == _OPERATION:
                if value not in OPERATIONS:
                    message = f"{value!r} is no operation of edit-config"
                    raise bad_attribute("bad-attribute", "operation", path.child(schema), message)
                operation = str(value)
                continue
            namespace, name = split_name(str(attribute))
            ordered = namespace == YANG1 and name in ("insert", "key", "value") and schema.user_ordered
            if not ordered and attribute != _DEFAULT and schema.kind != "anydata":
                message = f"Attribute {name} has no meaning on {schema.name}"
                raise bad_attribute("unknown-attribute", name, path.child(schema), message)
        return operation

    # -- one instance ------------------------------------------------------------------------------------------------

    def _edit(
        self, work: dict[SchemaNode, Node], schema: SchemaNode, element: etree._Element, operation: str, path: Path
    ) -> None:
        if schema.kind in ("list", "leaf-list"):
            self._entry(work, schema, element, operation, path)
            return
        here = path.child(schema)
        self._touched.append(here)
        old = work.get(schema)
        if operation in ("delete", "remove"):
            _delete(old, operation, here)
            work.pop(schema, None)
            return
        node = self._instance(old, schema, element, operation, here)
        if node is None or is_empty(node):
            work.pop(schema, None)
        else:
            work[schema] = node

    def _entry(
        self, work: dict[SchemaNode, Node], schema: SchemaNode, element: etree._Element, operation: str, path: Path
    ) -> None:
        listing = work.get(schema)
        entries = listing.entries if isinstance(listing, List) else {}
        key = self._key(schema, element, path)
        if not schema.keys and (schema.kind == "list" or not schema.config):
            key = (str(len(entries)),)
        here = path.child(schema, key)
        self._touched.append(here)
        old = entries.get(key)
        place = self.places.get(str(here)) if self.places else None
        if place is None and schema.user_ordered:
            place = place_of(schema, element, here)
        if operation in ("delete", "remove"):
            _delete(old, operation, here)
            if old is None:
                return
            entries = {k: entry for k, entry in entries.items() if k != key}
        else:
            node = self._instance(old, schema, element, operation, here)
            if node is old and place is None:
                return
            assert isinstance(node, Container | Leaf)
            entries = insert(entries, key, node, place or Place("last") if old is None else place, here)
        if entries:
            work[schema] = List(schema, entries)
        else:
            work.pop(schema, None)

    def _instance(
        self,
        old: Node | None,
        schema: SchemaNode,
        element: etree._Element,
        operation: str,
        here: Path,
    ) -> Leaf | AnyData | Container | None:
        """The instance that results from merge, replace, create or none."""
        if operation == "create" and old is not None:
            raise _at("data-exists", here, f"{here} exists already")
        conceptual = schema.is_np_container
        if operation == "none" and old is None and not conceptual:
            raise _at("data-missing", here, f"{here} does not exist")
        if schema.kind == "anydata":
            return old if operation == "none" else AnyData(schema, _content(element))  # type: ignore[return-value]
        if schema.kind in ("leaf", "leaf-list"):
            _no_children(element, here)
            if operation == "none":
                return old  # type: ignore[return-value]
            return _leaf(old, schema, element, here)
        _no_text(element, here)
        assert old is None or isinstance(old, Container)
        base = old if old is not None and operation not in ("replace", "create") else _fresh(schema, element, here)
        below = "merge" if operation in ("replace", "create") else operation
        elements = [child for child in element if child.tag not in _key_tags(schema)] if schema.keys else element
        children = self._children(base, elements, below, here)
        made = Container(schema, children)
        return old if old is not None and made.same(old) else made

    def _key(self, schema: SchemaNode, element: etree._Element, path: Path) -> Key:
        here = path.child(schema)
        if schema.kind == "leaf-list":
            _no_children(element, here)
            return (_value(schema, element, here)[0],)
        key = []
        for node in schema.key_nodes:
            found = _key_element(element, node, here)
            if found.attrib:
                self._operation(found, "merge", node, here)  # has no effect on a key, but must make sense
            key.append(_value(node, found, here.child(node))[0])
        return tuple(key)

    def key_of(self, schema: SchemaNode, element: etree._Element) -> Key:
        """The key of the list entry that an element means."""
        return self._key(schema, element, Path())

    def load(self, schema: SchemaNode, elements: Iterable[etree._Element]) -> Container:
        """Children of a node (input of an RPC, say) that have no operations."""
        return Container(schema, self._children(Container(schema, {}), elements, "merge", Path()))


# -- helpers ---------------------------------------------------------------------------------------------------------


def _key_tags(schema: SchemaNode) -> set[str]:
    return {node.clark for node in schema.key_nodes}


def _key_element(element: etree._Element, node: SchemaNode, here: Path) -> etree._Element:
    found = element.findall(node.clark)
    if not found:
        where, spaces = here.xpath()
        message = f"{here} lacks its key {node.name}"
        info = {"bad-element": node.name}
        raise RpcError("missing-element", message, path=where, path_namespaces=spaces, info=info)
    if len(found) > 1:
        raise _bad_element(node.name, here, f"has its key {node.name} twice")
    return found[0]


def _fresh(schema: SchemaNode, element: etree._Element, here: Path) -> Container:
    """A new instance; an entry of a list has its keys first."""
    children: dict[SchemaNode, Node] = {}
    for node in schema.key_nodes if schema.keys else ():
        found = _key_element(element, node, here)
        children[node] = Leaf(node, *_value(node, found, here.child(node)))
    return Container(schema, children)


def _leaf(old: Node | None, schema: SchemaNode, element: etree._Element, here: Path) -> Leaf | None:
    value, base = _value(schema, element, here)
    if element.get(_DEFAULT) in ("true", "1") and schema.kind == "leaf":
        # RFC 6243, section 4.5.2: the client asks for the default itself.
        if value != schema.facts.default:
            where, spaces = here.xpath()
            message = f"{value!r} is tagged as a default, but {here} has another one"
            raise RpcError("invalid-value", message, path=where, path_namespaces=spaces)
        return None
    if isinstance(old, Leaf) and old.value == value:
        return old
    return Leaf(schema, value, base)


def _value(schema: SchemaNode, element: etree._Element, here: Path) -> tuple[str, int]:
    text = element.text or ""
    try:
        return schema.schema.canonical_xml(schema, text, element.nsmap if schema.facts.qualified else {})
    except RpcError as error:
        stripped = text.strip()
        if stripped != text:
            try:
                return schema.schema.canonical_xml(schema, stripped, element.nsmap)
            except RpcError:
                pass
        error.path, error.path_namespaces = here.xpath()
        error.info["bad-element"] = schema.name
        raise


def _content(element: etree._Element) -> str:
    """The inside of an element, with every namespace it needs."""
    text = etree.tostring(element, method="c14n", exclusive=True).decode()
    start = text.index(">") + 1
    return text[start : text.rindex("</")]


def _delete(old: Node | None, operation: str, here: Path) -> None:
    if old is None and operation == "delete":
        raise _at("data-missing", here, f"{here} does not exist")


def _choose(schema: SchemaNode, cases: dict[int, tuple[int, str]], work: dict[SchemaNode, Node], path: Path) -> None:
    """Only one case of a choice exists: a new one removes the others (RFC 7950, section 7.9)."""
    for choice, case in schema.cases:
        chosen, by = cases.setdefault(choice, (case, schema.name))
        if chosen != case:
            raise _bad_element(schema.name, path.child(schema), f"is in another case than {by}, which is given too")
    mine = dict(schema.cases)
    for other in [s for s in work if s.cases]:
        if any(mine.get(choice, case) != case for choice, case in other.cases):
            del work[other]


def _no_text(element: etree._Element, here: Path) -> None:
    texts = [element.text, *(child.tail for child in element)]
    if any(text and text.strip() for text in texts):
        raise _bad_element(split(element)[1], here, "holds text, but has child nodes only")


def _no_children(element: etree._Element, here: Path) -> None:
    if len(element):
        raise _bad_element(split(element[0])[1], here, "is a leaf and has no child nodes")


def _at(tag: str, here: Path, message: str) -> RpcError:
    where, spaces = here.xpath()
    return RpcError(tag, message, path=where, path_namespaces=spaces)


def _bad_element(name: str, here: Path, problem: str) -> RpcError:
    error = _at("bad-element", here, f"{here} {problem}")
    error.info["bad-element"] = name
    return error


def bad_attribute(tag: str, attribute: str, here: Path, message: str) -> RpcError:
    """An error about an attribute, with the info that RFC 6241, appendix A, wants."""
    error = _at(tag, here, message)
    error.info |= {"bad-attribute": attribute, "bad-element": here.steps[-1][0].name}
    return error
