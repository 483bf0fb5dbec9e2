"""Services of a Django site: rows of its database, the command, and the settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import override_settings

from phone_verify import PhoneNumber
from phone_verify_django.services.models import ServiceRow
from phone_verify_django.site import current_site

PHONE = PhoneNumber("+989120000000")
SITE = {"sms": "console://", "ledger": "orm:", "services": {"fixed": {"code_length": 5}}}


@pytest.fixture(autouse=True)
def _site(db: None) -> Iterator[None]:
    with override_settings(PHONE_VERIFY=SITE):
        yield


def said(*arguments: str) -> str:
    output = StringIO()
    call_command("phone_verify_services", *arguments, stdout=output)
    return output.getvalue()


def test_service_is_made_by_the_command_and_used() -> None:
    said("set", "shop", "code_length=8", "title=Example Shop")
    assert json.loads(said("show", "shop"))["fields"] == {"title": "Example Shop", "code_length": 8}
    listed = said("list")
    assert [line.split()[0] for line in listed.splitlines()] == ["NAME", "default", "fixed", "shop"]
    assert current_site().verifier.for_service("shop").policy.code_length == 8
    assert current_site().verifier.for_service("fixed").policy.code_length == 5
    assert "add --yes" in said("delete", "shop")
    assert ServiceRow.objects.count() == 1
    said("delete", "shop", "--yes")
    assert ServiceRow.objects.filter(retired=False).count() == 0


def test_mistakes_are_command_errors_by_field() -> None:
    with pytest.raises(CommandError, match="code_length: must be from 4 to 8"):
        said("set", "shop", "code_length=99")
    with pytest.raises(CommandError, match="is defined in"):
        said("set", "fixed", "code_length=6")
    with pytest.raises(CommandError, match="no service is named 'nobody'"):
        said("show", "nobody")
    assert ServiceRow.objects.count() == 0


def test_site_without_rows_names_the_setting() -> None:
    with override_settings(PHONE_VERIFY={"sms": "console://"}), pytest.raises(CommandError, match="ledger"):
        said("list")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"services": {"shop": {"ttl": 1}}}, "service shop: ttl: must be from 30"),
        ({"ledger": "orm:nowhere"}, "no database 'nowhere'"),
        ({"service": "shop"}, "no service is named shop"),
    ],
)
def test_setting_that_cannot_work_stops_the_start(given: dict[str, Any], says: str) -> None:
    with (
        override_settings(PHONE_VERIFY={"sms": "console://", **given}),
        pytest.raises(ImproperlyConfigured) as error,
    ):
        current_site()
    assert says in str(error.value)


def test_site_without_the_app_is_told_to_add_it() -> None:
    without = [name for name in settings.INSTALLED_APPS if name != "phone_verify_django.services"]
    with (
        pytest.raises(ImproperlyConfigured, match=r"phone_verify_django\.services is not in INSTALLED_APPS"),
        override_settings(INSTALLED_APPS=without),
    ):
        current_site()
