"""Is a configuration valid? And which error of RFC 7950, sections 8.3.3 and 15, says why not."""

from __future__ import annotations

import re

from yangkit.errors import RpcError
from yangkit.libyang_binding import Issue
from yangkit.paths import parse, qualify
from yangkit.schema import Schema, SchemaNode
from yangkit.tree import Container, List, Node, is_empty
from yangkit.treexml import dump

_VALID = "valid"
_MAX_ERRORS = 16
_TAGS = {
    "data-not-unique": "operation-failed",
    "too-many-elements": "operation-failed",
    "too-few-elements": "operation-failed",
    "must-violation": "operation-failed",
    "instance-required": "data-missing",
    "missing-choice": "data-missing",
}
_NAMES = re.compile(r'"([^"]*)"')
_MANDATORY = re.compile(r'Mandatory (node|choice) "([^"]*)"')
_WHEN = "When condition"


def check(schema: Schema, tree: Container) -> None:
    """Raise RpcError unless the configuration is valid; a tree once found valid is not validated again."""
    if tree.recall(_VALID):
        return
    issues = schema.library.validate(dump(tree))
    if issues:
        errors = [error_of(schema, issue) for issue in issues[:_MAX_ERRORS]]
        errors[0].others = errors[1:]
        raise errors[0]
    tree.remember(_VALID, True)


def settle(schema: Schema, tree: Container, old: Container, touched: set[str], *, partly: bool = False) -> Container:
    """A valid tree: like ``check``, but nodes of the old tree whose *when* became false are deleted (RFC 7950, 8.2).

    New ones, and those that the client itself has ``touched``, are an error instead (section 8.3.1). With ``partly``
    no more of it is looked at than what differs from the old one can reach, as long as that is valid.
    """
    if partly and old.recall(_VALID) and not tree.recall(_VALID):
        part = schema.reach.part(old, tree)
        if part is not None and not schema.library.validate(dump(part)):
            tree.remember(_VALID, True)
    for _ in range(1000):
        if tree.recall(_VALID):
            return tree
        issues = schema.library.validate(dump(tree))
        if not issues:
            tree.remember(_VALID, True)
            return tree
        failed = [i.path for i in issues if _WHEN in i.message and i.path and i.path not in touched]
        stale = [path for path in failed if without(schema, old, path) is not old]
        if not stale:
            break
        pruned = tree
        for path in stale:
            pruned = without(schema, pruned, path)
        if pruned is tree:
            break
        tree = pruned
    check(schema, tree)
    return tree


def error_of(schema: Schema, issue: Issue, missing_tag: str = "data-missing") -> RpcError:
    """The NETCONF error for one of libyang's."""
    path, spaces = qualify(schema, issue.path) if issue.path else (None, {})
    tag = _TAGS.get(issue.app_tag or "", "")
    app_tag = issue.app_tag
    info: dict[str, str] = {}
    mandatory = _MANDATORY.match(issue.message)
    if mandatory is not None:
        tag = missing_tag
        if mandatory[1] == "choice":
            app_tag = "missing-choice"
            info["{urn:ietf:params:xml:ns:yang:1}missing-choice"] = mandatory[2]
        else:
            info["bad-element"] = mandatory[2]
    elif _WHEN in issue.message:
        tag = "unknown-element"
        if issue.path:
            info["bad-element"] = issue.path.rpartition("/")[2].split("[")[0].rpartition(":")[2]
    elif app_tag == "data-not-unique":
        names = _NAMES.findall(issue.message)
        if names:
            info["{urn:ietf:params:xml:ns:yang:1}non-unique"] = path or names[0]
    elif not tag:
        # A must with an error-app-tag of its own stays a must (RFC 7950, section 15.4).
        tag = "operation-failed" if "ust condition" in issue.message or issue.code == "xpath" else "invalid-value"
        if tag == "operation-failed" and app_tag is None and "ust condition" in issue.message:
            app_tag = "must-violation"
    return RpcError(tag, issue.message, app_tag=app_tag, path=path, path_namespaces=spaces, info=info)


def without(schema: Schema, tree: Container, path: str) -> Container:
    """The tree without the instance at this path (RFC 7951 notation); the same tree if there is none."""
    steps = []
    parent: SchemaNode = schema.root
    for prefix, name, predicates in parse(path):
        node = parent.by_json_name.get(f"{prefix}:{name}" if prefix else name)
        if node is None:
            return tree
        key = tuple(predicates[k] for k in node.keys if k in predicates) if node.keys else ()
        if node.kind == "leaf-list":
            key = (predicates.get(".", ""),)
        steps.append((node, key))
        parent = node
    return _without(tree, steps)


def _without(tree: Container, steps: list[tuple[SchemaNode, tuple[str, ...]]]) -> Container:
    (schema, key), rest = steps[0], steps[1:]
    child = tree.children.get(schema)
    if child is None:
        return tree
    replacement: Node | None = None
    if isinstance(child, List):
        entry = child.entries.get(key)
        if entry is None:
            return tree
        if rest:
            assert isinstance(entry, Container)
            pruned = _without(entry, rest)
            if pruned is entry:
                return tree
            replacement = List(schema, {**child.entries, key: pruned})
        else:
            replacement = List(schema, {k: e for k, e in child.entries.items() if k != key})
    elif rest:
        assert isinstance(child, Container)
        replacement = _without(child, rest)
        if replacement is child:
            return tree
    children = dict(tree.children)
    if replacement is None or is_empty(replacement):
        del children[schema]
    else:
        children[schema] = replacement
    return Container(tree.schema, children)
