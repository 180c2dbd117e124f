"""What must hold between the items of an order, and between them and all that the tenant has."""

from collections import defaultdict

import sqlalchemy as sa

from gro import changes, cloud_rules, site_rules, store
from gro.checked import Checked, blame, refuse
from gro.ordered import Service, Site


def check(connection: sa.Connection, checked: Checked) -> None:
    sites = {**store.tenant_sites(connection, checked.tenant), **checked.fresh_sites}
    fresh = {one.id: one for one in checked.fresh}
    before = {one.id: one for one in store.alive(connection, checked.tenant)}
    after = {id_: one for id_, one in {**before, **fresh}.items() if id_ not in checked.remove}
    pending = changes.open_sites(connection, checked.tenant)
    _places(checked, sites, pending)
    _number(checked, before, after)
    clouds = [*after.values(), *changes.open_services(connection, checked.tenant)]
    _clouds(checked, [*sites.values(), *pending], [one for one in clouds if one.cloud is not None])
    _exits(checked, sites, before, list(after.values()))


def _places(checked: Checked, sites: dict[str, Site], pending: list[Site]) -> None:
    """Each site has a place of its own, at its device and among the prefixes; also if what is pending comes, or not."""
    fresh = checked.fresh_sites
    others = [*(site for name, site in sites.items() if name not in fresh), *pending]
    for name, fault in site_rules.neighbours(fresh, others):
        blame([fault], checked.places[name])
    for name, fault in site_rules.vacated(checked.sites, (before for before, _ in checked.changed.values())):
        blame([fault], checked.places[name])


def _number(checked: Checked, before: dict[str, Service], after: dict[str, Service]) -> None:
    """Nobody has clouds without end, which other tenants' POPs would carry."""
    new = [id_ for id_, one in after.items() if one.cloud is not None and id_ not in before]
    number = sum(one.cloud is not None for one in after.values())
    if new and number > cloud_rules.MOST:
        text = f"these would be {number} clouds, and a tenant has at most {cloud_rules.MOST}: leave some out"
        raise refuse(text, checked.places[new[-1]])


def _clouds(checked: Checked, sites: list[Site], clouds: list[Service]) -> None:
    """No address is at two places, of a site or of a cloud, and what a cloud's tunnel carries is of some site; also if
    what is pending comes, or not."""
    position = {name: number for number, name in enumerate(checked.places)}
    services = {one.id: one for one in checked.fresh}
    for pair in cloud_rules.clashes(cloud_rules.claims(sites, clouds)):
        other, own = sorted(pair, key=lambda one: position.get(one[0][1], -1))
        if (name := own[0][1]) in position:
            blame([cloud_rules.fault(own, other, services)], checked.places[name])
    versions: defaultdict[str, list[Site]] = defaultdict(list)
    for site in sites:
        versions[site.name].append(site)
    for service in clouds:
        if service.id in checked.places or service.id in checked.listed or checked.changed.keys() & service.sites:
            _served(checked, service, {name: versions[name] for name in service.sites})


def _served(checked: Checked, service: Service, members: dict[str, list[Site]]) -> None:
    """The cloud itself is to blame, or who lists its sites, or who changes one of them through another service."""
    for network, (place, text) in cloud_rules.unserved(service, members):
        if service.id in checked.places:
            raise refuse(text, checked.places[service.id] + place)
        if service.id in checked.listed:
            raise refuse(text, checked.listed[service.id])
        (name, *_) = checked.changed.keys() & members.keys()
        remedy = f"as service {service.id} needs for its cloud: change that service in the same order"
        raise refuse(f"{text}, {remedy}", checked.places[name] + site_rules.gateway_of(network))


def _exits(checked: Checked, sites: dict[str, Site], before: dict[str, Service], after: list[Service]) -> None:
    """Who sends packets for the Internet to the POP is in a service that takes them there."""
    served = {name for one in after if one.internet for name in one.sites}
    for name in sorted({name for one in after for name in one.sites} - served):
        if not sites[name].needs_pop_internet:
            continue
        if name in checked.places:
            text = "some packets leave at the POP, which needs a service Site to Internet for this site"
            raise refuse(f"{text}: add an item, or let all leave locally", f"{checked.places[name]}/localInternet")
        for id_, where in checked.items.items():
            if before[id_].internet and name in before[id_].sites:
                text = f"site {name} has a rule by which packets leave at the POP: end its other services, too"
                raise refuse(f"{text}, or change the site", where)
