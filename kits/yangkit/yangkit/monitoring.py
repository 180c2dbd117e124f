"""What the server tells about itself: capabilities, monitoring (RFC 6022) and the YANG library (RFC 8525)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yangkit import defaults, paths, treejson, xmlutil
from yangkit.backend import Narrow, Wanted
from yangkit.edit import Editor
from yangkit.errors import RpcError
from yangkit.schema import ModuleInfo, Schema
from yangkit.tree import Container, empty, merge
from yangkit.xmlutil import BASE_1_0, BASE_1_1, CAPABILITY, escape

if TYPE_CHECKING:
    from yangkit.server import NetconfServer

COUNTERS = (
    "in-bad-hellos",
    "in-sessions",
    "dropped-sessions",
    "in-rpcs",
    "in-bad-rpcs",
    "out-rpc-errors",
    "out-notifications",
)


@lru_cache(maxsize=4)
def capabilities(schema: Schema) -> list[str]:
    """The capabilities of a server with this schema; nobody changes the list."""
    standard = (
        "writable-running:1.0",
        "candidate:1.0",
        "confirmed-commit:1.1",
        "rollback-on-error:1.0",
        "validate:1.1",
        "xpath:1.0",
        "notification:1.0",
        "interleave:1.0",
    )
    library = schema.modules["ietf-yang-library"]
    found = [BASE_1_0, BASE_1_1, *(CAPABILITY + name for name in standard), defaults.CAPABILITY]
    found.append(f"{CAPABILITY}yang-library:1.1?revision={library.revision}&content-id={schema.content_id}")
    for module in schema.modules.values():
        # Modules of YANG 1.1 are told by yang-library only (RFC 7950, section 5.6.4).
        if module.implemented and not schema.library.is_yang_1_1(module.handle):
            found.append(_module_capability(module))
    return found


def _module_capability(module: ModuleInfo) -> str:
    text = f"{module.namespace}?module={module.name}"
    if module.revision:
        text += f"&revision={module.revision}"
    if module.features:
        text += f"&features={','.join(module.features)}"
    return text


def hello(names: list[str], session: int) -> bytes:
    """The server's <hello>."""
    listed = "".join(f"<capability>{escape(name)}</capability>" for name in names)
    text = (
        f'<hello xmlns="{xmlutil.NC}"><capabilities>{listed}</capabilities><session-id>{session}</session-id></hello>'
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode()


def timestamp(moment: datetime) -> str:
    """A date-and-time of YANG."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


_LIBRARY = "{urn:ietf:params:xml:ns:yang:ietf-yang-library}"
_MONITORING = "ietf-netconf-monitoring:netconf-state"


@lru_cache(maxsize=4)
def _yang_library(schema: Schema) -> Container:
    """The same for all servers that share a schema: trees are never changed."""
    text = schema.library.yang_library(schema.content_id)
    return Editor(state_allowed=True).run(empty(schema), xmlutil.parse(f"<data>{text}</data>".encode()))


class State:
    """The operational data that <get> adds to running."""

    def __init__(self, server: NetconfServer, names: list[str]) -> None:
        self._server = server
        self._schema = server.stores.schema
        self._names = names
        self._started = datetime.now(UTC)
        self._fixed = _yang_library(self._schema)
        #: What further front ends tell about themselves.
        self.providers: list[Callable[[], dict[str, Any]]] = []

    async def tree(self, wanted: Wanted = None, path: paths.Path | None = None) -> Container:
        """The state of the backend and of the server; at least of the ``wanted`` top-level nodes, or of what is at a
        ``path`` below the one that is."""
        backend = self._server.stores.backend
        try:
            told = await backend.state_at(path) if path is not None and isinstance(backend, Narrow) else None
            if told is None:
                told = await backend.state(wanted)
            if wanted is not None:
                told = {name: node for name, node in told.items() if name in wanted}
            theirs = treejson.load(self._schema, told)
        except RpcError as error:
            raise RpcError("operation-failed", f"the system's state does not fit its schema: {error}") from None
        if wanted is not None and wanted.isdisjoint(self._own):
            return theirs
        return merge(merge(self._fixed, treejson.load(self._schema, self._told())), theirs)

    @property
    def _own(self) -> frozenset[str]:
        """What the server itself tells of, by its modules."""
        fixed = (schema.json_name for schema in self._fixed.children)
        return frozenset((*fixed, _MONITORING, *(name for provider in self.providers for name in provider())))

    def _told(self) -> dict[str, Any]:
        told: dict[str, Any] = {_MONITORING: self._monitoring()}
        for provider in self.providers:
            told |= provider()
        return told

    def _monitoring(self) -> dict[str, Any]:
        server = self._server
        sessions = [s for s in server.sessions.values() if s.is_open]
        return {
            "capabilities": {"capability": self._names},
            "datastores": {"datastore": [self._datastore(name) for name in ("running", "candidate")]},
            "schemas": {"schema": self._schemas()},
            "sessions": {
                "session": [
                    {
                        "session-id": s.id,
                        "transport": s.peer.transport,
                        "username": s.user,
                        "source-host": s.peer.host,
                        "login-time": timestamp(s.login_time),
                        "in-rpcs": s.counters.in_rpcs,
                        "in-bad-rpcs": s.counters.in_bad_rpcs,
                        "out-rpc-errors": s.counters.out_rpc_errors,
                        "out-notifications": s.counters.out_notifications,
                    }
                    for s in sessions
                ]
            },
            "statistics": {
                "netconf-start-time": timestamp(self._started),
                **{name: server.counters[name] for name in COUNTERS},
            },
        }

    def _datastore(self, name: str) -> dict[str, Any]:
        data: dict[str, Any] = {"name": name}
        lock = self._server.stores.locks.get(name)
        if lock is not None:
            since = timestamp(lock.since)
            data["locks"] = {"global-lock": {"locked-by-session": lock.session, "locked-time": since}}
        return data

    def _schemas(self) -> list[dict[str, Any]]:
        """RFC 6022, section 2.1.3: modules, and submodules with the namespace of theirs."""
        found = [(module.name, module.revision or "", module.namespace) for module in self._schema.modules.values()]
        found += [(name, revision, module.namespace) for name, (revision, module) in self._submodules.items()]
        return [
            {
                "identifier": name,
                "version": version,
                "format": "ietf-netconf-monitoring:yang",
                "namespace": namespace,
                "location": ["NETCONF"],
            }
            for name, version, namespace in found
        ]

    @cached_property
    def _submodules(self) -> dict[str, tuple[str, ModuleInfo]]:
        """Submodules by name: their revisions, and the modules that include them."""
        text = self._schema.library.yang_library(self._schema.content_id)
        found = {}
        for entry in xmlutil.parse(f"<data>{text}</data>".encode()).iter(f"{_LIBRARY}submodule"):
            above = entry.getparent()
            module = self._schema.modules.get(above.findtext(f"{_LIBRARY}name", "") if above is not None else "")
            if module is not None:
                found[entry.findtext(f"{_LIBRARY}name", "")] = (entry.findtext(f"{_LIBRARY}revision", ""), module)
        return found

    def schema_text(self, identifier: str, version: str | None, format_: str) -> str:
        """The text of a module, for <get-schema> (RFC 6022, section 3.1)."""
        if format_.rpartition(":")[2] != "yang":
            raise RpcError("invalid-value", f"schemas are given as yang, not as {format_}")
        if identifier in self._submodules and version in (None, self._submodules[identifier][0]):
            return self._submodule_text(identifier)
        module = self._schema.modules.get(identifier)
        if module is None or (version is not None and version != (module.revision or "")):
            what = identifier if version is None else f"{identifier}@{version}"
            raise RpcError("invalid-value", f"there is no schema {what}")
        file = self._schema.library.file_of(module.handle)
        if file is not None and Path(file).suffix == ".yang" and Path(file).is_file():
            return Path(file).read_text(encoding="utf-8")
        return self._schema.library.source(module.handle)

    def _submodule_text(self, name: str) -> str:
        """A submodule lies beside its module."""
        revision, module = self._submodules[name]
        file = self._schema.library.file_of(module.handle)
        for candidate in (f"{name}@{revision}.yang", f"{name}.yang"):
            if file is not None and (path := Path(file).with_name(candidate)).is_file():
                return path.read_text(encoding="utf-8")
        raise RpcError("operation-failed", f"the text of {name} cannot be found beside {module.name}")
