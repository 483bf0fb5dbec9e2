"""`phone-verify webhooks`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import click

from ...errors import ConfigurationError
from ...sync import run
from ...webhooks_out.base import MOST_ON_A_PAGE, Delivery, DeliveryStatus, EndpointState, Wanted
from ..output import Mark, console, examples, say, table
from ..site_loader import SiteTarget, of_a_site, reported

if TYPE_CHECKING:
    from ...webhooks_out.delivery import Deliverer

T = TypeVar("T")

_UNKNOWN = "The service {service} has no endpoint called {endpoint}."


@click.group(
    short_help="List, repeat and test deliveries of outgoing webhooks.",
    epilog=examples("phone-verify webhooks list --status failed", "phone-verify webhooks test default main"),
)
def webhooks() -> None:
    """List, repeat and test deliveries of outgoing webhooks to the endpoints of services."""


@webhooks.command(
    "list",
    short_help="List deliveries and failing endpoints.",
    epilog=examples("phone-verify webhooks list --service shop --status failed --json"),
)
@of_a_site
@click.option("--service", default="", help="Only messages of this service.")
@click.option("--endpoint", default="", help="Only messages for this endpoint.")
@click.option("--status", type=click.Choice([each.value for each in DeliveryStatus]), help="Only with this status.")
@click.option("--before", type=int, help="Continue after the delivery at this position.")
@click.option("--limit", type=click.IntRange(1, MOST_ON_A_PAGE), default=50, show_default=True, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="Output JSON.")
def list_(
    site: SiteTarget, service: str, endpoint: str, status: str | None, before: int | None, limit: int, as_json: bool
) -> None:
    """List deliveries, newest first, and the endpoints that are failing or disabled."""
    outbox, now = _deliverer(site).outbox, datetime.now(UTC)
    wanted = Wanted(
        service=service,
        endpoint=endpoint,
        status=DeliveryStatus(status) if status else None,
        before=before,
        limit=limit,
    )
    with reported():
        found = run(outbox.deliveries(wanted))
        states = [state for state in run(outbox.states()) if service in ("", state.service)]
    if as_json:
        document = {"deliveries": [_document(each) for each in found], "endpoints": [_state(each) for each in states]}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    _show(found)
    for state in states:
        say(_warning(state, now), Mark.WARNING)
    if len(found) == limit:
        say(f"For older ones, add --before {found[-1].position}.", Mark.NOTE)


@webhooks.command(
    short_help="Send a message again.",
    epilog=examples("phone-verify webhooks resend shop main msg_bq0Jm0w9qYd1cQx5tZ2vW3nR"),
)
@click.argument("service")
@click.argument("endpoint")
@click.argument("id")
@of_a_site
def resend(site: SiteTarget, service: str, endpoint: str, id: str) -> None:
    """Send the message with this ID again to ENDPOINT of SERVICE, with the same id and body.

    A worker sends it; a receiver that keeps the ids of messages ignores one that it has handled.
    """
    outbox = _deliverer(site).outbox
    with reported():
        found = run(outbox.again(id, service, endpoint, datetime.now(UTC)))
    if not found:
        raise click.ClickException("There is no such message. See `phone-verify webhooks list`.")
    say(f"{id} is due now.", Mark.OK)


@webhooks.command(short_help="Enable an endpoint.", epilog=examples("phone-verify webhooks enable shop main"))
@click.argument("service")
@click.argument("endpoint")
@of_a_site
def enable(site: SiteTarget, service: str, endpoint: str) -> None:
    """Enable ENDPOINT of SERVICE, which was disabled because it answered 410."""
    outbox = _deliverer(site).outbox
    with reported():
        found = run(outbox.enable(service, endpoint))
    if not found:
        say("This endpoint is neither disabled nor failing.", Mark.NOTE)
        return
    say("Enabled. Its failed messages can be sent again: phone-verify webhooks resend.", Mark.OK)


@webhooks.command("test", short_help="Send a test message.", epilog=examples("phone-verify webhooks test shop main"))
@click.argument("service")
@click.argument("endpoint")
@of_a_site
def test(site: SiteTarget, service: str, endpoint: str) -> None:
    """Send a signed message of the type `ping` to ENDPOINT of SERVICE, and show the response."""
    deliverer = _deliverer(site)
    try:
        answer = deliverer.ping(service, endpoint, datetime.now(UTC))
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None
    if answer is None:
        raise click.ClickException(_UNKNOWN.format(service=service, endpoint=endpoint))
    if answer.problem:
        raise click.ClickException(f"The endpoint did not accept the message: {answer.problem}.")
    say(f"The endpoint accepted the message: {answer.status}.", Mark.OK)


def _deliverer(site: SiteTarget) -> Deliverer:
    with reported():
        deliverer = site.config().site().deliverer
    if deliverer is None:
        raise click.ClickException(
            "PHONE_VERIFY_LEDGER is not set, so this site sends no webhooks. Set it to a database."
        )
    return deliverer


def _show(found: Sequence[Delivery]) -> None:
    if not found:
        say("There are no deliveries.")
        return
    listed = table("id", "service", "endpoint", "event", "status", "attempts", "last response", "next attempt")
    for each in found:
        listed.add_row(
            each.id,
            each.service,
            each.endpoint,
            each.event.removeprefix("verification."),
            each.status.value,
            str(each.attempts),
            each.problem or ("" if each.response is None else str(each.response)),
            "" if each.next_at is None else each.next_at.isoformat(" ", "seconds"),
        )
    console().print(listed)


def _document(each: Delivery) -> dict[str, object]:
    return {
        "position": each.position,
        "id": each.id,
        "service": each.service,
        "endpoint": each.endpoint,
        "event": each.event,
        "verification": each.verification,
        "status": each.status.value,
        "attempts": each.attempts,
        "response": each.response,
        "problem": each.problem,
        "created_at": each.created_at.isoformat(),
        "attempted_at": _text(each.attempted_at),
        "next_at": _text(each.next_at),
        "delivered_at": _text(each.delivered_at),
    }


def _state(state: EndpointState) -> dict[str, object]:
    return {
        "service": state.service,
        "endpoint": state.endpoint,
        "failing_since": state.failing_since.isoformat(),
        "disabled_at": _text(state.disabled_at),
    }


def _warning(state: EndpointState, now: datetime) -> str:
    name = f"Endpoint {state.endpoint} of {state.service}"
    if state.disabled_at is not None:
        since = state.disabled_at.isoformat(" ", "seconds")
        return (
            f"{name} was disabled at {since}: it answered 410. To enable it, run: "
            f"phone-verify webhooks enable {state.service} {state.endpoint}"
        )
    advice = ". Repair it, or remove it from the service" if state.has_failed_for_long(now) else ""
    return f"{name} has accepted nothing since {state.failing_since.isoformat(' ', 'seconds')}{advice}"


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
