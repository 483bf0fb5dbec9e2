"""`phone-verify ledger`."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from getpass import getuser
from secrets import token_hex
from typing import Any, TypeVar

import click

from ...errors import UnusableServiceError, quoted
from ...http.site import Site
from ...ledger.amounts import read_amount
from ...ledger.caps import EVERY_REGION, Cap, Window, name_at
from ...ledger.service import ServiceLedger
from ...ledger.values import DEFAULT_SERVICE, Account, Payment, Terms
from ...sync import run
from ..output import Mark, console, examples, say, table
from ..site_loader import SiteTarget, of_a_site, reported, with_keys

T = TypeVar("T")

_LONGEST_KEY = 64
_LONGEST_NOTE = 255


@click.group(
    short_help="Show caps and balances, and top up accounts.",
    epilog=examples(
        "phone-verify ledger balance", "phone-verify ledger top-up 100 --note 'invoice 7'", "phone-verify ledger caps"
    ),
)
def ledger() -> None:
    """Show what the caps and the account of a service hold, and top up an account.

    The ledger is that of PHONE_VERIFY_LEDGER.
    """


def _of_a_service(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option("--json", "as_json", is_flag=True, help="Output JSON.")(command)
    return click.option("--service", default=DEFAULT_SERVICE, show_default=True, help="Name of the service.")(command)


@ledger.command(short_help="Show the account of a service.", epilog=examples("phone-verify ledger balance --json"))
@of_a_site
@_of_a_service
def balance(site: SiteTarget, service: str, as_json: bool) -> None:
    """Show the balance of a service, what open orders may cost, and its latest payments."""
    own = _ledger(site, service)
    account = _done(own.ledger.account(service))
    payments = _done(own.ledger.payments(service, 20))
    if as_json:
        click.echo(json.dumps(_account_document(service, account, payments), indent=2, ensure_ascii=False))
        return
    if account is None:
        say(f"{service} has no account: it has neither paid nor sent under terms.")
        return
    say(f"{service}: balance {account.balance:f} {account.currency}, reserved {account.reserved:f}")
    listed = table("day", "kind", "amount", "note", "by")
    for at, payment in payments:
        listed.add_row(f"{at:%Y-%m-%d %H:%M}", payment.kind, f"{payment.amount:f}", payment.note, payment.by)
    if payments:
        console().print(listed)


@ledger.command(
    "top-up", short_help="Add an amount to the account of a service.", epilog=examples("phone-verify ledger top-up 100")
)
@click.argument("amount")
@of_a_site
@_of_a_service
@click.option("--note", default="", help="For people, e.g. the invoice.")
@click.option("--key", default="", help="Makes a repetition have no effect, e.g. the number of the invoice.")
def top_up(site: SiteTarget, amount: str, service: str, as_json: bool, note: str, key: str) -> None:
    """Add AMOUNT to the account of a service. A service that was suspended sends again immediately."""
    found = read_amount(amount)
    if not found:
        raise click.BadParameter("write an amount above 0, like 100 or 99.90", param_hint="AMOUNT")
    key = key.strip()
    if len(key) > _LONGEST_KEY or len(note) > _LONGEST_NOTE:
        raise click.UsageError(f"--key may have {_LONGEST_KEY} characters, and --note {_LONGEST_NOTE}")
    own = _ledger(site, service)
    account = _done(own.ledger.account(service))
    currency = account.currency if account else own.currency
    if not currency:
        raise click.ClickException("The currency is unknown: set PHONE_VERIFY_PRICES or PHONE_VERIFY_TERMS.")
    payment = Payment(service, found, currency, key or token_hex(16), note=note, by=getuser())
    terms = own.terms or Terms(currency)
    paid = _done(own.ledger.pay(payment, terms, datetime.now(UTC)))
    if as_json:
        click.echo(json.dumps({"made": paid is not None, **_account_document(service, paid or account, [])}, indent=2))
    elif paid is None:
        say(f"A payment with the key {key} was made before; nothing changed.", Mark.WARNING)
    else:
        say(f"{service}: balance {paid.balance:f} {paid.currency}", Mark.OK)


@ledger.command(short_help="Show how much of each cap is used.", epilog=examples("phone-verify ledger caps --json"))
@of_a_site
@_of_a_service
@click.option("--region", default="", help="Region whose cap is shown too, e.g. IR.")
def caps(site: SiteTarget, service: str, as_json: bool, region: str) -> None:
    """Show how much of each cap of a service is used now. Windows are in UTC."""
    own, now = _ledger(site, service), datetime.now(UTC)
    named = {_name(cap, service, region, now): cap for cap in own.caps if cap.region != EVERY_REGION or region}
    used = {each.name: each for each in _done(own.ledger.usage(list(named)))}
    rows = []
    for name, cap in named.items():
        found = used.get(name)
        rows.append(
            {
                "window": cap.window.value,
                "region": (cap.region if cap.region != EVERY_REGION else region) or None,
                "count": found.count if found else 0,
                "count_cap": cap.count,
                "spent": f"{found.spent:f}" if found else "0",
                "money_cap": None if cap.money is None else f"{cap.money:f}",
                "enforced": cap.enforced,
            }
        )
    if as_json:
        click.echo(json.dumps({"service": service, "currency": own.currency, "caps": rows}, indent=2))
        return
    if not rows:
        say(f"{service} has no caps. Set them in PHONE_VERIFY_CAPS, or in its field caps.")
        return
    listed = table("window", "region", "orders", "of", f"spent ({own.currency or 'no currency'})", "of", "mode")
    for row in rows:
        mode = "enforced" if row["enforced"] else "record only"
        cells = (row["window"], row["region"], row["count"], row["count_cap"], row["spent"], row["money_cap"])
        listed.add_row(*("" if cell is None else str(cell) for cell in cells), mode)
    console().print(listed)


@ledger.command("settle", short_help="Settle orders that stayed open.", epilog=examples("phone-verify ledger settle"))
@of_a_site
def settle(site: SiteTarget) -> None:
    """Settle orders whose process died or whose ledger did not answer. Run it from a scheduled job."""
    flows = _site(site).verifier.flows
    total = 0
    while changed := _done(flows.settle_ledger()):
        total += changed
    say(f"Verifications settled: {total}", Mark.OK)


def _name(cap: Cap, service: str, region: str, now: datetime) -> str:
    own = region if cap.region == EVERY_REGION else cap.region
    return name_at(cap.window, service, own if cap.window is Window.REGION else "", now)


def _account_document(service: str, account: Account | None, payments: Any) -> dict[str, Any]:
    return {
        "service": service,
        "currency": account.currency if account else None,
        "balance": f"{account.balance:f}" if account else None,
        "reserved": f"{account.reserved:f}" if account else None,
        "payments": [
            {
                "at": at.isoformat(),
                "kind": payment.kind,
                "amount": f"{payment.amount:f}",
                "key": payment.key,
                "note": payment.note,
                "by": payment.by,
            }
            for at, payment in payments
        ],
    }


def _site(site: SiteTarget) -> Site:
    with reported():
        return with_keys(site.config()).site()


def _ledger(site: SiteTarget, service: str) -> ServiceLedger:
    """Return the ledger with the terms and the caps of this service."""
    flows = _site(site).verifier.flows
    if flows.ledger is None:
        raise click.ClickException("This site has no ledger. Set PHONE_VERIFY_LEDGER to a database.")
    with reported():
        try:
            found = run(flows.services.find(service))
        except UnusableServiceError:
            raise click.ClickException(
                f"The service {service} has mistakes. See `phone-verify services show {service}`."
            ) from None
    if found is None or found.ledger is None:
        raise click.ClickException(f"No service is named {quoted(service)}. See `phone-verify services list`.")
    return found.ledger


def _done(flow: Coroutine[Any, Any, T]) -> T:
    try:
        with reported("The ledger"):
            return run(flow)
    except ValueError as error:
        raise click.ClickException(f"{error}.") from None
