"""The schema: YANG modules compiled by libyang, as Python objects that are made when they are first asked for."""

from __future__ import annotations

import hashlib
import re
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yangkit import libyang_binding as libyang
from yangkit.errors import RpcError
from yangkit.paths import shortened
from yangkit.xmlutil import escape_attribute

if TYPE_CHECKING:
    from yangkit.backend import Tree
    from yangkit.reach import Reach

# What every server here implements, whatever it manages.
_OWN_FEATURES = ("candidate", "confirmed-commit", "rollback-on-error", "validate", "writable-running", "xpath")


@dataclass(frozen=True)
class Module:
    """A module to implement, with the features to enable (``("*",)`` for all)."""

    name: str
    features: tuple[str, ...] = ()


_KNOWN_VALUES = 1024
"""Values whose canonical form is remembered: more than names, enumerations and addresses that come again and again. To
look one up costs a few microseconds; what comes once (an id of an order, a time) must not be kept for hours."""

_ALWAYS = (
    Module("ietf-netconf", _OWN_FEATURES),
    Module("ietf-netconf-with-defaults"),
    Module("ietf-netconf-monitoring"),
    Module("ietf-netconf-acm"),
    Module("ietf-netconf-notifications"),
    Module("ietf-yang-library"),
    Module("ietf-restconf-monitoring"),
)


@dataclass(frozen=True)
class ModuleInfo:
    """A module of the compiled schema."""

    name: str
    namespace: str
    prefix: str
    revision: str | None
    implemented: bool
    features: tuple[str, ...]
    handle: Any


class SchemaNode:
    """One node of the schema that data can be an instance of; choices and cases are seen through."""

    def __init__(self, schema: Schema, parent: SchemaNode | None, handle: Any, facts: libyang.Facts) -> None:
        self.schema = schema
        self.parent = parent
        self.handle = handle
        self.facts = facts
        self.name = facts.name
        self.kind = facts.kind
        self.config = facts.config
        self.keys = facts.keys
        self.cases = facts.cases
        self.user_ordered = facts.user_ordered
        self.module = schema.modules[facts.module]
        self.namespace = self.module.namespace
        self.qualified_name = f"{facts.module}:{facts.name}"
        own = parent is None or parent.kind == "root" or parent.module is not self.module
        # The output of an RPC is printed into <rpc-reply>, which has another namespace.
        apart = own or (parent is not None and parent.kind in ("rpc", "action"))
        space = f' xmlns="{escape_attribute(self.namespace)}"' if apart else ""
        self.json_name = self.qualified_name if own else self.name
        # Tags as they are printed: the namespace is said where it changes.
        self.open_tag = f"<{self.name}{space}>"
        self.close_tag = f"</{self.name}>"
        self.empty_tag = f"<{self.name}{space}/>"
        self.bare_tag = f"<{self.name}{space}"
        self.clark = f"{{{self.namespace}}}{self.name}"

    def __repr__(self) -> str:
        return f"<{self.kind} {self.path()}>"

    @cached_property
    def children(self) -> dict[str, SchemaNode]:
        """Child nodes by Clark name, in the schema's order; of an RPC or action those of its input."""
        library = self.schema.library
        return self.schema.wrap(self, library.children(self.handle))

    @cached_property
    def secret(self) -> bool:
        """Is it a value that nobody is shown who has not been permitted (RFC 8341, section 4: default-deny-all)?"""
        return self.kind in ("leaf", "leaf-list") and "ietf-netconf-acm:default-deny-all" in self.facts.extensions

    @cached_property
    def actions(self) -> dict[str, SchemaNode]:
        """The actions of an instance by Clark name."""
        return self.schema.wrap(self, self.schema.library.actions(self.handle))

    @cached_property
    def outputs(self) -> dict[str, SchemaNode]:
        """Nodes of the output of an RPC or action."""
        return self.schema.wrap(self, self.schema.library.outputs(self.handle))

    @cached_property
    def by_json_name(self) -> dict[str, SchemaNode]:
        """Child nodes by their RFC 7951 names: the short one where it is enough, and the qualified one."""
        return by_json_name(self, self.children)

    @cached_property
    def key_nodes(self) -> tuple[SchemaNode, ...]:
        """The leafs that are this list's keys, in their order."""
        return tuple(self.children[f"{{{self.namespace}}}{key}"] for key in self.keys)

    @cached_property
    def is_np_container(self) -> bool:
        """A container without meaning of its own (RFC 7950, section 7.5.1)."""
        return self.kind == "container" and not self.facts.presence

    def path(self) -> str:
        """The schema path, qualified where the module changes."""
        above = self.parent.path() if self.parent is not None and self.parent.kind != "root" else ""
        return f"{above}/{self.json_name}"


def by_json_name(parent: SchemaNode | None, nodes: dict[str, SchemaNode]) -> dict[str, SchemaNode]:
    """Index schema nodes by their names in JSON."""
    index = {node.qualified_name: node for node in nodes.values()}
    if parent is not None and parent.kind != "root":
        index |= {node.name: node for node in nodes.values() if node.module is parent.module}
    return index


class _Root(SchemaNode):
    """Parent of the top-level nodes of all modules."""

    def __init__(self, schema: Schema) -> None:
        self.schema, self.parent, self.kind, self.name = schema, None, "root", "data"
        self.config, self.keys, self.cases, self.user_ordered = True, (), (), False
        self.json_name = self.qualified_name = ""

    @cached_property
    def children(self) -> dict[str, SchemaNode]:
        found: dict[str, SchemaNode] = {}
        for module in self.schema.modules.values():
            if module.implemented:
                found |= self.schema.wrap(self, self.schema.library.top(module.handle))
        return found

    def path(self) -> str:
        return "/"


class Schema:
    """YANG modules, compiled together."""

    def __init__(self, search_dirs: Iterable[Path | str] = (), modules: Sequence[Module] = ()) -> None:
        directories = [*(Path(directory) for directory in search_dirs), *packaged_modules()]
        for directory in directories:
            if not directory.is_dir():
                raise FileNotFoundError(f"YANG search directory {directory} does not exist")
        self.search_dirs = directories
        self.library = libyang.Library(directories)
        asked = {module.name: module for module in (*_ALWAYS, *modules)}
        for module in asked.values():
            self.library.load(module.name, module.features)
        self.modules: dict[str, ModuleInfo] = {}
        for handle, name, namespace, revision, implemented in self.library.modules():
            known = self.modules.get(name)
            if known is not None and known.implemented:
                continue
            features = tuple(self.library.features(handle))
            prefix = self.library.prefix(handle)
            self.modules[name] = ModuleInfo(name, namespace, prefix, revision, implemented, features, handle)
        self.by_namespace = {module.namespace: module for module in self.modules.values()}
        self.root: SchemaNode = _Root(self)
        self._canonical = lru_cache(maxsize=_KNOWN_VALUES)(self._canonical_uncached)

    def wrap(self, parent: SchemaNode, handles: Iterator[Any]) -> dict[str, SchemaNode]:
        """Schema nodes for libyang's, by Clark name."""
        nodes = (SchemaNode(self, parent, handle, self.library.facts(handle)) for handle in handles)
        return {node.clark: node for node in nodes}

    @cached_property
    def rpcs(self) -> dict[str, SchemaNode]:
        """RPCs by Clark name."""
        return {name: node for name, node in self.root.children.items() if node.kind == "rpc"}

    @cached_property
    def content_id(self) -> str:
        """Identifies what this schema implements (RFC 8525, section 3)."""
        digest = hashlib.sha256()
        for module in sorted(self.modules.values(), key=lambda m: m.name):
            digest.update(f"{module.name}@{module.revision}{module.implemented}{sorted(module.features)}\n".encode())
        return digest.hexdigest()[:16]

    @cached_property
    def reach(self) -> Reach:
        """How far a change of configuration reaches."""
        from yangkit.reach import Reach  # noqa: PLC0415 - it needs this module

        return Reach(self)

    def canonical(self, node: SchemaNode, value: str) -> tuple[str, int]:
        """Canonical form and basic type of a value whose prefixes are names of modules; RpcError when it is wrong."""
        # Numbers of state are counters and ages: hardly one comes twice, and the others would be forgotten for them.
        passing = not node.config and node.facts.base in libyang.QUANTITIES
        look_up = self._canonical_uncached if passing else self._canonical
        result = look_up(node, shortened(value) if node.facts.qualified else value)
        if isinstance(result, libyang.Issue):
            # libyang repeats the value, in quotes; errors are logged and stored in many places.
            quotes = node.secret and ('"' in result.message or value in result.message)
            message = f"{node.name}: this value is not allowed" if quotes else result.message
            raise RpcError("invalid-value", message, app_tag=result.app_tag)
        return result

    def _canonical_uncached(self, node: SchemaNode, value: str) -> tuple[str, int] | libyang.Issue:
        return self.library.canonical(node.handle, value)

    def canonical_xml(self, node: SchemaNode, text: str, nsmap: dict[str | None, str]) -> tuple[str, int]:
        """The same for a value from XML, whose prefixes mean namespaces in scope."""
        if node.facts.qualified:
            text = self._unprefix(node, text, nsmap)
        return self.canonical(node, text)

    def _unprefix(self, node: SchemaNode, text: str, nsmap: dict[str | None, str]) -> str:
        """Names with prefixes of the document become names with modules (RFC 7951, sections 6.8 and 6.11)."""

        def module_of(match: re.Match[str]) -> str:
            module = self.by_namespace.get(nsmap.get(match[1], ""))
            return f"{module.name}:" if module is not None else match[0]

        if "/" in text or ":" in text:
            # Not inside of quotes: those are values of keys.
            parts = re.split(r"('[^']*'|\"[^\"]*\")", text)
            parts[::2] = [libyang.MODULE_PREFIX.sub(module_of, part) for part in parts[::2]]
            return "".join(parts)
        default = self.by_namespace.get(nsmap.get(None, ""))
        if node.facts.base == libyang.IDENTITY and default is not None and text:
            return f"{default.name}:{text}"
        return text

    def validate(self, tree: Tree) -> None:
        """Raise RpcError when this configuration (RFC 7951) is not valid."""
        from yangkit import treejson, validation  # noqa: PLC0415 - these need this module

        validation.check(self, treejson.load(self, tree))


def packaged_modules() -> list[Path]:
    """Directories of the IETF's and IANA's modules, which pyang brings along."""
    for scheme_path in ("data", "platlib", "purelib"):
        base = Path(sysconfig.get_path(scheme_path)) / "share" / "yang" / "modules"
        if base.is_dir():
            return [base / "ietf", base / "iana"]
    raise FileNotFoundError("the IETF's YANG modules are missing: install yangkit[server], which brings pyang's")
