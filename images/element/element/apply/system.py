"""The machine: read as a table of resources, and made to be as another table says."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from netlinkkit.requests import Refused, Wire

from element import kernel
from element.apply import conntrack, nft
from element.apply.daemon import CharonError, CharonGoneError
from element.apply.ipsec import Charon
from element.apply.libnftables import NftError
from element.apply.link import Links
from element.apply.route import Routes
from element.model import tenant_of
from element.plan.desired import SETTINGS
from element.plan.difference import Action, ConflictError, Operation, difference
from element.plan.resources import (
    Address,
    Credential,
    FlowTable,
    Ike,
    Key,
    Link,
    LocalRule,
    Resource,
    Route,
    Rule,
    Ruleset,
    Setting,
    SharedKey,
    StationEntry,
    Table,
    Vlan,
    table,
)

log = logging.getLogger(__name__)

PROC = "/proc/sys"
PASSES = 4
"""The kernel does more than it is told (routes go with links): the difference is taken again until it is empty."""

_PEERS = (Credential, SharedKey, Ike)
"""What is one peer's, or some peers'."""
Failure = (OSError, NftError, CharonError, ValueError, KeyError)


class OperationError(RuntimeError):
    """An operation failed; what came before it in the plan is done. ``path`` tells where in the configuration."""

    def __init__(self, message: str, path: str | None = None) -> None:
        super().__init__(message)
        self.path = path

    @classmethod
    def of(cls, operation: Operation, reason: str) -> OperationError:
        """The failure of one operation."""
        return cls(f"{operation}: {reason}", operation.resource.path)


class System:
    """Blocking; used from one thread at a time."""

    def __init__(self, charon: Charon) -> None:
        self.charon = charon

    def converge(
        self,
        wanted: Table,
        *,
        as_far_as_possible: bool = False,
        between: Callable[[], None] = lambda: None,
        looking: Callable[[], None] = lambda: None,
    ) -> tuple[tuple[object, ...], ...]:
        """Make the machine be as wanted; returns the keys of what waits for links or for charon.

        The first failure ends it. If it is to go as far as possible, what fails of one peer's (a credential, a
        connection), and what has no place because others' things are there, keeps nothing else from being made, and
        is raised at the end. ``between`` is called between steps, ``looking`` before each
        look at the machine; after the last one nothing was changed any more.
        """
        last: Operation | None = None
        failed: dict[Key, OperationError] = {}
        with Wire() as wire:
            machine = _Machine(wire, self.charon, failed if as_far_as_possible else None, between)
            for _ in range(PASSES):
                looking()
                now, waiting = machine.split(wanted)
                try:
                    plan = difference(now, machine.read(), around=as_far_as_possible)
                except ConflictError as error:
                    raise _in_the_way(error) from error
                if not plan:
                    if errors := [*failed.values(), *map(_in_the_way, plan.conflicts)]:
                        raise OperationError("; ".join(map(str, errors)), errors[0].path)
                    return tuple(resource.key for resource in (*plan.deferred, *waiting))
                for operation in plan.operations:
                    last = operation
                    machine.execute(operation)
        raise OperationError.of(last, "the change does not last") if last else AssertionError("no pass was made")


class _Machine:
    """Passes over the machine. ``failed`` has what is let be because it failed; None if nothing may."""

    def __init__(
        self, wire: Wire, charon: Charon, failed: dict[Key, OperationError] | None, between: Callable[[], None]
    ) -> None:
        self._failed = failed
        self._between = between
        self._links = Links(wire)
        self._routes = Routes(wire)
        self._charon = charon
        self._ipsec = True
        links, routes = self._links, self._routes
        self._create: dict[type[Resource], Callable[[Any], None]] = {
            Link: self._create_link,
            Address: links.add_address,
            Vlan: links.add_vlan,
            StationEntry: links.add_station,
            Route: routes.create,
            Rule: routes.create_rule,
            LocalRule: routes.move_local_rule,
            Ruleset: nft.load,
            FlowTable: lambda flows: nft.set_devices(flows.devices),
            Setting: _set,
            Credential: charon.load_credential,
            SharedKey: charon.load_shared,
            Ike: charon.load,
        }
        self._delete: dict[type[Resource], Callable[[Any], None]] = {
            Link: links.delete,
            Address: links.remove_address,
            Vlan: links.remove_vlan,
            StationEntry: links.remove_station,
            Route: routes.delete,
            Rule: routes.delete_rule,
            FlowTable: lambda _: nft.set_devices(()),
            Credential: charon.unload_credential,
            SharedKey: charon.unload_shared,
            Ike: charon.unload,
        }

    def _create_link(self, link: Link) -> None:
        if link.kind == "vrf" and link.table is not None:
            # Before, not after: once it is there, nobody would know whether that was done.
            conntrack.forget(tenant_of(link.table))
        self._links.create(link)

    def split(self, wanted: Table) -> tuple[Table, tuple[Resource, ...]]:
        """What can be had now, and what waits for charon or a tunnel; credentials as their files are now."""
        self._ipsec = self._is_charon_there()
        established = self._established(wanted)
        now: list[Resource] = []
        waiting: list[Resource] = []
        for resource in wanted.values():
            if isinstance(resource, Credential):  # looked at without charon, too: what is not there will not be loaded
                if (present := self._present(resource)) is not None:
                    (now if self._ipsec else waiting).append(present)
            elif not self._ipsec and isinstance(resource, _PEERS):
                waiting.append(resource)
            elif isinstance(resource, FlowTable) and not nft.has_flow_tables():
                continue
            elif isinstance(resource, Route) and resource.tracked:
                if resource.tracked in established:
                    now.append(replace(resource, tracked=None))
                else:
                    waiting.append(resource)
            else:
                now.append(resource)
        return self._let_be(table(now)), tuple(waiting)

    def _is_charon_there(self) -> bool:
        for _ in range(2):  # that a session is over says nothing of a charon that has come since
            with suppress(CharonGoneError):
                self._charon.call("version")
                return True
        return False

    def _let_be(self, resources: Table) -> Table:
        """Without what failed, wanted or actual: nothing is done about it any more."""
        failed = self._failed or {}
        return {key: resource for key, resource in resources.items() if key not in failed}

    def _established(self, wanted: Table) -> set[str]:
        """The connections that routes wait for, as far as they are there."""
        tracked = {r.tracked for r in wanted.values() if isinstance(r, Route) and r.tracked}
        if not tracked or not self._ipsec:
            return set()
        try:
            return self._charon.established([r for r in wanted.values() if isinstance(r, Ike) and r.name in tracked])
        except CharonGoneError:
            self._ipsec = False
            return set()
        except CharonError as error:
            raise OperationError(f"reading the machine: {error}") from error

    def _present(self, credential: Credential) -> Credential | None:
        try:
            return self._charon.present(credential)
        except OSError as error:
            self._fail(Operation(Action.CREATE, credential), error)
            return None

    def read(self) -> Table:
        """The machine as it is."""
        try:
            return self._let_be(table(self._read()))
        except Failure as error:
            raise OperationError(f"reading the machine: {_reason(error)}") from error

    def _read(self) -> Iterator[Resource]:
        for part in (self._links.read, self._routes.read, nft.read):
            yield from part()
            self._between()
        yield from (Setting(name, _get(name)) for name in SETTINGS)
        if self._ipsec:
            yield from self._charon.read()

    def execute(self, operation: Operation) -> None:
        """Carry an operation out."""
        self._between()
        log.info("%s", operation)
        resource = operation.resource
        try:
            if operation.action is Action.DELETE:
                self._delete[type(resource)](resource)
            elif operation.action is Action.CHANGE and isinstance(resource, Link):
                self._links.change(resource)
            else:
                self._create[type(resource)](resource)
        except Failure as error:
            self._fail(operation, error)

    def _fail(self, operation: Operation, error: Exception) -> None:
        """Let it be, if that may be; charon that is gone is no failure of a peer's."""
        failure = OperationError.of(operation, _reason(error))
        if self._failed is None or not isinstance(operation.resource, _PEERS) or isinstance(error, CharonGoneError):
            raise failure from error
        self._failed[operation.resource.key] = failure


def _in_the_way(error: ConflictError) -> OperationError:
    return OperationError.of(Operation(Action.CREATE, error.resource), str(error))


def _reason(error: Exception) -> str:
    return str(error.strerror) if isinstance(error, Refused) else str(error)


def _get(name: str) -> str:
    """A kernel setting; one that the kernel does not have counts as set."""
    try:
        return kernel.read(f"{PROC}/{name}")
    except FileNotFoundError:
        return SETTINGS[name]


def _set(setting: Setting) -> None:
    Path(PROC, setting.name).write_text(setting.value)
