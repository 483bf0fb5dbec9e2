"""A site with `i18n_patterns`: a change of language in the middle, and the addresses for machines."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from io import StringIO
from types import ModuleType
from typing import Any

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import include, path
from django.utils import translation

from phone_verify.sandbox import SandboxServer
from phone_verify_django.site import api_path, webhook_path
from tests.clients import Browser, DjangoCarrier
from tests.django_adapter.conftest import PHONE, Network
from tests.scenarios import Stage

pytestmark = pytest.mark.django_db

SPLIT, TOGETHER = "tests.django_adapter.language_urls", "tests.django_adapter.language_urls_together"
SECRET = "w3bhook-secret-0123456789abcdef"


@pytest.fixture(autouse=True)
def site(settings: Any, configure: Callable[..., None]) -> None:
    settings.LANGUAGE_CODE = "en-us"
    settings.LANGUAGES = [("en", "English"), ("fa", "Persian"), ("de", "German")]
    settings.ROOT_URLCONF = SPLIT
    place = settings.MIDDLEWARE.index("django.middleware.common.CommonMiddleware")
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE[:place],
        "django.middleware.locale.LocaleMiddleware",
        *settings.MIDDLEWARE[place:],
    ]
    configure(
        sms="console://",
        inbound_call="telefon-ip://TOKEN@default",
        public_url="http://testserver",
        webhook_secret=SECRET,
    )


@pytest.mark.parametrize("urlconf", [SPLIT, TOGETHER])
def test_flow_continues_in_another_language(urlconf: str, network: Network, settings: Any) -> None:
    settings.ROOT_URLCONF = urlconf
    browser = Browser(DjangoCarrier())
    answer = browser.post_form("/fa/phone/login/", phone=PHONE, channel="sms")
    assert answer.target.startswith("/fa/phone/code/")
    assert "Path=/;" in f"{answer.cookies['phone_verify']};"
    changed = answer.target.replace("/fa/", "/en/")
    assert 'lang="en"' in browser.get(changed).text
    done = browser.post_form(changed, code=network.code)
    assert (done.status, done.target) == (303, "/en/")
    assert "Path=/;" in f"{done.cookies['phone_verify_device']};"
    assert network.sent == 1
    assert browser.get("/de/").text == PHONE


@pytest.mark.parametrize("language", ["en-us", "en", "fa", None])
def test_webhooks_have_one_address(language: str | None, network: Network, settings: Any, client: Client) -> None:
    with translation.override(language):
        assert webhook_path("telefon-ip", SECRET) == f"/phone/webhooks/telefon-ip/{SECRET}"
    assert client.get(f"/phone/webhooks/telefon-ip/{SECRET}").status_code == 200
    settings.ROOT_URLCONF = TOGETHER
    with translation.override(language):
        address = webhook_path("telefon-ip", SECRET)
    assert address == f"/en/phone/webhooks/telefon-ip/{SECRET}"
    assert client.get(address).status_code == 200


def test_address_without_locale_middleware_is_served(network: Network, settings: Any, client: Client) -> None:
    settings.ROOT_URLCONF = TOGETHER
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.endswith(".LocaleMiddleware")]
    assert client.get(api_path("v1/health")).status_code == 200


def test_default_language_may_have_no_prefix(network: Network, settings: Any, client: Client) -> None:
    urls = ModuleType("urls")
    urls.urlpatterns = i18n_patterns(  # type: ignore[attr-defined]
        path("phone/", include("phone_verify_django.urls")), prefix_default_language=False
    )
    settings.ROOT_URLCONF = urls
    with translation.override("fa"):
        assert api_path("v1/health") == "/phone/v1/health"
    assert client.get("/phone/v1/health").status_code == 200


def test_refusals_of_the_api_are_not_redirected(network: Network, client: Client) -> None:
    """LocaleMiddleware redirects a 404 to the same path with a language if that exists."""
    for unknown in ("v1/nothing", f"v1/verifications/{'A' * 44}", "webhooks/telefon-ip/wrong"):
        answer = client.get(f"/phone/{unknown}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(("urlconf", "mount"), [(SPLIT, "/phone/"), (TOGETHER, "/fa/phone/")])
def test_script_of_the_code_page_finds_the_api(
    urlconf: str, mount: str, settings: Any, sandbox: SandboxServer, configure: Callable[..., None]
) -> None:
    settings.ROOT_URLCONF = urlconf
    configure(inbound_call=sandbox.dsn)
    browser = Browser(DjangoCarrier())
    answer = browser.post_form("/fa/phone/login/", phone=Stage(lambda: DjangoCarrier(), sandbox).phone())
    found = re.search(r'data-pv-poll="([^"]+)"', browser.follow(answer).text)
    assert found is not None
    assert found[1].startswith(f"{mount}v1/verifications/")
    assert browser.get(found[1]).json()["status"] == "sent"


@pytest.mark.parametrize("urlconf", [SPLIT, TOGETHER])
def test_doctor_prints_the_address_of_the_webhook(urlconf: str, settings: Any) -> None:
    settings.ROOT_URLCONF = urlconf
    printed = StringIO()
    with suppress(CommandError):  # the address is not https
        call_command("phone_verify_doctor", "--offline", "--show-webhook-urls", stdout=printed)
    found = re.search(rf"http://testserver(/\S+/{SECRET})", printed.getvalue())
    assert found is not None, printed.getvalue()
    assert Client().get(found[1]).content == b"OK"


def test_client_has_the_address_of_the_api(client: Client) -> None:
    page = client.get("/fa/phone/login/").text
    [address] = re.findall(r'<script type="module" src="([^"]+)"', page)
    assert address.startswith("/phone/static/phone-verify-client.js?v=")
    assert client.get(address).status_code == 200
    assert client.get("/phone/static/phone-verify-client.json?lang=fa").json()["lang"] == "fa"
