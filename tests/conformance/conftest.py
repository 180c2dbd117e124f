"""Sessions of ncclient, which nobody here wrote, with the boxes of the running demo."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from ncclient import NCClientError, manager
from ncclient.manager import Manager
from ncclient.transport import session as transport

from harness.lab import Lab
from harness.lab.netconf import host_key

SECONDS = 20
# ncclient looks ten times a second for what it has to send, and each request of a test would wait for that.
transport.TICK = 0.005
NC = "urn:ietf:params:xml:ns:netconf:base:1.0"
IF = "urn:ietf:params:xml:ns:yang:ietf-interfaces"
IP = "urn:ietf:params:xml:ns:yang:ietf-ip"
IANA = "urn:ietf:params:xml:ns:yang:iana-if-type"
IPSEC = "urn:elasticlab:yang:elasticlab-ipsec"
MONITORING = "urn:ietf:params:xml:ns:yang:ietf-netconf-monitoring"
LIBRARY = "urn:ietf:params:xml:ns:yang:ietf-yang-library"
WITH_DEFAULTS = "urn:ietf:params:xml:ns:yang:ietf-netconf-with-defaults"
PREFIXES = {"nc": NC, "if": IF, "ip": IP, "ipsec": IPSEC, "ncm": MONITORING, "yl": LIBRARY, "wd": WITH_DEFAULTS}

Dial = Callable[..., Manager]


_host_key = functools.cache(host_key)
"""Asking the box takes longer than most tests."""


def open_session(lab: Lab, box: str, **changed: Any) -> Manager:
    """A session of ncclient over SSH as the administrator, who checks that the box is itself."""
    wanted: dict[str, Any] = {
        "host": lab[box].management_address,
        "port": 830,
        "username": "admin",
        "key_filename": str(lab.factory.admin.ssh_key),
        "hostkey_b64": _host_key(lab, box).split()[1],
        "allow_agent": False,
        "look_for_keys": False,
        "timeout": SECONDS,
    }
    return manager.connect(**(wanted | changed))


def config(inner: str) -> str:
    """The <config> of an edit; its names are those of ietf-interfaces unless they say otherwise."""
    return f'<config xmlns="{NC}" xmlns:nc="{NC}"><interfaces xmlns="{IF}">{inner}</interfaces></config>'


def loopback(name: str, *addresses: str, attributes: str = "") -> str:
    """An interface that is nobody's: it may come and go without a tunnel noticing."""
    listed = "".join(f"<address><ip>{address}</ip><prefix-length>32</prefix-length></address>" for address in addresses)
    return (
        f'<interface {attributes}><name>{name}</name><type xmlns:i="{IANA}">i:softwareLoopback</type>'
        f'<ipv4 xmlns="{IP}">{listed}</ipv4></interface>'
    )


def canonical(element: Any) -> bytes:
    return bytes(etree.tostring(element, method="c14n", exclusive=True))


def addresses(lab: Lab, box: str) -> str:
    """What the kernel of a box says of its addresses, asked without NETCONF."""
    return lab[box].exec("ip", "-brief", "address")


def operational_ca(lab: Lab, box: str) -> Path:
    """The manager's CA, which certifies boxes: read off a box, like its host key."""
    path = lab.place.folder / f"operational-ca.{box}.pem"
    path.write_text(lab[box].exec("cat", "/var/lib/element/identity/current/ca.pem"))
    return path


@pytest.fixture
def box() -> str:
    """The box that most tests speak with."""
    return "ucpe-1"


@pytest.fixture(scope="session")
def _auditors() -> Iterator[dict[str, Manager]]:
    """A session a box that looks at it between tests: opening one takes longer than most tests."""
    found: dict[str, Manager] = {}
    yield found
    for session in found.values():
        _end(session)


@pytest.fixture
def auditor(lab: Lab, box: str, _auditors: dict[str, Manager]) -> Manager:
    """The session that looks at the box before and after a test."""
    place = f"{lab.name} {box}"
    if place not in _auditors or not _auditors[place].connected:
        _auditors[place] = open_session(lab, box)
    return _auditors[place]


@pytest.fixture
def dial(lab: Lab, box: str, auditor: Manager) -> Iterator[Dial]:
    """Opens sessions, which end with the test; afterwards the box must be as it was: tests leave no trace."""
    before = canonical(auditor.get_config("running").data_ele)
    with ExitStack() as opened:

        def connect(where: str = box, **changed: Any) -> Manager:
            session = open_session(lab, where, **changed)
            opened.callback(_end, session)
            return session

        yield connect
    candidate = canonical(auditor.get_config("candidate").data_ele)
    assert canonical(auditor.get_config("running").data_ele) == before, "the test left another configuration"
    assert candidate == before, "the test left something in the candidate"
    filter_ = ("subtree", f'<netconf-state xmlns="{MONITORING}"><datastores/></netconf-state>')
    assert auditor.get(filter_).data_ele.findall(".//ncm:locks", PREFIXES) == [], "the test left a lock"


def _end(session: Manager) -> None:
    with suppress(NCClientError, OSError, EOFError):
        if session.connected:
            session.discard_changes()
            session.close_session()


@pytest.fixture
def client(dial: Dial) -> Manager:
    """One session with the box."""
    return dial()
