"""Stored numbers of former numbering plans on a Django site: nothing is refused, and one phone stays one user."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.template import Context, Template
from django.test import Client, TestCase
from django.utils import timezone

from phone_verify import PhoneNumber
from phone_verify_django import accounts, kept_proof, phones, sessions
from phone_verify_django.accounts import phone_of, phones_of, remove_phone, set_phone, sign_in
from phone_verify_django.formfields import PhoneField
from phone_verify_django.models import PhoneRow, VerificationRow, VerifiedPhone
from phone_verify_django.otp.models import PhoneDevice
from phone_verify_django.signals import phone_changed
from tests.core.test_renumbered import RENUMBERED

from .conftest import Network
from .factories import NOON, heard, proof, request_of, somebody

OLD, NEW = "+22997000000", "+2290197000000"
#: Of no numbering plan today, and with no known successor.
GONE = "+22510000000"
ELSE = "+989120000009"
Configure = Callable[..., None]

pytestmark = pytest.mark.django_db


def holder(phone: str, name: str = "a") -> User:
    user = somebody(name)
    VerifiedPhone.objects.create(user=user, phone=phone, verified_at=timezone.now() - timedelta(days=900))
    return user


def said(*words: str, **options: Any) -> str:
    out = io.StringIO()
    call_command(*words, stdout=out, stderr=io.StringIO(), no_color=True, **options)
    return out.getvalue()


# Sign-in.


@pytest.mark.parametrize(("old", "new"), RENUMBERED)
def test_user_of_the_old_number_signs_in_with_the_new_one(old: str, new: str) -> None:
    user = holder(old)
    request = request_of()
    with heard(phone_changed) as changes:
        account = sign_in(request, proof(new))
    assert account is not None
    assert (account.user.id, account.user.phone, account.created) == (str(user.pk), new, False)
    row = VerifiedPhone.objects.get()
    assert (row.phone, row.login_phone, row.is_primary) == (new, new, True)
    assert sessions.generation_of(user.pk) == 0, "no session ends"
    assert changes == []


@pytest.mark.parametrize("purpose", ["login", "signup"])
def test_no_second_user_with_recycled_numbers(configure: Configure, purpose: str) -> None:
    configure(sms="console://", recycled_numbers="newest")
    user = holder(OLD)
    account = sign_in(request_of(), proof(NEW, purpose))
    assert account is not None
    held = VerifiedPhone.objects.get()
    assert held.phone == NEW
    # A sign-up takes a number over from a user who verified it earlier, as for every number.
    assert (held.user_id == user.pk) is (purpose == "login")


def test_holder_of_the_new_number_is_not_disturbed() -> None:
    """Another user has verified the new number: the user of the old one gets nothing of it."""
    old, new = holder(OLD, "old"), holder(NEW, "new")
    account = sign_in(request_of(), proof(NEW))
    assert account is not None
    assert account.user.id == str(new.pk)
    assert (phone_of(old), phone_of(new)) == (OLD, NEW)
    assert set_phone(request_of(old), proof(NEW, "confirm")) is None


def test_number_never_issued_before_finds_nobody() -> None:
    """+55 11 97… can be another subscriber than the trunked radio +55 11 7…, which kept its number."""
    user = holder("+551170000000")
    account = sign_in(request_of(), proof("+5511970000000"))
    assert account is not None
    assert account.user.id != str(user.pk)


def test_shared_old_number_signs_in_its_first_holder(configure: Configure) -> None:
    configure(sms="console://", shared_phones=True)
    first, second = holder(OLD, "first"), holder(OLD, "second")
    account = sign_in(request_of(), proof(NEW))
    assert account is not None
    assert account.user.id == str(first.pk)
    assert phones_of(second) == [NEW]
    assert VerifiedPhone.objects.get(user=first).login_phone == NEW
    assert VerifiedPhone.objects.get(user=second).login_phone is None


def test_confirming_the_new_form_keeps_one_number() -> None:
    user = holder(OLD)
    with heard(phone_changed) as changes:
        assert set_phone(request_of(user), proof(NEW, "confirm")) is not None
    assert (phones_of(user), changes) == ([NEW], [])


def test_sign_in_writes_the_users_own_field(configure: Configure) -> None:
    """`last_name` is a field of the site's model."""
    configure(sms="console://", phone_field="last_name")
    user = holder(OLD)
    User.objects.update(last_name=OLD)
    assert sign_in(request_of(), proof(NEW)) is not None
    user.refresh_from_db()
    assert user.last_name == NEW


def test_older_proof_takes_no_renumbered_number(configure: Configure) -> None:
    configure(sms="console://", recycled_numbers="newest")
    user = holder(OLD)
    VerifiedPhone.objects.update(verified_at=NOON + timedelta(days=1))
    assert not accounts.is_new(proof(NEW, "signup"))
    assert phones.release(NEW, NOON) == []
    assert phones.release(NEW, NOON + timedelta(days=2)) == [user]


@pytest.mark.parametrize("phone", [OLD, GONE])
def test_proof_of_an_old_number_survives_in_a_session(phone: str) -> None:
    assert kept_proof.from_values(kept_proof.as_values(proof(phone))) == proof(phone)


# Regardless of the plan.


@pytest.mark.parametrize(("stored", "digits"), [(OLD, "97 00 00 00"), (GONE, "10000000")])
def test_templates_show_the_stored_number(stored: str, digits: str) -> None:
    page = Template("{% load phone_verify %}{{ user|phone }} {{ user|phone_hint }}").render(
        Context({"user": holder(stored)})
    )
    assert digits.replace(" ", "") in page.replace(" ", "")
    assert "00</bdi>" in page


@pytest.mark.parametrize(("stored", "sent_to"), [(OLD, NEW), (GONE, GONE)])
def test_stored_number_is_verified_again(network: Network, stored: str, sent_to: str) -> None:
    """Step-up: the SMS goes to the number of today; one that the plan does not contain is not refused."""
    user, client = holder(stored), Client()
    client.force_login(user)
    assert b"00" in client.get("/phone/verify/").content
    answer = client.post("/phone/verify/", {"confirm": "1"})
    assert answer["Location"].startswith("/phone/code/"), client.get(answer["Location"]).content
    assert VerificationRow.objects.get().phone == sent_to
    assert client.post("/phone/code/", {"code": network.code})["Location"] == "/phone/verify/"
    assert phones_of(user) == [sent_to]


@pytest.mark.parametrize("stored", [OLD, GONE])
def test_api_takes_the_number_that_it_shows(network: Network, stored: str) -> None:
    client = Client()
    client.force_login(holder(stored))
    assert client.get("/phone/v1/session").json()["user"]["phone"] == stored
    body = {"phone": stored, "purpose": "confirm"}
    assert client.post("/phone/v1/verifications", body, content_type="application/json").status_code == 201
    stranger = Client()
    answer = stranger.post("/phone/v1/verifications", {"phone": stored}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_phone")
    assert network.sent == 1


@pytest.mark.parametrize("stored", [OLD, GONE])
def test_stored_number_is_changed_and_removed(network: Network, stored: str) -> None:
    user, client = holder(stored), Client()
    client.force_login(user)
    client.post("/phone/verify/", {"confirm": "1"})
    client.post("/phone/code/", {"code": network.code})
    network.clock.move(120)
    assert client.post("/phone/verify/", {"phone": ELSE})["Location"].startswith("/phone/code/")
    client.post("/phone/code/", {"code": network.code})
    assert phones_of(user) == [ELSE]
    other = holder(stored, "b")
    other.set_password("x")
    other.save()
    assert remove_phone(other, stored)
    assert phones_of(other) == []


def test_stored_number_is_not_replaced_without_it(network: Network) -> None:
    client = Client()
    client.force_login(holder(GONE))
    network.clock.move(3600)
    client.post("/phone/verify/", {"phone": ELSE})
    assert network.sent == 0


@pytest.mark.parametrize("stored", [OLD, GONE])
def test_sign_out_and_sign_out_everywhere_work(client: Client, stored: str) -> None:
    client.force_login(holder(stored))
    assert client.post("/phone/verify/", {"sign_out_others": "1"}).status_code == 303
    assert client.get("/phone/v1/session").status_code == 200
    assert client.post("/phone/logout/").status_code == 303
    assert client.get("/phone/v1/session").status_code == 401


@pytest.mark.urls("tests.django_adapter.admin_urls")
@pytest.mark.parametrize("typed", [OLD, "+229 97 00 00 00", NEW])
def test_admin_finds_and_removes_the_old_number(client: Client, typed: str) -> None:
    client.force_login(User.objects.create_superuser("staff"))
    user = holder(OLD)
    listed = "/admin/phone_verify_django/verifiedphone/"
    assert "••00" in client.get(listed).content.decode()
    answer = client.post(f"{listed}search/", {"number": typed})
    key = VerifiedPhone.objects.get().pk
    assert answer["Location"] == f"../?id__in={key}"
    assert client.post(f"{listed}{key}/delete/", {"post": "yes"}).status_code == 302
    assert phones_of(user) == []


@pytest.mark.urls("tests.django_adapter.admin_urls")
def test_admin_masks_a_name_that_is_an_old_number(client: Client) -> None:
    client.force_login(User.objects.create_superuser("staff"))
    holder(ELSE, OLD)
    shown = client.get("/admin/phone_verify_django/verifiedphone/").content.decode()
    assert OLD not in shown
    assert PhoneNumber(OLD).hint in shown


@pytest.mark.urls("tests.django_adapter.admin_urls")
def test_admin_reports_a_mistyped_number(client: Client) -> None:
    client.force_login(User.objects.create_superuser("staff"))
    holder(OLD)
    search = "/admin/phone_verify_django/verifiedphone/search/"
    assert client.post(search, {"number": "+2299700000"})["Location"] == "../"
    assert client.post(search, {"number": GONE})["Location"] == "../"


@pytest.mark.parametrize(("stored", "typed"), [(OLD, OLD), (OLD, NEW), (NEW, OLD), (GONE, GONE)])
def test_old_number_is_erased(stored: str, typed: str) -> None:
    user = holder(stored)
    PhoneDevice.objects.bulk_create([PhoneDevice(user=user, phone=stored, name="phone")])
    shown = said("phone_verify_erase", typed, "--yes")
    assert "verified numbers: 1\ndevices: 1\n" in shown
    assert (VerifiedPhone.objects.count(), PhoneDevice.objects.count()) == (0, 0)


def test_second_factor_on_an_old_number_is_saved_and_sent_to(network: Network) -> None:
    user = somebody("a")
    [device] = PhoneDevice.objects.bulk_create([PhoneDevice(user=user, phone=OLD, name="phone")])
    device.confirmed = True
    device.full_clean()
    device.save()
    device.phone = "+22997000001"
    with pytest.raises(Exception, match="not a valid phone number"):
        device.full_clean()


# One budget.


@pytest.mark.parametrize(
    ("one", "other"), [(OLD, NEW), ("+541120000000", "+5491120000000"), ("+5215500000000", "+525500000000")]
)
def test_spellings_and_forms_share_their_limits(configure: Configure, network: Network, one: str, other: str) -> None:
    """Neither quota doubles by another spelling."""
    configure(sms="console://", sends_per_hour=1)
    user, answers = holder(one if one == OLD else other), []
    for number in (one, other):
        client = Client()
        client.force_login(user)
        answers.append(client.post("/phone/v1/verifications", {"phone": number}, content_type="application/json"))
    assert [answer.status_code for answer in answers] == [201, 429]
    assert PhoneRow.objects.count() == 1
    assert [notice.phone for notice in network.transport.notices] == [other]


@pytest.mark.parametrize("spelling", ["+54 11 2000 0000", "+54 11 15 2000 0000", "+54 9 11 2000 0000"])
@pytest.mark.parametrize("stored", ["+5491120000000", "+541120000000"])
def test_spellings_of_a_phone_sign_in_one_user(network: Network, stored: str, spelling: str) -> None:
    user = holder(stored)
    client = Client()
    client.post("/phone/login/", {"phone": spelling})
    client.post("/phone/code/", {"code": network.code})
    assert client.get("/phone/v1/session").json()["user"]["id"] == str(user.pk)
    assert User.objects.count() == 1


def test_notice_of_a_change_goes_to_the_form_of_today(configure: Configure, network: Network) -> None:
    configure(sms="console://", notify_old_number=True)
    user = holder(OLD)
    with TestCase.captureOnCommitCallbacks(execute=True):
        assert phones.remove(None, user, OLD)
    assert [notice.phone for notice in network.transport.notices] == [NEW]


# The command.


def test_command_moves_every_stored_number_once() -> None:
    users = [holder(old, f"user {n}") for n, (old, _) in enumerate(RENUMBERED)]
    holder(ELSE, "else")
    PhoneDevice.objects.bulk_create([PhoneDevice(user=users[0], phone=OLD, name="phone")])
    assert f"verified numbers: {len(RENUMBERED)} would move" in said("phone_verify_renumber", "--dry-run")
    assert phone_of(users[0]) == OLD
    shown = said("phone_verify_renumber")
    assert f"verified numbers: {len(RENUMBERED)} moved" in shown
    assert "devices: 1 moved" in shown
    assert [phone_of(user) for user in users] == [new for _, new in RENUMBERED]
    assert PhoneDevice.objects.get().phone == NEW
    assert "verified numbers: 0 moved" in said("phone_verify_renumber")
    assert all(sessions.generation_of(user.pk) == 0 for user in users)


def test_command_reports_numbers_that_exist_in_both_forms() -> None:
    old, new = holder(OLD, "old"), holder(NEW, "new")
    out = io.StringIO()
    for words in (["--dry-run"], []):
        with pytest.raises(CommandError, match="1 numbers stay"):
            call_command("phone_verify_renumber", *words, stdout=out, stderr=out)
    assert out.getvalue().count("+229 ••••••00 and its new form exist") == 2
    assert OLD not in out.getvalue()
    assert (phone_of(old), phone_of(new)) == (OLD, NEW)


def test_command_reads_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phone_verify_django.renumbering._BATCH", 3)
    for n in range(8):
        holder(f"+2299700000{n}", f"user {n}")
    assert "verified numbers: 8 moved" in said("phone_verify_renumber")
    assert all(phone.startswith("+22901") for phone in VerifiedPhone.objects.values_list("phone", flat=True))


def test_command_moves_a_shared_number_of_all_its_users(configure: Configure) -> None:
    configure(sms="console://", shared_phones=True)
    first, second = holder(OLD, "first"), holder(OLD, "second")
    said("phone_verify_renumber")
    assert (phone_of(first), phone_of(second)) == (NEW, NEW)


def test_command_moves_the_users_own_field(configure: Configure) -> None:
    """`last_name` is a field of the site's model."""
    configure(sms="console://", phone_field="last_name")
    known = holder(OLD, "known")
    User.objects.filter(pk=known.pk).update(last_name=OLD)
    unverified = somebody("unverified", last_name="+22997000001")
    clash = somebody("clash", last_name="+22997000002")
    holder("+2290197000002", "owner")
    with pytest.raises(CommandError, match="1 numbers stay"):
        said("phone_verify_renumber")
    names = dict(User.objects.values_list("username", "last_name"))
    assert names["known"] == NEW
    assert names["unverified"] == "+2290197000001"
    assert names["clash"] == clash.last_name
    assert unverified.pk


# National form.


def test_national_form_of_every_allowed_region_is_read(configure: Configure, network: Network) -> None:
    configure(sms="console://", region="FR", allowed_regions=["FR", "RE"])
    assert Client().post("/phone/login/", {"phone": "0692 00 00 00"})["Location"].startswith("/phone/code/")
    body = {"phone": "0692 00 00 01"}
    assert Client().post("/phone/v1/verifications", body, content_type="application/json").status_code == 201
    assert [notice.phone for notice in network.transport.notices] == ["+262692000000", "+262692000001"]
    assert PhoneField().clean("0692 00 00 00") == "+262692000000"


def test_regions_of_a_plan_are_not_allowed_by_themselves(configure: Configure, network: Network) -> None:
    configure(sms="console://", region="GB", allowed_regions=["GB"])
    body = {"phone": "07911 100000"}
    answer = Client().post("/phone/v1/verifications", body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"], network.sent) == (403, "destination_not_allowed", 0)
    configure(sms="console://", region="GB", allowed_regions=["GB", "GG"])
    assert Client().post("/phone/v1/verifications", body, content_type="application/json").status_code == 201
