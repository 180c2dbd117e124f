"""Reading a site of RFC 8299 with its augmentation; what is not offered is refused with its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.service.addresses import gateway4, gateway6
from controller.service.cursor import INVALID, UNSUPPORTED, Cursor
from controller.service.site import Dns, Encapsulation, Exit, LocalInternet, Mode, Rule, Site, Transport

_ROLE = "all sites of a VPN are equal"


def site(entry: Cursor) -> Site:
    """An entry of the list ``site``."""
    # Locations are for people; what is said of access and box decides.
    entry.information("locations")
    management = entry.child("management")
    management.only("type", "provider-managed", "provider-managed", "the operator manages every box")
    policies = {policy.value("vpn-policy-id"): _policy(policy) for policy in _policies(entry)}
    _routing(entry)
    access = _only_access(entry)
    box = _box(access)
    _devices(entry, access, box["device"])
    vpns = _attachment(access.child("vpn-attachment"), policies)
    _flavor(entry, vpns)
    _service(access.child("service"), box["mode"], box["encapsulation"])
    _routing(access)
    # One access a site: it has nothing to be preferred to (section 6.9), and every LAN may hold many stations.
    access.child("availability").information("access-priority")
    access.information("site-network-access-type")
    connection = access.child("ip-connection")
    gateway, dhcp = gateway4(connection.child("ipv4"))
    address6, slaac = gateway6(connection.child("ipv6"))
    return Site(
        id=str(entry.value("site-id")),
        access=str(access.value("site-network-access-id")),
        gateway=gateway,
        dhcp=dhcp,
        gateway6=address6,
        slaac=slaac,
        vpns=vpns,
        **box,
    )


def _only_access(entry: Cursor) -> Cursor:
    accesses = list(entry.child("site-network-accesses").entries("site-network-access", "site-network-access-id"))
    if len(accesses) != 1:
        problem = "a site needs a site-network-access" if not accesses else "a site has one access here"
        tag = UNSUPPORTED if accesses else INVALID
        raise entry.refusal(f"{problem}: give exactly one", "site-network-accesses", tag)
    return accesses[0]


def _box(access: Cursor) -> dict[str, Any]:
    box = access.child("elasticlab-access:access")
    device, mode = box.value("device"), box.value("mode")
    if not device:
        raise box.refusal("name the device of the site", "device")
    if mode not in set(Mode):
        raise box.refusal("give routed or bridged", "mode")
    vlan = box.value("vlan")
    if vlan is not None and mode == Mode.ROUTED:
        raise box.refusal("a routed access has no VLAN: give mode bridged, or leave vlan out", "vlan", UNSUPPORTED)
    transport = Transport(box.value("transport", Transport.IPSEC))
    if transport is Transport.PRIVATE_LINE and mode == Mode.ROUTED:
        remedy = "a private line carries VXLAN: give mode bridged, or transport ipsec"
        raise box.refusal(remedy, "transport", UNSUPPORTED)
    return {
        "device": device,
        "port": box.value("port", "lan"),
        "mode": Mode(mode),
        "vlan": vlan,
        "encapsulation": _encapsulation(box, Mode(mode)),
        "transport": transport,
        "local_internet": _local_internet(box, Mode(mode)),
        "dns": _dns(box),
    }


def _encapsulation(box: Cursor, mode: Mode) -> Encapsulation:
    possible = [Encapsulation.VXLAN] if mode is Mode.BRIDGED else [Encapsulation.GRE, Encapsulation.NONE]
    found = Encapsulation(box.value("encapsulation", possible[0]))
    if found not in possible:
        remedy = " or ".join(possible)
        raise box.refusal(f"{mode} access has no encapsulation {found}: give {remedy}", "encapsulation", UNSUPPORTED)
    return found


def _local_internet(box: Cursor, mode: Mode) -> LocalInternet | None:
    if "local-internet" not in box.tree:
        return None
    local = box.child("local-internet")
    if mode is Mode.BRIDGED:
        remedy = "the gateway of a bridged site is at the POP: give mode routed, or leave it out"
        raise local.refusal(remedy, None, UNSUPPORTED)
    rules = [
        Rule(str(rule.value("name")), rule.value("matches", {}), Exit(rule.value("action")))
        for rule in local.entries("rule", "name")
    ]
    return LocalInternet(tuple(rules), Exit(local.value("default", Exit.LOCAL)))


def _dns(box: Cursor) -> Dns | None:
    if "dns" not in box.tree:
        return None
    dns = box.child("dns")
    return Dns(dns.value("domain"), tuple(dns.value("forwarder", ())))


def _devices(entry: Cursor, access: Cursor, name: str) -> None:
    """RFC 8299, section 6.3.2: the customer's list of devices; here it repeats the one that serves the site."""
    for device in entry.child("devices").entries("device", "device-id"):
        device.information("location")
        if device.value("device-id") != name:
            raise device.refusal(f"the site is served by {name} alone: list that device only", None, UNSUPPORTED)
    if access.value("device-reference", name) != name:
        message = f"elasticlab-access names device {name}: give the same here"
        raise access.refusal(message, "device-reference")


def _policies(entry: Cursor) -> list[Cursor]:
    return list(entry.child("vpn-policies").entries("vpn-policy", "vpn-policy-id"))


def _policy(policy: Cursor) -> tuple[str, ...]:
    """The VPNs of a policy (RFC 8299, section 6.5.2.2); without filters all prefixes are meant."""
    vpns = []
    for entry in policy.entries("entries", "id"):
        for vpn in entry.entries("vpn", "vpn-id"):
            vpn.only("site-role", "any-to-any-role", "any-to-any-role", _ROLE)
            vpns.append(str(vpn.value("vpn-id")))
    return tuple(dict.fromkeys(sorted(vpns)))


def _attachment(attachment: Cursor, policies: Mapping[Any, tuple[str, ...]]) -> tuple[str, ...]:
    policy, vpn = attachment.value("vpn-policy-id"), attachment.value("vpn-id")
    if vpn is not None:
        attachment.only("site-role", "any-to-any-role", "any-to-any-role", _ROLE)
        return (str(vpn),)
    if policy is None:
        raise attachment.refusal("attach the site to a VPN: give vpn-id, or vpn-policy-id")
    if policy not in policies:
        raise attachment.refusal(f"the site has no vpn-policy {policy!r}", "vpn-policy-id")
    if not policies[policy]:
        raise attachment.refusal(f"vpn-policy {policy!r} names no VPN: add one", "vpn-policy-id")
    return policies[policy]


def _flavor(entry: Cursor, vpns: tuple[str, ...]) -> None:
    """RFC 8299, section 6.5.2: the default is single; only who says it and means another thing is wrong."""
    flavor = entry.identity("site-vpn-flavor", "site-vpn-flavor-multi")
    if flavor not in {"site-vpn-flavor-single", "site-vpn-flavor-multi"}:
        remedy = "give site-vpn-flavor-single or site-vpn-flavor-multi"
        raise entry.refusal(f"{flavor} is not offered: {remedy}", "site-vpn-flavor", UNSUPPORTED)
    if flavor == "site-vpn-flavor-single" and len(vpns) > 1:
        raise entry.refusal(f"the site is in {len(vpns)} VPNs: give site-vpn-flavor-multi", "site-vpn-flavor")


def _service(service: Cursor, mode: Mode, encapsulation: Encapsulation) -> None:
    """RFC 8299, section 6.12: what is promised must be kept."""
    for name in ("svc-input-bandwidth", "svc-output-bandwidth"):
        if int(service.value(name, 0)):
            raise service.refusal("rates are not reserved yet: give 0 (best effort)", name, UNSUPPORTED)
    limit = encapsulation.mtu
    if int(service.value("svc-mtu", limit)) > limit:
        message = f"{mode} access with encapsulation {encapsulation} carries IP packets of {limit} octets at most"
        raise service.refusal(f"{message}: give that or less", "svc-mtu", UNSUPPORTED)


def _routing(cursor: Cursor) -> None:
    """RFC 8299, section 6.11: LANs are connected directly."""
    for protocol in cursor.child("routing-protocols").entries("routing-protocol", "type"):
        protocol.only("type", "direct", "direct", "the LAN is connected directly")
