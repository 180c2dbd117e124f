"""Topologies that are accepted: what they become, and how long that takes."""

import dataclasses
import os
import time
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address
from pathlib import Path

import pytest

from harness.topology import FEATURES, ROLES, Bind, Endpoint, Topology, TopologyError, load
from harness.topology.document import MAX_BYTES
from harness.topology.labels import Wan, Way

HEAD = """\
name: lab
topology:
  defaults:
    kind: linux
    image: elasticlab/endpoint:latest
"""


@pytest.fixture
def write(tmp_path: Path) -> "Writer":
    return Writer(tmp_path)


class Writer:
    def __init__(self, directory: Path) -> None:
        self.path = directory / "lab.clab.yml"

    def __call__(self, body: str, head: str = HEAD) -> Topology:
        self.path.write_text(head + body)
        return load(self.path)


# The model.


def test_a_whole_topology(write: Writer) -> None:
    topology = write(
        """\
  nodes:
    a:
      labels: {elasticlab.role: ucpe, elasticlab.site: s-1, elasticlab.tier: aio, elasticlab.model: M 1, other: x}
      env: {N: 1, T: yes}
      exec: [ip link set lan up, 'sh -c "true && false"']
      entrypoint: /bin/sh -c
      cmd: "'sleep 1'"
      sysctls: {net.ipv4.ip_forward: 1}
      cpu: 0.5
      memory: 256MiB
      cap-add: [NET_ADMIN, cap_sys_time]
    b:
  links:
    - endpoints: ["a:wan", "b:wan"]
    - type: veth
      mtu: 1500
      labels: {colour: red}
      endpoints:
        - {node: a, interface: lan, mac: 02-00-00-00-00-0A}
        - {node: b, interface: lan}
"""
    )
    a = topology.nodes["a"]
    assert topology.name == "lab"
    assert topology.prefix == "clab"
    assert list(topology.nodes) == ["a", "b"]
    assert (a.kind, a.image, a.role, a.site, a.tier, a.model) == (
        "linux",
        "elasticlab/endpoint:latest",
        "ucpe",
        "s-1",
        "aio",
        "M 1",
    )
    assert a.labels["other"] == "x"
    assert dict(a.env) == {"N": "1", "T": "yes"}
    assert a.commands == (("ip", "link", "set", "lan", "up"), ("sh", "-c", "true && false"))
    assert (a.entrypoint, a.cmd) == (("/bin/sh", "-c"), ("sleep 1",))
    assert dict(a.sysctls) == {"net.ipv4.ip_forward": "1"}
    assert (a.cpu, a.memory, a.cap_add) == (0.5, 256 * 2**20, ("CAP_NET_ADMIN", "CAP_SYS_TIME"))
    assert a.personality == "ucpe"
    assert topology.nodes["b"].personality is None
    assert [link.mtu for link in topology.links] == [9500, 1500]
    assert topology.links[1].a == Endpoint("a", "lan", "02:00:00:00:00:0a")
    assert dict(topology.links[1].labels) == {"colour": "red"}
    assert topology.interfaces("a") == ("wan", "lan")
    assert topology.link_at("b", "lan") is topology.links[1]
    with pytest.raises(KeyError):
        topology.link_at("b", "dmz")


def test_the_model_cannot_be_changed(write: Writer) -> None:
    topology = write("  nodes: {a: {env: {A: b}}}\n")
    with pytest.raises(dataclasses.FrozenInstanceError):
        topology.name = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        topology.nodes["b"] = topology.nodes["a"]  # type: ignore[index]
    with pytest.raises(TypeError):
        topology.nodes["a"].env["A"] = "c"  # type: ignore[index]


def test_management(write: Writer) -> None:
    topology = write(
        "  nodes: {a: {mgmt-ipv4: 172.20.20.9, mgmt-ipv6: 'fd00::9'}}\n",
        "mgmt: {network: m, ipv4-subnet: 172.20.20.0/24, ipv6-subnet: 'fd00::/64', mtu: 1400, external-access: false}\n"
        + HEAD,
    )
    assert topology.mgmt.ipv4_subnet == IPv4Network("172.20.20.0/24")
    assert (topology.mgmt.network, topology.mgmt.mtu) == ("m", 1400)
    assert topology.nodes["a"].mgmt_ipv4 == IPv4Address("172.20.20.9")
    assert topology.nodes["a"].mgmt_ipv6 == IPv6Address("fd00::9")


@pytest.mark.parametrize(
    ("text", "size"), [("6MiB", 6 * 2**20), ("1g", 10**9), ("1.5 GiB", 3 * 2**29), ("64Mb", 64 * 10**6), (2**23, 2**23)]
)
def test_memory_has_containerlabs_units(write: Writer, text: str, size: int) -> None:
    assert write(f"  nodes: {{a: {{memory: {text}}}}}\n").nodes["a"].memory == size


# Inheritance, as containerlab merges (defaults, kinds, groups, nodes).

LAYERS = """\
name: lab
topology:
  defaults:
    kind: linux
    image: from/defaults
    env: {A: defaults, B: defaults, C: defaults, D: defaults}
    exec: [echo defaults, echo same]
    cpu: 1
  kinds:
    linux:
      image: from/kind
      env: {B: kind, C: kind, D: kind}
      exec: [echo kind]
      cpu: 2
      cmd: from kind
  groups:
    g:
      image: from/group
      env: {C: group, D: group}
      exec: [echo group, echo same]
      labels: {elasticlab.role: host, elasticlab.site: s-1}
"""


def test_maps_merge_and_the_nearer_wins(write: Writer) -> None:
    node = write("  nodes: {a: {group: g, env: {D: node}}}\n", LAYERS).nodes["a"]
    assert dict(node.env) == {"A": "defaults", "B": "kind", "C": "group", "D": "node"}


def test_lists_join_from_far_to_near_each_item_once(write: Writer) -> None:
    node = write("  nodes: {a: {group: g, exec: [echo node]}}\n", LAYERS).nodes["a"]
    assert node.exec == ("echo defaults", "echo same", "echo kind", "echo group", "echo node")


def test_single_values_come_from_the_nearest(write: Writer) -> None:
    nodes = write("  nodes: {a: {group: g}, b: {image: from/node}, c: }\n", LAYERS).nodes
    assert [n.image for n in nodes.values()] == ["from/group", "from/node", "from/kind"]
    assert [n.cpu for n in nodes.values()] == [2, 2, 2]
    assert nodes["a"].cmd == ("from", "kind")


def test_labels_of_ours_are_inherited_too(write: Writer) -> None:
    nodes = write("  nodes: {a: {group: g, labels: {elasticlab.role: server}}, b: {group: g}}\n", LAYERS).nodes
    assert [(n.role, n.site) for n in nodes.values()] == [("server", "s-1"), ("host", "s-1")]


def test_kind_and_group_can_come_from_each_other(write: Writer) -> None:
    head = "name: lab\ntopology:\n  kinds: {linux: {group: g}}\n  groups: {g: {image: x, kind: linux}}\n"
    nodes = write(
        "  nodes: {a: {kind: linux}, b: {group: g}, c: {kind: Linux, image: y, group: free-word}}\n", head
    ).nodes
    assert [(n.kind, n.group, n.image) for n in nodes.values()] == [
        ("linux", "g", "x"),
        ("linux", "g", "x"),
        ("linux", "free-word", "y"),
    ]


def test_fields_without_value_are_unset(write: Writer) -> None:
    node = write("  nodes: {a: {exec: , env: ~, image: null, labels: }}\n  links:\n").nodes["a"]
    assert (node.exec, dict(node.env), node.image) == ((), {}, "elasticlab/endpoint:latest")


def test_aliases_are_followed(write: Writer) -> None:
    nodes = write("  nodes: {a: &a {env: {A: b}}, b: *a}\n").nodes
    assert dict(nodes["b"].env) == {"A": "b"}


# Binds.


def test_binds_are_relative_to_the_file_and_nearer_ones_replace(write: Writer) -> None:
    here = write.path.parent
    for name in ("one", "two"):
        (here / name).write_text("")
    os.environ["HOME"], home = str(here), os.environ.get("HOME", "")
    try:
        head = HEAD + "    binds: ['one:/data', '~/one:/home']\n"
        node = write("  nodes: {a: {binds: ['two:/data:ro', '/etc/passwd:/x:rw']}}\n", head).nodes["a"]
    finally:
        os.environ["HOME"] = home
    assert set(node.binds) == {
        Bind(here / "two", "/data", read_only=True),
        Bind(here / "one", "/home"),
        Bind(Path("/etc/passwd").resolve(), "/x"),
    }


def test_a_link_out_of_the_directory_is_an_escape(write: Writer) -> None:
    (write.path.parent / "innocent").symlink_to("/etc/passwd")
    with pytest.raises(TopologyError, match="leaves the topology's directory"):
        write("  nodes: {a: {binds: ['innocent:/data']}}\n")


# Requirements.


def test_requirements_are_the_sum_of_roles_and_labels(write: Writer) -> None:
    topology = write(
        "  nodes:\n"
        "    a: {labels: {elasticlab.role: nat, elasticlab.requires: 'vlan, netem'}}\n"
        "    b: {labels: {elasticlab.role: host, elasticlab.ready: 'tcp:80, file:/run/up'}}\n"
    )
    assert topology.nodes["a"].requires == {"nft-nat", "vlan", "netem"}
    assert topology.nodes["b"].requires == frozenset()
    assert topology.nodes["b"].ready == ("tcp:80", "file:/run/up")
    assert topology.requires == {"nft-nat", "vlan", "netem"}
    assert all(needs <= FEATURES for needs in ROLES.values())


# Finding the file.


def test_found_by_name_by_directory_and_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "topologies" / "x"
    directory.mkdir(parents=True)
    file = directory / "x.clab.yml"
    file.write_text(HEAD + "  nodes: {a: }\n")
    search = tmp_path / "topologies"
    assert load("x", search).path == load(directory).path == load(str(file)).path == file
    monkeypatch.chdir(directory)
    assert load("x.clab.yml", search).path == file
    assert load(Path("."), search).path == file


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("dmeo", 'dmeo: no such topology (did you mean "demo"?)'),
        ("zzz", "zzz: no such topology (known: demo, none, two; or give a path)"),
        ("none", "none: no *.clab.yml file in it (give the path of the file)"),
        ("two", "two: several topologies in it: a.clab.yml, b.clab.yml (name one of the files)"),
        ("x/y.clab.yml", "x/y.clab.yml: cannot be read"),
        ("n" * 300, "cannot be looked up"),
        ("a\0b", "no such topology"),
        ("/dev/zero", "/dev/zero: not a regular file"),
        ("", "several topologies in it"),
    ],
)
def test_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, reason: str) -> None:
    for name in ("demo/demo", "two/a", "two/b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.clab.yml").write_text("")
    (tmp_path / "none").mkdir()
    monkeypatch.chdir(tmp_path / "two")
    with pytest.raises(TopologyError) as refusal:
        load(given, tmp_path)
    assert reason in str(refusal.value)


# Hostile files.


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"name: \xe9\n", ":1:7: a byte that is not UTF-8"),
        (b"\xff\xfen\x00", ":1:1: a byte that is not UTF-8"),
        (b"name: a\0b\n", "not YAML"),
        (b"a: " + b"[" * 100_000, ":1:35: nested deeper than 32 levels"),
        (b"a:\n" + b"".join(b" " * i + b"- \n" for i in range(1000)), "nested deeper than 32 levels"),
        (b"#" * (MAX_BYTES + 1), "larger than 4 MiB"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",  # else four megabytes are the test's name
)
def test_hostile_bytes(write: Writer, content: bytes, reason: str) -> None:
    write.path.write_bytes(content)
    start = time.monotonic()
    with pytest.raises(TopologyError) as refusal:
        load(write.path)
    assert reason in str(refusal.value)
    assert time.monotonic() - start < 2


def test_a_byte_order_mark_and_windows_lines_are_harmless(write: Writer) -> None:
    write.path.write_bytes(b"\xef\xbb\xbf" + (HEAD + "  nodes: {a: }\n").replace("\n", "\r\n").encode())
    assert load(write.path).name == "lab"


# Size.


def test_500_nodes_and_1000_links_in_less_than_a_second(write: Writer) -> None:
    nodes = "".join(
        f"    node-{n}:\n      labels: {{elasticlab.role: ucpe, elasticlab.site: s-{n}}}\n"
        f"      exec:\n        - ip address add 10.{n // 256}.{n % 256}.1/24 dev lan\n"
        for n in range(500)
    )
    links = "".join(
        f'    - endpoints: ["node-{n % 500}:e{n // 500}a", "node-{(n + 1) % 500}:e{n // 500}b"]\n' for n in range(1000)
    )
    write.path.write_text(f"{HEAD}  nodes:\n{nodes}  links:\n{links}")
    times = []
    for _ in range(3):
        start = time.monotonic()
        topology = load(write.path)
        times.append(time.monotonic() - start)
    assert (len(topology.nodes), len(topology.links)) == (500, 1000)
    assert min(times) < 1.0, times


def test_day_0_of_a_box(tmp_path: Path) -> None:
    path = tmp_path / "day0.clab.yml"
    path.write_text(
        """name: day0
topology:
  defaults: {kind: linux, image: "elasticlab/element:latest"}
  nodes:
    given:
      labels:
        elasticlab.serial: EL-0001
        elasticlab.wan: 192.0.2.6/30 via 192.0.2.5
        elasticlab.bootstrap: https://203.0.113.6:8572, https://203.0.113.10:8572
        elasticlab.wan2: dhcp
    leased:
      labels: {elasticlab.wan: dhcp, elasticlab.wan2: 198.51.100.2/30 via 198.51.100.1}
    single:
      labels: {elasticlab.wan: dhcp}
    dual:
      labels:
        elasticlab.wan: "192.0.2.6/30 via 192.0.2.5, 2001:db8:2::2/64 via 2001:db8:2::1"
        elasticlab.bootstrap: "https://[2001:db8::6]:8572"
    new:
      labels: {elasticlab.wan: "2001:db8:2::2/64 via 2001:db8:2::1"}
    both:
      labels: {elasticlab.wan: "dhcp, 2001:db8:2::2/64 via 2001:db8:2::1"}
    told:
      labels: {elasticlab.wan: slaac}
    each:
      labels: {elasticlab.wan: "dhcp, slaac"}
    asks:
      labels: {elasticlab.wan: "dhcp, dhcp6"}
"""
    )
    nodes = load(path).nodes
    given, leased = nodes["given"], nodes["leased"]
    assert given.serial == "EL-0001"
    assert given.wan.ipv4 is not None
    assert (str(given.wan.ipv4.address), str(given.wan.ipv4.gateway)) == ("192.0.2.6/30", "192.0.2.5")
    assert given.bootstrap == ("https://203.0.113.6:8572", "https://203.0.113.10:8572")
    assert (leased.serial, leased.wan, leased.bootstrap) == (None, Wan(), ())
    families = {name: (nodes[name].wan.dhcp, nodes[name].wan.ipv4 is not None) for name in ("dual", "new", "both")}
    assert families == {"dual": (False, True), "new": (False, False), "both": (True, False)}
    assert all(str(getattr(nodes[name].wan.ipv6, "address", None)) == "2001:db8:2::2/64" for name in families)
    assert nodes["dual"].bootstrap == ("https://[2001:db8::6]:8572",)
    assert nodes["asks"].wan == Wan(True, dhcp6=True)
    assert (nodes["told"].wan, nodes["each"].wan) == (Wan(False, slaac=True), Wan(True, slaac=True))
    assert (given.wan2, nodes["single"].wan2) == (Wan(), None)
    assert leased.wan2 == Wan(False, Way(IPv4Interface("198.51.100.2/30"), IPv4Address("198.51.100.1")))
