"""The only module that touches libyang.

Written for PyPI's ``libyang`` 3.3 on libyang 3.12. Its Python classes hide the validation codes and the error-app-tags,
so that everything here goes through its cffi layer. libyang keeps errors per context and thread: whoever calls, reads
them before anyone else may call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _libyang import ffi, lib

lib.ly_log_level(lib.LY_LLERR)
lib.ly_log_options(lib.LY_LOSTORE)

KINDS = {
    lib.LYS_CONTAINER: "container",
    lib.LYS_LIST: "list",
    lib.LYS_LEAF: "leaf",
    lib.LYS_LEAFLIST: "leaf-list",
    # The binding names these two only in part.
    lib.LYS_ANYXML: "anydata",
    lib.LYS_ANYDATA: "anydata",
    lib.LYS_RPC: "rpc",
    lib.LYS_ACTION: "action",
    lib.LYS_NOTIF: "notification",
}
NUMBERS = frozenset(
    {
        lib.LY_TYPE_INT8,
        lib.LY_TYPE_INT16,
        lib.LY_TYPE_INT32,
        lib.LY_TYPE_UINT8,
        lib.LY_TYPE_UINT16,
        lib.LY_TYPE_UINT32,
    }
)
"""Those that are numbers in JSON (RFC 7951, section 6.1)."""
QUANTITIES = NUMBERS | {lib.LY_TYPE_INT64, lib.LY_TYPE_UINT64, lib.LY_TYPE_DEC64}
BOOLEAN = lib.LY_TYPE_BOOL
EMPTY = lib.LY_TYPE_EMPTY
IDENTITY = lib.LY_TYPE_IDENT
# A reference may be to a union: its type is that of whatever it refers to.
UNIONS = frozenset({lib.LY_TYPE_UNION, lib.LY_TYPE_LEAFREF})
_YANG_1_1 = 2  # LYS_VERSION_1_1
_QUALIFIED = frozenset({lib.LY_TYPE_IDENT, lib.LY_TYPE_INST})


class LibyangError(Exception):
    """libyang refuses a module or a context; the message is libyang's."""


@dataclass(frozen=True)
class Issue:
    """One error of libyang about data."""

    message: str
    path: str | None
    app_tag: str | None
    code: str


@dataclass(frozen=True)
class Facts:
    """What the compiled schema says about one node."""

    name: str
    module: str
    kind: str
    config: bool
    presence: bool
    mandatory: bool
    keys: tuple[str, ...]
    user_ordered: bool
    cases: tuple[tuple[int, int], ...]
    base: int
    qualified: bool
    default: str | None
    extensions: frozenset[str]


def _text(pointer: Any) -> str:
    return "" if pointer == ffi.NULL else ffi.string(pointer).decode("utf-8", "replace")


def _optional(pointer: Any) -> str | None:
    return None if pointer == ffi.NULL else _text(pointer)


def _array(pointer: Any) -> Iterator[Any]:
    """Items of libyang's sized arrays, whose length stands before the first item."""
    if pointer == ffi.NULL:
        return
    size = ffi.cast("uint64_t *", pointer)[-1]
    for index in range(size):
        yield pointer[index]


class Library:
    """A libyang context."""

    def __init__(self, search_dirs: Iterable[Path]) -> None:
        made = ffi.new("struct ly_ctx **")
        path = ":".join(str(directory) for directory in search_dirs)
        options = lib.LY_CTX_DISABLE_SEARCHDIR_CWD
        if lib.ly_ctx_new(path.encode() or ffi.NULL, options, made) != lib.LY_SUCCESS:
            raise LibyangError(f"no libyang context with the search path {path!r}")
        self._ctx = ffi.gc(made[0], lib.ly_ctx_destroy)

    # -- modules -----------------------------------------------------------------------------------------------------

    def load(self, name: str, features: Sequence[str]) -> None:
        """Implement a module with these features (``*`` for all)."""
        chars = [ffi.new("char[]", feature.encode()) for feature in features]
        array = ffi.new("char *[]", [*chars, ffi.NULL])
        if lib.ly_ctx_load_module(self._ctx, name.encode(), ffi.NULL, array) == ffi.NULL:
            reasons = "; ".join(issue.message for issue in self._issues()) or "unknown reason"
            raise LibyangError(f"module {name} cannot be loaded: {reasons}")

    def modules(self) -> Iterator[tuple[Any, str, str, str | None, bool]]:
        """Handle, name, namespace, revision of each module of the context, and whether it is implemented."""
        index = ffi.new("uint32_t *", 0)
        while (module := lib.ly_ctx_get_module_iter(self._ctx, index)) != ffi.NULL:
            yield module, _text(module.name), _text(module.ns), _optional(module.revision), bool(module.implemented)

    def features(self, module: Any) -> list[str]:
        """The enabled features of a module."""
        found: list[str] = []
        index = ffi.new("uint32_t *", 0)
        feature = ffi.NULL
        while (feature := lib.lysp_feature_next(feature, module.parsed, index)) != ffi.NULL:
            if lib.lys_feature_value(module, feature.name) == lib.LY_SUCCESS:
                found.append(_text(feature.name))
        return found

    def prefix(self, module: Any) -> str:
        """The prefix that a module gives itself."""
        return _text(module.prefix)

    def is_yang_1_1(self, module: Any) -> bool:
        """Is the module written in YANG 1.1?"""
        return module.parsed != ffi.NULL and int(module.parsed.version) == _YANG_1_1

    def file_of(self, module: Any) -> str | None:
        """The file that a module was read from."""
        return _optional(module.filepath)

    def source(self, module: Any) -> str:
        """The YANG text of a module as libyang prints it."""
        out = ffi.new("char **")
        if lib.lys_print_mem(out, module, lib.LYS_OUT_YANG, 0) != lib.LY_SUCCESS:
            raise LibyangError(f"module {_text(module.name)} cannot be printed")
        return _take(out[0])

    def yang_library(self, content_id: str) -> str:
        """The ietf-yang-library data (RFC 8525) of this context, as XML."""
        tree = ffi.new("struct lyd_node **")
        argument = ffi.new("char[]", content_id.encode())
        if lib.ly_ctx_get_yanglib_data(self._ctx, tree, b"%s", argument) != lib.LY_SUCCESS:
            raise LibyangError("; ".join(issue.message for issue in self._issues()))
        try:
            return _print(tree[0], 0)
        finally:
            lib.lyd_free_all(tree[0])

    # -- schema nodes ------------------------------------------------------------------------------------------------

    def top(self, module: Any) -> Iterator[Any]:
        """Top-level data nodes, RPCs and notifications of an implemented module."""
        yield from _next(ffi.NULL, module.compiled, 0)

    def children(self, node: Any) -> Iterator[Any]:
        """Data nodes below a node, through choices; for RPCs and actions those of the input."""
        yield from _next(node, ffi.NULL, 0)

    def outputs(self, node: Any) -> Iterator[Any]:
        """Data nodes of the output of an RPC or action."""
        yield from _next(node, ffi.NULL, lib.LYS_GETNEXT_OUTPUT)

    def actions(self, node: Any) -> Iterator[Any]:
        """Actions of a container or list."""
        action = ffi.cast("struct lysc_node *", lib.lysc_node_actions(node))
        while action != ffi.NULL:
            yield action
            action = action.next

    def facts(self, node: Any) -> Facts:
        """What the schema says about a node."""
        kind = KINDS[node.nodetype]
        is_leaf, is_list = kind == "leaf", kind == "list"
        keys: tuple[str, ...] = ()
        base, qualified, default = lib.LY_TYPE_UNKNOWN, False, None
        if is_list:
            keys = tuple(_text(child.name) for child in _next(node, ffi.NULL, 0) if child.flags & lib.LYS_KEY)
        elif is_leaf or kind == "leaf-list":
            struct = "struct lysc_node_leaf *" if is_leaf else "struct lysc_node_leaflist *"
            leaf = ffi.cast(struct, node)
            base, qualified = leaf.type.basetype, _may_qualify(leaf.type)
            if is_leaf and leaf.dflt != ffi.NULL:
                default = _text(lib.lyd_value_get_canonical(self._ctx, leaf.dflt))
        return Facts(
            name=_text(node.name),
            module=_text(node.module.name),
            kind=kind,
            config=bool(node.flags & lib.LYS_CONFIG_W),
            presence=kind == "container" and bool(node.flags & lib.LYS_PRESENCE),
            mandatory=bool(node.flags & lib.LYS_MAND_TRUE),
            keys=keys,
            user_ordered=kind in ("list", "leaf-list") and bool(node.flags & lib.LYS_ORDBY_USER),
            cases=_cases(node),
            base=base,
            qualified=qualified,
            default=default,
            extensions=frozenset(_extension(ext) for ext in _array(node.exts)),
        )

    # -- values and data ---------------------------------------------------------------------------------------------

    def canonical(self, node: Any, value: str) -> tuple[str, int] | Issue:
        """Canonical form and basic type of a leaf's value, whose prefixes are names of modules (RFC 7951)."""
        parent = node.parent
        output = False
        while parent != ffi.NULL and parent.nodetype in (lib.LYS_CHOICE, lib.LYS_CASE, lib.LYS_INPUT, lib.LYS_OUTPUT):
            output = output or parent.nodetype == lib.LYS_OUTPUT
            parent = parent.parent
        # A stand-in for the parent instance: libyang asks it for its schema only, and real ones would need keys.
        holder: Any = ffi.NULL
        if parent != ffi.NULL:
            inner = ffi.new("struct lyd_node_inner *")
            holder = ffi.cast("struct lyd_node *", inner)
            holder.schema = parent
            holder.prev = holder
        made = ffi.new("struct lyd_node **")
        options = lib.LYD_NEW_VAL_OUTPUT if output else 0
        try:
            encoded = value.encode()
        except UnicodeEncodeError:
            return Issue("the value is not Unicode", None, None, "data")
        if "\0" in value:
            return Issue("the value contains a NUL character", None, None, "data")
        code = lib.lyd_new_term(holder, node.module, node.name, encoded, options, made)
        if code != lib.LY_SUCCESS:
            issues = self._issues()
            return issues[0] if issues else Issue(f"invalid value {value!r}", None, None, "data")
        term = ffi.cast("struct lyd_node_term *", made[0])
        result = _text(lib.lyd_get_value(made[0])), _base(term.value)
        made[0].parent = ffi.NULL  # libyang refuses to free the key of a list, and the holder is Python's
        lib.lyd_free_tree(made[0])
        return result

    def validate(self, xml: str) -> list[Issue]:
        """Validate a whole configuration."""
        tree, issues = self._parse(xml)
        if tree is not None:
            lib.lyd_free_all(tree)
        return issues

    def with_defaults(self, xml: str) -> str:
        """A valid configuration with its defaults, those tagged as in RFC 6243, section 6."""
        tree, issues = self._parse(xml)
        if tree is None:
            raise LibyangError("; ".join(issue.message for issue in issues))
        try:
            return _print(tree, lib.LYD_PRINT_WD_IMPL_TAG)
        finally:
            lib.lyd_free_all(tree)

    def _parse(self, xml: str, *, only: bool = False) -> tuple[Any, list[Issue]]:
        """A tree, or what is wrong with it; ``only``: of a part, of which leafs with values of the right type are all
        that counts, and which has no defaults."""
        made = ffi.new("struct lyd_node **")
        code = lib.lyd_parse_data_mem(
            self._ctx,
            xml.encode(),
            lib.LYD_XML,
            lib.LYD_PARSE_STRICT | (lib.LYD_PARSE_ONLY if only else lib.LYD_PARSE_NO_STATE),
            0 if only else lib.LYD_VALIDATE_NO_STATE | lib.LYD_VALIDATE_MULTI_ERROR,
            made,
        )
        if code == lib.LY_SUCCESS:
            return made[0], []
        if made[0] != ffi.NULL:
            lib.lyd_free_all(made[0])
        return None, self._issues() or [Issue("the configuration is not valid", None, None, "data")]

    def validate_rpc(self, xml: str, datastore_xml: str, *, part: bool = False) -> list[Issue]:
        """Validate the input of an RPC against the configuration, or the ``part`` that its references may mean."""
        source, tree, store = ffi.new("struct ly_in **"), ffi.new("struct lyd_node **"), ffi.NULL
        keep = ffi.new("char[]", xml.encode())
        if lib.ly_in_new_memory(keep, source) != lib.LY_SUCCESS:
            raise LibyangError("no memory for an RPC")
        code = lib.lyd_parse_op(self._ctx, ffi.NULL, source[0], lib.LYD_XML, lib.LYD_TYPE_RPC_YANG, tree, ffi.NULL)
        lib.ly_in_free(source[0], 0)
        if code == lib.LY_SUCCESS:
            parsed, _ = self._parse(datastore_xml, only=part)
            store = parsed if parsed is not None else ffi.NULL
            code = lib.lyd_validate_op(tree[0], store, lib.LYD_TYPE_RPC_YANG, ffi.NULL)
        issues = [] if code == lib.LY_SUCCESS else self._issues() or [Issue("invalid input", None, None, "data")]
        if tree[0] != ffi.NULL:
            lib.lyd_free_all(tree[0])
        if store != ffi.NULL:
            lib.lyd_free_all(store)
        return issues

    def _issues(self) -> list[Issue]:
        """The errors that libyang holds for this context; they are forgotten there."""
        found = []
        error = lib.ly_err_first(self._ctx)
        while error != ffi.NULL:
            found.append(
                Issue(_text(error.msg), _optional(error.data_path), _optional(error.apptag), _code(error.vecode))
            )
            error = error.next
        lib.ly_err_clean(self._ctx, ffi.NULL)
        return found


def _code(vecode: int) -> str:
    names = {lib.LYVE_REFERENCE: "reference", lib.LYVE_XPATH: "xpath", lib.LYVE_SEMANTICS: "semantics"}
    return names.get(vecode, "data" if vecode == lib.LYVE_DATA else "syntax")


def _extension(instance: Any) -> str:
    definition = getattr(instance, "def")
    return f"{_text(definition.module.name)}:{_text(definition.name)}"


def _next(parent: Any, module: Any, options: int) -> Iterator[Any]:
    node = ffi.NULL
    while (node := lib.lys_getnext(node, parent, module, options)) != ffi.NULL:
        yield node


def _cases(node: Any) -> tuple[tuple[int, int], ...]:
    """The choices a node is a branch of, from the outermost; each with its case."""
    found = []
    parent = node.parent
    while parent != ffi.NULL and parent.nodetype in (lib.LYS_CHOICE, lib.LYS_CASE):
        if parent.nodetype == lib.LYS_CASE:
            found.append((int(ffi.cast("uintptr_t", parent.parent)), int(ffi.cast("uintptr_t", parent))))
        parent = parent.parent
    return tuple(reversed(found))


def _may_qualify(kind: Any) -> bool:
    """Whether values of this type may contain names with a prefix."""
    if kind.basetype in _QUALIFIED:
        return True
    if kind.basetype == lib.LY_TYPE_LEAFREF:
        return _may_qualify(ffi.cast("struct lysc_type_leafref *", kind).realtype)
    if kind.basetype == lib.LY_TYPE_UNION:
        return any(_may_qualify(member) for member in _array(ffi.cast("struct lysc_type_union *", kind).types))
    # ietf-yang-types:xpath1.0 and its like are stored by libyang with names of modules, too.
    return kind.name != ffi.NULL and _text(kind.name) in ("xpath1.0", "node-instance-identifier")


def _base(value: Any) -> int:
    """The basic type of a stored value; of a union, that of the member that took it."""
    while value.realtype.basetype == lib.LY_TYPE_UNION:
        value = value.subvalue.value
    return int(value.realtype.basetype)


def _take(pointer: Any) -> str:
    """The text that libyang has allocated for us; frees it."""
    text = _text(pointer)
    if pointer != ffi.NULL:
        lib.free(pointer)
    return text


def _print(tree: Any, options: int) -> str:
    if tree == ffi.NULL:
        return ""
    out = ffi.new("char **")
    flags = options | lib.LYD_PRINT_WITHSIBLINGS | lib.LYD_PRINT_SHRINK
    if lib.lyd_print_mem(out, tree, lib.LYD_XML, flags) != lib.LY_SUCCESS:
        raise LibyangError("a data tree cannot be printed")
    return _take(out[0])


MODULE_PREFIX = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*):")
