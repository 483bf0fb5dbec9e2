"""The ledger of a Django site: its setting, its rows, and the e-mails of its alarms."""

from __future__ import annotations

import threading
from typing import Any

import django
import pytest
from django.core import mail
from django.core.exceptions import ImproperlyConfigured

from phone_verify import PhoneNumber
from phone_verify.model import Reason
from phone_verify_django.services.models import Attempt
from phone_verify_django.site import current_site

PRICES = {"currency": "EUR", "prices": [{"price": "0.05"}]}


def sent() -> list[Any]:
    for thread in threading.enumerate():
        if thread.name == "phone_verify_alarm":
            thread.join(30)
    return mail.outbox


@pytest.mark.django_db
def test_orders_are_rows_and_alarms_are_mailed(configure: Any, settings: Any) -> None:
    address = "anna@site.example"
    settings.ADMINS = [address] if django.VERSION >= (6, 0) else [("Anna", address)]
    configure(sms="console://", ledger="orm:", prices=PRICES, caps={"day": {"money": "0.05"}})
    verifier = current_site().verifier
    assert verifier.start(PhoneNumber("+989120000000")).ok
    row = Attempt.objects.get()
    assert (row.outcome, str(row.charged), row.hint) == ("sent", "0.050000", "+98 ••••••••00")
    assert verifier.start(PhoneNumber("+989120000001")).reason is Reason.SERVICE_SUSPENDED
    assert [(message.to, message.subject) for message in sent()] == [
        (["anna@site.example"], "[Django] phone_verify: day of default at 100 %")
    ]


@pytest.mark.django_db
def test_alarms_go_to_the_addresses_of_the_setting(configure: Any) -> None:
    caps = {"hour": {"count": 1}, "record_only": True}
    configure(sms="console://", ledger="orm:", caps=caps, alarm_emails=["ops@site.example"])
    assert current_site().verifier.start(PhoneNumber("+989120000000")).ok
    assert [message.to for message in sent()] == [["ops@site.example"]]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"caps": {"day": {"count": 5}}}, "needs a ledger"),
        ({"ledger": "orm:", "caps": {"day": {"money": "5"}}}, "without prices"),
        ({"ledger": "orm:", "caps": {"dya": {"count": 5}}}, "did you mean day"),
        ({"ledger": "orm:", "caps": {"day": {"count": -1}}}, "whole number"),
        ({"ledger": "orm:", "prices": {"currency": "EUR", "prices": [{"price": 0.05}]}}, "quoted decimal"),
        ({"ledger": "orm:", "prices": {"currency": "EUR", "prices": [{"price": "5", "currency": "IRR"}]}}, "no rate"),
        ({"ledger": "mongodb:", "caps": {"day": {"count": 5}}}, "unknown database"),
    ],
)
def test_invalid_settings_name_what_to_write(configure: Any, given: dict[str, Any], said: str) -> None:
    configure(sms="console://", **given)
    with pytest.raises(ImproperlyConfigured, match=said):
        current_site()
