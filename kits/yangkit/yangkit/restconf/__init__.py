"""RESTCONF (RFC 8040) with YANG Patch (RFC 8072): a second front end on a NETCONF server's datastores.

``RestconfApp`` is a plain ASGI 3 application that any ASGI server runs at the root of its host::

    app = RestconfApp(netconf_server, authenticate=who)      # async def who(scope) -> user name; see Unauthorized

It serves ``/.well-known/host-meta``, ``{root}/data``, ``{root}/operations``, ``{root}/yang-library-version`` and the
event stream at ``{root}/streams/NETCONF`` (XML) and ``{root}/streams/NETCONF-JSON`` (server-sent events, section 6).
"""

from __future__ import annotations

from yangkit.restconf.app import RestconfApp
from yangkit.restconf.messages import Forbidden, Scope, Unauthorized

__all__ = ["Forbidden", "RestconfApp", "Scope", "Unauthorized"]
