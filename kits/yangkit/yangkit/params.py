"""Reading the parameters of NETCONF operations, with the errors of RFC 6241, appendix A."""

from __future__ import annotations

from collections.abc import Iterable

from lxml import etree

from yangkit import defaults
from yangkit.errors import RpcError
from yangkit.xmlutil import NC, WITH_DEFAULTS, split, text_of

_WITH_DEFAULTS = f"{{{WITH_DEFAULTS}}}with-defaults"


class Params:
    """The children of an operation's element, each at most once."""

    def __init__(self, operation: etree._Element, allowed: Iterable[str], namespace: str = NC) -> None:
        self.operation = split(operation)[1]
        self._found: dict[str, etree._Element] = {}
        names = {f"{{{namespace}}}{name}": name for name in allowed}
        names[_WITH_DEFAULTS] = "with-defaults"
        for child in operation:
            name = names.get(child.tag)
            if name is None or (name == "with-defaults" and name not in allowed):
                raise bad("unknown-element", split(child)[1], f"{self.operation} has no parameter {split(child)[1]}")
            if name in self._found:
                raise bad("bad-element", name, f"{self.operation} has {name} twice")
            self._found[name] = child

    def get(self, name: str) -> etree._Element | None:
        """The element of a parameter."""
        return self._found.get(name)

    def need(self, name: str) -> etree._Element:
        """The element of a mandatory parameter."""
        found = self._found.get(name)
        if found is None:
            raise bad("missing-element", name, f"{self.operation} needs {name}")
        return found

    def text(self, name: str, default: str | None = None) -> str | None:
        """The text of a parameter."""
        found = self._found.get(name)
        return text_of(found) if found is not None else default

    def choice(self, name: str, allowed: Iterable[str], default: str) -> str:
        """A parameter that is one of several words."""
        value = self.text(name) or default
        if value not in allowed:
            raise bad("invalid-value", name, f"{value!r} is no {name}")
        return value

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """A parameter that is a number."""
        text = self.text(name)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise bad("invalid-value", name, f"{name} must be a number from {low} to {high}")
        return int(text)

    def flag(self, name: str) -> bool:
        """Is an empty element there?"""
        return name in self._found

    def mode(self) -> str:
        """The with-defaults mode (RFC 6243)."""
        return self.choice("with-defaults", defaults.MODES, "explicit")

    def datastore(self, name: str, allowed: Iterable[str]) -> tuple[str, etree._Element]:
        """The one datastore that <target> or <source> holds."""
        holder = self.need(name)
        if len(holder) == 0:
            raise bad("missing-element", name, f"{name} names no datastore")
        if len(holder) > 1:
            raise bad("bad-element", split(holder[1])[1], f"{name} names more than one datastore")
        namespace, store = split(holder[0])
        if namespace != NC or store not in allowed:
            # startup and url belong to features that are not supported (RFC 7950, section 8.3.1).
            raise bad("unknown-element", store, f"{store} cannot be the {name} of {self.operation}")
        return store, holder[0]


def bad(tag: str, element: str, message: str) -> RpcError:
    """An error about a parameter."""
    return RpcError(tag, message, type="protocol", info={"bad-element": element})
