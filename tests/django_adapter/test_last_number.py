"""Continuing with the number of the last sign-in on Django: which users are offered, and what a site can change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from phone_verify_django import phones
from phone_verify_django.last_number import numbers_of
from phone_verify_django.models import VerifiedPhone
from tests.clients import Browser

from .conftest import PHONE, Network
from .factories import proof, somebody

Configure = Callable[..., None]
LOGIN, CODE, LOGOUT = "/phone/login/", "/phone/code/", "/phone/logout/"

pytestmark = pytest.mark.django_db


def sign_in_and_out(visitor: Browser, network: Network, **fields: str) -> str:
    """Sign in with the box ticked or as `fields` say, and out; return the device's cookie."""
    visitor.post_form(LOGIN, phone=PHONE)
    answer = visitor.post_form(CODE, code=network.code, **(fields or {"asks_remember": "1", "remember": "1"}))
    assert answer.location == "/"
    visitor.post_form(LOGOUT)
    return str(answer.cookies["phone_verify_device"].partition("=")[2].partition(";")[0])


def is_offered(visitor: Browser) -> bool:
    return "Continue as" in visitor.get(LOGIN).text


def test_last_number_is_offered_after_signing_out(visitor: Browser, network: Network) -> None:
    cookie = sign_in_and_out(visitor, network)
    user = User.objects.get()
    assert f"{user.pk}" not in cookie.split("~")
    page = visitor.get(LOGIN).text
    assert '<bdi dir="ltr">+98 ••• 00</bdi>' in page
    assert PHONE[3:-2] not in page
    answer = visitor.post_form(LOGIN, **{"continue": "1"})
    assert (answer.status, answer.location, network.sent) == (303, CODE, 2)
    assert "912 000" not in visitor.get(CODE).text
    assert visitor.post_form(CODE, code=network.code).location == "/"
    assert visitor.get("/").text == PHONE


def test_api_sign_in_offers_the_number_too(visitor: Browser, network: Network) -> None:
    begun = visitor.call("POST", "v1/verifications", {"phone": PHONE}).json()
    done = visitor.call("POST", f"v1/verifications/{begun['id']}/check", {"code": network.code}).json()
    assert visitor.call("POST", "v1/session", {"proof": done["proof"]}).status == 200
    visitor.post_form(LOGOUT)
    assert is_offered(visitor)


def test_session_that_ends_with_the_browser_keeps_no_number(visitor: Browser, network: Network, settings: Any) -> None:
    sign_in_and_out(visitor, network, asks_remember="1")
    assert not is_offered(visitor)
    settings.SESSION_EXPIRE_AT_BROWSER_CLOSE = True
    sign_in_and_out(visitor, network, next="/")
    assert not is_offered(visitor)


@pytest.mark.parametrize(
    "change",
    [
        lambda user: user.delete(),
        lambda user: User.objects.update(is_active=False),
        lambda user: User.objects.update(is_staff=True),
        lambda user: VerifiedPhone.objects.all().delete(),
        lambda user: phones.assign(user, proof("+989120000001"), replace_existing=True),
    ],
    ids=["deleted", "inactive", "staff", "number removed", "number changed"],
)
def test_nothing_is_offered_to_users_who_cannot_sign_in(
    visitor: Browser, network: Network, change: Callable[[User], object]
) -> None:
    sign_in_and_out(visitor, network)
    assert is_offered(visitor)
    change(User.objects.get())
    assert not is_offered(visitor)
    assert visitor.post_form(LOGIN, **{"continue": "1"}).location == LOGIN
    assert network.sent == 1


def test_number_with_a_new_owner_is_not_offered_to_the_old_one(visitor: Browser, network: Network) -> None:
    sign_in_and_out(visitor, network)
    VerifiedPhone.objects.all().delete()
    phones.assign(somebody("new owner"), proof(PHONE))
    assert not is_offered(visitor)


def test_second_number_that_signed_in_is_the_one_offered(visitor: Browser, network: Network) -> None:
    sign_in_and_out(visitor, network)
    user = User.objects.get()
    phones.assign(user, proof("+989120000077"))
    phones.set_primary(user, "+989120000077")
    assert "+98 ••• 00" in visitor.get(LOGIN).text


def test_forged_cookie_causes_no_query_for_a_user(network: Network, client: Any) -> None:
    user = somebody("owner")
    phones.assign(user, proof(PHONE))
    client.get(LOGIN)
    for cookie in ("", f"{user.pk}~{user.pk}~sms", "A.B.C~AAAAAAAAAAAAAAAAAAAAAAAA~sms", "\x00~", "~" * 50, "x" * 3000):
        client.cookies["phone_verify_device"] = cookie
        with CaptureQueriesContext(
            connection,
        ) as queries:
            page = client.get(LOGIN)
        assert page.status_code == 200
        assert b"Continue as" not in page.content
        assert not [query for query in queries if "auth_user" in query["sql"]]


def test_login_page_is_shown_if_the_database_of_users_is_down(visitor: Browser, network: Network) -> None:
    sign_in_and_out(visitor, network)

    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "auth_user" in sql:
            raise OperationalError("down")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail):
        assert numbers_of("1") == []
    assert is_offered(visitor)


def test_id_of_another_user_model_is_no_error() -> None:
    assert numbers_of("not-a-number") == []
    assert numbers_of("9" * 40) == []


def test_setting_switches_it_off(visitor: Browser, network: Network, configure: Configure) -> None:
    sign_in_and_out(visitor, network)
    configure(sms="console://", offer_last_number=False)
    assert not is_offered(visitor)
    assert sign_in_and_out(visitor, network).count("~") == 1
    configure(sms="console://")
    assert not is_offered(visitor)


def test_press_needs_the_token_of_a_form(visitor: Browser, network: Network) -> None:
    sign_in_and_out(visitor, network)
    page = visitor.get(LOGIN)
    for field in ("continue", "forget"):
        answer = visitor.press(page, LOGIN, {field: "1", "csrfmiddlewaretoken": "x" * 32}, site="cross-site")
        assert answer.status == 403
    assert network.sent == 1
    assert is_offered(visitor)
