"""Routes and policy rules that are ours (``rtm_protocol`` 77), over rtnetlink(7)."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator

from netlinkkit.requests import Request, Wire

from element.apply import asked, told
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

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

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
            self._wire.ask([asked.rule(family, priority, table=_LOCAL_TABLE)])
        for priority in there:
            if priority not in rule.priorities:
                self._wire.ask([asked.rule(family, priority, table=_LOCAL_TABLE, gone=True)])

    def _rules(self, version: int) -> Iterator[Rule]:
        return _ours(told.rules(_FAMILIES[version]), version)

    def create(self, route: Route) -> None:
        """Make a route; one with the same table, prefix and metric is replaced."""
        self._wire.ask([_asked(route)])

    def delete(self, route: Route) -> None:
        """Remove a route; it may have gone with its link."""
        self._wire.ask([_asked(route, gone=True)], forgive=(errno.ESRCH,))

    def create_rule(self, rule: Rule) -> None:
        """Make a rule; the kernel makes the VRFs' own with the first VRF, and only with the first."""
        if rule not in self._rules(rule.family):
            self._wire.ask([_asked_rule(rule)])

    def delete_rule(self, rule: Rule) -> None:
        """Remove a rule, as often as it is there."""
        for found in list(self._rules(rule.family)):
            if found == rule:
                self._wire.ask([_asked_rule(rule, gone=True)])


def _asked(route: Route, *, gone: bool = False) -> Request:
    return asked.route(
        route.prefix,
        route.table,
        _TYPES[route.kind],
        ROUTE_PROTOCOL,
        metric=route.metric,
        gateway=route.gateway,
        index=socket.if_nametoindex(route.link) if route.link else None,
        source=route.source,
        gone=gone,
    )


def _asked_rule(rule: Rule, *, gone: bool = False) -> Request:
    family = _FAMILIES[rule.family]
    if rule.is_vrfs:
        return asked.rule(family, rule.priority, gone=gone)
    return asked.rule(
        family,
        rule.priority,
        table=rule.table,
        source=rule.source,
        mark=None if rule.source else rule.mark,
        mask=rule.mask,
        link=rule.link,
        ip_protocol=None if rule.source else rule.protocol,
        protocol=ROUTE_PROTOCOL,
        gone=gone,
    )
