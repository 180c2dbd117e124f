"""From a path or a name to a Topology: find the file, read it, merge its definitions, check the whole."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from .definition import Definition, DefinitionReader
from .document import Mapping, Scalar, Value, describe, parse
from .labels import decode
from .limits import bounded, carrying, homeless
from .links import SPECIAL_NODES, LinkReader
from .model import Bind, Link, Management, Node, Topology
from .problems import Problem, Problems, TopologyError, suggest
from .reading import absent
from .tiers import TIERS

TOPOLOGIES = Path(__file__).resolve().parents[2] / "topologies"
"""Where a bare name is looked for."""

_TOP = frozenset({"name", "prefix", "mgmt", "topology"})
_TOP_UNSUPPORTED = {
    "settings": "certificates come from the factory: remove it",
    "debug": "use labctl's own option: remove it",
}
_TOPOLOGY = frozenset({"defaults", "kinds", "groups", "nodes", "links"})
_MGMT = frozenset({"network", "ipv4-subnet", "ipv6-subnet", "mtu", "external-access"})
_MGMT_ENGINE = "the engine chooses it: remove it"
_MGMT_UNSUPPORTED = {
    "bridge": _MGMT_ENGINE,
    "driver-opts": _MGMT_ENGINE,
    "skip-when-unused": "every node has a management interface: remove it",
    "ipv4-gw": "the management network has no way out and so no gateway: remove it",
    "ipv6-gw": "the management network has no way out and so no gateway: remove it",
    "ipv4-range": "narrow ipv4-subnet instead",
    "ipv6-range": "narrow ipv6-subnet instead",
}

# Names become host names, paths, control groups and the IKE identity NODE.elasticlab.example (RFC 1123 section 2.1).
# A common name has 64 characters (RFC 5280 appendix A.1, ub-common-name), of which the domain takes 19.
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_LAB = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_PREFIX = re.compile(r"|__lab-name|[a-zA-Z0-9][a-zA-Z0-9._-]{0,31}")
_NETWORK = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}")

AnyNetwork = TypeVar("AnyNetwork", IPv4Network, IPv6Network)


def load(path_or_name: str | Path, search: Path = TOPOLOGIES) -> Topology:
    """The topology in a file, in a directory that holds one `*.clab.yml`, or of a name below `search`.

    Raises TopologyError with every problem found.
    """
    path = find(path_or_name, search)
    problems = Problems(path)
    document = parse(path, problems)
    problems.raise_if_any()
    assert document is not None
    topology = _Loader(path, problems).topology(document)
    problems.raise_if_any()
    assert topology is not None
    return topology


def find(path_or_name: str | Path, search: Path = TOPOLOGIES) -> Path:
    """The file that is meant, absolute."""
    given = Path(path_or_name)
    try:
        if given.is_dir():
            return _only_file(given)
        if given.exists() or given.name != str(path_or_name):
            return given.absolute()
        named = search / given.name
        if named.is_dir():
            return _only_file(named)
        known = sorted(p.name for p in search.iterdir() if p.is_dir()) if search.is_dir() else []
    except (OSError, ValueError) as error:  # a name too long, a NUL in it, no permission
        raise TopologyError([Problem(given, 0, 0, f"cannot be looked up: {error}", "check the path")]) from None
    otherwise = f"known: {', '.join(known)}; or give a path" if known else "give a path to a *.clab.yml file"
    raise TopologyError([Problem(given, 0, 0, "no such topology", suggest(given.name, known, otherwise))])


def _only_file(directory: Path) -> Path:
    files = sorted(p for p in directory.iterdir() if p.name.endswith((".clab.yml", ".clab.yaml")))
    if len(files) == 1:
        return files[0].absolute()
    if not files:
        raise TopologyError([Problem(directory, 0, 0, "no *.clab.yml file in it", "give the path of the file")])
    names = ", ".join(f.name for f in files)
    raise TopologyError([Problem(directory, 0, 0, f"several topologies in it: {names}", "name one of the files")])


class _Loader:
    def __init__(self, path: Path, problems: Problems) -> None:
        self.path = path
        self.problems = problems
        self.reader = DefinitionReader(problems, path.parent)

    def topology(self, document: Mapping) -> Topology | None:
        reader = self.reader
        reader.fields(document, "the file", _TOP, _TOP_UNSUPPORTED)
        name = self._name(document)
        prefix = document.get("prefix")
        prefix_text = None if absent(prefix) else reader.matched(
            prefix, "prefix", _PREFIX, 'use letters, digits, hyphens, dots and underscores, or ""'
        )  # fmt: skip
        mgmt = self._management(document.get("mgmt"))
        body = reader.mapping(document.get("topology"), "topology")
        if body is None:
            if absent(document.get("topology")):
                self.problems.add(document, "there is no topology in the file", "write topology: with nodes: in it")
            return None
        reader.fields(body, "topology", _TOPOLOGY, {})
        nodes = self._nodes(body, mgmt)
        written = frozenset(_names(body.get("nodes")))
        links = LinkReader(reader, written).links(body.get("links"))
        return self._whole(name, prefix_text, mgmt, nodes, links)

    def _whole(
        self, name: str | None, prefix: str | None, mgmt: Management, nodes: dict[str, Node], links: tuple[Link, ...]
    ) -> Topology | None:
        if name is None:
            return None
        links = tuple(carrying(link, nodes) for link in links)
        requires = frozenset[str]().union(*(node.requires for node in nodes.values()))
        if any(side.values for link in links for side in link.impaired):
            requires |= {"netem"}
        if any(node.cpu or node.memory for node in nodes.values()):
            requires |= {"cgroup2"}
        frozen = MappingProxyType(nodes)
        return Topology(name, self.path, frozen, links, mgmt, "clab" if prefix is None else prefix, requires)

    def _name(self, document: Mapping) -> str | None:
        if absent(document.get("name")):
            self.problems.add(document, "the topology has no name", "write name: and a short word")
            return None
        remedy = "use at most 32 of a-z, 0-9 and inner hyphens: it becomes part of paths and control groups"
        return self.reader.matched(document.get("name"), "name", _LAB, remedy)

    def _management(self, value: Value | None) -> Management:
        body = self.reader.mapping(value, "mgmt")
        if body is None:
            return Management()
        self.reader.fields(body, "mgmt", _MGMT, _MGMT_UNSUPPORTED)
        access = self.reader.text(body.get("external-access"), "external-access")
        if access is not None and not (access.plain and access.text == "false"):
            remedy = "the management network has no way out: write false or remove it"
            self.problems.add(access, f"external-access cannot be {describe(access)}", remedy)
        return Management(
            network=self.reader.matched(body.get("network"), "network", _NETWORK, "use letters, digits, . _ and -"),
            ipv4_subnet=self._subnet(body.get("ipv4-subnet"), "ipv4-subnet", IPv4Network),
            ipv6_subnet=self._subnet(body.get("ipv6-subnet"), "ipv6-subnet", IPv6Network),
            mtu=self.reader.integer(body.get("mtu"), "mtu", 1280, 65535),
        )

    def _subnet(self, value: Value | None, what: str, kind: type[AnyNetwork]) -> AnyNetwork | None:
        scalar = self.reader.text(value, what)
        if scalar is None:
            return None
        try:
            if "/" in scalar.text:
                return kind(scalar.text)
        except ValueError:
            pass
        example = "172.20.20.0/24" if kind is IPv4Network else "3fff:172:20:20::/64"
        self.problems.add(scalar, f"{what} cannot be {describe(scalar)}", f"write a network such as {example}")
        return None

    def _nodes(self, body: Mapping, mgmt: Management) -> dict[str, Node]:
        layers = _Layers(
            self.reader.definition(body.get("defaults"), "defaults", of_node=False),
            self._definitions(body.get("kinds"), "kinds"),
            self._definitions(body.get("groups"), "groups"),
        )
        listed = self.reader.mapping(body.get("nodes"), "nodes")
        if listed is None or not listed.entries:
            if listed is not None or absent(body.get("nodes")):
                self.problems.add(
                    listed or body, "the topology has no nodes", "write nodes: with at least one below it"
                )
            return {}
        self._kinds_known(body.get("kinds"))
        addresses = _Addresses(self.problems, mgmt)
        nodes: dict[str, Node] = {}
        for name, (key, value) in listed.entries.items():
            own = self.reader.definition(value, f'node "{name[:63]}"', of_node=True)
            addresses.check(own)
            if self._node_name(key):
                node = self._node(key, own, layers)
                if node is not None:
                    nodes[name] = bounded(node)
        for node in homeless(nodes):
            room = f'site "{node.site}" has room for {TIERS[str(node.tier)].nodes} nodes of tier {node.tier}'
            self.problems.add(listed.key(node.name), room, "choose a larger tier, or another site")
        return nodes

    def _definitions(self, value: Value | None, what: str) -> dict[str, Definition]:
        listed = self.reader.mapping(value, what)
        entries = listed.entries if listed else {}
        return {
            name: self.reader.definition(body, f'"{name[:63]}" of {what}', of_node=False)
            for name, (_, body) in entries.items()
        }

    def _kinds_known(self, value: Value | None) -> None:
        for name, (key, _) in value.entries.items() if isinstance(value, Mapping) else ():
            if name != "linux":
                self._refuse_kind(key)

    def _refuse_kind(self, kind: Scalar) -> None:
        bridges = ("bridge", "ovs-bridge")
        remedy = "a switch is a linux node" if kind.text.lower() in bridges else "only linux is supported"
        self.problems.add(kind, f"the kind {describe(kind)} is not supported", remedy)

    def _node_name(self, key: Scalar) -> bool:
        if key.text in SPECIAL_NODES:
            self.problems.add(key, f'"{key.text}" means something else in containerlab\'s links', "choose another name")
            return False
        if _LABEL.fullmatch(key.text):
            return True
        remedy = "use at most 40 of a-z, 0-9 and inner hyphens: it becomes the host name and part of its identity"
        self.problems.add(key, f"a node cannot be named {describe(key)}", remedy)
        return False

    def _node(self, key: Scalar, own: Definition, layers: _Layers) -> Node | None:
        kind = layers.kind_of(own)
        if kind is None:
            self.problems.add(key, f'node "{key.text}" has no kind', "write kind: linux, best below defaults")
            return None
        if kind.text.lower() != "linux":
            self._refuse_kind(kind)
            return None
        group = layers.group_of(own, kind.text)
        stack = layers.stack(own, kind.text, group)
        image = _first([d.image for d in stack])
        if image is None:
            self.problems.add(key, f'node "{key.text}" has no image', "write image: elasticlab/endpoint:latest")
            return None
        return _merge(key, kind.text.lower(), group or "", image, stack)


class _Layers:
    """containerlab's inheritance: defaults, then kinds, then groups, then the node itself."""

    def __init__(self, defaults: Definition, kinds: dict[str, Definition], groups: dict[str, Definition]) -> None:
        self.defaults = defaults
        self.kinds = kinds
        self.groups = groups

    def kind_of(self, own: Definition) -> Scalar | None:
        by_group = (self.groups[g].kind for g in (own.group, self.defaults.group) if g in self.groups)
        return _first([own.kind, *by_group, self.defaults.kind])

    def group_of(self, own: Definition, kind: str) -> str | None:
        by_kind = self.kinds[kind].group if kind in self.kinds else None
        return own.group or by_kind or self.defaults.group

    def stack(self, own: Definition, kind: str, group: str | None) -> list[Definition]:
        """The definitions that hold for a node, the strongest first."""
        layers = [own, self.groups.get(group or ""), self.kinds.get(kind), self.defaults]
        return [layer for layer in layers if layer is not None]


Item = TypeVar("Item")


def _first(values: list[Item | None]) -> Item | None:
    return next((value for value in values if value is not None), None)


def _together(lists: list[list[str]]) -> tuple[str, ...]:
    """Lists of all layers one after the other, the weakest first, each item once: as containerlab merges them."""
    return tuple(dict.fromkeys(item for items in reversed(lists) for item in items))


def _overlaid(tables: list[dict[str, str]]) -> MappingProxyType[str, str]:
    merged: dict[str, str] = {}
    for table in reversed(tables):
        merged |= table
    return MappingProxyType(merged)


def _binds(stack: list[Definition]) -> tuple[Bind, ...]:
    """A nearer layer's bind replaces a farther one's on the same target.

    Equal binds count once, where they stand first, before that: so does containerlab, and one file is one lab.
    """
    each_once = dict.fromkeys(bind for layer in reversed(stack) for bind in layer.binds)
    return tuple({bind.target: bind for bind in each_once}.values())


def _merge(key: Scalar, kind: str, group: str, image: str, stack: list[Definition]) -> Node:
    own = stack[0]
    labels = _overlaid([d.labels for d in stack])
    ours = decode(labels)
    return Node(
        name=key.text,
        kind=kind,
        image=image,
        group=group,
        role=ours.role,
        site=ours.site,
        tier=ours.tier,
        model=ours.model,
        serial=ours.serial,
        wan=ours.wan,
        wan2=ours.wan2,
        bootstrap=ours.bootstrap,
        requires=ours.requires,
        ready=ours.ready,
        env=_overlaid([d.env for d in stack]),
        binds=_binds(stack),
        exec=_together([d.exec for d in stack]),
        entrypoint=_first([d.entrypoint or None for d in stack]) or (),
        cmd=_first([d.cmd or None for d in stack]) or (),
        sysctls=_overlaid([d.sysctls for d in stack]),
        cpu=_first([d.cpu for d in stack]),
        memory=_first([d.memory for d in stack]),
        disk=ours.disk,
        cap_add=_together([d.cap_add for d in stack]),
        mgmt_ipv4=own.mgmt_ipv4[1] if own.mgmt_ipv4 else None,
        mgmt_ipv6=own.mgmt_ipv6[1] if own.mgmt_ipv6 else None,
        labels=labels,
        line=key.line,
    )


class _Addresses:
    """Management addresses: each once, and inside the subnet that the file names."""

    def __init__(self, problems: Problems, mgmt: Management) -> None:
        self.problems = problems
        self.subnets = {4: mgmt.ipv4_subnet, 6: mgmt.ipv6_subnet}
        self.seen: dict[object, int] = {}

    def check(self, own: Definition) -> None:
        for given in (own.mgmt_ipv4, own.mgmt_ipv6):
            if given is None:
                continue
            place, address = given
            subnet = self.subnets[address.version]
            if subnet is None:
                remedy = f"write mgmt: ipv{address.version}-subnet: with a network that holds it"
                self.problems.add(place, f"the management address {address} is in no declared subnet", remedy)
            elif address not in subnet:
                self.problems.add(place, f"{address} is not in the management subnet {subnet}", "choose one inside")
            if address in self.seen:
                message = f"the management address {address} is already given in line {self.seen[address]}"
                self.problems.add(place, message, "give each node its own")
            self.seen.setdefault(address, place.line)


def _names(value: Value | None) -> tuple[str, ...]:
    """Every name written below `nodes`, wrong definitions included: a link to those is not a second mistake."""
    return tuple(value.entries) if isinstance(value, Mapping) else ()
