"""What a foreign manager is told when it asks for something wrong: RFC 6241, appendix A, and RFC 7950, section 8.3."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from lxml import etree
from ncclient.manager import Manager
from ncclient.operations import RPCError
from ncclient.xml_ import to_ele

from harness.lab import Lab

from .conftest import IF, IP, IPSEC, NC, PREFIXES, Dial, addresses, canonical, config, loopback

pytestmark = pytest.mark.topology("demo")

TENANT = "urn:elasticlab:yang:elasticlab-tenant"
WAN = "/if:interfaces/if:interface[if:name='wan']"


def ipv4(address: str, length: str = "32") -> str:
    inner = f"<address><ip>{address}</ip><prefix-length>{length}</prefix-length></address>"
    return f'<interface><name>wan</name><ipv4 xmlns="{IP}">{inner}</ipv4></interface>'


@dataclass(frozen=True)
class Wrong:
    """An edit, and what must be said about it."""

    what: str
    edit: str
    tag: str
    #: Names that error-path goes through, from the top; the keys of lists are in it as values.
    path: tuple[str, ...] = ()
    info: dict[str, str] = field(default_factory=dict)


AT_ONCE = [
    Wrong(
        "an unknown element",
        "<interface><name>wan</name><colour>red</colour></interface>",
        "unknown-element",
        ("interfaces", "interface", "'wan'"),
        {"bad-element": "colour"},
    ),
    Wrong(
        "an unknown namespace",
        '<interface><name>wan</name><colour xmlns="urn:example:nobody">red</colour></interface>',
        "unknown-namespace",
        info={"bad-element": "colour", "bad-namespace": "urn:example:nobody"},
    ),
    Wrong(
        "state as configuration",
        "<interface><name>wan</name><oper-status>up</oper-status></interface>",
        "unknown-element",
        info={"bad-element": "oper-status"},
    ),
    Wrong(
        "a leaf twice",
        "<interface><name>wan</name><description>a</description><description>b</description></interface>",
        "bad-element",
        info={"bad-element": "description"},
    ),
    Wrong("an entry without its key", "<interface><enabled>true</enabled></interface>", "missing-element",
          info={"bad-element": "name"}),
    Wrong(
        "creating what is there",
        '<interface nc:operation="create"><name>wan</name></interface>',
        "data-exists",
        ("interfaces", "interface", "'wan'"),
    ),
    Wrong(
        "deleting what is not there",
        '<interface nc:operation="delete"><name>none-of-ours</name></interface>',
        "data-missing",
        ("interfaces", "interface", "'none-of-ours'"),
    ),
    Wrong("an address out of range", ipv4("203.0.113.999"), "invalid-value", ("ipv4", "address", "ip"),
          {"bad-element": "ip"}),
    Wrong("a prefix out of range", ipv4("203.0.113.9", "33"), "invalid-value", ("'203.0.113.9'", "prefix-length"),
          {"bad-element": "prefix-length"}),
    Wrong("a name with another meaning", loopback("all"), "invalid-value", ("interface", "name")),
    Wrong(
        "an unknown operation",
        '<interface nc:operation="destroy"><name>wan</name></interface>',
        "bad-attribute",
        info={"bad-attribute": "operation", "bad-element": "interface"},
    ),
]  # fmt: skip

WHEN_VALIDATED = [
    Wrong(
        "a reference to nothing",
        f'<interface><name>lan</name><tenant xmlns="{TENANT}">nobody</tenant></interface>',
        "data-missing",
        ("'lan'", "tenant"),
    ),
    Wrong("a missing type", "<interface><name>untyped</name></interface>", "data-missing", ("interface", "'untyped'")),
    Wrong(
        "an if-id twice",
        '<interface><name>again</name><type xmlns:t="urn:elasticlab:yang:elasticlab-ipsec">t:ipsec-tunnel</type>'
        f'<ipsec-tunnel xmlns="{IPSEC}"><if-id>1</if-id></ipsec-tunnel></interface>',
        "operation-failed",
        ("ipsec-tunnel", "if-id"),
    ),
]

WHEN_COMMITTED = [
    Wrong(
        "what the schema has and the box does not do",
        f'<interface><name>wan</name><ipv6 xmlns="{IP}"><mtu>1400</mtu></ipv6></interface>',
        "operation-not-supported",
        ("'wan'", "ipv6"),
    ),
    Wrong(
        "the interface of the management network",
        '<interface><name>eth0</name><type xmlns:i="urn:ietf:params:xml:ns:yang:iana-if-type">i:ethernetCsmacd</type>'
        "</interface>",
        "operation-not-supported",
        ("interface", "'eth0'"),
    ),
]


def by_name(case: Wrong) -> str:
    return case.what


def check(error: RPCError, case: Wrong) -> None:
    if error.errlist:  # ncclient's word for several errors in one reply
        error = error.errlist[0]
    assert error.tag == case.tag, error.message
    assert error.severity == "error"
    assert error.message, "a person gets no reason"
    position = 0
    for part in case.path:
        assert error.path is not None
        position = error.path.replace('"', "'").find(part, position)
        assert position >= 0, f"{part} is not in {error.path}"
    given = info_of(error)
    assert {name: given.get(name) for name in case.info} == case.info


def info_of(error: RPCError) -> dict[str, str]:
    if error.info is None:
        return {}
    return {child.tag.rpartition("}")[2]: child.text for child in etree.fromstring(error.info.encode())}


@pytest.mark.parametrize("target", ["candidate", "running"])
@pytest.mark.parametrize("case", AT_ONCE, ids=by_name)
def test_a_wrong_edit_is_refused_with_its_place(client: Manager, case: Wrong, target: str) -> None:
    with pytest.raises(RPCError) as refusal:
        client.edit_config(config(case.edit), target=target)
    check(refusal.value, case)


@pytest.mark.parametrize("case", WHEN_VALIDATED, ids=by_name)
def test_an_invalid_candidate_is_refused_by_validate_and_by_commit(lab: Lab, box: str, dial: Dial, case: Wrong) -> None:
    client = dial()
    before = addresses(lab, box)
    client.edit_config(config(case.edit), target="candidate")
    for ask in (client.validate, client.commit):
        with pytest.raises(RPCError) as refusal:
            ask()
        check(refusal.value, case)
    client.discard_changes()
    assert addresses(lab, box) == before


@pytest.mark.parametrize("case", WHEN_VALIDATED, ids=by_name)
def test_test_then_set_finds_it_at_once(client: Manager, case: Wrong) -> None:
    before = canonical(client.get_config("candidate").data_ele)
    with pytest.raises(RPCError) as refusal:
        client.edit_config(config(case.edit), target="candidate", test_option="test-then-set")
    check(refusal.value, case)
    assert canonical(client.get_config("candidate").data_ele) == before


@pytest.mark.parametrize("case", WHEN_COMMITTED, ids=by_name)
def test_what_the_box_cannot_do_is_refused_when_committed(lab: Lab, box: str, client: Manager, case: Wrong) -> None:
    before = addresses(lab, box)
    client.edit_config(config(case.edit), target="candidate")
    with pytest.raises(RPCError) as refusal:
        client.commit()
    check(refusal.value, case)
    client.discard_changes()
    assert addresses(lab, box) == before


def test_an_edit_with_one_wrong_part_changes_nothing(client: Manager) -> None:
    before = canonical(client.get_config("candidate").data_ele)
    with pytest.raises(RPCError):
        client.edit_config(
            config(loopback("guest", "100.127.99.1") + ipv4("203.0.113.999")),
            target="candidate",
            error_option="rollback-on-error",
        )
    assert canonical(client.get_config("candidate").data_ele) == before


# -- operations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "tag"),
    [
        (f'<reboot-the-moon xmlns="{NC}"/>', "operation-not-supported"),
        ('<partial-lock xmlns="urn:ietf:params:xml:ns:netconf:partial-lock:1.0"/>', "unknown-namespace"),
        (f'<delete-config xmlns="{NC}"><target><startup/></target></delete-config>', "operation-not-supported"),
        (f'<get-config xmlns="{NC}"/>', "missing-element"),
        (f'<get-config xmlns="{NC}"><source><startup/></source></get-config>', "unknown-element"),
        (f'<get-config xmlns="{NC}"><source><running/></source><colour/></get-config>', "unknown-element"),
        (f'<unlock xmlns="{NC}"><target><running/></target></unlock>', "operation-failed"),
        (f'<cancel-commit xmlns="{NC}"/>', "operation-failed"),
        (f'<commit xmlns="{NC}"><persist-id>nothing</persist-id></commit>', "invalid-value"),
        (f'<kill-session xmlns="{NC}"><session-id>4294967295</session-id></kill-session>', "invalid-value"),
    ],
)
def test_operations_that_make_no_sense(client: Manager, request_: str, tag: str) -> None:
    with pytest.raises(RPCError) as refusal:
        client.dispatch(to_ele(request_))
    assert refusal.value.tag == tag, refusal.value.message
    assert client.get_config("running").data_ele is not None, "the session lives on"


def test_delete_config_of_running_is_no_operation(client: Manager) -> None:
    with pytest.raises(RPCError) as refusal:
        client.dispatch(to_ele(f'<delete-config xmlns="{NC}"><target><running/></target></delete-config>'))
    assert refusal.value.tag in ("operation-not-supported", "unknown-element")


# -- locks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", ["running", "candidate"])
def test_a_lock_is_denied_with_the_session_that_has_it(dial: Dial, store: str) -> None:
    first, second = dial(), dial()
    with first.locked(store):
        with pytest.raises(RPCError) as refusal:
            second.lock(store)
        assert refusal.value.tag == "lock-denied"
        assert refusal.value.type == "protocol"
        assert info_of(refusal.value) == {"session-id": first.session_id}
        with pytest.raises(RPCError) as refusal:
            second.edit_config(config(loopback("guest")), target=store)
        assert refusal.value.tag == "in-use"
        with pytest.raises(RPCError):
            second.unlock(store)
        seen = second.get(("xpath", ({"m": PREFIXES["ncm"]}, "/m:netconf-state/m:datastores"))).data_ele
        assert [e.text for e in seen.findall(".//ncm:locked-by-session", PREFIXES)] == [first.session_id]
    with second.locked(store):
        pass


def test_a_changed_candidate_cannot_be_locked_by_another(dial: Dial) -> None:
    """RFC 6241, section 8.3.5.2: else a lock would hold somebody's changes."""
    first, second = dial(), dial()
    first.edit_config(config(loopback("guest")), target="candidate")
    with pytest.raises(RPCError) as refusal:
        second.lock("candidate")
    assert refusal.value.tag == "lock-denied"
    assert info_of(refusal.value) == {"session-id": "0"}
    first.discard_changes()
    with second.locked("candidate"):
        pass


def test_unlocking_the_candidate_discards_what_was_not_committed(client: Manager) -> None:
    with client.locked("candidate"):
        client.edit_config(config(loopback("guest")), target="candidate")
    wanted = f'<interfaces xmlns="{IF}"><interface><name>guest</name></interface></interfaces>'
    assert len(client.get_config("candidate", filter=("subtree", wanted)).data_ele) == 0
