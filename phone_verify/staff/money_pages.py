"""The account and the caps of a service, and its top-up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from secrets import token_hex

from ..errors import UnusableServiceError
from ..http.site import Site
from ..ledger.amounts import read_amount
from ..ledger.caps import EVERY_REGION, Cap, Usage, Window, name_at
from ..ledger.service import ServiceLedger
from ..ledger.values import OtherPaymentError, Payment, Terms
from ..sync import run
from .call import Page, Redirect, RefusedError, Right, StaffCall, above_service, require, text_of

_LONGEST_NOTE = 255
_MOST_PAYMENTS = 50


@dataclass(frozen=True, slots=True)
class UsedCap:
    """A cap, and what of it is used now."""

    cap: Cap
    used: Usage | None


def show(site: Site, call: StaffCall, service: str) -> Page | Redirect:
    """Show the account and the caps of a service, or top the account up."""
    require(call, Right.VIEW)
    try:
        own = _ledger_of(site, service)
    except UnusableServiceError:
        return Redirect(f"services/{service}/", "service_unusable", is_error=True)
    values = {"amount": "", "note": "", "key": token_hex(16)}
    error = ""
    if call.is_post:
        require(call, Right.PAY)
        values = {"amount": text_of(call.form, "amount"), "note": text_of(call.form, "note", _LONGEST_NOTE)}
        values["key"] = text_of(call.form, "key", 32) or token_hex(16)
        answered = _top_up(own, call, service, values["amount"], values["note"], values["key"])
        if isinstance(answered, Redirect):
            return answered
        error, values["key"] = answered, token_hex(16)
    account = run(own.ledger.account(service))
    return Page(
        "account.html",
        "account",
        "services",
        {
            "service": service,
            "account": account,
            "currency": account.currency if account else own.currency,
            "terms": own.terms,
            "payments": run(own.ledger.payments(service, _MOST_PAYMENTS)),
            "caps": _used(own, service, call),
            "values": values,
            "error": error,
            "can_pay": call.may(Right.PAY) and bool(account or own.currency),
        },
        400 if error else 200,
        service,
        above_service(service),
    )


def _top_up(own: ServiceLedger, call: StaffCall, service: str, text: str, note: str, key: str) -> Redirect | str:
    """Return where to go, or the key of the error. The form's key makes a second sending have no effect."""
    amount = read_amount(text)
    if not amount:
        return "amount_invalid"
    account = run(own.ledger.account(service))
    currency = account.currency if account else own.currency
    if not currency:
        return "currency_unknown"
    payment = Payment(service, amount, currency, key, note=note, by=call.author)
    try:
        paid = run(own.ledger.pay(payment, own.terms or Terms(currency), call.now))
    except OtherPaymentError:
        return "topped_up_otherwise"
    if paid is not None:
        call.note(f"Topped up by {amount:f} {currency}.", service)
    return Redirect(f"balance/{service}/", "topped_up" if paid is not None else "topped_up_before")


def _used(own: ServiceLedger, service: str, call: StaffCall) -> Sequence[UsedCap]:
    """Return the caps with what is used of them; those of every other region have a counter for each."""
    names = {
        name_at(cap.window, service, cap.region if cap.window is Window.REGION else "", call.now): cap
        for cap in own.caps
        if cap.region != EVERY_REGION
    }
    used = {each.name: each for each in run(own.ledger.usage(list(names)))} if names else {}
    shown = [UsedCap(cap, used.get(name)) for name, cap in names.items()]
    return [*shown, *(UsedCap(cap, None) for cap in own.caps if cap.region == EVERY_REGION)]


def _ledger_of(site: Site, service: str) -> ServiceLedger:
    if site.services is not None:
        site.services.read_again()  # another process may have saved the service a moment ago
    found = run(site.verifier.flows.services.find(service))
    if found is None or found.ledger is None:
        raise RefusedError(404)
    return found.ledger
