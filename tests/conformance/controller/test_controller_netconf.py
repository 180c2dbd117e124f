"""ncclient orders at the controller (RFC 6241); what RESTCONF does meanwhile is done to the same datastore."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ncclient.manager import Manager
from ncclient.operations import RPCError

from harness.lab import Lab

from .conftest import L3VPN, PREFIXES, SERVICES, Curl, Ids, entry, over_ssh, over_tls, service, service_xml

pytestmark = pytest.mark.topology("orchestrator")

CAPABILITY = "urn:ietf:params:netconf:capability:"
ORDERED = ("subtree", f'<l3vpn-svc xmlns="{L3VPN}"><vpn-services/></l3vpn-svc>')


def body(name: str, customer: str = "conformance") -> dict[str, object]:
    return {"ietf-l3vpn-svc:vpn-service": [service(name, customer)]}


def ordered(client: Manager, datastore: str = "running") -> dict[str, str | None]:
    """The VPNs in a datastore, with whose they are."""
    found = client.get_config(datastore, filter=ORDERED).data_ele.findall(".//svc:vpn-service", PREFIXES)
    return {
        str(one.findtext("svc:vpn-id", namespaces=PREFIXES)): one.findtext("svc:customer-name", namespaces=PREFIXES)
        for one in found
    }


def removed(name: str) -> str:
    return (
        service_xml(name)
        .replace("<vpn-service>", '<vpn-service xmlns:nc="{0}" nc:operation="delete">')
        .format(PREFIXES["nc"])
    )


@pytest.mark.parametrize("way", ["ssh", "tls"])
def test_hello_says_what_it_can_do(lab: Lab, way: str) -> None:
    admin = lab.factory.admin
    open_session: dict[str, Callable[[], Manager]] = {
        "ssh": lambda: over_ssh(lab),
        "tls": lambda: over_tls(lab, admin.tls_key, admin.tls_certificate),
    }
    with open_session[way]() as client:
        said = list(client.server_capabilities)
        assert {"urn:ietf:params:netconf:base:1.0", "urn:ietf:params:netconf:base:1.1"} <= set(said)
        for name in ("candidate:1.0", "confirmed-commit:1.1", "validate:1.1", "writable-running:1.0", "xpath:1.0"):
            assert CAPABILITY + name in said
        assert ordered(client) is not None


def test_what_netconf_orders_restconf_shows(curl: Curl, client: Manager, vpn: str, ids: Ids) -> None:
    client.edit_config(service_xml(vpn), target="running")
    assert vpn in ids()
    client.edit_config(removed(vpn), target="running")
    assert vpn not in ids()
    with pytest.raises(RPCError) as refusal:
        client.edit_config(removed(vpn), target="running")
    assert refusal.value.tag == "data-missing"
    assert curl.ask("GET", entry(vpn)).status == 404


def test_what_restconf_orders_netconf_shows(curl: Curl, client: Manager, vpn: str) -> None:
    assert curl.ask("PUT", entry(vpn), body(vpn, "first")).status == 201
    assert ordered(client)[vpn] == "first"
    assert curl.ask("PATCH", entry(vpn), body(vpn, "second")).status == 204
    assert ordered(client)[vpn] == "second"
    assert curl.ask("DELETE", entry(vpn)).status == 204
    assert vpn not in ordered(client)


def test_the_entity_tag_is_another_after_an_edit_by_netconf(curl: Curl, client: Manager, vpn: str) -> None:
    assert curl.ask("PUT", entry(vpn), body(vpn)).status == 201
    tag = curl.ask("GET", entry(vpn)).headers["etag"]
    client.edit_config(service_xml(vpn, "other"), target="running")
    assert curl.ask("PUT", entry(vpn), body(vpn, "late"), headers={"If-Match": tag}).status == 412
    assert ordered(client)[vpn] == "other"


def test_a_candidate_is_ordered_by_its_commit(client: Manager, vpn: str, ids: Ids) -> None:
    with client.locked("candidate"):
        client.edit_config(service_xml(vpn), target="candidate")
        assert vpn in ordered(client, "candidate")
        assert vpn not in ids()
        client.validate("candidate")
        client.commit()
    assert vpn in ids()


@pytest.mark.parametrize("datastore", ["running", "candidate"])
def test_a_lock_by_netconf_keeps_restconf_out(curl: Curl, client: Manager, vpn: str, ids: Ids, datastore: str) -> None:
    with client.locked(datastore):
        for method, path in (("PUT", entry(vpn)), ("POST", SERVICES), ("PATCH", SERVICES)):
            sent = body(vpn) if method != "PATCH" else {"ietf-l3vpn-svc:vpn-services": {"vpn-service": [service(vpn)]}}
            answer = curl.ask(method, path, sent)
            assert (answer.status, answer.error["error-tag"]) == (409, "in-use"), answer.text
        assert vpn not in ids()
    assert curl.ask("PUT", entry(vpn), body(vpn)).status == 201


def test_a_lock_of_one_session_keeps_another_out(lab: Lab, client: Manager, vpn: str) -> None:
    with over_ssh(lab) as other, client.locked("running"):
        with pytest.raises(RPCError) as refusal:
            other.lock("running")
        assert refusal.value.tag == "lock-denied"
        assert f"<session-id>{client.session_id}</session-id>" in str(refusal.value.info)
        with pytest.raises(RPCError):
            other.edit_config(service_xml(vpn), target="running")


def test_a_confirmed_commit_that_nobody_confirms_is_no_order(curl: Curl, client: Manager, vpn: str, ids: Ids) -> None:
    client.edit_config(service_xml(vpn), target="candidate")
    client.commit(confirmed=True, timeout="30")
    assert vpn in ids()
    assert curl.ask("DELETE", entry(vpn)).status == 409, "it may still be taken back, by whoever made it"
    client.cancel_commit()
    assert vpn not in ids()


def test_it_is_told_what_is_wrong_and_where(client: Manager, vpn: str, ids: Ids) -> None:
    with pytest.raises(RPCError) as refusal:
        client.edit_config(service_xml(vpn).replace("customer-name", "colour"), target="running")
    assert refusal.value.tag == "unknown-element"
    with pytest.raises(RPCError) as refusal:
        client.edit_config(service_xml(vpn).replace("any-to-any", "hub-spoke"), target="running")
    assert refusal.value.tag == "operation-not-supported"
    assert vpn in str(refusal.value.path)
    with pytest.raises(RPCError) as refusal:
        client.edit_config(service_xml(vpn).replace("<customer-name>conformance</customer-name>", ""), target="running")
    assert "tenant" in str(refusal.value.message), "the remedy"
    assert vpn not in ids()


def test_state_is_read_with_a_filter(client: Manager) -> None:
    found = client.get(("subtree", f'<network xmlns="{PREFIXES["net"]}"><healthy/></network>')).data_ele
    assert found.findtext("net:network/net:healthy", namespaces=PREFIXES) in ("true", "false")
    by_path = client.get(("xpath", ({"n": PREFIXES["net"]}, "/n:network/n:healthy"))).data_ele
    assert by_path.findtext("net:network/net:healthy", namespaces=PREFIXES) in ("true", "false")


def test_state_is_nobodys_to_write(client: Manager) -> None:
    healthy = f'<network xmlns="{PREFIXES["net"]}"><healthy>true</healthy></network>'
    with pytest.raises(RPCError) as refusal:
        client.edit_config(f'<config xmlns="{PREFIXES["nc"]}">{healthy}</config>', target="running")
    assert refusal.value.tag in ("invalid-value", "unknown-element", "bad-element")
