"""Tokens on Django, where the scenarios do not reach: times, other users, errors of the site's functions."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.core.exceptions import ImproperlyConfigured

from phone_verify.errors import StoreError
from phone_verify_django import checks, signals
from phone_verify_django.accounts import Accounts
from phone_verify_django.models import VerifiedPhone
from tests import site_tokens
from tests.clients import Answer, Browser
from tests.site_tokens import sign

from .conftest import PHONE, Network, verified

NEW = "+989120000007"
SETTINGS = {
    "sms": "console://",
    "resend_after": 0,
    "token": "tests.site_tokens.make",
    "user_for_token": "tests.site_tokens.django_user",
}

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _site(configure: Callable[..., None]) -> None:
    configure(**SETTINGS)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def exchange(visitor: Browser, network: Network, phone: str = PHONE) -> Answer:
    return visitor.call("POST", "v1/token", {"proof": verified(visitor, network, phone)["proof"]})


def redeemed(visitor: Browser, network: Network, token: str, phone: str, purpose: str = "change_phone") -> Answer:
    """Prove a number with this token and redeem the proof."""
    fields = {"phone": phone, "purpose": purpose}
    begun = visitor.call("POST", "v1/verifications", fields, headers=bearer(token))
    assert begun.status == 201, begun.text
    done = visitor.call("POST", f"v1/verifications/{begun.json()['id']}/check", {"code": network.code})
    return visitor.call("PUT", "v1/session/phone", {"proof": done.json()["proof"]}, headers=bearer(token))


def numbers() -> set[str]:
    return {found.phone for found in VerifiedPhone.objects.all()}


def test_site_without_tokens_answers_404_and_uses_no_proof_up(
    visitor: Browser, network: Network, configure: Callable[..., None]
) -> None:
    configure(sms="console://")
    proof = verified(visitor, network)["proof"]
    answer = visitor.call("POST", "v1/token", {"proof": proof})
    assert (answer.status, answer.json()["code"]) == (404, "not_found")
    assert visitor.call("POST", "v1/token", body=b"x", headers={"Content-Type": "text/plain"}).status == 415
    assert visitor.call("POST", "v1/session", {"proof": proof}).status == 200
    assert visitor.call("GET", "v1/session", headers=bearer("of a proxy")).status == 200, "no token is read"


def test_exchange_opens_no_session(visitor: Browser, network: Network) -> None:
    answer = exchange(visitor, network)
    assert answer.status == 200, answer.text
    assert not answer.cookies
    assert answer.headers["cache-control"] == "no-store"
    assert not Session.objects.exists()
    assert visitor.call("GET", "v1/session").status == 401


@pytest.mark.parametrize("case", ["audience", "key", "user", "cut"])
def test_foreign_token_is_401(visitor: Browser, network: Network, case: str) -> None:
    user = exchange(visitor, network).json()["user"]["id"]
    token = {
        "audience": sign(user, audience="another"),
        "key": sign(user, key="another-key-0123456789-abcdef-0123"),
        "user": sign(10**6),
        "cut": sign(user)[:-1],
    }[case]
    assert visitor.call("GET", "v1/session", headers=bearer(sign(user))).status == 200
    answer = visitor.call("GET", "v1/session", headers=bearer(token))
    assert (answer.status, answer.json()["code"]) == (401, "not_signed_in")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_expired_token_is_401(visitor: Browser, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    token = exchange(visitor, network).json()["token"]
    now = time.time() + 3700
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now)
    assert visitor.call("GET", "v1/session", headers=bearer(token)).status == 401


def test_inactive_user_has_no_token(visitor: Browser, network: Network) -> None:
    token = exchange(visitor, network).json()["token"]
    User.objects.update(is_active=False)
    assert visitor.call("GET", "v1/session", headers=bearer(token)).status == 401
    answer = exchange(visitor, network)
    assert (answer.status, answer.json()["code"]) == (403, "login_refused")


def test_staff_get_no_token_by_phone_alone(visitor: Browser, network: Network) -> None:
    exchange(visitor, network)
    User.objects.update(is_staff=True)
    answer = exchange(visitor, network)
    assert (answer.status, answer.json()["code"]) == (403, "login_refused")


class ClosedSignUp(Accounts):
    def may_sign_up(self, redeemed: Any, request: Any) -> bool:
        return False


def test_closed_signup_gives_no_token(visitor: Browser, network: Network, configure: Callable[..., None]) -> None:
    configure(**SETTINGS, accounts=f"{__name__}.ClosedSignUp")
    answer = exchange(visitor, network)
    assert (answer.status, answer.json()["code"]) == (403, "login_refused")
    assert not User.objects.exists()


def test_user_with_a_second_factor_gets_no_token(visitor: Browser, network: Network) -> None:
    from phone_verify_django.otp.models import PhoneDevice

    exchange(visitor, network)
    PhoneDevice.objects.create(user=User.objects.get(), phone=NEW, confirmed=True)
    answer = exchange(visitor, network)
    assert (answer.status, answer.json()["code"]) == (403, "mfa_required")
    assert "token" not in answer.json()


def test_present_number_is_verified_by_the_same_token(visitor: Browser, network: Network) -> None:
    """That of another token of the user, and that of a session, do not count."""
    user = exchange(visitor, network).json()["user"]["id"]
    token, other = sign(user, signed_in_at=int(time.time())), sign(user, signed_in_at=1)
    answer = redeemed(visitor, network, token, NEW)
    assert (answer.status, answer.json()["code"]) == (403, "reauthentication_required")
    assert redeemed(visitor, network, other, PHONE, "confirm").status == 200
    assert visitor.call("POST", "v1/session", {"proof": verified(visitor, network)["proof"]}).status == 200
    assert redeemed(visitor, network, token, NEW).status == 403
    network.clock.move(3700)
    assert redeemed(visitor, network, token, PHONE, "confirm").status == 200
    network.clock.move(890)
    assert redeemed(visitor, network, token, NEW).status == 200
    assert numbers() == {NEW}
    # The new number was not the user's before, so that it is verified before the next change.
    assert redeemed(visitor, network, token, PHONE).status == 403


def test_exchange_counts_for_15_minutes(visitor: Browser, network: Network) -> None:
    token = exchange(visitor, network).json()["token"]
    network.clock.move(901)
    assert redeemed(visitor, network, token, NEW).status == 403
    assert redeemed(visitor, network, token, PHONE, "confirm").status == 200
    assert redeemed(visitor, network, token, NEW).status == 200


@pytest.mark.parametrize(("seconds", "status"), [(800, 200), (1000, 403), (None, 403)])
def test_first_number_needs_a_recent_sign_in(
    visitor: Browser, network: Network, seconds: int | None, status: int
) -> None:
    user = User.objects.create_user("somebody")
    at = None if seconds is None else int(time.time()) - seconds
    assert redeemed(visitor, network, sign(user.pk, signed_in_at=at), NEW).status == status
    assert numbers() == ({NEW} if status == 200 else set())


def test_lost_number_follows_the_site_callback(
    visitor: Browser, network: Network, configure: Callable[..., None]
) -> None:
    configure(**SETTINGS, accounts="tests.django_adapter.custom_accounts.LostNumbers")
    user = exchange(visitor, network).json()["user"]["id"]
    assert redeemed(visitor, network, sign(user, signed_in_at=1), NEW).status == 200
    assert numbers() == {NEW}


def test_change_ends_all_sessions_also_that_of_the_request(visitor: Browser, network: Network) -> None:
    assert visitor.call("POST", "v1/session", {"proof": verified(visitor, network)["proof"]}).status == 200
    key = Session.objects.get().session_key
    token = exchange(visitor, network).json()["token"]
    answer = redeemed(visitor, network, token, NEW)
    assert answer.status == 200
    assert "sessionid" not in answer.cookies
    assert Session.objects.get().session_key == key
    assert visitor.call("GET", "v1/session").status == 401
    assert visitor.call("GET", "v1/session", headers=bearer(token)).json()["user"]["phone"] == NEW


def test_signals_are_sent_with_the_user_of_the_token(visitor: Browser, network: Network) -> None:
    said: list[Any] = []
    token = exchange(visitor, network).json()["token"]

    def changed(request: Any, user: Any, **_: Any) -> None:
        said.append((request.user, user))

    signals.phone_changed.connect(changed)
    try:
        assert redeemed(visitor, network, token, NEW).status == 200
    finally:
        signals.phone_changed.disconnect(changed)
    assert said == [(User.objects.get(), User.objects.get())]


def fail(*_: Any) -> str:
    raise RuntimeError("the site's own")


def test_error_of_the_function_says_nothing_and_uses_the_proof_up(
    visitor: Browser, network: Network, configure: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    configure(**{**SETTINGS, "token": f"{__name__}.fail"})
    proof = verified(visitor, network)["proof"]
    answer = visitor.call("POST", "v1/token", {"proof": proof})
    assert (answer.status, answer.json()["code"]) == (500, "internal_error")
    assert "the site's own" not in answer.text
    assert "the site's own" in caplog.text
    configure(**SETTINGS)
    assert visitor.call("POST", "v1/token", {"proof": proof}).json()["code"] == "invalid_proof"


def test_error_of_the_function_for_users_says_nothing(
    visitor: Browser, network: Network, configure: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    configure(**{**SETTINGS, "user_for_token": f"{__name__}.fail"})
    answer = visitor.call("GET", "v1/session", headers=bearer("secret-token"))
    assert (answer.status, answer.json()["code"]) == (500, "internal_error")
    assert "secret-token" not in caplog.text


def wrong_token(user: Any, redeemed: Any) -> object:
    return object()


def no_user(request: Any, token: str) -> object:
    return "somebody"


def test_functions_must_return_what_is_documented(
    visitor: Browser, network: Network, configure: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    configure(**{**SETTINGS, "token": f"{__name__}.wrong_token", "user_for_token": f"{__name__}.no_user"})
    assert exchange(visitor, network).status == 500
    assert "the function for tokens returned object" in caplog.text
    assert visitor.call("GET", "v1/session", headers=bearer("x")).status == 500
    assert "PHONE_VERIFY['user_for_token'] returned str" in caplog.text


class Devices:
    """An authentication class of a site whose API serves devices too."""

    def authenticate(self, request: Any) -> Any:
        return Group.objects.get(), request.headers["Authorization"]


def device(request: Any, token: str) -> object:
    return Group.objects.get()


@pytest.mark.parametrize(
    ("function", "status"), [(f"{__name__}.device", 500), ("phone_verify_django.drf.user_for_token", 401)]
)
def test_record_of_another_model_is_not_the_user_with_its_key(
    visitor: Browser, network: Network, configure: Callable[..., None], settings: Any, function: str, status: int
) -> None:
    pytest.importorskip("rest_framework")
    exchange(visitor, network)
    Group.objects.create(pk=User.objects.get().pk)
    settings.REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": [f"{__name__}.Devices"]}
    configure(**{**SETTINGS, "user_for_token": function})
    answer = visitor.call("GET", "v1/session", headers=bearer("of-a-device"))
    assert (answer.status, PHONE in answer.text) == (status, False)


def test_store_outage_after_the_number_was_verified_is_503(
    visitor: Browser, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = exchange(visitor, network).json()["token"]

    def fail(*_: Any) -> Any:
        raise StoreError("no answer")

    monkeypatch.setattr("phone_verify.verifier.blocking.Verifier.note_token_check", fail)
    answer = redeemed(visitor, network, token, PHONE, "confirm")
    assert (answer.status, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "5"


@pytest.mark.parametrize("name", ["token", "user_for_token"])
@pytest.mark.parametrize("value", ["", "nowhere.make", "tests.site_tokens.KEY", 5, "tests.site_tokens.nothing"])
def test_setting_must_name_a_function(name: str, value: object) -> None:
    [mistake] = checks.mistakes({name: value})
    assert mistake.name == name
    assert "Set the dotted path of a function" in str(mistake)


def test_wrong_setting_stops_the_start(configure: Callable[..., None]) -> None:
    configure(**{**SETTINGS, "token": "nowhere.make"})
    with pytest.raises(ImproperlyConfigured, match=r"PHONE_VERIFY\['token'\]"):
        checks.refuse_mistakes()


def test_site_needs_no_sessions_for_tokens(visitor: Browser, network: Network, settings: Any) -> None:
    token = exchange(visitor, network).json()["token"]
    settings.MIDDLEWARE = []
    assert visitor.call("GET", "v1/session", headers=bearer(token)).json()["user"]["phone"] == PHONE
    assert redeemed(visitor, network, token, NEW).status == 200
    assert site_tokens.claims_of(token)["sub"] == str(User.objects.get().pk)
