"""What scenarios of keys see: certificates in the registry, at the peer, and in TLS; and they have keys renewed."""

from __future__ import annotations

import asyncio
import socket
import ssl

from cryptography import x509
from cryptography.x509.oid import NameOID
from lxml import etree

from harness.lab import Lab
from harness.lab.netconf import session
from harness.orchestrator import registry
from harness.orchestrator.client import Orchestrator

ELEMENT = "urn:elasticlab:yang:elasticlab-element"
SERIALS = {"vmsr-1": "EL-VMSR-0001", "ucpe-1": "EL-UCPE-0001", "ucpe-2": "EL-UCPE-0002"}


def renew(lab: Lab, box: str) -> dict[str, str]:
    """Have a box make new keys now, as an operator does; the serial numbers of its new certificates by their use."""

    async def ask() -> etree._Element:
        async with await session(lab, box) as client:
            return await client.rpc(f'<renew-certificates xmlns="{ELEMENT}"/>', 30)

    answer = asyncio.run(ask())
    space = {"e": ELEMENT}
    found = answer.xpath("//e:certificate", namespaces=space)
    return {c.findtext(f"{{{ELEMENT}}}purpose"): c.findtext(f"{{{ELEMENT}}}serial-number") for c in found}


def install_crl(lab: Lab, box: str) -> None:
    """Give a box the revocation list that it has: it loads it and asks who is on it."""
    files = "/var/lib/element/crl.pem /var/lib/element/identity/current/crl.pem"
    text = lab[box].sh(f"for file in {files}; do test ! -e $file || {{ cat $file; break; }}; done")
    crl = "".join(line for line in text.splitlines() if "-----" not in line)

    async def install() -> None:
        async with await session(lab, box) as client:
            await client.rpc(f'<install-crl xmlns="{ELEMENT}"><crl>{crl}</crl></install-crl>', 30)

    asyncio.run(install())


def problem(lab: Lab, box: str) -> str:
    """What a box says is wrong with its certificates; nothing when all is well."""

    async def ask() -> etree._Element:
        async with await session(lab, box) as client:
            return await client.get(f'<certificates xmlns="{ELEMENT}"/>')

    return asyncio.run(ask()).findtext(f".//{{{ELEMENT}}}problem") or ""


def administer(lab: Lab, box: str, state: str) -> None:
    """Make a box legal or revoked."""
    body = {registry.LIST: [{"serial": SERIALS[box], "administrative-state": state}]}
    path = f"{registry.DEVICES}/device={SERIALS[box]}"
    Orchestrator.of(lab).call("manager", "PATCH", path, body, media=registry.YANG)


def registered(lab: Lab, box: str) -> dict[str, bool]:
    """All certificates of a box in the registry, and whether they are revoked."""
    entry = registry.read(Orchestrator.of(lab), SERIALS[box])
    assert entry is not None
    return {one["serial-number"]: one["revoked"] for one in entry.get("certificate", [])}


def seen_by(lab: Lab, box: str, peer: str) -> frozenset[str]:
    """Serial numbers of a peer's certificates that charon of a box has got."""
    said = lab[box].exec("swanctl", "--list-certs", "--pem")
    marker = "-----BEGIN CERTIFICATE-----"
    found = [x509.load_pem_x509_certificate((marker + part).encode()) for part in said.split(marker)[1:]]
    named = x509.NameAttribute(NameOID.COMMON_NAME, peer)
    return frozenset(f"{one.serial_number:x}" for one in found if named in one.subject)


def shown(lab: Lab, box: str) -> str:
    """Serial number of the certificate that a box shows to whoever comes by TLS."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((lab[box].management_address, 6513), 5) as tcp,
        context.wrap_socket(tcp) as tls,
    ):
        der = tls.getpeercert(binary_form=True)
    assert der is not None
    return f"{x509.load_der_x509_certificate(der).serial_number:x}"


def connected_since(lab: Lab, box: str) -> str | None:
    """Since when the controller has the session that it has with a box."""
    path = f"/restconf/data/elasticlab-network:network/device={box}"
    answer = Orchestrator.of(lab).call("controller", "GET", path)
    found = answer.json()["elasticlab-network:device"][0] if answer.status == 200 else {}
    return found.get("since") if found.get("connected") else None


def alarms(lab: Lab, component: str) -> list[dict[str, str]]:
    """The alarms of manager or controller that are not cleared."""
    listed = Orchestrator.of(lab).call(component, "GET", "/restconf/data/ietf-alarms:alarms").json()
    found = listed["ietf-alarms:alarms"]["alarm-list"].get("alarm", [])
    return [one for one in found if not one["is-cleared"]]
