"""What scenarios of keys see: certificates in the registry, at the peer, and in TLS; and they have keys renewed."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtensionOID, NameOID
from lxml import etree

from harness.lab import Lab
from harness.lab.netconf import session
from harness.orchestrator import registry
from harness.orchestrator.client import Orchestrator
from harness.wait import wait_for

ELEMENT = "urn:elasticlab:yang:elasticlab-element"
SERIALS = {
    "vmsr-1": "EL-VMSR-0001",
    "ucpe-1": "EL-UCPE-0001",
    "ucpe-2": "EL-UCPE-0002",
    "vpcgw-1": "EL-VPCGW-0001",
}
REVOKED_WITHIN = 10.0
"""Seconds until a revoked box has no tunnel, by the clock on the wall: the requirement itself, which nothing scales."""
# The exchange's type is the 19th octet of IKE (RFC 7296, section 3.1), which in UDP 4500 has four zero octets in front;
# there what has none is ESP, and what has one octet keeps a NAT awake (RFC 3948, section 2).
IKE_AUTH = "((udp port 500 and udp[26] = 35) or (udp port 4500 and udp[8:4] = 0 and udp[30] = 35))"
ESP = "(esp or (udp port 4500 and udp[4:2] > 9 and udp[8:4] != 0))"
_PLACE = "/var/lib/element/identity/current"


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


def revoke(lab: Lab, box: str, **ends: Callable[[], bool]) -> dict[str, float]:
    """Revoke a box; seconds until its tunnels had ended, by end."""
    start = time.monotonic()
    administer(lab, box, "revoked")
    return until_ended(start, **ends)


def until_ended(start: float, **ends: Callable[[], bool]) -> dict[str, float]:
    """Seconds from then until tunnels had ended, by end."""
    seconds = {}
    for end, ended in ends.items():
        wait_for(f"the tunnel to end at {end}", ended, 3 * REVOKED_WITHIN)
        seconds[end] = round(time.monotonic() - start, 2)
    return seconds


def readmit(lab: Lab, box: str) -> None:
    """A box comes as new from the factory, and is taken in: who was not revoked before would be taken for a copy."""
    administer(lab, box, "revoked")
    administer(lab, box, "legal")
    lab[box].sh("sv -w 10 force-stop element >/dev/null || true; rm -rf /var/lib/element/*")
    lab[box].power.cycle()


def release(lab: Lab, box: str) -> int:
    """Let a box be taken in once more, as an operator does; the status of the answer."""
    path = f"{registry.DEVICES}/device={SERIALS[box]}/release"
    return Orchestrator.of(lab).call("manager", "POST", path).status


@contextmanager
def certificates_live(lab: Lab, seconds: int) -> Iterator[None]:
    """Within the block the manager makes certificates that are good for so long."""
    setting = f'"certificate_life": {seconds}, '
    try:
        _set_up_manager(lab, f's/"est_url"/{setting}&/')
        yield
    finally:
        _set_up_manager(lab, f"s/{setting}//")


def _set_up_manager(lab: Lab, edit: str) -> None:
    lab["stack"].sh(f"sed -i '{edit}' /usr/lib/elasticlab/settings; sv -w 60 restart manager", timeout=90)
    lab.wait_until("stack", "tcp:8442", 30)
    lab.wait_until("stack", "tcp:8572", 30)


def own_certificate(lab: Lab, box: str) -> x509.Certificate:
    """The one that a box shows to its peers in IKE."""
    return x509.load_pem_x509_certificates(lab[box].exec("cat", f"{_PLACE}/ike.pem").encode())[0]


def put_certificate(lab: Lab, box: str, start: datetime, end: datetime) -> x509.Certificate:
    """Give a box a key and a certificate for IKE with these dates, signed by the operator's authority."""
    authority = "/var/lib/manager/authority"
    signer = load_pem_private_key(lab["stack"].exec("cat", f"{authority}/ca.key").encode(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    old, key = own_certificate(lab, box), ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder(old.issuer, old.subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    for one in old.extensions:
        if one.oid != ExtensionOID.SUBJECT_KEY_IDENTIFIER:
            builder = builder.add_extension(one.value, one.critical)
    made = builder.sign(signer, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for name, content in (("key", private), ("pem", made.public_bytes(Encoding.PEM))):
        lab[box].run("tee", f"{_PLACE}/ike.{name}.new", stdin=content.decode()).check()
    lab[box].sh(f"cd {_PLACE}; mv ike.key.new ike.key; mv ike.pem.new ike.pem")
    return made


def registered(lab: Lab, box: str) -> dict[str, bool]:
    """All certificates of a box in the registry, and whether they are revoked."""
    return {one["serial-number"]: one["revoked"] for one in _entry(lab, box).get("certificate", [])}


def status(lab: Lab, box: str) -> str:
    """What has become of a box, as the registry says."""
    return str(_entry(lab, box)["status"])


def _entry(lab: Lab, box: str) -> dict[str, Any]:
    entry = registry.read(Orchestrator.of(lab), SERIALS[box])
    assert entry is not None
    return entry


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


def raised(lab: Lab, box: str) -> dict[str, str]:
    """The manager's alarms about a box, by kind."""
    mine = [one for one in alarms(lab, "manager") if SERIALS[box] in one["resource"]]
    return {one["alarm-type-id"].rpartition(":")[2]: one["alarm-text"] for one in mine}


def tunnelled(lab: Lab, box: str, peer: str | None = None) -> bool:
    """Has a box a child SA by charon (with a peer)? What the kernel lists are attempts, too."""
    return "INSTALLED" in lab[box].exec("swanctl", "--list-sas", *(("--ike", peer) if peer else ()))


def ike_sas(lab: Lab, box: str, peer: str) -> frozenset[str]:
    """Cookies of the IKE SAs with a peer."""
    said = lab[box].exec("swanctl", "--list-sas", "--ike", peer)
    lines = [line for line in said.splitlines() if line.startswith(f"{peer}: ")]
    return frozenset(line.split("IKEv2, ")[1].replace("*", "") for line in lines)
