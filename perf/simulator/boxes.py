"""One box: a NETCONF server, and behind it a system that knows what a box of its model tells, but builds nothing."""

from __future__ import annotations

import base64
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path
from sys import intern
from typing import Any

from cryptography import x509
from yangkit import ApplyError, Datastores, Module, NameRule, RpcCall, Schema, Tree
from yangkit.callhome import CallHome

from perf.simulator.behaviour import BehavingServer, Behaviour

DOMAIN = "elasticlab.example"
CLIENTS = frozenset({"controller", "admin", f"controller.{DOMAIN}", f"admin.{DOMAIN}"})
"""Certificate names that may come in; they are not bound by access control, as in our boxes."""
LONGEST_WAIT = 5.0
"""Seconds between two calls, at most: those of our boxes."""
_IPSEC = "elasticlab-ipsec:ipsec"
_HARDWARE = "ietf-hardware:hardware"


@dataclass(frozen=True)
class Model:
    """A kind of box: its model's name, and the modules that its personality has."""

    name: str
    personality: str

    @classmethod
    def named(cls, name: str) -> Model:
        """`ucpe-100` is a uCPE; what comes before the first hyphen is the personality."""
        return cls(name, name.partition("-")[0])


def modules(personalities: Path, *names: str) -> list[Module]:
    """The modules of personalities, as the boxes' own files list them."""
    found: dict[str, Module] = {}
    for name in names:
        path = personalities / f"{name}.toml"
        if not path.is_file():
            known = ", ".join(sorted(file.stem for file in personalities.glob("*.toml"))) or "none"
            raise FileNotFoundError(f"{path}: there is no personality {name!r}; known: {known}")
        for module, features in tomllib.loads(path.read_text())["modules"].items():
            found[module] = Module(module, tuple(features))
    return list(found.values())


def day0(address: IPv4Interface) -> Tree:
    """What a box has before anybody configures it: its WAN, with an address that its gateway is the first of."""
    wan = {
        "name": "wan",
        "type": "iana-if-type:ethernetCsmacd",
        "ietf-ip:ipv4": {"address": [{"ip": str(address.ip), "prefix-length": address.network.prefixlen}]},
    }
    gateway = str(address.network.network_address + 1)
    route = {"destination-prefix": "0.0.0.0/0", "next-hop": {"next-hop-address": gateway}}
    underlay = {
        "type": "ietf-routing:static",
        "name": "underlay",
        "static-routes": {"ietf-ipv4-unicast-routing:ipv4": {"route": [route]}},
    }
    return {
        "ietf-interfaces:interfaces": {"interface": [wan]},
        "ietf-routing:routing": {"control-plane-protocols": {"control-plane-protocol": [underlay]}},
    }


class _System:
    """``yangkit.backend.Backend``: every connection that is configured is up, every peer answers."""

    def __init__(self, model: str) -> None:
        self._model = intern(model)
        self.connections: tuple[str, ...] = ()
        self.admit: Any = None

    async def apply(self, old: Tree, new: Tree) -> None:
        if self.admit is not None:
            self.admit()
        self.connections = tuple(intern(one["name"]) for one in new.get(_IPSEC, {}).get("conn-entry", ()))

    async def state(self, wanted: frozenset[str] | None = None) -> Tree:
        component = {"name": "box", "class": "iana-hardware:chassis", "model-name": self._model}
        tree: Tree = {_HARDWARE: {"component": [component]}}
        if self.connections and (wanted is None or _IPSEC in wanted):
            up = [{"name": name, "state": {"established": True}} for name in self.connections]
            tree[_IPSEC] = {"conn-entry": up}
        return tree


@dataclass(frozen=True)
class Place:
    """Where a box's credentials and its startup file are; without one it forgets all when its process ends."""

    certificate: Path
    key: Path
    service_ca: Path
    startup: Path | None


class Box:
    """A device of the operator's, named and certified."""

    def __init__(self, name: str, model: str, schema: Schema, address: IPv4Interface, place: Place) -> None:
        self.name, self.model = name, model
        self._place = place
        self.system = _System(model)
        self.stores = Datastores(schema, self.system, place.startup, day0(address))
        rpcs = {"elasticlab-element:install-crl": self._install_crl, "elasticlab-element:ping": self._ping}
        self.server = BehavingServer(self.stores, rpcs=rpcs, recovery_users=CLIENTS)
        self.home: CallHome | None = None
        #: The revocation list that it was given last, DER.
        self.crl: bytes | None = None

    async def start(self) -> None:
        await self.stores.start()
        # From now on, what it shall refuse is a change.
        self.system.admit = self.server.behaving.admit

    def call(self, host: str, port: int) -> None:
        """Call the controller home, again and again."""
        self.home = self.server.call_home_tls(
            host,
            port,
            cert=self._place.certificate,
            key=self._place.key,
            ca=self._place.service_ca,
            names=(NameRule("common-name"),),
            users=CLIENTS,
            longest_wait=LONGEST_WAIT,
        )

    async def stop(self) -> None:
        await self.server.close()
        await self.stores.close()

    @property
    def connected(self) -> bool:
        """Is there a session whose ends have greeted each other?"""
        return any(session.is_open for session in self.server.sessions.values())

    @property
    def behaviour(self) -> Behaviour:
        return self.server.behaving.behaviour

    @behaviour.setter
    def behaviour(self, how: Behaviour) -> None:
        self.server.behaving.behaviour = how

    async def _install_crl(self, call: RpcCall) -> Tree:
        """As our boxes: a list that is none is refused, and whoever is on it has no session any more."""
        der = base64.b64decode(call.input["crl"])
        try:
            revoked = _revoked(der)
        except ValueError as error:
            message = f"this is no revocation list in DER: {error}"
            raise ApplyError(message, "/elasticlab-element:install-crl/crl", "invalid-value") from None
        self.crl = _shared(der)
        for session in list(self.server.sessions.values()):
            certificate = session.peer.certificate
            if revoked and certificate and x509.load_der_x509_certificate(certificate).serial_number in revoked:
                session.end("other")
        return {}

    async def _ping(self, call: RpcCall) -> Tree:
        count = call.input.get("count", 1)
        return {"sent": count, "received": count, "rtt-min": "1.000", "rtt-avg": "1.000", "rtt-max": "1.000"}


_lists: dict[bytes, tuple[bytes, frozenset[int]]] = {}


def _known(der: bytes) -> tuple[bytes, frozenset[int]]:
    """All boxes are given the same list: it is kept and read once, and the former ones go."""
    found = _lists.get(der)
    if found is None:
        revoked = frozenset(entry.serial_number for entry in x509.load_der_x509_crl(der))
        _lists.clear()
        found = _lists[der] = der, revoked
    return found


def _revoked(der: bytes) -> frozenset[int]:
    return _known(der)[1]


def _shared(der: bytes) -> bytes:
    return _known(der)[0]


def schema_of(yang: Sequence[Path], personalities: Path, *models: Model) -> Schema:
    """One schema for boxes of all these models."""
    return Schema(yang, modules(personalities, *dict.fromkeys(model.personality for model in models)))
