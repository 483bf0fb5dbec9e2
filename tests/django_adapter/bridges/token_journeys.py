"""Journeys on a site with Simple JWT and our `POST v1/token`, in a separate pytest run (test_tokens_doc.py)."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import jwt
import pytest
import shop.revoke  # noqa: F401 - connects the receiver
from django.contrib.auth import get_user_model
from django.core import signing
from django.test import Client
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, UntypedToken

PHONE, NEW = "+989120000000", "+989120000001"
MOUNT = "/phone/v1/"

User = get_user_model()
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_wait(settings: Any) -> None:
    settings.PHONE_VERIFY = {**settings.PHONE_VERIFY, "resend_after": 0}


def call(method: str, path: str, document: object = None, **headers: str) -> Any:
    client = Client(enforce_csrf_checks=True)
    body = "" if document is None else json.dumps(document)
    return client.generic(method, MOUNT + path, body, content_type="application/json", headers=headers)


def proven(outbox: Any, phone: str = PHONE, purpose: str = "login", **headers: str) -> tuple[dict[str, str], str]:
    begun = call("POST", "verifications", {"phone": phone, "purpose": purpose}, **headers).json()
    shown = {"Verification-Secret": begun["secret"]}
    checked = call("POST", f"verifications/{begun['id']}/check", {"code": outbox.last_code(phone)}, **shown)
    return {"proof": checked.json()["proof"]}, begun["secret"]


def signed_in(outbox: Any, phone: str = PHONE) -> Any:
    proof, secret = proven(outbox, phone)
    answer = call("POST", "token", proof, **{"Verification-Secret": secret})
    assert answer.status_code == 200, answer.content
    return answer.json()["token"]


def bearer(token: object) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_user_signs_in_and_changes_the_number(phone_outbox: Any) -> None:
    token = signed_in(phone_outbox)
    assert call("GET", "session", **bearer(token["access"])).json()["user"]["phone"] == PHONE
    proof, secret = proven(phone_outbox, NEW, "change_phone", **bearer(token["access"]))
    answer = call("PUT", "session/phone", proof, **{"Verification-Secret": secret}, **bearer(token["access"]))
    assert (answer.status_code, answer.json()["user"]["phone"]) == (200, NEW)


def test_other_tokens_are_401(phone_outbox: Any, settings: Any) -> None:
    token = signed_in(phone_outbox)
    user = User.objects.get()
    expired, claims = AccessToken.for_user(user), AccessToken(token["access"]).payload
    expired.set_exp(lifetime=-timedelta(seconds=1))
    # Simple JWT writes its own audience into every token.
    signed = jwt.encode(claims, settings.SECRET_KEY, "HS256")
    assert call("GET", "session", **bearer(signed)).status_code == 200
    foreign = jwt.encode({**claims, "aud": "another"}, settings.SECRET_KEY, "HS256")
    header = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    unsigned = f"{header}.{token['access'].split('.')[1]}."
    for wrong in (expired, foreign, unsigned, token["refresh"], "x"):
        answer = call("GET", "session", **bearer(wrong))
        assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    User.objects.update(is_active=False)
    assert call("GET", "session", **bearer(token["access"])).status_code == 401


def test_token_has_the_audience(phone_outbox: Any) -> None:
    assert UntypedToken(signed_in(phone_outbox)["access"])["aud"] == "shop-api"


@pytest.mark.parametrize("more", ["SessionAuthentication", "BasicAuthentication", "RemoteUserAuthentication"])
def test_classes_that_read_no_token_are_left_out(more: str, phone_outbox: Any, settings: Any) -> None:
    named = [f"rest_framework.authentication.{more}"]
    settings.REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": named}
    client = Client(REMOTE_USER="7")
    client.force_login(User.objects.create_user("7"))
    assert client.get("/phone/v1/session").status_code == 200
    for token in ("x", "dXNlcjpwYXNz"):
        assert client.get(f"{MOUNT}session", headers=bearer(token)).status_code == 401


def test_refresh_tokens_end_with_the_number(phone_outbox: Any) -> None:
    token = signed_in(phone_outbox)
    proof, secret = proven(phone_outbox, NEW, "change_phone", **bearer(token["access"]))
    RefreshToken(token["refresh"])
    call("PUT", "session/phone", proof, **{"Verification-Secret": secret}, **bearer(token["access"]))
    with pytest.raises(TokenError):
        RefreshToken(token["refresh"])


def test_signed_tokens_work_the_same(phone_outbox: Any, settings: Any) -> None:
    functions = {"token": "shop.signed.make", "user_for_token": "shop.signed.user"}
    settings.PHONE_VERIFY = {**settings.PHONE_VERIFY, **functions}
    token = signed_in(phone_outbox)
    user = call("GET", "session", **bearer(token)).json()["user"]
    assert user["phone"] == PHONE
    for claims, salt in (
        ({"sub": user["id"], "aud": "another", "auth_time": 1}, "shop-api"),
        ({"sub": user["id"], "aud": "shop-api", "auth_time": 1}, "another"),
        ({"sub": "999", "aud": "shop-api", "auth_time": 1}, "shop-api"),
    ):
        assert call("GET", "session", **bearer(signing.dumps(claims, salt=salt))).status_code == 401
