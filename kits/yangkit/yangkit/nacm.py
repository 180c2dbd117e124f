"""Access control: RFC 8341. Rules come from the running configuration and are read anew only when it changes there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any

from yangkit import treejson
from yangkit.diff import changes
from yangkit.errors import RpcError
from yangkit.paths import Path, parse
from yangkit.schema import Schema, SchemaNode
from yangkit.tree import Container, Key, List, Node, is_empty

NAMESPACE = "urn:ietf:params:xml:ns:yang:ietf-netconf-acm"
_DENY_ALL = "ietf-netconf-acm:default-deny-all"
_DENY_WRITE = "ietf-netconf-acm:default-deny-write"
_NC_MODULE = "ietf-netconf"
_SERIALS = count()


@dataclass(frozen=True)
class _Rule:
    module: str
    kind: str | None  # rpc, notification, path, or None for all
    target: str
    steps: tuple[tuple[str, dict[str, str]], ...]
    operations: frozenset[str]
    permit: bool

    def covers_operation(self, operation: str) -> bool:
        return "*" in self.operations or operation in self.operations

    def covers_module(self, module: str) -> bool:
        return self.module in ("*", module)


def _rule(data: dict[str, Any]) -> _Rule:
    kind, target = next(
        ((k, str(data[k])) for k in ("rpc-name", "notification-name", "path") if k in data), (None, "*")
    )
    steps: list[tuple[str, dict[str, str]]] = []
    if kind == "path" and target != "/":
        module = None
        for prefix, name, predicates in parse(target):
            module = prefix or module
            steps.append((f"{module}:{name}", predicates))
    operations = frozenset(str(data.get("access-operations", "*")).split())
    return _Rule(data.get("module-name", "*"), kind, target, tuple(steps), operations, data["action"] == "permit")


class Rules:
    """The access rules of one configuration."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.enabled = bool(data.get("enable-nacm", True))
        self.serial = next(_SERIALS)
        self.default: dict[str, bool] = {
            "read": data.get("read-default", "permit") == "permit",
            "write": data.get("write-default", "deny") == "permit",
            "exec": data.get("exec-default", "permit") == "permit",
        }
        self._groups: dict[str, frozenset[str]] = {}
        for group in data.get("groups", {}).get("group", []):
            for user in group.get("user-name", []):
                self._groups[user] = self._groups.get(user, frozenset()) | {group["name"]}
        self._lists = [
            (frozenset(entry.get("group", [])), [_rule(rule) for rule in entry.get("rule", [])])
            for entry in data.get("rule-list", [])
        ]

    @classmethod
    def of(cls, schema: Schema, running: Container) -> Rules:
        """The rules in a configuration; kept with their part of it."""
        node = running.children.get(schema.root.children[f"{{{NAMESPACE}}}nacm"])
        if not isinstance(node, Container):
            return _NO_RULES
        known = node.recall("nacm")
        if not isinstance(known, Rules):
            known = cls(treejson.dump(node))
            node.remember("nacm", known)
        return known

    def groups(self, user: str) -> frozenset[str]:
        """The groups that a user is in."""
        return self._groups.get(user, frozenset())

    def for_groups(self, groups: frozenset[str]) -> list[_Rule]:
        """The rules that count for these groups, in their order."""
        return (
            [rule for names, rules in self._lists if "*" in names or names & groups for rule in rules] if groups else []
        )


_NO_RULES = Rules({})


class Access:
    """What one user may do under one configuration."""

    def __init__(self, rules: Rules, user: str, recovery: bool, write_only: frozenset[str] = frozenset()) -> None:
        self._write_only = write_only
        self.unlimited = recovery or not rules.enabled
        self.user = user
        self._defaults = rules.default
        groups = rules.groups(user)
        self._rules = [] if self.unlimited else rules.for_groups(groups)
        self._data_rules = [rule for rule in self._rules if rule.kind in (None, "path")]
        self._key = ("nacm", rules.serial, self.unlimited, tuple(sorted(groups)))

    # -- operations --------------------------------------------------------------------------------------------------

    def check_exec(self, rpc: SchemaNode | None, module: str, name: str) -> None:
        """Raise access-denied unless the user may call this RPC (section 3.4.4)."""
        if self.unlimited or (module == _NC_MODULE and name == "close-session"):
            return
        for rule in self._rules:
            fits = rule.kind is None or (rule.kind == "rpc-name" and rule.target in ("*", name))
            if fits and rule.covers_module(module) and rule.covers_operation("exec"):
                if rule.permit:
                    return
                raise _denied(f"{self.user} may not call {name}", "protocol")
        closed = rpc is not None and _DENY_ALL in rpc.facts.extensions
        if closed or (module == _NC_MODULE and name in ("kill-session", "delete-config")) or not self._defaults["exec"]:
            raise _denied(f"{self.user} may not call {name}", "protocol")

    def may_notify(self, module: str, name: str) -> bool:
        """May the user get this notification? (section 3.4.6)"""
        if self.unlimited:
            return True
        for rule in self._rules:
            fits = rule.kind is None or (rule.kind == "notification-name" and rule.target in ("*", name))
            if fits and rule.covers_module(module) and rule.covers_operation("read"):
                return rule.permit
        return self._defaults["read"]

    # -- data --------------------------------------------------------------------------------------------------------

    def _decide(self, operation: str, path: Path) -> bool:
        schema = path.steps[-1][0]
        if operation == "read" and schema.qualified_name in self._write_only:
            return False
        if self.unlimited:
            return True
        for rule in self._data_rules:
            if not rule.covers_module(schema.module.name) or not rule.covers_operation(operation):
                continue
            if rule.kind is None or _above(rule, path):
                return rule.permit
        extensions = {name for step, _ in path.steps for name in step.facts.extensions}
        if _DENY_ALL in extensions:
            return False
        if operation != "read" and _DENY_WRITE in extensions:
            return False
        return self._defaults["read" if operation == "read" else "write"]

    def check_write(self, old: Container, new: Container) -> None:
        """Raise access-denied unless the user may turn the one tree into the other (section 3.4.5)."""
        if self.unlimited:
            return
        for operation, path in changes(old, new):
            asked = "update" if operation == "move" else operation
            if path.steps[-1][0].is_np_container:
                continue  # neither created nor deleted by anybody: it has no meaning of its own
            if not self._decide(asked, path):
                where, spaces = path.xpath()
                error = _denied(f"{self.user} may not {asked} {path}", "application")
                error.path, error.path_namespaces = where, spaces
                raise error

    def readable(self, tree: Container) -> Container:
        """The part of the tree that the user may read; the rest is left out silently."""
        if self.unlimited and not self._write_only:
            return tree
        name = repr(self._key)
        known = tree.recall(name)
        if not isinstance(known, Container):
            known = Container(tree.schema, self._readable(tree, Path(), self._data_rules))
            tree.remember(name, known)
        return known

    def sees(self, tree: Container, path: Path) -> bool:
        """Is what is at the path in ``readable(tree)``, too? No more of that is made than the answer needs."""
        if self.unlimited and not self._write_only:
            return True
        node: Node = tree
        here = Path()
        for schema, key in path.steps:
            child = node.children.get(schema) if isinstance(node, Container) else None
            if isinstance(child, List):
                if not key:
                    return any(self._shows(entry, here.child(schema, k)) for k, entry in child.entries.items())
                child = child.entries.get(key)
            if child is None:
                return False
            node, here = child, here.child(schema, key)
            if not self._opens(here):
                return False
        return not here.steps or self._shows(node, here)

    def _opens(self, here: Path) -> bool:
        """May something be shown at this place or below it?"""
        return self._decide("read", here) or any(_below(rule, here) for rule in self._data_rules)

    def _shows(self, node: Node, here: Path) -> bool:
        """Does ``_visible`` leave something of the node, which is no list?"""
        permitted = self._decide("read", here)
        if not isinstance(node, Container) or (permitted and not node.schema.is_np_container):
            return permitted
        return self._opens(here) and any(
            self._shows(part, here.child(schema, key))
            for schema, child in node.children.items()
            for key, part in _parts(child)
        )

    def _readable(self, node: Container, path: Path, rules: Iterable[_Rule]) -> dict[SchemaNode, Node]:
        children: dict[SchemaNode, Node] = {}
        for schema, child in node.children.items():
            kept: Node | None = None
            if isinstance(child, List):
                entries = {}
                for key, entry in child.entries.items():
                    part = self._visible(entry, path.child(schema, key))
                    if part is not None:
                        entries[key] = part
                kept = List(schema, entries) if entries else None  # type: ignore[arg-type]
            else:
                kept = self._visible(child, path.child(schema))
            if kept is not None and not is_empty(kept):
                children[schema] = kept
        return children

    def _visible(self, node: Node, here: Path) -> Node | None:
        permitted = self._decide("read", here)
        if not isinstance(node, Container):
            return node if permitted else None
        if not permitted and not any(_below(rule, here) for rule in self._data_rules):
            return None
        children = self._readable(node, here, self._data_rules)
        if not permitted:
            if not children:
                return None
            # Something below is permitted by its path: the way to it is shown, with its keys.
            keys = {k: node.children[k] for k in node.schema.key_nodes} if node.schema.keys else {}
            children = keys | children
        return Container(node.schema, children)


def _parts(node: Node) -> Iterable[tuple[Key, Node]]:
    """The instances that a child stands for, by their keys."""
    return node.entries.items() if isinstance(node, List) else [((), node)]


def _above(rule: _Rule, path: Path) -> bool:
    """Is the rule's path that of the node or of one of its ancestors?"""
    if len(rule.steps) > len(path.steps):
        return False
    return all(_fits(step, *at) for step, at in zip(rule.steps, path.steps, strict=False))


def _below(rule: _Rule, path: Path) -> bool:
    """Does the rule permit to read something below this node?"""
    if not rule.permit or rule.kind != "path" or not rule.covers_operation("read"):
        return False
    if len(rule.steps) <= len(path.steps):
        return False
    return all(_fits(step, *at) for step, at in zip(rule.steps, path.steps, strict=False))


def _fits(step: tuple[str, dict[str, str]], schema: SchemaNode, key: tuple[str, ...]) -> bool:
    name, predicates = step
    if name != schema.qualified_name:
        return False
    have = dict(zip(schema.keys if schema.kind == "list" else (".",), key, strict=False))
    return all(have.get(k) == value for k, value in predicates.items())


def _denied(message: str, kind: str) -> RpcError:
    return RpcError("access-denied", message, type=kind)
