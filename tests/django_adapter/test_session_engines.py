"""The flows with every session engine, with and without ATOMIC_REQUESTS, under WSGI and ASGI."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.signing import BadSignature, loads
from django.db import connection

from phone_verify_django.models import VerifiedPhone
from tests.clients import Browser

from .conftest import PHONE, Network, verified

NEW = "+989120000007"
LOGIN, CODE, VERIFY, LOGOUT = "/phone/login/", "/phone/code/", "/phone/verify/", "/phone/logout/"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(
    params=[("db", True), ("cache", False), ("cache", True), ("signed_cookies", False), ("signed_cookies", True)],
    ids=lambda given: f"{given[0]}-{'atomic' if given[1] else 'plain'}",
)
def _sessions(request: pytest.FixtureRequest, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions in the database with single statements are covered by all other tests."""
    engine, atomic = request.param
    cache.clear()
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", atomic)


def readable(cookie: Any) -> str:
    """Return what a visitor can read of a cookie session; nothing of server-side sessions."""
    try:
        return str(loads(cookie.value, salt="django.contrib.sessions.backends.signed_cookies"))
    except BadSignature:
        return ""


@pytest.mark.usefixtures("_sessions")
class TestEverySession:
    """The requests of a visitor, by the pages and by the API."""

    def test_journey_on_the_pages_works(self, visitor: Browser, network: Network, settings: Any) -> None:
        answer = visitor.post_form(LOGIN, phone=PHONE)
        assert answer.location == CODE
        assert visitor.post_form(CODE, code=network.wrong).status == 303
        answer = visitor.post_form(CODE, code=network.code)
        assert answer.status == 303, answer.text
        assert visitor.get("/").text == PHONE
        for name, cookie in visitor._carrier._client.cookies.items():  # type: ignore[attr-defined]
            assert ("_auth_user_id" in readable(cookie)) == (
                name == "sessionid" and "cookies" in settings.SESSION_ENGINE
            )
            assert network.code not in readable(cookie)
        network.clock.move(120)
        assert visitor.post_form(VERIFY, phone=NEW).location == CODE
        assert visitor.post_form(CODE, code=network.code).status == 303
        assert visitor.get("/").text == NEW
        visitor.post_form(LOGOUT)
        assert visitor.get("/").text == "nobody"
        assert [found.phone for found in VerifiedPhone.objects.all()] == [NEW]

    def test_journey_on_the_api_works(self, visitor: Browser, network: Network) -> None:
        proof = verified(visitor, network)["proof"]
        assert visitor.call("POST", "v1/session", {"proof": proof}).status == 200
        assert visitor.call("POST", "v1/session", {"proof": proof}).status == 400
        assert visitor.get("/").text == PHONE
        network.clock.move(120)
        proof = verified(visitor, network, NEW, purpose="change_phone")["proof"]
        assert visitor.call("PUT", "v1/session/phone", {"proof": proof}).status == 200
        assert visitor.call("GET", "v1/session").json()["user"]["phone"] == NEW
        assert visitor.call("DELETE", "v1/session").status == 204
        assert visitor.call("GET", "v1/session").status == 401
        assert User.objects.count() == 1


@pytest.mark.parametrize("engine", ["db", "cache"])
def test_session_key_is_new_after_login(visitor: Browser, network: Network, settings: Any, engine: str) -> None:
    """An attacker who planted a session in a victim's browser gains nothing."""
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    client = visitor._carrier._client  # type: ignore[attr-defined]
    session = client.session
    session["planted"] = "by a stranger"
    session.save()
    client.cookies["sessionid"] = before = session.session_key
    visitor.post_form(LOGIN, phone=PHONE)
    assert visitor.post_form(CODE, code=network.code).status == 303
    assert client.cookies["sessionid"].value != before
    assert not client.session.exists(before)
