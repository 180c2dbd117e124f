"""What must hold between the items of an order, and between them and all that the tenant has."""

import sqlalchemy as sa

from gro import changes, cloud_rules, site_rules, store
from gro.checked import Checked, blame, refuse
from gro.ordered import Service, Site


def check(connection: sa.Connection, checked: Checked) -> None:
    sites = {**store.tenant_sites(connection, checked.tenant), **checked.fresh_sites}
    fresh = {one.id: one for one in checked.fresh}
    before = {one.id: one for one in store.alive(connection, checked.tenant)}
    after = {id_: one for id_, one in {**before, **fresh}.items() if id_ not in checked.remove}
    _places(checked, sites, changes.open_sites(connection, checked.tenant))
    _clouds(checked, sites, [one for one in after.values() if one.cloud is not None])
    _exits(checked, sites, before, list(after.values()))


def _places(checked: Checked, sites: dict[str, Site], pending: list[Site]) -> None:
    """Each site has a place of its own, at its device and among the prefixes; also if what is pending comes, or not."""
    fresh = checked.fresh_sites
    others = [*(site for name, site in sites.items() if name not in fresh), *pending]
    for name, fault in site_rules.neighbours(fresh, others):
        blame([fault], checked.places[name])


def _clouds(checked: Checked, sites: dict[str, Site], clouds: list[Service]) -> None:
    """No address is at two places: of a site, or of a cloud."""
    for service in clouds:
        if service.id in checked.places:
            members = [sites[name] for name in service.sites]
            others = [one for one in clouds if one is not service]
            blame(cloud_rules.place(service, members, sites.values(), others), checked.places[service.id])
        for name, fault in cloud_rules.overlaps(service, checked.fresh_sites):
            blame([fault], checked.places[name])


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
