"""Masked columns of the admin cannot be read by lookup, order, search, popup or another model's admin."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from phone_verify import PhoneNumber
from phone_verify_django.models import VerificationRow, VerifiedPhone
from phone_verify_django.otp.models import PhoneDevice
from phone_verify_django.site import current_site

from .conftest import PHONE, Network

OTHER = "+989120000001"
VERIFICATIONS = "/admin/phone_verify_django/verificationrow/"
PHONES = "/admin/phone_verify_django/verifiedphone/"
DEVICES = "/admin/phone_verify_otp/phonedevice/"
LISTS = (VERIFICATIONS, PHONES, DEVICES)
USERS = "/admin/auth/user/"
AUTOCOMPLETE = "/admin/autocomplete/"

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.django_adapter.admin_urls")]


@pytest.fixture
def clerk(network: Network, settings: Any) -> Client:
    """A clerk who may view every table with a number in it, and nothing else."""
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, "django.contrib.auth.backends.ModelBackend"]
    user = User.objects.create_user("clerk", is_staff=True)
    views = ("view_verificationrow", "view_verifiedphone", "view_phonedevice", "view_user")
    user.user_permissions.set(Permission.objects.filter(codename__in=views))
    browser = Client(raise_request_exception=False, **{"wsgi.multiprocess": False})  # type: ignore[arg-type]
    browser.force_login(user, "django.contrib.auth.backends.ModelBackend")
    return browser


@pytest.fixture
def victim(clerk: Client) -> User:
    """A user with a number in each of the tables."""
    return with_number("victim", PHONE)


def with_number(name: str, phone: str) -> User:
    user = User.objects.create_user(name, email=f"{name}@site.example")
    VerifiedPhone.objects.create(user=user, phone=phone, verified_at=datetime.now(UTC))
    PhoneDevice.objects.create(user=user, phone=phone)
    current_site().verifier.start(PhoneNumber(phone))
    return user


def rows(answer: Any) -> list[str]:
    """The keys of the listed rows, in order."""
    assert answer.status_code == 200
    return re.findall(rf'href="{answer.request["PATH_INFO"]}([^/"]+)/change/', answer.content.decode())


def read_out(browser: Client, place: str, lookup: str) -> tuple[str, set[int]]:
    """Return the part of a column that this lookup reveals, and the status codes of the responses."""
    known, statuses = "", set()
    while len(known) < len(PHONE):
        for letter in "+0123456789":
            answer = browser.get(place, {lookup: known + letter})
            statuses.add(answer.status_code)
            if answer.status_code == 400:
                return known, statuses
            if rows(answer):
                known += letter
                break
        else:
            break
    return known, statuses


@pytest.mark.parametrize(
    ("place", "lookup"),
    [
        *((place, f"phone__{kind}") for place in LISTS for kind in ("startswith", "gte", "regex", "contains")),
        *((place, "phone") for place in LISTS),
        (PHONES, "signs_in__startswith"),
        (PHONES, "user__verified_phones__phone__startswith"),
        (PHONES, "user__phone_verify_devices__phone__startswith"),
        (DEVICES, "user__verified_phones__phone__startswith"),
        (USERS, "verified_phones__phone__startswith"),
        (USERS, "verified_phones__login_phone__startswith"),
        (USERS, "phone_verify_devices__phone__startswith"),
    ],
)
def test_lookups_reveal_no_number(clerk: Client, victim: User, place: str, lookup: str) -> None:
    assert read_out(clerk, place, lookup) == ("", {400})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "model", "listed"),
    [
        (VERIFICATIONS, VerificationRow, {"purpose__isnull", "driver__isnull"}),
        (PHONES, VerifiedPhone, {"id__in"}),
        (
            DEVICES,
            PhoneDevice,
            {
                "confirmed__isnull",
                *(f"{time}__{kind}" for time in ("created_at", "last_used_at") for kind in ("gte", "isnull")),
            },
        ),
    ],
)
def test_columns_allow_only_filter_lookups(
    clerk: Client, victim: User, place: str, model: Any, listed: set[str]
) -> None:
    taken = set()
    for field in model._meta.get_fields():
        for kind in ("startswith", "gte", "isnull", "in"):
            status = clerk.get(place, {f"{field.name}__{kind}": "1"}).status_code
            assert status in (200, 302, 400)
            if status != 400:
                taken.add(f"{field.name}__{kind}")
    assert taken == listed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "columns"),
    [
        (VERIFICATIONS, {"created_at", "pk"}),
        (PHONES, {"verified_at", "pk"}),
        (DEVICES, {"name", "confirmed", "created_at", "last_used_at", "pk"}),
    ],
)
def test_masked_columns_cannot_be_sorted(clerk: Client, victim: User, place: str, columns: set[str]) -> None:
    """Neither the number nor the user, whose model may be ordered by it."""
    found = set()
    for asked in ("", "phone", "-phone", "99", "-", *(f"{sign}{n}" for n in range(12) for sign in ("", "-"))):
        listed = clerk.get(place, {"o": asked}).context["cl"]
        found |= {name.lstrip("-") for name in listed.queryset.query.order_by}
    assert found == columns


@pytest.mark.parametrize("place", LISTS)
def test_search_finds_no_part_of_a_number(clerk: Client, victim: User, place: str) -> None:
    User.objects.filter(pk=victim.pk).update(username=PHONE)
    everything = rows(clerk.get(place))
    for typed in ("+98912", "912", PHONE[1:], "98912 000", '"+98912"', "00"):
        assert rows(clerk.get(place, {"q": typed})) in ([], everything if place == VERIFICATIONS else [])


@pytest.mark.parametrize("place", [PHONES, DEVICES])
@pytest.mark.parametrize("name", ["tel" + PHONE[1:], "reza_0" + PHONE[3:], "reza 0" + PHONE[3:]])
def test_search_finds_no_part_of_a_number_in_a_name(clerk: Client, victim: User, place: str, name: str) -> None:
    User.objects.filter(pk=victim.pk).update(username=name)
    for typed in (name[:8], f"{name[0]} 912", f"{name[0]} 00", f"'{name[:3]}' 912", "e ۹", "e ９"):
        assert not rows(clerk.get(place, {"q": typed}))
    for typed in (name[:3], name):
        assert rows(clerk.get(place, {"q": typed}))


@pytest.mark.parametrize("place", [PHONES, DEVICES])
def test_search_finds_users_by_name_alone(clerk: Client, victim: User, place: str) -> None:
    assert rows(clerk.get(place, {"q": "vict"}))
    assert not rows(clerk.get(place, {"q": "site.example"})), "the list shows no address"
    User.objects.filter(pk=victim.pk).update(username="4711")
    assert rows(clerk.get(place, {"q": "4711"}))
    assert not rows(clerk.get(place, {"q": "471"}))


@pytest.mark.slow
@pytest.mark.parametrize("place", [PHONES, DEVICES])
@pytest.mark.parametrize(
    "name",
    [PHONE, PHONE[1:], "09120000000", "0912 000-0000", "۰۹۱۲۰۰۰۰۰۰۰", OTHER, "tel09120000000", "reza2 09120000000 b3"],
)
def test_name_that_is_a_number_is_masked(clerk: Client, victim: User, place: str, name: str) -> None:
    User.objects.filter(pk=victim.pk).update(username=name)
    key = (VerifiedPhone if place == PHONES else PhoneDevice).objects.get().pk
    for page in (clerk.get(place), clerk.get(f"{place}{key}/change/"), clerk.get(f"{place}{key}/history/")):
        assert page.status_code == 200
        assert name not in page.content.decode()
        assert PHONE[1:] not in page.content.decode()
    assert "+98 ••••••••00" in clerk.get(place).content.decode()


@pytest.mark.slow
@pytest.mark.parametrize("place", LISTS)
@pytest.mark.parametrize("field", ["phone", "login_phone", "tag", "binding", "challenges", "user", "no_such_field"])
def test_popups_refer_to_rows_by_their_keys(clerk: Client, victim: User, place: str, field: str) -> None:
    key = rows(clerk.get(place))[0]
    for address in (place, f"{place}{key}/change/"):
        assert clerk.get(address, {"_popup": "1", "_to_field": field}).status_code == 400


@pytest.mark.parametrize(
    ("app", "model", "field", "status"),
    [
        ("phone_verify_django", "verifiedphone", "phone", 403),
        ("phone_verify_django", "verifiedphone", "user", 200),
        ("phone_verify_otp", "phonedevice", "user", 200),
    ],
)
def test_autocomplete_reveals_no_number(
    clerk: Client, victim: User, app: str, model: str, field: str, status: int
) -> None:
    asked = {"app_label": app, "model_name": model, "field_name": field}
    for term in ("", "98912", "vict"):
        answer = clerk.get(AUTOCOMPLETE, {**asked, "term": term})
        assert answer.status_code == status
        assert "912" not in answer.content.decode()


@pytest.mark.parametrize(
    ("place", "query"),
    [
        *((place, "q=%00") for place in LISTS),
        *((VERIFICATIONS, f"{name}=%00") for name in ("state", "channel", "within", "purpose", "driver", "tag")),
        (PHONES, "id__in=%00"),
        (PHONES, "id__in=" + "9" * 30),
        (PHONES, "id__in=x,y"),
        (DEVICES, "confirmed__exact=%00"),
        (DEVICES, "created_at__gte=never"),
        (VERIFICATIONS, "purpose__isnull=perhaps"),
        *((place, "phone__startswith=%00&phone__startswith=1&p=x&o=..-") for place in LISTS),
    ],
)
def test_malformed_query_is_no_server_error(clerk: Client, victim: User, place: str, query: str) -> None:
    assert clerk.get(f"{place}?{query}").status_code in (200, 302, 400)


@pytest.mark.parametrize("name", ["state", "channel", "within", "purpose", "driver", "tag"])
def test_filters_refuse_a_nul(clerk: Client, victim: User, name: str) -> None:
    """PostgreSQL cannot compare with a NUL."""
    assert clerk.get(f"{VERIFICATIONS}?{name}=a%00").status_code == 400


def test_popups_of_other_models_narrow_the_list(clerk: Client, victim: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """The `limit_choices_to` of a foreign key to our table is accepted, and no other value."""
    monkeypatch.setattr(VerifiedPhone._meta, "related_fkey_lookups", [{"is_primary": True}])
    assert len(rows(clerk.get(PHONES, {"is_primary": "1", "_popup": "1"}))) == 1
    assert clerk.get(PHONES, {"is_primary": "0", "_popup": "1"}).status_code == 400
