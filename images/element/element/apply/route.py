"""Routes and policy rules that are ours (``rtm_protocol`` 77), over rtnetlink(7)."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from element.plan.resources import ROUTE_PROTOCOL, Resource, Route, Rule

_TYPES = {"unicast": 1, "blackhole": 6, "unreachable": 7, "prohibit": 8}
_IPV6 = Path("/proc/net/if_inet6")
"""It is there unless the kernel was started without IPv6."""
_KINDS = {number: kind for kind, number in _TYPES.items()}


class Routes:
    """Reads and writes routes and rules."""

    def __init__(self, ipr: IPRoute) -> None:
        self._ipr = ipr

    def read(self) -> Iterator[Resource]:
        """Our routes in all tables, our rules, and the VRFs' own rule."""
        names = dict(socket.if_nameindex())
        for message in self._ipr.get_routes(family=socket.AF_INET):
            if message["proto"] == ROUTE_PROTOCOL:
                yield self._route(message, names)
        yield from {rule.key: rule for rule in self._rules(socket.AF_INET)}.values()

    def _rules(self, family: int) -> Iterator[Rule]:
        for message in self._ipr.get_rules(family=family):
            priority = message.get_attr("FRA_PRIORITY") or 0
            if message.get_attr("FRA_L3MDEV"):
                yield Rule(priority)
            elif message.get_attr("FRA_PROTOCOL") == ROUTE_PROTOCOL:
                mark, table = message.get_attr("FRA_FWMARK"), message.get_attr("FRA_TABLE")
                yield Rule(priority, mark, table, message.get_attr("FRA_IIFNAME"), message.get_attr("FRA_SRC"))

    def _route(self, message: Any, names: dict[int, str]) -> Route:
        kind = _KINDS.get(message["type"], "other")
        destination = message.get_attr("RTA_DST") or "0.0.0.0"  # noqa: S104 - a prefix, not a socket
        return Route(
            table=message.get_attr("RTA_TABLE") or message["table"],
            prefix=f"{destination}/{message['dst_len']}",
            metric=message.get_attr("RTA_PRIORITY") or 0,
            kind=kind,
            gateway=message.get_attr("RTA_GATEWAY") or "",
            link=names.get(message.get_attr("RTA_OIF")) if kind == "unicast" else None,
            source=message.get_attr("RTA_PREFSRC"),
        )

    def create(self, route: Route) -> None:
        """Make a route; one with the same table, prefix and metric is replaced."""
        self._ipr.route("replace", **self._arguments(route))

    def delete(self, route: Route) -> None:
        """Remove a route; it may have gone with its link."""
        try:
            self._ipr.route("del", **self._arguments(route))
        except NetlinkError as error:
            if error.code != errno.ESRCH:
                raise

    def _arguments(self, route: Route) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "family": socket.AF_INET,
            "table": route.table,
            "dst": route.prefix,
            "type": _TYPES[route.kind],
            "proto": ROUTE_PROTOCOL,
            "priority": route.metric,
        }
        if route.gateway:
            arguments["gateway"] = route.gateway
        else:
            arguments["scope"] = 253 if route.kind == "unicast" else 0
        if route.link:
            arguments["oif"] = socket.if_nametoindex(route.link)
        if route.source:
            arguments["prefsrc"] = route.source
        return arguments

    def create_rule(self, rule: Rule) -> None:
        """Make a rule; the kernel makes the VRFs' own with the first VRF, and only with the first."""
        for family in _families(rule):
            if rule not in self._rules(family):
                self._ipr.rule("add", family=family, **self._rule(rule))

    def delete_rule(self, rule: Rule) -> None:
        """Remove a rule, as often as it is there."""
        for family in _families(rule):
            for found in list(self._rules(family)):
                if found == rule:
                    self._ipr.rule("del", family=family, **self._rule(rule))

    def _rule(self, rule: Rule) -> dict[str, Any]:
        arguments: dict[str, Any] = {"priority": rule.priority}
        if rule.is_vrfs:
            return arguments | {"FRA_L3MDEV": 1, "table": 0}
        arguments |= {"table": rule.table}
        if rule.source:
            arguments |= {"src": rule.source, "src_len": 32}
        else:
            arguments |= {"fwmark": rule.mark, "iifname": rule.link}
        return arguments | {"FRA_PROTOCOL": ROUTE_PROTOCOL}


def _families(rule: Rule) -> tuple[int, ...]:
    """The VRFs' own rule is one for each family, and stays until it is removed. IPv4 last: by it the others are known,
    so that what a crash left half done is done again.
    """
    both = rule.is_vrfs and _IPV6.exists()
    return (socket.AF_INET6, socket.AF_INET) if both else (socket.AF_INET,)
