"""The topologies that we ship: all load, plainly containerlab's, and the demo is wired as its README draws it."""

from ipaddress import IPv4Network, ip_address, ip_interface, ip_network
from pathlib import Path

import pytest

from harness.orchestrator.orderfile import load_orders
from harness.topology import FEATURES, LABELS, ROLES, TIERS, TOPOLOGIES, Node, Topology, load
from harness.topology.definition import FIELDS

SHIPPED = sorted(path.parent.name for path in TOPOLOGIES.glob("*/*.clab.yml"))
PRIVATE = [IPv4Network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")]


@pytest.fixture(scope="module")
def demo() -> Topology:
    return load("demo")


def addresses(node: Node) -> dict[str, str]:
    """Interface and address by the node's exec lines."""
    found = {}
    for words in node.commands:
        if words[:3] == ("ip", "address", "replace"):
            found[words[words.index("dev") + 1]] = words[3]
    return found


def routes(node: Node) -> dict[str, str]:
    """Destination and what happens to its packets."""
    found = {}
    for words in node.commands:
        if words[:3] == ("ip", "route", "replace"):
            rest = words[3:]
            found[rest[1] if rest[0] == "unreachable" else rest[0]] = rest[0] if rest[0] == "unreachable" else rest[2]
    return found


@pytest.mark.parametrize("name", SHIPPED)
def test_loads_by_its_name(name: str) -> None:
    assert load(name).name == name


@pytest.mark.parametrize("name", SHIPPED)
def test_routes_go_to_neighbours(name: str) -> None:
    for node in load(name).nodes.values():
        own = [ip_interface(a).network for a in addresses(node).values()]
        for gateway in routes(node).values():
            if gateway != "unreachable":
                assert any(ip_address(gateway) in network for network in own), (node.name, gateway)


def test_demo_needs_a_lab_kernel_and_plain_does_not(demo: Topology) -> None:
    assert {"esp", "gre", "vxlan", "xfrm-interface", "vrf", "vlan", "nft-nat"} == demo.requires
    assert load("plain").requires == frozenset()


def test_the_boxes_get_identities_and_nothing_else(demo: Topology) -> None:
    boxes = {name: node for name, node in demo.nodes.items() if node.personality}
    assert {name: node.personality for name, node in boxes.items()} == {
        "vmsr-1": "vmsr",
        "ucpe-1": "ucpe",
        "ucpe-2": "ucpe",
    }
    for node in boxes.values():
        assert node.image == "elasticlab/element:latest"
        assert node.model
        assert node.site
        assert node.serial
        assert (node.exec, node.binds, dict(node.sysctls), dict(node.env)) == ((), (), {}, {})


def test_links_and_addresses_are_those_of_the_picture(demo: Topology) -> None:
    assert {str(link) for link in demo.links} == {
        "vmsr-1:wan -- internet:pop",
        "stack:wan -- internet:cloud",
        "nat-1:wan -- internet:access-1",
        "ucpe-1:wan -- nat-1:lan",
        "ucpe-2:wan -- internet:access-2",
        "host-1:lan -- ucpe-1:lan",
        "host-2:lan -- ucpe-2:lan",
    }
    assert {link.mtu for link in demo.links} == {1500}
    assert addresses(demo.nodes["internet"]) == {
        "pop": "203.0.113.1/30",
        "cloud": "203.0.113.5/30",
        "access-1": "192.0.2.1/30",
        "access-2": "192.0.2.5/30",
        "lo": "198.51.100.80/32",
    }
    assert addresses(demo.nodes["nat-1"]) == {"lan": "192.168.1.1/24", "wan": "192.0.2.2/30"}
    assert addresses(demo.nodes["host-1"]) == {"lan": "10.1.0.10/24"}
    assert addresses(demo.nodes["host-2"]) == {"lan.20": "10.2.0.10/24"}


@pytest.mark.parametrize("name", ["demo", "underlay"])
def test_every_box_finds_its_bootstrap_server_and_every_order_its_device(name: str) -> None:
    """By a preset address, or by what the DHCP server on the other end of its WAN tells (RFC 8572, section 4)."""
    topology = load(name)
    stack = topology.nodes["stack"]
    assert stack.wan.ipv4 is not None
    server = f"https://{stack.wan.ipv4.address.ip}:8572"
    boxes = [node for node in topology.nodes.values() if node.personality]
    for box in boxes:
        far = next(e.node for e in topology.link_at(box.name, "wan").endpoints if e.node != box.name)
        told = topology.nodes[far].env.get("DHCP_BOOTSTRAP")
        assert (box.bootstrap == (server,)) is (not box.wan.dhcp)
        assert (told == server) is box.wan.dhcp
    orders = load_orders(topology.directory)
    assert orders
    assert {serial for order in orders for serial in order.devices()} < {box.serial for box in boxes}


@pytest.mark.parametrize("name", ["internet", "nat-1"])
def test_the_underlay_routes_no_private_or_overlay_address(demo: Topology, name: str) -> None:
    known = routes(demo.nodes[name])
    for network in PRIVATE:
        assert known[str(network)] == "unreachable"
    for destination, where in known.items():
        if destination != "default" and where != "unreachable":
            assert not any(ip_network(destination).overlaps(network) for network in PRIVATE)


def test_the_internet_has_no_default_route_and_no_private_link(demo: Topology) -> None:
    node = demo.nodes["internet"]
    assert "default" not in routes(node)
    for address in addresses(node).values():
        assert not any(ip_interface(address).ip in network for network in PRIVATE)


def test_the_readme_names_every_node(demo: Topology) -> None:
    text = (Path(demo.directory) / "README.md").read_text()
    assert not [name for name in demo.nodes if name not in text]


def test_the_reference_names_every_field_label_and_value() -> None:
    text = (TOPOLOGIES / "README.md").read_text()
    words = {*FIELDS, *LABELS, *FEATURES, *ROLES, *TIERS}
    assert not [word for word in words if f"`{word}`" not in text]
