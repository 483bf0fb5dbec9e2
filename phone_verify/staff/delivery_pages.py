"""Deliveries of outgoing webhooks: listed, sent again, and tested with a signed message."""

from __future__ import annotations

from ..errors import ConfigurationError
from ..http.site import Site
from ..sync import run
from ..webhooks_out.base import DeliveryStatus, Wanted
from ..webhooks_out.messages import WebhookEvent
from .call import Page, Redirect, RefusedError, Right, StaffCall, require, text_of

_ON_A_PAGE = 50
_FILTERS = ("service", "endpoint", "event", "status")


def show(site: Site, call: StaffCall) -> Page | Redirect:
    """Show the deliveries, newest first; or send one again, test an endpoint, or enable it."""
    require(call, Right.DELIVERIES)
    if site.deliverer is None:
        raise RefusedError(404)
    chosen = {name: text_of(call.query, name, 32) for name in _FILTERS}
    if call.is_post:
        require(call, Right.RESEND)
        return _act(site, call, {name: value for name, value in chosen.items() if value})
    before = text_of(call.query, "before", 18)
    wanted = Wanted(
        service=chosen["service"],
        endpoint=chosen["endpoint"],
        event=chosen["event"],
        status=DeliveryStatus(chosen["status"]) if chosen["status"] in set(DeliveryStatus) else None,
        before=int(before) if before.isascii() and before.isdecimal() else None,
        limit=_ON_A_PAGE + 1,
    )
    found = run(site.deliverer.outbox.deliveries(wanted))
    return Page(
        "deliveries.html",
        "deliveries",
        "deliveries",
        {
            "deliveries": found[:_ON_A_PAGE],
            "older": {**{k: v for k, v in chosen.items() if v}, "before": str(found[_ON_A_PAGE - 1].position)}
            if len(found) > _ON_A_PAGE
            else None,
            "states": run(site.deliverer.outbox.states()),
            "chosen": chosen,
            "events": tuple(WebhookEvent),
            "statuses": tuple(DeliveryStatus),
        },
    )


def _act(site: Site, call: StaffCall, query: dict[str, str]) -> Redirect:
    deliverer = site.deliverer
    if deliverer is None:
        raise RefusedError(404)
    service, endpoint = text_of(call.form, "service", 32), text_of(call.form, "endpoint", 32)
    about = f"{service} {endpoint}"
    if "again" in call.form:
        if not run(deliverer.outbox.again(text_of(call.form, "id", 40), service, endpoint, call.now)):
            return Redirect("deliveries/", "delivery_not_found", is_error=True, query=query)
        call.note("Sent again.", about)
        return Redirect("deliveries/", "delivery_due", query=query)
    if "enable" in call.form:
        if not run(deliverer.outbox.enable(service, endpoint)):
            return Redirect("deliveries/", "endpoint_not_failing", is_error=True, query=query)
        call.note("Enabled.", about)
        return Redirect("deliveries/", "endpoint_enabled", query=query)
    if "ping" not in call.form:
        raise RefusedError(404)
    try:
        answer = deliverer.ping(service, endpoint, call.now)
    except ConfigurationError as error:
        return Redirect("deliveries/", "ping_failed", is_error=True, detail=str(error), query=query)
    if answer is None:
        return Redirect("deliveries/", "endpoint_unknown", is_error=True, query=query)
    call.note("Tested.", about)
    if answer.problem:
        return Redirect("deliveries/", "ping_failed", is_error=True, detail=answer.problem, query=query)
    return Redirect("deliveries/", "ping_accepted", detail=str(answer.status), query=query)
