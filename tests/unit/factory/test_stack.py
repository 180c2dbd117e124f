"""What the factory puts into the orchestrator's node, and what it keeps when the node comes again."""

import json
import stat
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from pathlib import Path

import pytest
from cryptography import x509

from harness.factory import COMPONENTS, Day0, Factory, FactoryError, Wan

WAN = Wan(IPv4Interface("203.0.113.6/30"), IPv4Address("203.0.113.5"))
HERE, ELSEWHERE = IPv4Address("100.72.0.18"), IPv4Address("100.80.0.18")
SECRETS = ("admin-password", "labctl-secret")


@pytest.fixture
def factory(tmp_path: Path) -> Factory:
    return Factory.open(tmp_path / "lab")


@pytest.fixture
def stack(factory: Factory) -> Path:
    return factory.stack("stack", HERE, WAN)


def contents(folder: Path) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def addresses(certificate: Path) -> list[str]:
    names = x509.load_pem_x509_certificate(certificate.read_bytes()).extensions
    found = names.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(address) for address in found.get_values_for_type(x509.IPAddress)]


def test_it_holds_exactly_what_the_node_expects(stack: Path) -> None:
    pairs = {f"{stem}.{kind}" for stem in (*COMPONENTS, "bootstrap") for kind in ("key", "pem")}
    assert set(contents(stack)) == pairs | {
        "stack.json", "service-ca.pem", "maker-ca.pem", "authorized_keys", *SECRETS
    }  # fmt: skip
    assert json.loads((stack / "stack.json").read_text()) == {
        "name": "stack",
        "domain": "elasticlab.example",
        "management-address": "100.72.0.18",
        "wan": {"interface": "wan", "address": "203.0.113.6/30", "gateway": "203.0.113.5"},
    }


def test_keys_and_secrets_are_their_owners_alone(stack: Path) -> None:
    for path in stack.iterdir():
        private = path.suffix == ".key" or path.name in SECRETS
        assert stat.S_IMODE(path.stat().st_mode) == (0o600 if private else 0o644), path.name


def test_no_authoritys_key_is_in_it(factory: Factory, stack: Path) -> None:
    keys = {path.read_bytes() for path in factory.directory.glob("authorities/*/ca.key")}
    assert len(keys) == 3
    assert not keys & set(contents(stack).values())


def test_the_same_again_changes_nothing(factory: Factory, stack: Path) -> None:
    before = contents(stack)
    assert factory.stack("stack", HERE, WAN) == stack
    assert contents(stack) == before


def test_at_another_address_keys_and_secrets_stay_and_certificates_follow(factory: Factory, stack: Path) -> None:
    before = contents(stack)
    factory.stack("stack", ELSEWHERE, WAN)
    changed = {name for name, content in contents(stack).items() if content != before[name]}
    assert changed == {"stack.json", *(f"{component}.pem" for component in COMPONENTS)}
    assert addresses(stack / "gro.pem") == ["127.0.0.1", "100.80.0.18"]
    assert addresses(stack / "bootstrap.pem") == ["203.0.113.6"]


def test_two_labs_share_no_secret(tmp_path: Path, stack: Path) -> None:
    other = contents(Factory.open(tmp_path / "other").stack("stack", HERE, WAN))
    assert all(other[name] != contents(stack)[name] for name in SECRETS)


def test_a_stack_that_devices_cannot_find_is_refused(factory: Factory) -> None:
    with pytest.raises(FactoryError, match="give its wan an address"):
        factory.stack("stack", HERE, Wan())


@pytest.mark.parametrize("name", ["", "Stack", "../out", "a" * 41])
def test_what_is_no_node_name_is_refused(factory: Factory, name: str) -> None:
    with pytest.raises(FactoryError, match="no node name"):
        factory.stack(name, HERE, WAN)


def test_day_0_is_what_the_topology_says_now(factory: Factory) -> None:
    """Unlike an identity, the way out may change between two `up`s."""
    first = factory.box("ucpe-1", "ucpe", "ucpe-100")
    by_dhcp = {"wan": {"interface": "wan", "dhcp": True}, "bootstrap-servers": []}
    assert json.loads((first / "day0.json").read_text()) == by_dhcp
    idevid = (first / "idevid.pem").read_bytes()
    factory.box("ucpe-1", "ucpe", "ucpe-100", day0=Day0(WAN, ("https://203.0.113.6:8572",)))
    assert json.loads((first / "day0.json").read_text()) == {
        "wan": {"interface": "wan", "address": "203.0.113.6/30", "gateway": "203.0.113.5"},
        "bootstrap-servers": ["https://203.0.113.6:8572"],
    }
    factory.box("ucpe-1", "ucpe", "ucpe-100", day0=Day0(WAN, second=Wan(interface="wan2")))
    assert json.loads((first / "day0.json").read_text())["wan2"] == {"interface": "wan2", "dhcp": True}
    assert (first / "idevid.pem").read_bytes() == idevid


def test_a_wan_has_either_family_or_both(factory: Factory) -> None:
    new = {"address6": IPv6Interface("2001:db8::6/64"), "gateway6": IPv6Address("2001:db8::1")}
    written = {"address6": "2001:db8::6/64", "gateway6": "2001:db8::1"}
    assert Wan(**new).as_json() == {"interface": "wan", **written}
    assert Wan(**new, dhcp=True).as_json() == {"interface": "wan", "dhcp": True, **written}
    assert Wan(slaac=True).as_json() == {"interface": "wan", "slaac": True}
    assert Wan(slaac=True, dhcp=True).as_json() == {"interface": "wan", "dhcp": True, "slaac": True}
    assert Wan(dhcp6=True).as_json() == {"interface": "wan", "dhcp6": True}
    both = replace(WAN, **new)
    assert both.as_json() == WAN.as_json() | written
    path = factory.stack("stack", HERE, both)
    certificate = x509.load_pem_x509_certificate((path / "bootstrap.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [IPv4Address("203.0.113.6"), IPv6Address("2001:db8::6")]
