"""What a device says of itself: its model (RFC 8348), its WAN addresses (RFC 8344, a lease of DHCP, or
what routers say), their gateways."""

from __future__ import annotations

import hashlib
from fnmatch import fnmatchcase
from functools import cache
from ipaddress import IPv6Address
from math import inf

from lxml import etree
from yangkit import Tree
from yangkit.client import NetconfClient
from yangkit.tree import Container

from controller import drivers
from controller.service.entries import Wanted
from controller.service.facts import DeviceFacts
from controller.service.rereading import Rereader
from controller.service.secrets import revealed
from controller.southbound import patience
from controller.southbound.identity import Identity

_SPACES = {
    "hw": "urn:ietf:params:xml:ns:yang:ietf-hardware",
    "if": "urn:ietf:params:xml:ns:yang:ietf-interfaces",
    "ip": "urn:ietf:params:xml:ns:yang:ietf-ip",
    "el": "urn:elasticlab:yang:elasticlab-interface",
    "rt": "urn:ietf:params:xml:ns:yang:ietf-routing",
    "v4ur": "urn:ietf:params:xml:ns:yang:ietf-ipv4-unicast-routing",
    "v6ur": "urn:ietf:params:xml:ns:yang:ietf-ipv6-unicast-routing",
}
_FILTER = (
    f'<hardware xmlns="{_SPACES["hw"]}"/><routing xmlns="{_SPACES["rt"]}"/>'
    f'<interfaces xmlns="{_SPACES["if"]}"><interface><name>wan</name></interface></interfaces>'
)
_INTERFACE = "//if:interface[if:name='wan']"
_WANS = (f"{_INTERFACE}/ip:ipv4/ip:address/ip:ip", f"{_INTERFACE}/el:dhcp/el:lease/el:address")
_ROUTE = "v4ur:route[v4ur:destination-prefix='0.0.0.0/0']/v4ur:next-hop/v4ur:next-hop-address"
#: Static first (that is what somebody said), then what the device was given.
_GATEWAYS = (
    f"//rt:control-plane-protocol[rt:name='underlay']//v4ur:ipv4/{_ROUTE}",
    f"{_INTERFACE}/el:dhcp/el:lease/el:router",
)
_WANS6 = (
    f"{_INTERFACE}/ip:ipv6/ip:address/ip:ip",
    f"{_INTERFACE}/el:dhcp6/el:lease/el:address",
    f"{_INTERFACE}/el:slaac/el:address",
)
_GATEWAYS6 = (
    "//rt:control-plane-protocol[rt:name='underlay']//v6ur:ipv6"
    "/v6ur:route[v6ur:destination-prefix='::/0']/v6ur:next-hop/v6ur:next-hop-address",
    f"{_INTERFACE}/el:dhcp6/el:router",
    f"{_INTERFACE}/el:slaac/el:router",
)
DEADLINE = 10.0


class NotUsable(Exception):
    """A device that cannot be configured; the text says why and what to do."""


async def facts(client: NetconfClient, identity: Identity) -> DeviceFacts:
    """Ask a device what it is and where."""
    data = await patience.answer(client, client.get(_FILTER, deadline=inf), DEADLINE)
    models = _texts(data, "//hw:component/hw:model-name")
    if not models:
        raise NotUsable(f"{identity.name} does not tell its model (ietf-hardware, model-name)")
    model = models[0]
    wan = [text for path in _WANS for text in _texts(data, path)]
    gateways = [text for path in _GATEWAYS for text in _texts(data, path)]
    # Of several addresses the one that is called stays the same, whatever their order today.
    told6 = [text for path in _WANS6 for text in _texts(data, path)]
    wan6 = sorted(text for text in told6 if not IPv6Address(text).is_link_local)
    gateways6 = [text for path in _GATEWAYS6 for text in _texts(data, path)]
    return DeviceFacts(
        name=identity.name,
        serial=identity.serial,
        model=model,
        personality=_personality(model),
        wan_address=wan[0] if wan else None,
        wan_gateway=gateways[0] if gateways else None,
        wan6_address=wan6[0] if wan6 else None,
        wan6_gateway=gateways6[0] if gateways6 else None,
    )


async def running(client: NetconfClient) -> etree._Element:
    """The running configuration, as the device tells it."""
    return await patience.answer(client, client.get_config(deadline=inf), DEADLINE)


def digest(data: etree._Element) -> bytes:
    """Of what a device has told: who tells the same again needs not be read again."""
    return hashlib.blake2b(etree.tostring(data, with_tail=False), digest_size=32).digest()


def configuration(
    data: etree._Element, device: str, reader: Rereader, wanted: Wanted, written: Tree | None
) -> Container:
    """The running configuration, as far as the device's driver knows it, with the secrets that it has from us."""
    try:
        actual = reader.xml(data)
    except Exception as error:
        raise NotUsable(f"{device}: its configuration cannot be read with its driver's models: {error}") from error
    if written is None:
        return actual
    return revealed(actual, wanted.loaded if written is wanted.tree else reader.json(written))


def _personality(model: str) -> str:
    """What a model is for: that of the driver that names it (a model says no personality by itself)."""
    matching = [d for d in drivers.every() if any(fnmatchcase(model, pattern) for pattern in d.models)]
    return matching[0].personality if matching else ""


@cache
def _compiled(path: str) -> etree.XPath:
    return etree.XPath(path, namespaces=_SPACES)


def _texts(data: etree._Element, path: str) -> list[str]:
    found = _compiled(path)(data)
    assert isinstance(found, list)
    return [element.text.strip() for element in found if isinstance(element, etree._Element) and element.text]
