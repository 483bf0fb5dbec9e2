"""The admin: what it shows and masks, its permissions, and the test send."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission, User
from django.core.checks import run_checks
from django.db import connection
from django.test import Client
from django.utils import translation

import phone_verify_django
from phone_verify import PhoneNumber, Reason, Started, Status
from phone_verify.exchange import HttpResponse
from phone_verify_django.accounts import phones_of
from phone_verify_django.models import PhoneRow, VerificationRow, VerifiedPhone
from phone_verify_django.signals import phone_changed
from phone_verify_django.site import current_site

from .conftest import PHONE, Network
from .factories import heard

OTHER = "+989120000001"
HINT = "+98 ••••••••00"
PASSWORD = "a password of nobody's"
LIST = "/admin/phone_verify_django/verificationrow/"
PHONES = "/admin/phone_verify_django/verifiedphone/"
SEND = f"{LIST}send-test/"
UNLOCK = f"{LIST}unlock/"
Configure = Callable[..., None]

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.django_adapter.admin_urls")]


@pytest.fixture(autouse=True)
def _passwords(settings: Any) -> None:
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, "django.contrib.auth.backends.ModelBackend"]


@pytest.fixture(autouse=True)
def _now(network: Network) -> None:
    """The admin decides what is open by the time of the process, as the store does in production."""
    network.clock._now = datetime.now(UTC)


@pytest.fixture
def browser() -> Client:
    return Client(enforce_csrf_checks=False, **{"wsgi.multiprocess": False})  # type: ignore[arg-type]


def staff(browser: Client, *permissions: str) -> User:
    """Sign in a user with these permissions only."""
    user = User.objects.create_user("staff", password=PASSWORD, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    assert user.user_permissions.count() == len(permissions)
    assert browser.login(username="staff", password=PASSWORD)
    return user


def text(answer: Any) -> str:
    assert answer.status_code == 200
    return str(answer.content.decode())


def started(phone: str = PHONE, purpose: str = "login") -> VerificationRow:
    outcome = current_site().verifier.start(PhoneNumber(phone), purpose=purpose)
    assert isinstance(outcome, Started)
    return VerificationRow.objects.get(pk=outcome.verification.id)


def rows(page: str) -> list[str]:
    return re.findall(r'class="field-hint[^"]*">(.*?)</t[hd]>', page)


def nothing_secret(page: str, network: Network, row: VerificationRow) -> None:
    shown = [PHONE, PHONE[1:], row.phone, row.phone[1:], network.code]
    shown += [bytes(value).hex() for value in (row.binding, row.code_digest or b"?")]
    shown += [str(bytes(value)) for value in (row.binding, row.code_digest or b"?")]
    for hidden in (*shown, row.key_id):
        assert hidden not in page


def test_verifications_are_masked_and_cannot_be_changed(browser: Client, network: Network) -> None:
    staff(browser, "view_verificationrow")
    row = started()
    page = text(browser.get(LIST))
    assert len(rows(page)) == 1
    assert HINT in page
    nothing_secret(page, network, row)
    place = f"{LIST}{quote(row.pk)}/change/"
    page = text(browser.get(place))
    assert "this site" in page
    assert HINT in page
    nothing_secret(page, network, row)
    assert 'name="_save"' not in page
    assert browser.post(place, {"attempts_left": "10"}).status_code == 403
    assert browser.get(f"{LIST}add/").status_code == 403
    assert browser.get(f"{LIST}{quote(row.pk)}/delete/").status_code == 403
    text(browser.get(f"{LIST}{quote(row.pk)}/history/"))


def test_full_number_is_found_by_tag_and_in_no_url(browser: Client, network: Network) -> None:
    staff(browser, "view_verificationrow")
    started()
    started(OTHER)
    assert len(rows(text(browser.get(LIST)))) == 2
    answer = browser.post(f"{LIST}search/", {"number": "+98 912 000-0000"})
    assert answer.status_code == 302
    assert "912" not in answer["Location"]
    page = text(browser.get(f"{LIST}{answer['Location'].removeprefix('../')}"))
    assert len(rows(page)) == 1
    assert quote(VerificationRow.objects.get(phone=PHONE).pk) in page
    answer = browser.post(f"{LIST}search/", {"number": "+989120000009"})
    assert rows(text(browser.get(f"{LIST}{answer['Location'].removeprefix('../')}"))) == []


@pytest.mark.parametrize("typed", ["9120000000", "", "x" * 5000, "+98912", "%", "' OR 1=1", "\0"])
def test_partial_number_finds_nothing(browser: Client, network: Network, typed: str) -> None:
    """In particular not for the end or the middle of one."""
    staff(browser, "view_verificationrow")
    started()
    answer = browser.post(f"{LIST}search/", {"number": typed})
    assert answer["Location"] == "../"
    assert "not a valid phone number" in text(browser.get(LIST))


def test_searching_needs_the_permission_and_a_post(browser: Client) -> None:
    staff(browser, "view_verifiedphone")
    assert browser.post(f"{LIST}search/", {"number": PHONE}).status_code == 403
    assert browser.get(f"{PHONES}search/").status_code == 405
    assert Client().post(f"{LIST}search/", {"number": PHONE}).status_code == 302
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get())
    assert strict.post(f"{PHONES}search/", {"number": PHONE}).status_code == 403


def test_verification_filters_narrow_the_list(browser: Client, network: Network) -> None:
    staff(browser, "view_verificationrow")
    started()
    over, late = started(OTHER, "signup"), started("+989120000002")
    VerificationRow.objects.filter(pk=over.pk).update(status="exhausted", channel="voice")
    VerificationRow.objects.filter(pk=late.pk).update(expires_at=10**15, created_at=10**15 - 1)
    ends = {
        "state=open": "00",
        "state=exhausted": "01",
        "state=expired": "02",
        "channel=voice": "01",
        "purpose=signup": "01",
    }
    for query, end in ends.items():
        found = rows(text(browser.get(f"{LIST}?{query}")))
        assert len(found) == 1
        assert f"••{end}" in found[0]
    assert len(rows(text(browser.get(f"{LIST}?within=600")))) == 2
    assert len(rows(text(browser.get(f"{LIST}?within=nonsense")))) == 3
    assert "expired" in text(browser.get(f"{LIST}?state=expired"))


def test_open_verifications_can_be_cancelled(browser: Client, network: Network) -> None:
    staff(browser, "view_verificationrow", "change_verificationrow")
    row, other = started(), started(OTHER)
    VerificationRow.objects.filter(pk=other.pk).update(status="verified")
    page = text(browser.get(LIST))
    assert "Cancel selected open verifications" in page
    ends = {"action": "cancel", "_selected_action": [row.pk, other.pk]}
    assert "1 verification was cancelled." in text(browser.post(LIST, ends, follow=True))
    states = dict(VerificationRow.objects.values_list("phone", "status"))
    assert states == {PHONE: Status.CANCELLED, OTHER: Status.VERIFIED}
    assert [entry.object_repr for entry in LogEntry.objects.all()] == ["SMS verification (Sent)"]


def test_view_permission_cancels_and_sends_nothing(browser: Client, network: Network) -> None:
    staff(browser, "view_verificationrow")
    row = started()
    page = text(browser.get(LIST))
    assert "Cancel selected open verifications" not in page
    assert "Send a test" not in page
    browser.post(LIST, {"action": "cancel", "_selected_action": [row.pk]})
    assert VerificationRow.objects.get().status == "sent"
    assert browser.get(SEND).status_code == 403
    assert browser.post(SEND, {"start": "1", "number": PHONE}).status_code == 403
    assert network.sent == 1


@pytest.mark.django_db(transaction=True)
def test_cancellation_survives_atomic_requests(
    browser: Client, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    staff(browser, "view_verificationrow", "change_verificationrow", "add_verificationrow")
    row = started()
    browser.post(LIST, {"action": "cancel", "_selected_action": [row.pk]})
    assert VerificationRow.objects.get().status == "cancelled"
    browser.post(SEND, {"start": "1", "number": OTHER})
    assert network.sent == 2


def test_other_store_is_not_listed_but_can_send_tests(
    browser: Client, network: Network, configure: Configure, tmp_path: Any
) -> None:
    staff(browser, "view_verificationrow", "add_verificationrow")
    configure(sms="console://", store=f"sqlite:///{tmp_path}/verifications.sqlite3")
    page = text(browser.get(LIST))
    assert "Verifications are stored outside Django" in page
    browser.post(SEND, {"start": "1", "number": PHONE})
    assert HINT in text(browser.get(SEND))
    assert rows(text(browser.get(LIST))) == []


def test_list_is_ordered_by_the_time_of_the_start(browser: Client, network: Network) -> None:
    staff(browser, "view_verificationrow")
    first, second = started(), started(OTHER)
    VerificationRow.objects.filter(pk=first.pk).update(
        created_at=second.created_at - 1, expires_at=second.expires_at + 1
    )
    assert ["••01" in row for row in rows(text(browser.get(LIST)))] == [True, False]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "exhausted"}, "Too many incorrect codes."),
        ({"status": "failed"}, "No provider accepted the message."),
        ({"expires_at": 1}, "No correct code in time."),
        ({"expires_at": 1, "code_source": "nobody"}, "No call in time."),
        ({"status": "verified"}, None),
    ],
)
def test_list_says_why_a_verification_failed(
    browser: Client, network: Network, changes: dict[str, Any], reason: str | None
) -> None:
    staff(browser, "view_verificationrow")
    row = started()
    VerificationRow.objects.filter(pk=row.pk).update(**changes)
    found = re.search(r'class="field-reason">(.*?)</td>', text(browser.get(LIST)))
    assert found
    assert reason in found[1] if reason else found[1] == "-"


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "fa",
            ["پیامک", "ارسال‌شده", "تلاش‌های باقی‌مانده", "تأییدها", "لغو تأییدهای بازِ انتخاب‌شده", "باز کردن قفل شماره"],
        ),
        ("ar", ["رسالة نصية", "أُرسل", "المحاولات المتبقية", "عمليات التحقق", "إلغاء قفل رقم"]),
        ("ru", ["SMS", "Отправлена", "осталось попыток", "проверки", "Разблокировать номер"]),
    ],
)
def test_admin_speaks_the_language_of_the_staff_user(
    browser: Client, network: Network, language: str, words: list[str]
) -> None:
    staff(browser, "view_verificationrow", "change_verificationrow", "add_verificationrow")
    started()
    with translation.override(language):
        page = text(browser.get(LIST))
    assert [word for word in words if word.casefold() not in page.casefold()] == []
    assert f'<bdi dir="ltr" class="phone-verify-number">{HINT}</bdi>' in page


def test_catalogues_of_the_admin_are_complete() -> None:
    """Every text of the admin has a translation that is neither empty nor fuzzy."""
    package = Path(phone_verify_django.__file__).parent
    texts = {
        found[2] if isinstance(found[2], str) else found[2][0]
        for found in extract_from_dir(package, [("**.py", "python")], keywords={"_": None, "ngettext": (1, 2)})
    }
    for template in package.glob("**/templates/admin/**/*.html"):
        texts |= {found[2] for found in re.finditer(r"""translate (["'])(.*?)\1""", template.read_text())}
    texts -= {"Home", "Search", "Show all"}  # Django's own
    for language in ("fa", "ar", "ru"):
        with (package / f"locale/{language}/LC_MESSAGES/django.po").open("rb") as file:
            catalogue = read_po(file, abort_invalid=True)
        have = {message.id if isinstance(message.id, str) else message.id[0]: message for message in catalogue}
        assert {one for one in texts if not (one in have and all(have[one].string) and not have[one].fuzzy)} == set()


# Verified phones.


def test_user_page_lists_the_numbers_of_the_user_masked(browser: Client) -> None:
    user = staff(browser, "view_user", "view_verifiedphone", "change_verifiedphone")
    with_numbers(user, PHONE, OTHER)
    page = text(browser.get(f"/admin/auth/user/{user.pk}/change/"))
    assert page.count('class="phone-verify-number">+98 ••••••••0') == 2
    assert PHONE not in page
    assert 'name="verified_phones-0-phone"' not in page


def test_verified_phones_are_listed_masked(browser: Client) -> None:
    user = staff(browser, "view_verifiedphone", "delete_verifiedphone")
    other = User.objects.create_user("somebody")
    row = VerifiedPhone.objects.create(user=user, phone=PHONE, verified_at=datetime.now(UTC))
    VerifiedPhone.objects.create(user=other, phone=OTHER, verified_at=datetime.now(UTC))
    page = text(browser.get(PHONES))
    assert len(rows(page)) == 2
    one = text(browser.get(f"{PHONES}{row.pk}/change/"))
    for shown in (page, one):
        assert HINT in shown
        assert PHONE[1:] not in shown
    for typed, end in ((PHONE, "00"), ("someb", "01"), ("STAFF", "00")):
        answer = browser.post(f"{PHONES}search/", {"number": typed})
        assert "912" not in answer["Location"]
        found = rows(text(browser.get(f"{PHONES}{answer['Location'].removeprefix('../')}")))
        assert len(found) == 1
        assert f"••{end}" in found[0]
    answer = browser.post(f"{PHONES}search/", {"number": "+989120000009"})
    assert rows(text(browser.get(f"{PHONES}{answer['Location'].removeprefix('../')}"))) == []
    answer = browser.post(f"{PHONES}search/", {"number": "+98912000"})
    assert answer["Location"] == "../"
    assert browser.get(f"{PHONES}add/").status_code == 403
    assert browser.post(f"{PHONES}{row.pk}/change/", {"user": other.pk}).status_code == 403
    assert browser.post(f"{PHONES}{row.pk}/delete/", {"post": "yes"}).status_code == 302
    assert VerifiedPhone.objects.get().phone == OTHER
    assert PHONE not in str(list(LogEntry.objects.values_list("object_repr", "change_message")))


def with_numbers(user: User, *numbers: str) -> list[VerifiedPhone]:
    return [
        VerifiedPhone.objects.create(user=user, phone=phone, verified_at=datetime(2026, 1, n, tzinfo=UTC))
        for n, phone in enumerate(numbers, 1)
    ]


def test_number_can_be_made_primary(browser: Client) -> None:
    staff(browser, "view_verifiedphone", "change_verifiedphone")
    user, other = User.objects.create_user("a"), User.objects.create_user("b")
    _, second, third = with_numbers(user, PHONE, OTHER, "+989120000002")
    with_numbers(other, "+989120000003")
    page = text(browser.get(PHONES))
    assert page.count(">Yes<") == 2 + 4, "who is primary, and whom a number signs in"
    chosen = {"action": "make_primary", "_selected_action": [second.pk, third.pk]}
    with heard(phone_changed) as told:
        page = text(browser.post(PHONES, chosen, follow=True))
    assert "1 number is primary now." in page
    assert phones_of(user) == ["+989120000002", OTHER, PHONE], "the newest of them"
    assert [(one["user"], one["old"].e164) for one in told] == [(user, PHONE)]
    assert [entry.change_message for entry in LogEntry.objects.all()] == ["Made primary."]
    assert "0 numbers are primary now." in text(browser.post(PHONES, chosen, follow=True))
    assert browser.post(f"{PHONES}{second.pk}/change/", {"user": other.pk}).status_code == 403


@pytest.mark.parametrize("permission", ["view_verifiedphone", "delete_verifiedphone"])
def test_primary_number_requires_change_permission(browser: Client, permission: str) -> None:
    staff(browser, "view_verifiedphone", *({permission} - {"view_verifiedphone"}))
    user = User.objects.create_user("a")
    second = with_numbers(user, PHONE, OTHER)[1]
    assert "primary numbers" not in text(browser.get(PHONES))
    browser.post(PHONES, {"action": "make_primary", "_selected_action": [second.pk]})
    assert phones_of(user) == [PHONE, OTHER]


def test_removal_is_signalled_and_another_number_is_primary(browser: Client) -> None:
    staff(browser, "view_verifiedphone", "delete_verifiedphone")
    user = User.objects.create_user("a")
    first, second = with_numbers(user, PHONE, OTHER)
    with heard(phone_changed) as told:
        browser.post(f"{PHONES}{first.pk}/delete/", {"post": "yes"})
        assert phones_of(user) == [OTHER]
        browser.post(PHONES, {"action": "delete_selected", "_selected_action": [second.pk], "post": "yes"})
    assert phones_of(user) == []
    assert [(one["old"].e164, one["new"] and one["new"].e164) for one in told] == [(PHONE, OTHER), (OTHER, None)]


# A test send.


def test_test_send_verifies_by_code(browser: Client, network: Network) -> None:
    staff(browser, "add_verificationrow")
    page = text(browser.get(SEND))
    assert 'name="start"' in page
    assert "staff-parts" not in page  # there is nothing else
    assert browser.post(SEND, {"start": "1", "number": "+98 912 000 0000", "channel": "sms"}).status_code == 303
    row = VerificationRow.objects.get()
    assert (row.purpose, row.channel) == ("confirm", "sms")
    page = text(browser.get(SEND))
    assert HINT in page
    assert "Attempts left: 5" in page
    nothing_secret(page, network, row)
    page = text(browser.post(SEND, {"check": "1", "code": network.wrong}, follow=True))
    assert "Incorrect code." in page
    assert "Attempts left: 4" in page
    page = text(browser.post(SEND, {"again": "1"}, follow=True))
    assert "Try again in" in page
    page = text(browser.post(SEND, {"check": "1", "code": network.code}, follow=True))
    assert "verified" in page
    assert 'name="code"' not in page
    assert 'name="start"' in text(browser.post(SEND, {"new": "1"}, follow=True))


def test_test_send_can_be_cancelled(browser: Client, network: Network) -> None:
    staff(browser, "add_verificationrow")
    browser.post(SEND, {"start": "1", "number": PHONE})
    assert "Cancelled" in text(browser.post(SEND, {"end": "1"}, follow=True))


def test_test_send_shows_the_number_to_call(browser: Client, network: Network, configure: Configure) -> None:
    configure(inbound_call="telefon-ip://TOKEN@default")
    staff(browser, "add_verificationrow")
    line = b'{"success": true, "error": "", "data": {"auth_phone": "79990000001", "id": 122760}}'
    network.transport.answers += [HttpResponse(200, {}, line), HttpResponse(200)]
    browser.post(SEND, {"start": "1", "number": "+79000000000"})
    page = text(browser.get(SEND))
    assert "+79990000001" in page
    assert "data:image/svg+xml" in page
    assert 'name="code"' not in page


@pytest.mark.parametrize("fields", [{"number": "nonsense"}, {"number": ""}, {"number": PHONE, "channel": "voice"}, {}])
def test_failed_test_send_is_shown_in_the_form(browser: Client, network: Network, fields: dict[str, str]) -> None:
    staff(browser, "add_verificationrow")
    refused = browser.post(SEND, {"start": "1", **fields})
    assert refused.status_code == 422
    assert "errorlist" in refused.content.decode()
    assert network.sent == 0


def test_refusal_is_shown(browser: Client, network: Network, configure: Configure) -> None:
    staff(browser, "add_verificationrow")
    configure()
    assert "available on this site yet" in text(browser.post(SEND, {"start": "1", "number": PHONE}, follow=True))
    configure(sms="console://", store="sqlite:////nonexistent/folder/verifications.sqlite3")
    failed = browser.post(SEND, {"start": "1", "number": PHONE})
    assert failed.status_code == 503
    assert "The database does not answer." in failed.content.decode()


def test_test_send_is_bound_to_staff_and_their_address(browser: Client, network: Network, configure: Configure) -> None:
    user = staff(browser, "add_verificationrow")
    configure(sms="console://", wrong_per_hour_per_address=1)
    browser.post(SEND, {"start": "1", "number": PHONE})
    assert VerificationRow.objects.get().subject == current_site().verifier.flows.keyring.subject(f"user {user.pk}")
    browser.post(SEND, {"check": "1", "code": network.wrong})
    assert list(PhoneRow.objects.get().failures) == ["signed_in"], "sign-in by this number is not locked by tests"
    assert "Too many attempts" in text(browser.post(SEND, {"check": "1", "code": network.code}, follow=True))


def test_test_send_blames_only_a_refused_number(browser: Client, network: Network, configure: Configure) -> None:
    staff(browser, "add_verificationrow")
    configure(sms="amoot://TOKEN@default")
    answers = {
        "t send a code right now": HttpResponse(500),
        "send a code to this number": HttpResponse(200, {}, b'{"Status": 101}'),
    }
    for says, answer in answers.items():
        network.transport.answers.append(answer)
        assert says in text(browser.post(SEND, {"start": "1", "number": PHONE}, follow=True))


def test_session_drops_a_test_send_that_is_gone(browser: Client, network: Network) -> None:
    staff(browser, "add_verificationrow")
    browser.post(SEND, {"start": "1", "number": PHONE})
    VerificationRow.objects.all().delete()
    assert 'name="start"' in text(browser.get(SEND))
    for button in ("check", "again", "end"):
        assert "t find this verification" in text(browser.post(SEND, {button: "1", "code": "1"}, follow=True))


# Unlocking.


def locked(configure: Configure, network: Network) -> tuple[str, str]:
    """Lock the number by a wrong answer; return a verification blocked by the lock."""
    configure(sms="console://", max_failures=1, region="IR")
    verifier = current_site().verifier
    first, second = (verifier.start(PhoneNumber(PHONE)) for _ in range(2))
    assert isinstance(first, Started)
    assert isinstance(second, Started)
    assert verifier.check(first.verification.id, first.secret, "000000").reason is Reason.WRONG_CODE
    held = second.verification.id, second.secret
    assert verifier.check(*held, network.code).reason is Reason.TOO_MANY_REQUESTS
    return held


def test_staff_unlock_an_entered_number(
    browser: Client, network: Network, configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    user = staff(browser, "change_verificationrow")
    held = locked(configure, network)
    assert 'href="unlock/"' in text(browser.get(LIST))
    assert 'name="number"' in text(browser.get(UNLOCK))
    answer = browser.post(UNLOCK, {"number": "0912 000 0000"})
    assert (answer.status_code, answer["Location"]) == (302, UNLOCK)
    page = text(browser.get(UNLOCK))
    assert f"{HINT} is unlocked." in page
    assert current_site().verifier.check(*held, network.code).ok
    assert "had no wrong answers" in text(browser.post(UNLOCK, {"number": PHONE}, follow=True))
    tag = current_site().verifier.tag(PhoneNumber(PHONE))
    assert f"user {user.pk} unlocked the number tagged {tag}" in caplog.text
    for shown in (page, caplog.text):
        assert "9120000000" not in shown


def test_unlocking_needs_change_permission_and_a_token(browser: Client, network: Network, configure: Configure) -> None:
    staff(browser, "view_verificationrow", "add_verificationrow")
    held = locked(configure, network)
    assert 'href="unlock/"' not in text(browser.get(LIST))
    assert browser.get(UNLOCK).status_code == 403
    assert browser.post(UNLOCK, {"number": PHONE}).status_code == 403
    assert Client().post(UNLOCK, {"number": PHONE})["Location"].startswith("/admin/login/")
    strict = Client(enforce_csrf_checks=True)
    user = User.objects.get()
    user.user_permissions.add(Permission.objects.get(codename="change_verificationrow"))
    strict.force_login(user, "django.contrib.auth.backends.ModelBackend")
    assert strict.get(UNLOCK, {"number": PHONE}).status_code == 200
    assert strict.post(UNLOCK, {"number": PHONE}).status_code == 403
    assert current_site().verifier.check(*held, network.code).reason is Reason.TOO_MANY_REQUESTS


def test_unlocking_reports_its_errors(browser: Client, network: Network, configure: Configure) -> None:
    staff(browser, "change_verificationrow")
    assert "errorlist" in text(browser.post(UNLOCK, {"number": "+98912"}))
    configure(sms="console://", store="sqlite:////nonexistent/folder/verifications.sqlite3")
    assert "The store is unavailable." in text(browser.post(UNLOCK, {"number": PHONE}, follow=True))


def test_django_admin_checks_pass() -> None:
    assert run_checks(tags=["admin"]) == []
