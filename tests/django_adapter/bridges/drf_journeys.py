"""Journeys on a site with Django REST framework, in a separate pytest run (test_drf.py)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import Client
from rest_framework.response import Response
from rest_framework.test import APIClient

from phone_verify import PhoneNumber, Started
from phone_verify_django.drf import ExchangeView
from phone_verify_django.models import VerifiedPhone
from phone_verify_django.site import current_site

PHONE = "+989120000000"
API, TOKEN, ME = "/phone/v1/verifications", "/api/token/phone/", "/api/me/"

User = get_user_model()
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _site(settings: Any) -> None:
    settings.PHONE_VERIFY = {"sms": "console://", "resend_after": 0}


def post(path: str, document: object, secret: str = "", client: Any = None, **headers: str) -> Any:
    shown = {"Verification-Secret": secret} if secret else {}
    client = client or Client(enforce_csrf_checks=True)
    return client.post(path, json.dumps(document), content_type="application/json", headers=shown | headers)


def proven(outbox: Any, phone: str = PHONE) -> tuple[str, str]:
    """Return a proof and its secret."""
    begun = post(API, {"phone": phone}).json()
    checked = post(f"{API}/{begun['id']}/check", {"code": outbox.last_code(phone)}, begun["secret"])
    return checked.json()["proof"], begun["secret"]


def test_proof_is_exchanged_for_a_token(phone_outbox: Any) -> None:
    proof, secret = proven(phone_outbox)
    answer = post(TOKEN, {"proof": proof}, secret)
    assert answer.status_code == 200
    document = answer.json()
    assert sorted(document) == ["access", "created", "refresh", "user"]
    assert document["created"] is True
    assert document["user"] == {"id": str(User.objects.get().pk), "phone": PHONE}
    assert answer.headers["Cache-Control"] == "no-store"
    assert not answer.cookies
    program = APIClient()
    assert program.get(ME).status_code == 401
    program.credentials(HTTP_AUTHORIZATION=f"Bearer {document['access']}")
    assert program.get(ME).json() == {"phone": PHONE}
    again = post(TOKEN, {"proof": proven(phone_outbox)[0]})
    assert (again.status_code, again.json()["code"]) == (400, "invalid_proof")


def test_existing_user_gets_a_token_for_the_same_account(phone_outbox: Any) -> None:
    ids = []
    for created in (True, False):
        proof, secret = proven(phone_outbox)
        # With an expired token, as a client has that signs in again.
        document = post(TOKEN, {"proof": proof}, secret, Authorization="Bearer yesterday").json()
        assert document["created"] is created
        ids.append(document["user"]["id"])
    assert ids[0] == ids[1]


def test_proof_works_once_and_for_its_purpose(phone_outbox: Any) -> None:
    proof, secret = proven(phone_outbox)
    assert post(TOKEN, {"proof": proof}, secret).status_code == 200
    for path in (TOKEN, "/phone/v1/session"):
        answer = post(path, {"proof": proof}, secret)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_proof")
    verifier = current_site().verifier
    outcome = verifier.start(PhoneNumber(PHONE), purpose="confirm")
    assert isinstance(outcome, Started)
    checked = verifier.check(outcome.verification.id, outcome.secret, phone_outbox.last_code(PHONE))
    assert post(TOKEN, {"proof": checked.proof}, outcome.secret).json()["code"] == "invalid_proof"


@pytest.mark.parametrize(
    ("body", "kind", "headers"),
    [
        (b"", "application/json", {}),
        (b"{}", "application/json", {}),
        (b"[", "application/json", {}),
        (b'{"proof": 1}', "application/json", {}),
        (b'{"proof": "x", "more": "y"}', "application/json", {}),
        (b'{"proof": "x"}', "text/plain", {}),
        (b"proof=x", "application/x-www-form-urlencoded", {}),
        (b'{"proof": "' + b"x" * 20_000 + b'"}', "application/json", {}),
        (b'{"proof": "x"}', "application/json", {"Origin": "https://elsewhere.example"}),
        (b'{"proof": "x"}', "application/json", {}),
        (b'{"proof": "\xff"}', "application/json", {}),
    ],
)
def test_refusals_match_the_api(body: bytes, kind: str, headers: dict[str, str]) -> None:
    client = Client(enforce_csrf_checks=True)
    theirs = client.post("/phone/v1/session", body, kind, headers=headers)
    ours = client.post(TOKEN, body, kind, headers=headers)
    assert (ours.status_code, ours.json()) == (theirs.status_code, theirs.json())
    assert 400 <= ours.status_code < 500
    assert ours.headers["Content-Type"] == theirs.headers["Content-Type"] == "application/problem+json"


def test_staff_get_no_token_by_phone_alone(phone_outbox: Any) -> None:
    proof, secret = proven(phone_outbox)
    post(TOKEN, {"proof": proof}, secret)
    User.objects.update(is_staff=True)
    proof, secret = proven(phone_outbox)
    answer = post(TOKEN, {"proof": proof}, secret)
    assert (answer.status_code, answer.json()["code"]) == (403, "login_refused")


def test_refused_user_gets_no_token(phone_outbox: Any) -> None:
    proof, secret = proven(phone_outbox)
    post(TOKEN, {"proof": proof}, secret)
    User.objects.update(is_active=False)
    proof, secret = proven(phone_outbox)
    answer = post(TOKEN, {"proof": proof}, secret)
    assert (answer.status_code, answer.json()["code"]) == (403, "login_refused")


def test_token_login_starts_no_session(phone_outbox: Any) -> None:
    client = Client()
    proof, secret = proven(phone_outbox)
    assert post(TOKEN, {"proof": proof}, secret, client).status_code == 200
    assert client.get("/phone/v1/session").status_code == 401
    assert client.get(ME).status_code == 401


def test_drf_accepts_the_session_of_the_api(phone_outbox: Any) -> None:
    """Neither the token of SessionAuthentication nor a custom exception handler interferes."""
    client = APIClient(enforce_csrf_checks=True)
    proof, secret = proven(phone_outbox)
    assert post("/phone/v1/session", {"proof": proof}, secret, client).status_code == 200
    assert client.get(ME).json() == {"phone": PHONE}
    assert post(API, {"phone": PHONE}, client=client).status_code == 201
    assert client.delete("/phone/v1/session").status_code == 204
    assert client.get(ME).status_code == 401


def broken(*_: Any) -> Response:
    return Response({"handled": "by the site"}, status=418)


def test_custom_exception_handler_changes_nothing(settings: Any) -> None:
    handler = f"{__name__}.broken"
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "EXCEPTION_HANDLER": handler}
    assert Client().get(ME).status_code == 418
    assert Client().get("/phone/v1/session").json()["code"] == "not_signed_in"
    assert post(TOKEN, {"proof": "x"}).json()["code"] == "invalid_proof"


@pytest.mark.parametrize(
    "named", [None, "", "nowhere.pair", "shop.tokens.nothing", "shop.tokens.__name__", 5], ids=lambda value: str(value)
)
def test_view_without_a_token_function_is_refused(named: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="token_for_user"):
        ExchangeView.as_view(token_for_user=named)


def test_subclass_may_name_a_function(rf: Any, phone_outbox: Any) -> None:
    class Own(ExchangeView):
        @staticmethod
        def token_for_user(user: Any, request: Any) -> dict[str, str]:
            return {"token": f"of {user.pk} at {request.path}"}

    proof, secret = proven(phone_outbox)
    request = rf.post("/own/", {"proof": proof}, "application/json", headers={"Verification-Secret": secret})
    document = json.loads(Own.as_view()(request).content)
    assert document["token"] == f"of {User.objects.get().pk} at /own/"


@pytest.mark.django_db(transaction=True)
def test_proof_stays_consumed_if_the_token_fails(phone_outbox: Any, monkeypatch: Any) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("the site's own")

    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    monkeypatch.setattr("rest_framework_simplejwt.tokens.RefreshToken.for_user", fail)
    client = Client(raise_request_exception=False)
    proof, secret = proven(phone_outbox)
    assert post(TOKEN, {"proof": proof}, secret, client).status_code == 500
    monkeypatch.undo()
    assert post(TOKEN, {"proof": proof}, secret, client).json()["code"] == "invalid_proof"
    assert VerifiedPhone.objects.get().phone == PHONE


def test_other_methods_are_405(client: Client) -> None:
    for method in ("get", "put", "delete"):
        assert getattr(client, method)(TOKEN).status_code == 405


def test_proof_of_one_of_two_required_channels_gives_no_token(settings: Any, phone_outbox: Any) -> None:
    both = {"inbound_call": "ssms://K@default", "purposes": "login:require=sms+inbound_call"}
    settings.PHONE_VERIFY = {**settings.PHONE_VERIFY, **both}
    proof, secret = proven(phone_outbox, "+79160000002")
    answer = post(TOKEN, {"proof": proof}, secret)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_proof")
    assert not User.objects.exists()
