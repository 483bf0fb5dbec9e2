"""Journeys of OAuth clients on a Django site, in a separate pytest run (test_oauth_toolkit.py)."""

from __future__ import annotations

import json as json_module
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.signals import got_request_exception
from django.test import Client as Browser
from django.utils import timezone
from django.views.debug import ExceptionReporter
from oauth2_provider.models import get_access_token_model, get_application_model

from phone_verify.errors import StoreError
from phone_verify_django import second_factor
from phone_verify_django.accounts import Accounts
from phone_verify_django.store import OrmStore
from tests.oauth_journeys import (
    CLIENT,
    EVENT,
    GRANT,
    PARTNER,
    PHONE,
    PUBLIC,
    SECRET,
    START,
    TOKEN,
    UNLISTED,
    Answer,
    Client,
    OAuthJourneys,
    basic,
)

User = get_user_model()
Application = get_application_model()


class DjangoSite:
    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        for id, kind in (
            (CLIENT, "confidential"),
            (PARTNER, "confidential"),
            (UNLISTED, "confidential"),
            (PUBLIC, "public"),
        ):
            call_command(
                "createapplication", kind, "client-credentials", client_id=id, client_secret=SECRET, verbosity=0
            )

    def call(
        self,
        method: str,
        path: str,
        *,
        form: Mapping[str, str] | str | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        browser = Browser(enforce_csrf_checks=True)
        extra: dict[str, Any] = {"headers": dict(headers or {})}
        if form is None:
            if method == "POST":
                body = json if isinstance(json, bytes) else json_module.dumps(json)
                extra |= {"data": body, "content_type": "application/json"}
        else:
            from urllib.parse import urlencode

            text = form if isinstance(form, str) else urlencode(form)
            extra |= {"data": text, "content_type": "application/x-www-form-urlencoded"}
        answer = browser.generic(method, path, **extra)
        document = json_module.loads(answer.content) if answer.content else None
        found = dict(answer.headers)
        if answer.cookies:
            found["Set-Cookie"] = str(answer.cookies)
        return Answer(answer.status_code, document, found)

    def change_user(self, phone: str, **changes: bool) -> None:
        assert User.objects.filter(verified_phones__phone=phone).update(**changes) == 1

    def expire_tokens(self) -> None:
        get_access_token_model().objects.update(expires=timezone.now() - timedelta(hours=1))

    def users(self) -> int:
        return User.objects.count()

    @contextmanager
    def break_store(self) -> Iterator[None]:
        def fail(*_: Any, **__: Any) -> Any:
            raise StoreError("down")

        with self._patch.context() as patch:
            patch.setattr(OrmStore, "recent", fail)
            yield


class ClosedAccounts(Accounts):
    def may_sign_up(self, redeemed: Any, request: Any) -> bool:
        return False


@pytest.mark.django_db
class TestDjango(OAuthJourneys):
    @pytest.fixture
    def site(self, monkeypatch: pytest.MonkeyPatch, settings: Any) -> DjangoSite:
        grants = settings.PHONE_VERIFY["oauth_grants"]
        settings.PHONE_VERIFY = {
            **settings.PHONE_VERIFY,
            "oauth_grants": {name: {**grant, "clients": [CLIENT, PARTNER]} for name, grant in grants.items()},
        }
        return DjangoSite(monkeypatch)

    def test_token_for_another_resource_starts_nothing(
        self, site: DjangoSite, client: Client, phone_outbox: Any
    ) -> None:
        headers = {"Authorization": f"Bearer {client.own_token()}"}
        for resource, status in (("https://elsewhere.example/", 401), ("http://testserver/phone", 201)):
            get_access_token_model().objects.update(resource=[resource])
            assert site.call("POST", START, json={"phone": PHONE}, headers=headers).status == status, resource

    def test_closed_sign_up_gives_no_token(self, client: Client, settings: Any, phone_outbox: Any) -> None:
        settings.PHONE_VERIFY = {**settings.PHONE_VERIFY, "accounts": ClosedAccounts}
        client.start()
        assert client.redeem(phone_outbox.last_code(PHONE)).error == (400, "invalid_grant")
        assert client.site.users() == 0

    def test_user_with_a_second_factor_gets_no_token(
        self, client: Client, monkeypatch: pytest.MonkeyPatch, phone_outbox: Any
    ) -> None:
        client.start()
        monkeypatch.setattr(second_factor, "is_set_up", lambda user: True)
        assert client.redeem(phone_outbox.last_code(PHONE)).error == (400, "invalid_grant")

    def test_site_can_name_the_only_user_that_may_sign_in(
        self, client: Client, settings: Any, phone_outbox: Any
    ) -> None:
        client.start()
        assert client.redeem(phone_outbox.last_code(PHONE)).status == 200
        other, owner = User.objects.create(username="other"), User.objects.exclude(username="other").get()
        for user, status in ((other, 400), (owner, 200)):
            grant = {"clients": [CLIENT], "judge": lambda *_, user=user: user}
            settings.PHONE_VERIFY = {**settings.PHONE_VERIFY, "oauth_grants": {GRANT: grant}}
            client.start()
            assert client.redeem(phone_outbox.last_code(PHONE)).status == status

    @pytest.mark.parametrize("shown", [b"\0:x", b"%00:x"])
    def test_credentials_with_a_nul_are_not_looked_up(
        self, site: DjangoSite, shown: bytes, django_assert_num_queries: Any
    ) -> None:
        """PostgreSQL fails on them."""
        headers = {"Authorization": f"Basic {b64encode(shown).decode()}"}
        with django_assert_num_queries(0):
            answer = site.call("POST", TOKEN, form={"grant_type": "client_credentials"}, headers=headers)
        assert answer.error == (401, "invalid_client")

    @pytest.mark.parametrize("as_json", [False, True])
    def test_error_report_holds_neither_code_nor_number(
        self, client: Client, settings: Any, phone_outbox: Any, as_json: bool
    ) -> None:
        grant = {"clients": [CLIENT], "judge": lambda *_: 1 / 0}
        settings.PHONE_VERIFY = {**settings.PHONE_VERIFY, "oauth_grants": {GRANT: grant}}
        begun, code, reports = client.start(), phone_outbox.last_code(PHONE), []

        def report(request: Any, **_: Any) -> None:
            reporter = ExceptionReporter(request, *sys.exc_info())
            reports.extend([reporter.get_traceback_html(), reporter.get_traceback_text()])

        form = {"grant_type": GRANT, "mobile": PHONE, "mobile_verification_code": code}
        form |= {"verification_id": begun["id"], "verification_secret": begun["secret"]}
        got_request_exception.connect(report)
        try:
            with pytest.raises(ZeroDivisionError):
                client.site.call("POST", TOKEN, **({"json": form} if as_json else {"form": form}), headers=basic())
        finally:
            got_request_exception.disconnect(report)
        assert len(reports) == 2
        for secret in (PHONE[1:], f"{code}&", f">{code}<", f"&#x27;{code}&", begun["secret"], SECRET):
            assert secret not in "".join(reports)

    def test_grant_that_was_removed_is_unknown(self, client: Client, settings: Any, phone_outbox: Any) -> None:
        client.start()
        assert client.redeem("000000", grant=EVENT).error == (400, "invalid_grant")
        grants = {GRANT: settings.PHONE_VERIFY["oauth_grants"][GRANT]}
        settings.PHONE_VERIFY = {**settings.PHONE_VERIFY, "oauth_grants": grants}
        assert client.redeem("000000", grant=EVENT).error == (400, "unsupported_grant_type")
