"""YANG datastores with NETCONF front ends and an asyncio client.

**Server side** (needs the extra ``server``: libyang), everything importable from ``yangkit``::

    schema = Schema([Path("models/yang")], [Module("ietf-interfaces"), Module("ietf-nat", features=("napt44",))])
    stores = Datastores(schema, backend, startup=Path("/var/lib/element/startup.xml"), default={...} or None)
    await stores.start()                     # loads the startup file (else the default) and applies it; never raises
                                             # because of a backend: it retries, see stores.problem and stores.applied
    server = NetconfServer(stores)           # recovery_users=("admin",) bypass NACM (RFC 8341, section 3.3)
    await server.listen_ssh("", 830, host_key=Path(...), authorized_keys={"admin": Path(...)})
    await server.listen_tls("", 6513, cert=Path(...), key=Path(...), ca=Path(...), names=[NameRule("san-any")])
    server.call_home_ssh("controller", 4334, host_key=..., authorized_keys=...)      # RFC 8071, with back-off
    server.call_home_tls("controller", 4335, cert=..., key=..., ca=..., names=...)
    await server.close(); await stores.close()

* ``Schema(search_dirs, modules)``: pyang's IETF and IANA modules are found by themselves; the modules that every
  NETCONF server has (monitoring, NACM, yang-library, with-defaults, notifications) are always loaded.
  ``schema.validate(tree)`` raises ``RpcError`` when a configuration (RFC 7951 dict) is not valid.
* ``Backend`` (``yangkit.backend``): ``async apply(old, new)`` and ``async state()``; both speak RFC 7951 dicts.
  ``apply`` raises ``ApplyError(message, path=None, tag="operation-failed")`` to refuse: then nothing has changed.
  ``Datastores(check=function)``: ``check(running, new)`` may refuse in the same way what is new; what was accepted
  once (the startup file, the configuration that a confirmed commit goes back to) is applied without asking it.
* ``Datastores(many_edits=True)`` appends what an edit changes to ``startup.xml.journal``: for those with many edits.
* ``Datastores.running`` is a dict of the running configuration; ``await stores.replace_running(tree)`` changes it
  from inside (validated, applied, made durable, announced), as an edit-config by a client would.
* ``NetconfServer(stores, rpcs={"module:rpc": handler, "/mod:container/list/action": handler})`` with
  ``async def handler(call: RpcCall) -> Tree``: ``call.input`` (dict of the input's children), ``call.user``,
  ``call.path`` (keys of the action's ancestors); returns the dict of the output's children.
* ``RestconfApp(server, authenticate=async_function_of_scope)`` is RESTCONF (RFC 8040) on the same server, as an ASGI
  application: see ``yangkit.restconf``.
* ``server.ports`` tells the bound ports in the order of the ``listen_…`` calls (port 0 works).

**Client side** (pure Python ≥ 3.11, no libyang), from ``yangkit.client``::

    async with await connect_ssh(host, 830, username="admin", client_key=path, host_key=path_or_None) as client: ...
    async with await connect_tls(host, 6513, cert=..., key=..., ca=..., server_name=...) as client: ...
    async with await listen_call_home_tls(...) as listener: client = await listener.accept(timeout)
    await client.edit_config(xml_or_element, target="candidate")
    await client.commit(confirmed=True, confirm_timeout=60)

Errors are ``yangkit.errors.RpcError`` with ``tag, type, app_tag, path, message, info``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yangkit.backend import ApplyError, Backend, NullBackend, Tree
    from yangkit.certnames import NameRule
    from yangkit.client import NetconfClient
    from yangkit.datastores import Datastores
    from yangkit.errors import RpcError
    from yangkit.operations import RpcCall
    from yangkit.restconf import RestconfApp
    from yangkit.schema import Module, Schema
    from yangkit.server import NetconfServer

__all__ = [
    "ApplyError",
    "Backend",
    "Datastores",
    "Module",
    "NameRule",
    "NetconfClient",
    "NetconfServer",
    "NullBackend",
    "RestconfApp",
    "RpcCall",
    "RpcError",
    "Schema",
    "Tree",
]

_HOMES = {
    "ApplyError": "backend",
    "Backend": "backend",
    "Datastores": "datastores",
    "Module": "schema",
    "NameRule": "certnames",
    "NetconfClient": "client",
    "NetconfServer": "server",
    "NullBackend": "backend",
    "RestconfApp": "restconf",
    "RpcCall": "operations",
    "RpcError": "errors",
    "Schema": "schema",
    "Tree": "backend",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that clients never load libyang (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'yangkit' has no attribute {name!r}")
    return getattr(import_module(f"yangkit.{_HOMES[name]}"), name)
