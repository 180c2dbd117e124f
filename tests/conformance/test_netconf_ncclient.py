"""A foreign manager reads and writes the boxes: RFC 6241 with RFC 6022, 6243, 7950 and 8525, by ncclient over SSH."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ncclient.manager import Manager
from ncclient.operations import RPCError
from pyang.context import Context
from pyang.error import err_level, is_error
from pyang.repository import FileRepository

from harness.lab import Lab
from harness.wait import wait_for

from .conftest import IF, LIBRARY, MONITORING, PREFIXES, Dial, addresses, canonical, config, loopback

pytestmark = pytest.mark.topology("demo")

CAPABILITY = "urn:ietf:params:netconf:capability:"
DEFAULT = "{urn:ietf:params:xml:ns:netconf:default:1.0}default"
ADDRESS = "100.127.99.1"


# -- hello -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("box", ["ucpe-1", "ucpe-2", "vmsr-1"])
def test_hello_says_what_the_box_can_do(client: Manager) -> None:
    said = list(client.server_capabilities)
    assert {"urn:ietf:params:netconf:base:1.0", "urn:ietf:params:netconf:base:1.1"} <= set(said)
    for name in (
        "candidate:1.0",
        "confirmed-commit:1.1",
        "validate:1.1",
        "rollback-on-error:1.0",
        "writable-running:1.0",
        "xpath:1.0",
        "with-defaults:1.0?basic-mode=explicit",
        "yang-library:1.1?revision=2019-01-04&content-id=",
    ):
        assert any(capability.startswith(CAPABILITY + name) for capability in said), name
    # Modules of YANG 1.1 are in the YANG library only (RFC 7950, section 5.6.4), and nothing is promised that is not.
    assert not any("module=ietf-interfaces" in capability for capability in said)
    for name in ("startup:1.0", "url:1.0"):
        assert not any(capability.startswith(CAPABILITY + name) for capability in said), name
    assert int(client.session_id) > 0


def test_the_content_id_of_the_hello_is_that_of_the_library(client: Manager) -> None:
    told = next(c for c in client.server_capabilities if ":yang-library:1.1" in c).rpartition("content-id=")[2]
    data = client.get(("subtree", f'<yang-library xmlns="{LIBRARY}"><content-id/></yang-library>')).data_ele
    assert data.findtext("yl:yang-library/yl:content-id", namespaces=PREFIXES) == told


# -- reading ---------------------------------------------------------------------------------------------------------


def test_a_subtree_filter_selects_one_interface(client: Manager) -> None:
    wanted = f'<interfaces xmlns="{IF}"><interface><name>lan</name></interface></interfaces>'
    data = client.get_config("running", filter=("subtree", wanted)).data_ele
    assert [e.text for e in data.findall("if:interfaces/if:interface/if:name", PREFIXES)] == ["lan"]
    assert data.findtext(".//ip:address/ip:ip", namespaces=PREFIXES) == "10.1.0.1"


def test_a_subtree_filter_selects_leafs_with_their_keys(client: Manager) -> None:
    wanted = f'<interfaces xmlns="{IF}"><interface><type/></interface></interfaces>'
    interfaces = client.get_config("running", filter=("subtree", wanted)).data_ele.findall(".//if:interface", PREFIXES)
    assert len(interfaces) == 5
    assert {tuple(child.tag.rpartition("}")[2] for child in interface) for interface in interfaces} == {
        ("name", "type")
    }


def test_an_xpath_filter_selects_the_same(client: Manager) -> None:
    subtree = f'<interfaces xmlns="{IF}"><interface><name>wan</name></interface></interfaces>'
    by_subtree = client.get_config("running", filter=("subtree", subtree)).data_ele
    expression = "/x:interfaces/x:interface[x:name='wan']"
    by_xpath = client.get_config("running", filter=("xpath", ({"x": IF}, expression))).data_ele
    assert canonical(by_xpath) == canonical(by_subtree)
    assert len(by_xpath) == 1


@pytest.mark.parametrize(
    "wanted",
    [("subtree", f'<interfaces xmlns="{IF}"><interface><name>none</name></interface></interfaces>'),
     ("xpath", ({"x": IF}, "/x:interfaces/x:interface[x:name='none']"))],
    ids=["subtree", "xpath"],
)  # fmt: skip
def test_what_matches_nothing_gives_nothing(client: Manager, wanted: object) -> None:
    assert len(client.get_config("running", filter=wanted).data_ele) == 0


def test_a_filter_that_is_no_xpath_is_refused(client: Manager) -> None:
    with pytest.raises(RPCError) as refusal:
        client.get_config("running", filter=("xpath", ({"x": IF}, "/x:interfaces[")))
    assert refusal.value.tag == "invalid-value"
    assert refusal.value.type == "application"


@pytest.mark.parametrize("box", ["ucpe-1", "ucpe-2", "vmsr-1"])
def test_get_shows_tunnels_and_counters_as_the_kernel_has_them(lab: Lab, box: str, client: Manager) -> None:
    data = client.get().data_ele
    spis = {e.text for e in data.findall(".//ipsec:child-sa/ipsec:spi-in", PREFIXES)}
    assert spis
    kernel = lab[box].exec("ip", "xfrm", "state", "list", "nokeys")
    assert all(f"0x{spi}" in kernel for spi in spis)
    assert {e.text for e in data.findall(".//ipsec:conn-entry/ipsec:state/ipsec:established", PREFIXES)} == {"true"}
    counters = data.findall(".//{urn:elasticlab:yang:elasticlab-firewall}counter")
    assert len(counters) > 1
    for interface in data.findall("if:interfaces/if:interface", PREFIXES):
        name = interface.findtext("if:name", namespaces=PREFIXES)
        told = int(interface.findtext("if:statistics/if:in-octets", namespaces=PREFIXES))
        now = int(lab[box].exec("cat", f"/sys/class/net/{name}/statistics/rx_bytes"))
        assert told <= now, name
        assert interface.findtext("if:oper-status", namespaces=PREFIXES) in ("up", "dormant"), name
    assert (
        data.find(".//{urn:ietf:params:xml:ns:yang:ietf-hardware}serial-num").text == lab.factory.identity(box).serial
    )


def test_counters_count_what_passes(lab: Lab, client: Manager) -> None:
    def sent() -> int:
        expression = "/x:interfaces/x:interface[x:name='gre-vmsr-1']/x:statistics/x:out-unicast-pkts"
        data = client.get(("xpath", ({"x": IF}, expression))).data_ele
        return int(data.findtext(".//if:out-unicast-pkts", namespaces=PREFIXES))

    before = sent()
    lab["host-1"].exec("ping", "-n", "-c5", "-i0.05", "10.2.0.10")
    assert sent() >= before + 5


def test_state_is_no_configuration(client: Manager) -> None:
    data = client.get_config("running").data_ele
    assert data.findall(".//if:statistics", PREFIXES) == []
    assert data.findall(".//ipsec:state", PREFIXES) == []
    assert data.find("ncm:netconf-state", PREFIXES) is None


@pytest.mark.parametrize(
    ("mode", "shown", "tagged"),
    [
        ("explicit", False, False),
        ("trim", False, False),
        ("report-all", True, False),
        ("report-all-tagged", True, True),
    ],
)
def test_defaults_are_shown_as_asked(client: Manager, mode: str, shown: bool, tagged: bool) -> None:
    """RFC 6243: `enabled` of an interface is true by default and set nowhere."""
    wanted = f'<interfaces xmlns="{IF}"><interface><name>wan</name></interface></interfaces>'
    for reply in (
        client.get_config("running", filter=("subtree", wanted), with_defaults=mode),
        client.get(("subtree", wanted), with_defaults=mode),
    ):
        enabled = reply.data_ele.find(".//if:enabled", PREFIXES)
        assert (enabled is not None) == shown
        if enabled is not None:
            assert enabled.text == "true"
            assert (enabled.get(DEFAULT) == "true") == tagged


def test_a_default_that_was_set_is_kept_unless_trimmed(client: Manager) -> None:
    client.edit_config(config("<interface><name>wan</name><enabled>true</enabled></interface>"), target="candidate")
    wanted = ("subtree", f'<interfaces xmlns="{IF}"><interface><enabled/></interface></interfaces>')
    for mode, shown in (("explicit", 1), ("trim", 0)):
        data = client.get_config("candidate", filter=wanted, with_defaults=mode).data_ele
        assert len(data.findall(".//if:enabled", PREFIXES)) == shown, mode
    client.discard_changes()


# -- schemas ---------------------------------------------------------------------------------------------------------


def _listed(client: Manager) -> dict[str, str]:
    data = client.get(("subtree", f'<netconf-state xmlns="{MONITORING}"><schemas/></netconf-state>')).data_ele
    schemas = data.findall(".//ncm:schema", PREFIXES)
    return {s.findtext("ncm:identifier", "", PREFIXES): s.findtext("ncm:version", "", PREFIXES) for s in schemas}


_KINDS = ("module", "import-only-module")
"""Submodules have names, too, and come with their modules."""


@pytest.mark.parametrize("box", ["ucpe-1", "vmsr-1"])
def test_every_schema_can_be_had_and_pyang_understands_it(client: Manager, tmp_path: Path) -> None:
    """A manager that has never seen this box learns its models from it (RFC 6022, section 3.1; RFC 8525)."""
    listed = _listed(client)
    library = client.get(("subtree", f'<yang-library xmlns="{LIBRARY}"/>')).data_ele
    modules = [library.findall(f".//yl:module-set/yl:{kind}/yl:name", PREFIXES) for kind in _KINDS]
    names = {e.text for found in modules for e in found}
    assert names - set(_features(library)) <= set(listed)
    assert {name for name in listed if name.startswith("elasticlab-")}
    for name, revision in listed.items():
        text = client.get_schema(name, version=revision or None, format="yang").data
        (tmp_path / (f"{name}@{revision}.yang" if revision else f"{name}.yang")).write_text(text)
    context = Context(FileRepository(str(tmp_path), use_env=False))
    modules = [context.add_module(path.name, path.read_text()) for path in sorted(tmp_path.glob("*.yang"))]
    assert None not in modules
    context.validate()
    wrong = [f"{where}: {tag} {args}" for where, tag, args in context.errors if is_error(err_level(tag))]
    assert wrong == []


def _features(library: object) -> list[str]:
    found = library.findall(".//yl:feature", PREFIXES)  # type: ignore[attr-defined]
    return [feature.text for feature in found]


@pytest.mark.parametrize(
    ("identifier", "version", "format_"),
    [("no-such-module", None, None), ("ietf-interfaces", "1999-01-01", None), ("ietf-interfaces", None, "yin")],
    ids=["unknown", "revision", "format"],
)
def test_a_schema_that_is_not_there_is_refused(
    client: Manager, identifier: str, version: str | None, format_: str | None
) -> None:
    with pytest.raises(RPCError) as refusal:
        client.get_schema(identifier, version=version, format=format_)
    assert refusal.value.tag == "invalid-value"


# -- writing ---------------------------------------------------------------------------------------------------------


@contextmanager
def _committed(client: Manager) -> Iterator[None]:
    """A loopback that exists for the length of a `with` block, made and removed by the whole sequence of a manager."""
    with client.locked("running"), client.locked("candidate"):
        client.edit_config(
            config(loopback("guest", ADDRESS)),
            target="candidate",
            test_option="test-then-set",
            error_option="rollback-on-error",
        )
        client.validate("candidate")
        client.commit()
        try:
            yield
        finally:
            client.edit_config(
                config('<interface nc:operation="delete"><name>guest</name></interface>'), target="candidate"
            )
            client.commit()


def test_lock_edit_validate_commit_reaches_the_kernel(lab: Lab, box: str, client: Manager) -> None:
    with _committed(client):
        assert ADDRESS in addresses(lab, box)
        state = client.get(("xpath", ({"x": IF}, "/x:interfaces/x:interface[x:name='guest']"))).data_ele
        assert state.findtext(".//if:oper-status", namespaces=PREFIXES) == "up"
    assert "guest" not in addresses(lab, box)
    assert lab["host-1"].reaches("10.2.0.10"), "an edit of a loopback touched the tunnels"


def test_what_is_discarded_never_was(lab: Lab, box: str, client: Manager) -> None:
    client.edit_config(config(loopback("guest", ADDRESS)), target="candidate")
    assert ADDRESS.encode() in canonical(client.get_config("candidate").data_ele)
    client.discard_changes()
    client.commit()
    assert ADDRESS.encode() not in canonical(client.get_config("candidate").data_ele)
    assert ADDRESS not in addresses(lab, box)


def test_running_can_be_written_at_once(lab: Lab, box: str, client: Manager) -> None:
    """RFC 6241, section 8.2."""
    client.edit_config(config(loopback("guest", ADDRESS)), target="running")
    try:
        assert ADDRESS in addresses(lab, box)
    finally:
        client.edit_config(config('<interface nc:operation="delete"><name>guest</name></interface>'), target="running")
    assert ADDRESS not in addresses(lab, box)


def test_test_only_tests_only(client: Manager) -> None:
    before = canonical(client.get_config("candidate").data_ele)
    client.edit_config(config(loopback("guest", ADDRESS)), target="candidate", test_option="test-only")
    assert canonical(client.get_config("candidate").data_ele) == before


def test_copy_config_replaces_a_datastore(client: Manager) -> None:
    before = canonical(client.get_config("running").data_ele)
    client.edit_config(config(loopback("guest", ADDRESS)), target="candidate")
    client.copy_config(source="running", target="candidate")
    assert canonical(client.get_config("candidate").data_ele) == before


# -- confirmed commit (RFC 6241, section 8.4) ------------------------------------------------------------------------


def _try_out(client: Manager, **options: str) -> None:
    client.edit_config(config(loopback("guest", ADDRESS)), target="candidate")
    client.commit(confirmed=True, **options)


def _wait_until_gone(lab: Lab, box: str) -> None:
    wait_for("the address to be gone", lambda: ADDRESS not in addresses(lab, box), 20)


def test_a_commit_that_nobody_confirms_is_taken_back(lab: Lab, box: str, client: Manager) -> None:
    _try_out(client, timeout="5")
    assert ADDRESS in addresses(lab, box)
    _wait_until_gone(lab, box)


def test_a_confirmed_commit_stays(lab: Lab, box: str, client: Manager) -> None:
    _try_out(client, timeout="60")
    client.commit()
    with pytest.raises(RPCError):
        client.cancel_commit()
    assert ADDRESS in addresses(lab, box)
    client.edit_config(config('<interface nc:operation="delete"><name>guest</name></interface>'), target="candidate")
    client.commit()
    assert ADDRESS not in addresses(lab, box)


def test_a_commit_can_be_cancelled(lab: Lab, box: str, client: Manager) -> None:
    _try_out(client)
    client.cancel_commit()
    assert ADDRESS not in addresses(lab, box)


def test_a_commit_goes_with_its_session(lab: Lab, box: str, dial: Dial) -> None:
    session = dial()
    _try_out(session)
    assert ADDRESS in addresses(lab, box)
    session.close_session()
    _wait_until_gone(lab, box)


def test_a_persistent_commit_outlives_its_session_and_obeys_its_name_only(lab: Lab, box: str, dial: Dial) -> None:
    first, second = dial(), dial()
    _try_out(first, persist="tomorrow")
    first.close_session()
    with pytest.raises(RPCError) as refusal:
        second.commit(persist_id="yesterday")
    assert refusal.value.tag == "invalid-value"
    with pytest.raises(RPCError) as refusal:
        second.commit()
    assert refusal.value.tag == "in-use"
    assert ADDRESS in addresses(lab, box)
    second.cancel_commit(persist_id="tomorrow")
    assert ADDRESS not in addresses(lab, box)


def test_another_session_confirms_by_the_name(lab: Lab, box: str, dial: Dial) -> None:
    first, second = dial(), dial()
    _try_out(first, persist="tomorrow", timeout="60")
    first.close_session()
    second.commit(persist_id="tomorrow")
    second.edit_config(config('<interface nc:operation="delete"><name>guest</name></interface>'), target="candidate")
    second.commit()
    assert ADDRESS not in addresses(lab, box)
