"""What an order would change, entry by entry, before anything is done (elasticlab-network, rpc plan)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from yangkit import Schema, Tree
from yangkit.paths import parse

from controller.service.entries import drift, entries, public_xml

Operation = Literal["create", "replace", "delete"]
_WORDS = {
    "tenant": "tenant",
    "interface": "interface",
    "control-plane-protocol": "routes of",
    "breakout": "Internet breakout of",
    "pad-entry": "peer",
    "conn-entry": "IPsec connection with",
}
_VERBS = {"create": "Add", "replace": "Change", "delete": "Remove"}


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of one entry of one device."""

    device: str
    operation: Operation
    target: str
    config: str | None
    description: str

    def tree(self) -> Tree:
        """As an entry of the RPC's output."""
        tree: Tree = {
            "device": self.device,
            "target": self.target,
            "operation": self.operation,
            "description": self.description,
        }
        return tree if self.config is None else tree | {"config": self.config}


def plan(old: Mapping[str, Tree], new: Mapping[str, Tree], schema_of: Callable[[str], Schema]) -> list[Edit]:
    """The edits between what is intended now and what would be then; new and changed entries first."""
    found: list[Edit] = []
    for device in sorted({*old, *new}):
        before, after = old.get(device, {}), new.get(device, {})
        if before != after:
            found += _of_device(device, before, after, schema_of(device))
    return found


def _of_device(device: str, before: Tree, after: Tree, schema: Schema) -> Iterator[Edit]:
    was, will = entries(schema, before), entries(schema, after)
    differing = {difference.entry for difference in drift(before, after, schema)}
    for target, entry in will.items():
        if target in differing:
            operation: Operation = "replace" if target in was else "create"
            yield Edit(device, operation, target, public_xml(entry), _words(operation, target))
    for target in was:
        if target not in will:
            yield Edit(device, "delete", target, None, _words("delete", target))


def _words(operation: Operation, target: str) -> str:
    """The change for people."""
    *_, (_, kind, predicates) = parse(target)
    name = list(predicates.values())[-1]
    return f"{_VERBS[operation]} {_WORDS.get(kind, kind)} {name}"
