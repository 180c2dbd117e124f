"""The links of a topology: containerlab's short form and its extended form for veth pairs."""

from __future__ import annotations

import re
from types import MappingProxyType

from .definition import DefinitionReader
from .document import Mapping, Scalar, Sequence, Value, describe
from .impairments import LINK_LABELS, decode, problem
from .model import Endpoint, Link
from .problems import suggest

DEFAULT_MTU = 9500
"""containerlab's default for veth links."""

_FIELDS = frozenset({"endpoints", "type", "mtu", "labels"})
_ENDPOINT_FIELDS = frozenset({"node", "interface", "mac"})
_IN_EXEC = "addresses and their like belong to the nodes: use exec, or an order in orders/"
_UNSUPPORTED = {"vars": _IN_EXEC, "ipv4": _IN_EXEC, "ipv6": _IN_EXEC}
_OTHER_TYPES = ("mgmt-net", "macvlan", "host", "vxlan", "vxlan-stitch", "dummy", "bridge", "brief")

_TWO_ENDS = 'write endpoints: ["node-1:wan", "node-2:lan"]'

_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")

SPECIAL_NODES = frozenset({"host", "mgmt-net", "macvlan", "vxlan", "vxlan-stitch", "dummy", "bridge"})
"""Node names that mean something else in a link of containerlab's."""


class LinkReader:
    """Reads links between the nodes whose names are given; keeps which interface is taken where."""

    def __init__(self, reader: DefinitionReader, nodes: frozenset[str]) -> None:
        self.reader = reader
        self.problems = reader.problems
        self.nodes = nodes
        self.taken: dict[tuple[str, str], int] = {}

    def links(self, value: Value | None) -> tuple[Link, ...]:
        found = (self._link(item) for item in self.reader.items(value, "links"))
        return tuple(link for link in found if link)

    def _link(self, value: Value) -> Link | None:
        body = self.reader.mapping(value, "a link")
        if body is None:
            if isinstance(value, Scalar) and value.is_null:
                self.problems.add(value, "an empty link", "remove it")
            return None
        self.reader.fields(body, "a link", _FIELDS | _of_other_types(body), _UNSUPPORTED)
        if not self._type_is_veth(body):
            return None
        extended = body.get("type") is not None
        ends = [self._endpoint(item, extended) for item in self._two_ends(body)]
        mtu = self.reader.integer(body.get("mtu"), "mtu", 68, 65535)
        labels = self.reader.labels(body.get("labels"), LINK_LABELS)
        if len(ends) != 2 or ends[0] is None or ends[1] is None:
            return None
        names = (str(ends[0]), str(ends[1]))
        self._impairments_fit(body.get("labels"), labels, names)
        impaired = decode(labels, names)
        return Link(ends[0], ends[1], mtu or DEFAULT_MTU, MappingProxyType(labels), body.line, impaired)

    def _impairments_fit(self, given: Value | None, labels: dict[str, str], ends: tuple[str, str]) -> None:
        for label in sorted(labels.keys() & LINK_LABELS.keys()):
            found = problem(label, labels, ends)
            if found is not None and isinstance(given, Mapping):
                self.problems.add(given.get(label), *found)

    def _type_is_veth(self, body: Mapping) -> bool:
        kind = self.reader.text(body.get("type"), "type")
        if kind is None or kind.text == "veth":
            return True
        known = kind.text in _OTHER_TYPES
        what = f"links of type {describe(kind)} are not supported" if known else f"unknown link type {describe(kind)}"
        self.problems.add(kind, what, "use veth: join two nodes")
        return False

    def _two_ends(self, body: Mapping) -> list[Value]:
        given = body.get("endpoints")
        if given is not None and not isinstance(given, Sequence):
            self.problems.add(given, f"endpoints must be a list, not {describe(given)}", _TWO_ENDS)
            return []
        if given is None or len(given.items) != 2:
            self.problems.add(given or body, "a link has two endpoints", _TWO_ENDS)
            return []
        return given.items

    def _endpoint(self, value: Value, extended: bool) -> Endpoint | None:
        if not extended:
            return self._short(value)
        if not isinstance(value, Mapping):
            what = f"an endpoint of a link with a type must be a mapping, not {describe(value)}"
            self.problems.add(value, what, "write {node: NODE, interface: NAME}, or remove the type")
            return None
        body = value
        self.reader.fields(body, "an endpoint", _ENDPOINT_FIELDS, _UNSUPPORTED)
        node = self.reader.text(body.get("node"), "node")
        interface = self.reader.text(body.get("interface"), "interface")
        if node is None or interface is None:
            self.problems.add(body, "an endpoint without node or interface", "write node: and interface:")
            return None
        mac = self._mac(body.get("mac"))
        return self._checked(node, node.text, interface, interface.text, mac)

    def _short(self, value: Value) -> Endpoint | None:
        if not isinstance(value, Scalar) or value.is_null:
            what = f"an endpoint of a link without type must be text, not {describe(value)}"
            self.problems.add(value, what, 'write "NODE:INTERFACE", or add type: veth')
            return None
        scalar = value
        node, colon, interface = scalar.text.partition(":")
        if not (node and colon and interface):
            self.problems.add(scalar, f"an endpoint cannot be {describe(scalar)}", 'write "node:interface"')
            return None
        return self._checked(scalar, node, scalar, interface, None)

    def _checked(
        self, at_node: Scalar, node: str, at_interface: Scalar, interface: str, mac: str | None
    ) -> Endpoint | None:
        if node not in self.nodes:
            if node in SPECIAL_NODES:
                self.problems.add(at_node, f'links to "{node}" are not supported', "use a linux node as the other end")
            else:
                remedy = suggest(node, self.nodes, "name one of the nodes")
                self.problems.add(at_node, f'the link names the unknown node "{node}"', remedy)
            return None
        if not self._interface(at_interface, interface):
            return None
        first = self.taken.get((node, interface))
        if first is not None:
            message = f'the interface "{node}:{interface}" is already on the link in line {first}'
            self.problems.add(at_interface, message, "an interface has one link: name another, or put a switch between")
            return None
        self.taken[node, interface] = at_interface.line
        return Endpoint(node, interface, mac)

    def _interface(self, place: Scalar, name: str) -> bool:
        """What the kernel takes as a name (net/core/dev.c, dev_valid_name), and what is not someone else's."""
        if name in ("lo", "eth0"):
            whose = "the loopback" if name == "lo" else "the management network's"
            self.problems.add(place, f'the interface name "{name}" is {whose}', "name it by its role, such as wan")
        elif name in ("all", "default"):
            self.problems.add(
                place, f'the interface name "{name}" is a word of sysctl', "name it by its role, such as wan"
            )
        elif not _INTERFACE.fullmatch(name):
            shown = describe(Scalar(0, 0, name, False))
            remedy = "use at most 15 letters, digits, hyphens, dots and underscores"
            self.problems.add(place, f"an interface cannot be named {shown}", remedy)
        else:
            return True
        return False

    def _mac(self, value: Value | None) -> str | None:
        scalar = self.reader.text(value, "mac")
        if scalar is None:
            return None
        text = scalar.text.lower().replace("-", ":")
        if not _MAC.fullmatch(text) or int(text[:2], 16) & 1 or text == "00:00:00:00:00:00":
            remedy = "write a unicast address such as 02:00:00:00:00:01"
            self.problems.add(scalar, f"mac cannot be {describe(scalar)}", remedy)
            return None
        return text


def _of_other_types(body: Mapping) -> frozenset[str]:
    """Fields of link types that we refuse as a whole: one problem says enough."""
    kind = body.get("type")
    other = isinstance(kind, Scalar) and kind.text in _OTHER_TYPES
    return frozenset(body.entries) if other else frozenset()
