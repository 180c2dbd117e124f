"""What a form of an offer does, whether it orders a service or changes one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.responses import Response

from portal import ordering, pages, secrecy
from portal.desk import CATALOGUE
from portal.failures import Failure, Refused
from portal.ordering import Form
from portal.sessions import Session

from .plans import propose
from .shared import Desk, Json, go, safe_id


async def offer_of(desk: Desk, session: Session, id_: str) -> Json:
    return await desk.gro.get(session, f"{CATALOGUE}/serviceSpecification/{safe_id(id_)}")


def filled(session: Session, offer: Json, given: Mapping[str, str]) -> Form:
    """A form as it was sent, with the secrets that its page held."""
    return ordering.from_pairs(
        offer, ordering.unsealed(given, lambda held: secrecy.unseal(session.secret, held).decode())
    )


async def answer(desk: Desk, session: Session, form: Form, given: Mapping[str, str]) -> Response:
    """One more entry, one less, or the plan of what is filled in; without scripts, too."""
    if "_add" in given or "_remove" in given:
        form.resize(given.get("_add", given.get("_remove", "")), more="_add" in given)
        return await page(desk, session, form)
    body = form.body()
    try:
        return go(f"/plans/{await propose(desk, session, body)}")
    except Refused as refusal:
        if refusal.status not in (400, 403, 409):
            raise
        form.blame(body, refusal.faults)
        return await page(desk, session, form, 400)


async def page(desk: Desk, session: Session, form: Form, status: int = 200) -> Response:
    form.seal = lambda text: secrecy.seal(session.secret, text.encode())
    sites = await desk.gro.get(session, "/sites")
    known = sorted({site["name"] for site in sites})
    tenants = await _tenants(desk, session) if session.person.is_admin else []
    return pages.page("order_form.html", session, status, form=form, known_sites=known, tenants=tenants)


async def _tenants(desk: Desk, session: Session) -> Sequence[tuple[str, str]]:
    """Whom an administrator may order for; an order can name one that the list does not."""
    try:
        content = await desk.identity.get(session, "/scim/v2/Tenants", {"count": "1000"})
    except (Refused, Failure):
        return []
    return sorted((one["name"], one.get("displayName", one["name"])) for one in content.get("Resources", []))
