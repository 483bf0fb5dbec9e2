"""The template tags and filters for phones."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.template import Context, Template
from django.test import RequestFactory

from phone_verify import PhoneNumber
from phone_verify_django import phones
from phone_verify_django.access import CHECKED_AT
from tests.clients import Browser

from .conftest import PHONE, Network, verified
from .factories import proof

SHOWN, HINT = '<bdi dir="ltr">+98 912 000 0000</bdi>', '<bdi dir="ltr">+98 ••••••••00</bdi>'


def rendered(text: str, **context: Any) -> str:
    return Template(f"{{% load phone_verify %}}{text}").render(Context(context))


@pytest.mark.parametrize("value", [PHONE, PhoneNumber(PHONE), "+98 912 000 0000", "+۹۸۹۱۲۰۰۰۰۰۰۰"])
def test_number_is_rendered_ltr(value: object) -> None:
    assert rendered("{{ value|phone }}", value=value) == SHOWN
    assert rendered("{{ value|phone_hint }}", value=value) == HINT


@pytest.mark.parametrize("value", [None, "", "<b>", "09120000000", "<script>+989120000000", 5, [], AnonymousUser()])
def test_invalid_number_renders_empty(value: object) -> None:
    """Also in `{% if %}`: empty for users without a number."""
    assert rendered("{{ value|phone }}{{ value|phone_hint }}{% if value|phone %}x{% endif %}", value=value) == ""


@pytest.mark.django_db
def test_primary_number_of_a_user_is_rendered() -> None:
    user = User.objects.create_user("somebody")
    text = "{% if user|phone %}{{ user|phone }} {{ user|phone_hint }}{% else %}none{% endif %}"
    assert rendered(text, user=user) == "none"
    for number in (PHONE, "+989120000007"):
        phones.assign(user, proof(number))
    assert rendered(text, user=user) == f"{SHOWN} {HINT}"


@pytest.mark.parametrize(("tag", "page"), [("phone_login_url", "login"), ("phone_verify_url", "verify")])
@pytest.mark.parametrize(
    ("path", "back"),
    [
        ("/shop/?a=1&b=2", "?next=/shop/%3Fa%3D1%26b%3D2"),
        ("/%22%3E%3Cscript%3E/", "?next=/%2522%253E%253Cscript%253E/"),
        ("/فارسی/", "?next=/%25D9%2581%25D8%25A7%25D8%25B1%25D8%25B3%25DB%258C/"),
        ("/phone/login/?next=/shop/", ""),
        ("/phone/logout/", ""),
    ],
)
def test_links_lead_back_here(rf: RequestFactory, tag: str, page: str, path: str, back: str) -> None:
    assert rendered(f"{{% {tag} %}}", request=rf.get(path)) == f"/phone/{page}/{back}"


@pytest.mark.parametrize(
    ("path", "back"), [("/own-login/?next=/shop/%3Fa%3D1", "?next=/shop/%3Fa%3D1"), ("/own-login/", "")]
)
def test_site_login_page_links_to_ours_with_its_next(rf: RequestFactory, settings: Any, path: str, back: str) -> None:
    settings.LOGIN_URL = "/own-login/"
    assert rendered("{% phone_login_url %}", request=rf.get(path)) == f"/phone/login/{back}"


def test_links_never_lead_back_to_a_post(rf: RequestFactory) -> None:
    assert rendered("{% phone_login_url %}", request=rf.post("/shop/")) == "/phone/login/"
    assert rendered("{% phone_login_url %}") == "/phone/login/"


@pytest.mark.django_db
def test_login_page_accepts_the_link(visitor: Browser, rf: RequestFactory) -> None:
    url = rendered("{% phone_login_url %}", request=rf.get("/?a=1&b=2"))
    assert 'value="/?a=1&amp;b=2"' in visitor.get(url).text


def test_anonymous_visitor_has_no_check(rf: RequestFactory) -> None:
    text = "{% phone_checked 600 as checked %}{{ checked }}"
    assert rendered(text) == "False"
    request = rf.get("/")
    request.user, request.session = AnonymousUser(), {CHECKED_AT: 10**10}  # type: ignore[assignment]
    assert rendered(text, request=request) == "False"


@pytest.mark.django_db
def test_phone_login_counts_as_a_check(visitor: Browser, network: Network, rf: RequestFactory) -> None:
    assert visitor.call("POST", "v1/session", {"proof": verified(visitor, network)["proof"]}).status == 200
    request = rf.get("/")
    request.user, request.session = User.objects.get(), visitor._carrier._client.session  # type: ignore[attr-defined]
    assert rendered("{% phone_checked 600 as checked %}{{ checked }}", request=request) == "True"
    session = request.session
    session[CHECKED_AT] -= 601
    assert rendered("{% phone_checked 600 as checked %}{{ checked }}", request=request) == "False"
