"""Origins in Django: the default from CSRF_TRUSTED_ORIGINS, and CORS headers on errors."""

from __future__ import annotations

import os
from typing import Any

import pytest
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from phone_verify.doctor import examine
from phone_verify_django.site import current_site, site_config
from tests.clients import Browser

from .conftest import PHONE, Network, verified

APP, OTHER = "https://app.example", "https://other.example"
HEADERS = {"Origin": APP, "Sec-Fetch-Site": "cross-site"}

pytestmark = pytest.mark.django_db


def is_readable(answer: Any, origin: str = APP) -> bool:
    """Return whether the trusted origin may read the answer."""
    return answer.headers.get("Access-Control-Allow-Origin") == origin and "Origin" in answer["Vary"]


def start(client: Client, origin: str) -> Any:
    headers = {"Origin": origin}
    return client.post("/phone/v1/verifications", {"phone": PHONE}, content_type="application/json", headers=headers)


def test_default_is_django_s_list_without_wildcards(client: Client, settings: Any) -> None:
    settings.CSRF_TRUSTED_ORIGINS = [APP, "https://*.app.example", "https://a.example/"]
    assert current_site().trusted_origins == {APP}
    assert is_readable(start(client, APP))
    for origin in ("https://a.app.example", "https://a.example"):
        answer = start(client, origin)
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")
        assert not answer.has_header("Access-Control-Allow-Origin")
    named = [finding for finding in examine(site_config()) if finding.id == "PV412"]
    assert len(named) == 1
    assert "https://*.app.example, https://a.example/" in named[0].says
    assert named[0].title == "PHONE_VERIFY['trusted_origins']"


def test_own_setting_replaces_django_s_list(client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CSRF_TRUSTED_ORIGINS = [OTHER, "https://*.app.example"]
    settings.PHONE_VERIFY = {"sms": "console://", "store": "memory:", "trusted_origins": [APP]}
    assert is_readable(start(client, APP))
    assert start(client, OTHER).status_code == 403
    assert not [finding for finding in examine(site_config()) if finding.id == "PV412"]
    settings.PHONE_VERIFY = {"sms": "console://", "store": "memory:", "trusted_origins": []}
    assert start(client, OTHER).status_code == 403
    settings.PHONE_VERIFY = {"sms": "console://", "store": "memory:"}
    monkeypatch.setitem(os.environ, "PHONE_VERIFY_TRUSTED_ORIGINS", APP)
    settings.CSRF_TRUSTED_ORIGINS = [OTHER]  # builds the site again
    assert is_readable(start(client, APP))
    assert start(client, OTHER).status_code == 403


def test_mistake_stops_the_start_in_django_s_words(settings: Any) -> None:
    settings.PHONE_VERIFY = {"sms": "console://", "trusted_origins": ["https://*.app.example"]}
    with pytest.raises(ImproperlyConfigured, match=r"^PHONE_VERIFY\['trusted_origins'\]: wildcards"):
        current_site()


def test_trusted_origin_reads_errors_too(client: Client, settings: Any) -> None:
    settings.PHONE_VERIFY = {
        "sms": "console://",
        "store": "sqlite:////nonexistent/folder/verifications.sqlite3",
        "trusted_origins": APP,
    }
    answer = client.get("/phone/v1/health", headers=HEADERS)
    assert answer.status_code == 503
    assert is_readable(answer)


def test_trusted_origin_reads_a_failed_sign_in(visitor: Browser, network: Network, settings: Any) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("a bug of the site")

    settings.CSRF_TRUSTED_ORIGINS = [APP]
    done = verified(visitor, network)
    user_logged_in.connect(fail)
    try:
        answer = visitor.call("POST", "v1/session", {"proof": done["proof"]}, headers=HEADERS)
    finally:
        user_logged_in.disconnect(fail)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (500, APP)


def test_vary_of_the_session_is_kept(client: Client, settings: Any) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = True
    client.cookies[settings.SESSION_COOKIE_NAME] = "x" * 32
    answer = client.get("/phone/v1/session", headers=HEADERS)
    assert {word.strip() for word in answer["Vary"].split(",")} >= {"Origin", "Cookie"}
