"""A second stranger: `netconf-client`, over SSH and over TLS."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from netconf_client.connect import connect_ssh, connect_tls
from netconf_client.error import RpcError
from netconf_client.ncclient import Manager

from harness.lab import Lab
from harness.lab.netconf import host_key

from .conftest import IF, PREFIXES, SECONDS, Dial, addresses, config, loopback, operational_ca

pytestmark = [
    pytest.mark.topology("demo"),
    pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2:DeprecationWarning"),
]


@pytest.fixture(params=["ssh", "tls"])
def other(request: pytest.FixtureRequest, lab: Lab, box: str, dial: Dial) -> Iterator[Manager]:
    """A session of netconf-client as the administrator."""
    admin, host = lab.factory.admin, lab[box].management_address
    ways: dict[str, Callable[[], object]] = {
        "ssh": lambda: connect_ssh(
            host=host,
            username="admin",
            key_filename=str(admin.ssh_key),
            hostkey_b64=host_key(lab, box).split()[1],
            initial_timeout=SECONDS,
            general_timeout=SECONDS,
        ),
        "tls": lambda: connect_tls(
            host=host,
            keyfile=str(admin.tls_key),
            certfile=str(admin.tls_certificate),
            ca_certs=str(operational_ca(lab, box)),
            initial_timeout=SECONDS,
            general_timeout=SECONDS,
        ),
    }
    session = ways[request.param]()
    with Manager(session, timeout=SECONDS) as opened:
        yield opened
        opened.close_session()  # it does not say so by itself, and leaves its TLS connection open


def test_it_reads_and_filters(other: Manager) -> None:
    wanted = (
        f'<filter type="subtree"><interfaces xmlns="{IF}"><interface><name>wan</name></interface></interfaces></filter>'
    )
    data = other.get(filter=wanted).data_ele
    assert [e.text for e in data.findall(".//if:name", PREFIXES)] == ["wan"]
    assert data.findtext(".//if:oper-status", namespaces=PREFIXES) == "up"


def test_it_writes(lab: Lab, box: str, other: Manager) -> None:
    other.lock("candidate")
    other.edit_config(config(loopback("guest", "100.127.99.2")), target="candidate")
    other.validate("candidate")
    other.commit(confirmed=True, confirm_timeout=30)
    assert "100.127.99.2" in addresses(lab, box)
    other.cancel_commit()
    assert "100.127.99.2" not in addresses(lab, box)
    other.unlock("candidate")


def test_it_is_told_what_is_wrong(other: Manager) -> None:
    with pytest.raises(RpcError) as refusal:
        other.edit_config(config("<interface><name>wan</name><colour/></interface>"), target="candidate")
    assert refusal.value.tag == "unknown-element"
