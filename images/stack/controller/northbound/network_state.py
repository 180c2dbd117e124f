"""The network as ``elasticlab-network`` shows it (config false), and the notifications of its changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from yangkit import Tree
from yangkit.paths import Path

from controller.drivers.peering import CloudEnd
from controller.operational.sites import Judged
from controller.operational.tunnels import Tunnel
from controller.operational.watch import CloudState, SiteState, Watcher
from controller.service.facts import DeviceFacts
from controller.service.network import Network
from controller.southbound.inventory import Inventory
from controller.southbound.reconcile import Reconciler
from controller.southbound.registry import Registered, Registry
from controller.southbound.status import Status

ROOT = "elasticlab-network:network"
Publish = Callable[[str, dict[str, Any]], None]


def stamp(moment: datetime) -> str:
    """date-and-time of RFC 6991."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class NetworkState:
    """Registered devices, those that have come, and sites."""

    def __init__(
        self, registry: Registry, inventory: Inventory, reconciler: Reconciler, watcher: Watcher, domain: str
    ) -> None:
        self._registry, self._inventory = registry, inventory
        self._reconciler, self._watcher, self._domain = reconciler, watcher, domain

    def tree(self) -> Tree:
        """All of it, as it is now."""
        self._watcher.refresh()
        tree: Tree = {"healthy": self._healthy(self._reconciler.status)}
        names = {*self._inventory.facts, *(one.name for one in self._registry.devices.values())}
        if names:
            tree["device"] = self._devices(sorted(names))
        if self._watcher.sites:
            tree["site"] = [_site(id_, state) for id_, state in sorted(self._watcher.sites.items())]
        if self._watcher.clouds:
            tree["cloud"] = [self._cloud(key, state) for key, state in sorted(self._watcher.clouds.items())]
        return {ROOT: tree}

    def part(self, path: Path) -> Tree | None:
        """One device, or one site, with what is below it; None when that is not all that is asked for."""
        schema, key = path.steps[1] if len(path.steps) > 1 else (None, ())
        if schema is None or not key:
            return None
        if schema.name == "device":
            return {ROOT: {"device": self._devices(key)}}
        if schema.name == "site":
            self._watcher.refresh()
            state = self._watcher.sites.get(key[0])
            return {ROOT: {"site": [_site(key[0], state)]} if state is not None else {}}
        return None

    def _devices(self, names: Iterable[str]) -> list[Tree]:
        """Of those names that are a device's."""
        facts, status = self._inventory.facts, self._reconciler.status
        network = self._reconciler.view.network
        registered = {one.name: one for one in self._registry.devices.values()}
        return [
            self._device(name, registered.get(name), facts.get(name), status.get(name, Status()), network)
            for name in names
            if name in registered or name in facts
        ]

    def _device(
        self, name: str, registered: Registered | None, facts: DeviceFacts | None, status: Status, network: Network
    ) -> Tree:
        device: Tree = {"name": name}
        if registered is not None:
            device |= {"serial": registered.serial, "model": registered.model}
        device |= _device(facts, status)
        peers = _peers(network, name)
        wanted = {label: tunnel for label, tunnel in self._watcher.tunnels(name).items() if label in peers}
        if wanted:
            device["tunnel"] = [_tunnel(tunnel, *peers[label]) for label, tunnel in sorted(wanted.items())]
        return {leaf: value for leaf, value in device.items() if value is not None}

    def _cloud(self, key: str, state: CloudState) -> Tree:
        tree: Tree = {"vpn-id": state.vpn, "cloud-identifier": state.identifier, **_state(state)}
        ends = [end for end in self._reconciler.view.network.clouds.values() if end.cloud.key == key]
        if ends:
            tree["end"] = [self._end(end) for end in sorted(ends, key=lambda e: e.pop.name)]
        return tree

    def _end(self, end: CloudEnd) -> Tree:
        tunnel = self._watcher.tunnels(end.pop.name).get(end.label)
        tree: Tree = {
            "device": end.pop.name,
            "identity": end.identity(self._domain),
            "established": tunnel is not None and tunnel.established,
            "local-prefix": [str(prefix) for prefix in end.local],
            "remote-prefix": [str(prefix) for prefix in end.remote],
        }
        return tree if end.source is None else tree | {"address": end.source}

    def _healthy(self, status: Mapping[str, Status]) -> bool:
        """All wanted sites and clouds are up, and their devices in sync."""
        states: list[SiteState | CloudState] = [*self._watcher.sites.values(), *self._watcher.clouds.values()]
        if any(state.judged.state != "up" for state in states):
            return False
        concerned = {
            name
            for attachment in self._reconciler.view.network.attachments.values()
            for name in (attachment.branch.name, attachment.pop.name)
        }
        return all(name in status and status[name].sync == "in-sync" for name in concerned)


def _device(facts: DeviceFacts | None, status: Status) -> Tree:
    tree: Tree = {"connected": status.connected, "sync": status.sync, "problem": status.problem}
    if status.since is not None:
        tree["since"] = stamp(status.since)
    if facts is not None:
        tree |= {
            "serial": facts.serial,
            "model": facts.model,
            "personality": facts.personality or None,
            "wan-address": facts.wan_address,
        }
    return tree


def _peers(network: Network, device: str) -> dict[str, tuple[str, str]]:
    """Who is at the other end of each connection that we have ordered, and what it is for, by the connection's name."""
    peers: dict[str, tuple[str, str]] = {}
    for attachment in network.of_device(device):
        other = attachment.pop if attachment.branch.name == device else attachment.branch
        peers[other.label] = (other.name, "pop")
    for end in network.clouds.values():
        if end.pop.name == device:
            peers[end.label] = (end.cloud.identity, "cloud")
    for link in network.links.get(device, ()):
        peers[link.peer.label] = (link.peer.name, "direct")
    return peers


def _tunnel(tunnel: Tunnel, peer: str, kind: str) -> Tree:
    tree: Tree = {"name": tunnel.name, "peer": peer, "kind": kind, "established": tunnel.established}
    if tunnel.since is not None:
        tree["since"] = stamp(tunnel.since)
    if tunnel.established:
        # RFC 7951, section 6.1: 64 bit numbers are strings.
        tree |= {"sent-packets": str(tunnel.sent), "received-packets": str(tunnel.received)}
    return tree


def _state(state: SiteState | CloudState) -> Tree:
    tree: Tree = {"state": state.judged.state, "in-sync": state.in_sync, "since": stamp(state.since)}
    return tree | {"reason": state.judged.reason} if state.judged.reason else tree


def _site(id_: str, state: SiteState) -> Tree:
    tree: Tree = {"site-id": id_, **_state(state)}
    if state.judged.round_trip_time is not None:
        tree["round-trip-time"] = f"{state.judged.round_trip_time:.3f}"
    if state.judged.refused_by is not None:
        tree["refused-by"] = state.judged.refused_by
    if state.vpns:
        tree["vpn"] = [{"vpn-id": vpn} for vpn in state.vpns]
    return tree


class Announcer:
    """Tells who listens."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish

    def device(self, name: str, status: Status) -> None:
        """``Reconciler.on_change``."""
        content = {"name": name, "connected": status.connected, "sync": status.sync}
        self._publish("elasticlab-network:device-state-changed", content)

    def site(self, name: str, state: SiteState | None) -> None:
        """``Watcher.on_site``; of a site that is gone its last words are that it was being removed."""
        gone: Tree = {"site-id": name, "state": "removing", "reason": "gone from every device", "gone": [None]}
        self._publish("elasticlab-network:site-state-changed", gone if state is None else _site(name, state))

    def cloud(self, vpn: str, identifier: str, state: CloudState | None) -> None:
        """``Watcher.on_cloud``."""
        content: dict[str, Any] = {"vpn-id": vpn, "cloud-identifier": identifier}
        gone = Judged("removing", "gone from every device")
        self._publish("elasticlab-network:cloud-state-changed", content | _words(state.judged if state else gone))


def _words(judged: Judged) -> dict[str, Any]:
    content: dict[str, Any] = {"state": judged.state}
    return content | {"reason": judged.reason} if judged.reason else content
