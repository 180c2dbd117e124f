"""What the compiled schema demands of a node, beside its type: the other half of ``libyang_binding``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from _libyang import ffi, lib

_LEAFS = {lib.LYS_LEAF: "struct lysc_node_leaf *", lib.LYS_LEAFLIST: "struct lysc_node_leaflist *"}
_UNBOUNDED = 2**32 - 1


@dataclass(frozen=True)
class Expression:
    """An XPath, and how many data nodes above its node it begins. ``of_instances``: it is asked only of nodes that are
    there, as a *when* is not."""

    text: str
    above: int = 0
    of_instances: bool = True


@dataclass(frozen=True)
class Constraints:
    """``refers`` is the schema node that a leafref's value must be there of, when that is all that it says."""

    expressions: tuple[Expression, ...]
    refers: Any | None
    path: str
    #: Entries of a list or leaf-list count (unique, min-elements, max-elements).
    counts: bool
    #: It may depend on anything.
    boundless: bool
    #: A leaf that is there without being written has a default.
    implied: bool


def address(handle: Any) -> int:
    """What tells schema nodes of libyang apart."""
    return int(ffi.cast("uintptr_t", handle))


def constraints(node: Any) -> Constraints:
    """Those of one data node, and of the choices and cases that it stands in."""
    found = [Expression(_text(must.cond)) for must in _array(lib.lysc_node_musts(node))]
    for holder in _with_choices(node):
        found += [
            Expression(_text(when.cond), _above(node, when.context), of_instances=False)
            for when in _array(lib.lysc_node_when(holder))
        ]
    refers, path, boundless, implied = None, "", False, False
    if node.nodetype in _LEAFS:
        leaf = ffi.cast(_LEAFS[node.nodetype], node)
        implied = (leaf.dflt if node.nodetype == lib.LYS_LEAF else leaf.dflts) != ffi.NULL
        kinds = list(_members(leaf.type))
        boundless = any(kind.basetype == lib.LY_TYPE_INST for kind in kinds)
        paths = [text for kind in kinds if (text := _path(kind)) is not None]
        refers = _target(node) if len(paths) == len(kinds) == 1 and "[" not in paths[0] and not implied else None
        path = paths[0] if refers is not None else ""
        found += [Expression(text) for text in paths if refers is None]
    return Constraints(tuple(found), refers, path, _counts(node), boundless, implied)


def _counts(node: Any) -> bool:
    if node.nodetype == lib.LYS_LIST:
        entries = ffi.cast("struct lysc_node_list *", node)
        return bool(entries.uniques != ffi.NULL) or _is_bounded(entries)
    return node.nodetype == lib.LYS_LEAFLIST and _is_bounded(ffi.cast("struct lysc_node_leaflist *", node))


def _is_bounded(entries: Any) -> bool:
    return bool(entries.min > 0 or entries.max not in (0, _UNBOUNDED))


def is_restricted(operation: Any) -> bool:
    """Has the input of an RPC, as a whole, a *must*?"""
    return any(True for _ in _array(lib.lysc_node_musts(lib.lysc_node_child(operation))))


def _with_choices(node: Any) -> Iterator[Any]:
    yield node
    while (node := node.parent) != ffi.NULL and node.nodetype in (lib.LYS_CHOICE, lib.LYS_CASE):
        yield node


def _above(node: Any, context: Any) -> int:
    """Data nodes from a node up to the one from which a *when* is looked at; 0 for itself."""
    steps = 0
    while node not in (ffi.NULL, context):
        node = node.parent
        if node == ffi.NULL or node.nodetype not in (lib.LYS_CHOICE, lib.LYS_CASE):
            steps += 1
    return steps


def _members(kind: Any) -> Iterator[Any]:
    if kind.basetype != lib.LY_TYPE_UNION:
        yield kind
        return
    for member in _array(ffi.cast("struct lysc_type_union *", kind).types):
        yield from _members(member)


def _path(kind: Any) -> str | None:
    if kind.basetype != lib.LY_TYPE_LEAFREF:
        return None
    reference = ffi.cast("struct lysc_type_leafref *", kind)
    return _text(reference.path) if reference.require_instance else None


def _target(node: Any) -> Any:
    found = ffi.new("struct ly_set **")
    if lib.lysc_node_lref_targets(node, found) != lib.LY_SUCCESS:
        return None
    try:
        return found[0].snodes[0] if found[0].count == 1 else None
    finally:
        lib.ly_set_free(found[0], ffi.NULL)


def _text(expression: Any) -> str:
    return str(ffi.string(lib.lyxp_get_expr(expression)).decode())


def _array(pointer: Any) -> Iterator[Any]:
    if pointer == ffi.NULL:
        return
    for index in range(ffi.cast("uint64_t *", pointer)[-1]):
        yield pointer[index]
