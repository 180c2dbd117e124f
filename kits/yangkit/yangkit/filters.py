"""Which part of a data tree: subtree filters (RFC 6241, section 6) and XPath (section 8.9)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import cast

from lxml import etree

from yangkit import xmlutil
from yangkit.errors import RpcError
from yangkit.schema import Schema, SchemaNode
from yangkit.tree import AnyData, Container, Leaf, List, Node, empty, instances
from yangkit.treexml import dump
from yangkit.xmlutil import nc, split

MAX_XPATH = 4096
_TOKEN = re.compile(
    r"\s*(?:(?P<literal>\"[^\"]*\"|'[^']*')|(?P<number>\d+(?:\.\d*)?|\.\d+)"
    r"|(?P<punct>\.\.|::|//|!=|<=|>=|[()\[\].@,/|+\-=<>*$])|(?P<name>[^\W\d][\w.-]*(?::(?:[^\W\d][\w.-]*|\*))?))"
)
_BEFORE_PATH = frozenset({None, "(", "[", ",", "|", "+", "-", "=", "!=", "<", "<=", ">", ">=", "*op", "nameop"})


def select(tree: Container, element: etree._Element | None) -> Container:
    """The part of the tree that a <filter> asks for."""
    if element is None:
        return tree
    kind = element.get("type") or element.get(nc("type")) or "subtree"
    if kind == "subtree":
        return subtree(tree, element)
    if kind == "xpath":
        expression = element.get("select") or element.get(nc("select"))
        if expression is None:
            info = {"bad-attribute": "select", "bad-element": "filter"}
            raise RpcError(
                "missing-attribute", "an XPath filter needs the attribute select", type="protocol", info=info
            )
        return xpath(tree, expression, {prefix: ns for prefix, ns in element.nsmap.items() if prefix})
    info = {"bad-attribute": "type", "bad-element": "filter"}
    raise RpcError("bad-attribute", f"{kind!r} is no type of filter", type="protocol", info=info)


def wanted(schema: Schema, element: etree._Element | None) -> frozenset[str] | None:
    """The top-level nodes that a filter can select something of (qualified names); None where only it can tell."""
    if element is None or (element.get("type") or element.get(nc("type")) or "subtree") != "subtree":
        return None
    found = [schema.root.children.get(child.tag) for child in element if isinstance(child.tag, str)]
    # A name without a namespace means that of every module (RFC 6241, section 6.2.1).
    if any(one is None for one in found):
        return None
    return frozenset(one.json_name for one in found if one is not None)


# -- subtree filters -------------------------------------------------------------------------------------------------


def subtree(tree: Container, elements: Iterable[etree._Element]) -> Container:
    """Apply a subtree filter; an empty one selects nothing."""
    if not list(elements):
        return empty(tree.schema.schema)
    return _match(tree, elements) or empty(tree.schema.schema)


def _match(node: Container, elements: Iterable[etree._Element]) -> Container | None:
    """What sibling filter nodes select of one instance; None when a content match fails or nothing is selected."""
    selected: dict[SchemaNode, Node] = {}
    others = []
    for element in elements:
        if not len(element) and (element.text or "").strip():
            found = _content_match(node, element)
            if found is None:
                return None
            selected[found.schema] = found
        else:
            others.append(element)
    if not others:
        return node
    any_other = False
    for element in others:
        for schema, child in _named(node, element):
            part = child if not len(element) else _descend(child, element)
            if part is not None:
                any_other = True
                known = selected.get(schema)
                selected[schema] = part if known is None else _union(known, part)
    if not selected or (not any_other and not node.schema.keys):
        return Container(node.schema, selected) if selected else None
    for key in node.schema.key_nodes if node.schema.keys else ():
        selected.setdefault(key, node.children[key])
    return Container(node.schema, {schema: selected[schema] for schema in node.children if schema in selected})


def _named(node: Container, element: etree._Element) -> Iterable[tuple[SchemaNode, Node]]:
    """Children with the name of a filter node; one without a namespace fits all (section 6.2.1)."""
    if any(not name.startswith(f"{{{xmlutil.NC}}}") for name in map(str, element.attrib)):
        return  # attribute match expressions: our data has no attributes (section 6.2.2)
    namespace, name = split(element)
    for schema, child in node.children.items():
        if schema.name == name and namespace in (None, schema.namespace):
            yield schema, child


def _content_match(node: Container, element: etree._Element) -> Node | None:
    text = (element.text or "").strip()
    for schema, child in _named(node, element):
        try:
            value = schema.schema.canonical_xml(schema, text, dict(element.nsmap))[0] if _is_leaf(schema) else None
        except RpcError:
            continue
        hits = [leaf for leaf in instances(child) if isinstance(leaf, Leaf) and leaf.value == value]
        if hits:
            return child if isinstance(child, Leaf) else List(schema, {(leaf.value,): leaf for leaf in hits})
    return None


def _is_leaf(schema: SchemaNode) -> bool:
    return schema.kind in ("leaf", "leaf-list")


def _descend(child: Node, element: etree._Element) -> Node | None:
    if isinstance(child, Container):
        return _match(child, element)
    if isinstance(child, List) and child.schema.kind == "list":
        entries = {}
        for key, entry in child.entries.items():
            part = _match(cast(Container, entry), element)
            if part is not None:
                entries[key] = part
        return List(child.schema, dict(entries)) if entries else None
    return None


def _union(first: Node, second: Node) -> Node:
    """Two selections of the same node."""
    if first is second:
        return first
    if isinstance(first, Container) and isinstance(second, Container):
        children = dict(first.children)
        for schema, child in second.children.items():
            children[schema] = _union(children[schema], child) if schema in children else child
        return Container(first.schema, children)
    if isinstance(first, List) and isinstance(second, List):
        entries = dict(first.entries)
        for key, entry in second.entries.items():
            entries[key] = cast(Container | Leaf, _union(entries[key], entry)) if key in entries else entry
        return List(first.schema, entries)
    return first


# -- XPath -----------------------------------------------------------------------------------------------------------


class _Document:
    """A data tree as lxml sees it, each element with its node."""

    def __init__(self, tree: Container) -> None:
        self.root = etree.fromstring(f"<data>{dump(tree)}</data>".encode())
        self.nodes: dict[etree._Element, int] = {}
        elements = iter(self.root.iter())
        self.nodes[next(elements)] = id(tree)
        self._number(tree, elements)

    def _number(self, node: Container, elements: Iterable[etree._Element]) -> None:
        iterator = iter(elements)
        for child in node.children.values():
            for instance in instances(child):
                element = next(iterator)
                self.nodes[element] = id(instance)
                if isinstance(instance, Container):
                    self._number(instance, iterator)
                elif isinstance(instance, AnyData):
                    for _ in range(sum(1 for _ in element.iter()) - 1):
                        self.nodes[next(iterator)] = id(instance)


def xpath(tree: Container, expression: str, namespaces: Mapping[str, str]) -> Container:
    """The nodes that an expression selects, with all below them, their ancestors and the ancestors' keys."""
    document = tree.recall("xpath")
    if not isinstance(document, _Document):
        document = _Document(tree)
        tree.remember("xpath", document)
    try:
        compiled = etree.XPath(_below_root(expression), namespaces=dict(namespaces), regexp=False, smart_strings=False)
        result = compiled(document.root)
    except (etree.XPathError, ValueError) as error:
        raise _bad_xpath(f"{expression!r}: {error}") from None
    if not isinstance(result, list) or any(not isinstance(found, etree._Element) for found in result):
        raise _bad_xpath(f"{expression!r} does not select nodes")
    chosen = {document.nodes[cast(etree._Element, found)] for found in result}
    if id(tree) in chosen:
        return tree
    return _prune(tree, chosen) or empty(tree.schema.schema)


def _bad_xpath(message: str) -> RpcError:
    return RpcError("invalid-value", message, info={"bad-element": "filter"})


def _prune(node: Container, chosen: set[int]) -> Container | None:
    children: dict[SchemaNode, Node] = {}
    for schema, child in node.children.items():
        part: Node | None
        if isinstance(child, List):
            entries = {}
            for key, entry in child.entries.items():
                kept = entry if id(entry) in chosen else _prune(entry, chosen) if isinstance(entry, Container) else None
                if kept is not None:
                    entries[key] = kept
            part = List(schema, entries) if entries else None
        elif id(child) in chosen:
            part = child
        else:
            part = _prune(child, chosen) if isinstance(child, Container) else None
        if part is not None:
            children[schema] = part
    if not children:
        return None
    keys: dict[SchemaNode, Node] = {k: node.children[k] for k in node.schema.key_nodes} if node.schema.keys else {}
    return Container(node.schema, keys | children)


def _below_root(expression: str) -> str:
    """Absolute paths start at our data, which lie below the root element that XML demands."""
    if len(expression) > MAX_XPATH:
        raise ValueError(f"longer than {MAX_XPATH} characters")
    out: list[str] = []
    previous: str | None = None
    position = 0
    text = expression.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"no XPath at {text[position : position + 20]!r}")
        piece = match[0].strip()
        kind = piece
        if match["name"] or piece == "*":
            operand = previous not in _BEFORE_PATH and previous not in ("/", "//", "::", "@")
            kind = ("*op" if piece == "*" else "nameop") if operand else "name"
        elif match["literal"] or match["number"]:
            kind = "value"
        elif piece in ("/", "//") and previous in _BEFORE_PATH:
            following = _TOKEN.match(text, match.end())
            alone = piece == "/" and (following is None or following[0].strip() in (")", "]", "|", ","))
            piece = "/*" if alone else f"/*{piece}"
        out.append(f" {piece} " if kind == "nameop" else piece)
        previous = kind
        position = match.end()
    return "".join(out)
