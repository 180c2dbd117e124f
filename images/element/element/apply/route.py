"""Routes and policy rules that are ours (``rtm_protocol`` 77), over rtnetlink(7)."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from element.apply import told
from element.apply.told import RouteTold, RuleTold
from element.plan.resources import MARK_MASK, ROUTE_PROTOCOL, LocalRule, Resource, Route, Rule

_TYPES = {"unicast": 1, "blackhole": 6, "unreachable": 7, "prohibit": 8}
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_LOCAL_TABLE = 255
_KINDS = {number: kind for kind, number in _TYPES.items()}


def _local(rules: Iterable[RuleTold]) -> tuple[int, ...]:
    """Where the rule is that finds the underlay's own addresses."""
    return tuple(sorted(rule.priority for rule in rules if rule.table == _LOCAL_TABLE))


def _ours(rules: Iterable[RuleTold], version: int) -> Iterator[Rule]:
    """Our rules and that of the VRFs."""
    for one in rules:
        if one.of_vrfs:
            yield Rule(one.priority, family=version)
        elif one.protocol == ROUTE_PROTOCOL:
            mask = one.mask or MARK_MASK
            yield Rule(one.priority, one.mark, one.table, one.link, version, mask, one.ip_protocol, one.source)


def _route(route: RouteTold, names: dict[int, str]) -> Route:
    kind = _KINDS.get(route.type, "other")
    link = names.get(route.link or 0) if kind == "unicast" else None
    return Route(route.table, route.prefix, route.metric, kind, route.gateway or "", link, route.source)


class Routes:
    """Reads and writes routes and rules."""

    def __init__(self, ipr: IPRoute) -> None:
        self._ipr = ipr

    def read(self) -> Iterator[Resource]:
        """Our routes in all tables, our rules, and the VRFs' own rule."""
        names = dict(socket.if_nameindex())
        for version, family in _FAMILIES.items():
            yield from (_route(route, names) for route in told.routes(family, ROUTE_PROTOCOL))
            rules = list(told.rules(family))
            yield from {rule.key: rule for rule in _ours(rules, version)}.values()
            yield LocalRule(version, _local(rules))

    def move_local_rule(self, rule: LocalRule) -> None:
        """Make it where it is wanted, and only then remove it elsewhere: what is the box's own is always found."""
        family = _FAMILIES[rule.family]
        there = _local(told.rules(family))
        for priority in sorted({*rule.priorities}.difference(there)):
            self._ipr.rule("add", family=family, priority=priority, table=_LOCAL_TABLE)
        for priority in there:
            if priority not in rule.priorities:
                self._ipr.rule("del", family=family, priority=priority, table=_LOCAL_TABLE)

    def _rules(self, version: int) -> Iterator[Rule]:
        return _ours(told.rules(_FAMILIES[version]), version)

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
            "family": _FAMILIES[route.family],
            "table": route.table,
            "dst": route.prefix,
            "type": _TYPES[route.kind],
            "proto": ROUTE_PROTOCOL,
            "priority": route.metric,
        }
        if route.gateway:
            arguments["gateway"] = route.gateway
        elif route.family == 4:
            arguments["scope"] = 253 if route.kind == "unicast" else 0
        if route.link:
            arguments["oif"] = socket.if_nametoindex(route.link)
        if route.source:
            arguments["prefsrc"] = route.source
        return arguments

    def create_rule(self, rule: Rule) -> None:
        """Make a rule; the kernel makes the VRFs' own with the first VRF, and only with the first."""
        family = _FAMILIES[rule.family]
        if rule not in self._rules(rule.family):
            self._ipr.rule("add", family=family, **self._rule(rule))

    def delete_rule(self, rule: Rule) -> None:
        """Remove a rule, as often as it is there."""
        family = _FAMILIES[rule.family]
        for found in list(self._rules(rule.family)):
            if found == rule:
                self._ipr.rule("del", family=family, **self._rule(rule))

    def _rule(self, rule: Rule) -> dict[str, Any]:
        arguments: dict[str, Any] = {"priority": rule.priority}
        if rule.is_vrfs:
            return arguments | {"FRA_L3MDEV": 1, "table": 0}
        arguments |= {"table": rule.table, "FRA_PROTOCOL": ROUTE_PROTOCOL}
        if rule.source:
            length = 32 if rule.family == 4 else 128
            return arguments | {"src": rule.source, "src_len": length, "iifname": rule.link}
        arguments |= {"fwmark": rule.mark, "FRA_FWMASK": rule.mask, "iifname": rule.link}
        return arguments | ({"FRA_IP_PROTO": rule.protocol} if rule.protocol else {})
