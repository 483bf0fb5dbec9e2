"""Rows of accounts and payments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from ...stores.rows.values import micros, time_of
from ..amounts import amount_of, units
from ..values import TRIAL_KEY, Account, Alarm, Payment, Terms
from .counters import Transaction


def move(tx: Transaction, values: Mapping[str, Any]) -> Sequence[Any] | None:
    """Move money on an account, and return its row; None without one."""
    if tx.statements.returns:
        return next(iter(tx.rows(tx.statements.move_returning, values)), None)
    if not tx.change(tx.statements.move, values):
        return None
    return tx.rows(tx.statements.account, {"service": values["service"]})[0]


def create_account(tx: Transaction, service: str, terms: Terms, now: datetime) -> None:
    """Create an account unless a concurrent step has, with the trial as its first payment."""
    values = {"service": service, "currency": terms.currency, "balance": 0, "reserved": 0, "alarm_base": 0,
              "alarmed": 0, "created_at": micros(now)}  # fmt: skip
    tx.change(tx.statements.make_account, values)
    trial = Payment(service, terms.trial, terms.currency, TRIAL_KEY, kind="trial")
    if trial.amount and tx.change(tx.statements.insert_payment, payment_row(trial, now)):
        tx.change(tx.statements.pay, {"service": service, "amount": units(trial.amount)})
        tx.change(tx.statements.rebase, {"service": service})


def account_of(row: Sequence[Any]) -> Account:
    service, currency, balance, reserved, _, _, created_at = row
    return Account(service, currency, amount_of(balance), amount_of(reserved), time_of(created_at))


def payment_row(payment: Payment, now: datetime) -> dict[str, Any]:
    return {
        "service": payment.service,
        "amount": units(payment.amount),
        "currency": payment.currency,
        "payment_key": payment.key,
        "kind": payment.kind,
        "note": payment.note,
        "made_by": payment.by,
        "created_at": micros(now),
    }


def balance_alarm(service: str, level: int, limit: Decimal, left: Decimal, terms: Terms) -> Alarm:
    used = f"{limit - left:f}"
    return Alarm(service, "balance", level, used, f"{limit:f}", terms.currency, enforced=terms.enforced)
