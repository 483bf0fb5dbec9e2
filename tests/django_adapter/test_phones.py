"""Ownership of numbers: several of one user, one of several users, and transfers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.test import Client

from phone_verify.phone import PhoneNumber
from phone_verify_django import app_settings, phones
from phone_verify_django.accounts import (
    Account,
    LastPhoneError,
    make_primary,
    phone_of,
    phones_of,
    remove_phone,
    set_phone,
    sign_in,
    signed_in,
)
from phone_verify_django.models import VerifiedPhone
from phone_verify_django.signals import phone_changed, phone_lost, phone_verified

from .factories import NOON, heard, proof, request_of, somebody

ONE, TWO, THREE = (f"+98912000000{n}" for n in (1, 2, 3))
Configure = Callable[..., None]

pytestmark = pytest.mark.django_db


def confirm(user: User, *numbers: str, purpose: str = "confirm", minutes: int = 0) -> list[bool]:
    """Return whether the user got each of these numbers."""
    return [
        set_phone(request_of(user), proof(phone, purpose, minutes=minutes + n)) is not None
        for n, phone in enumerate(numbers)
    ]


def sound() -> None:
    """Assert the invariants of all rows."""
    rows = list(VerifiedPhone.objects.all())
    for user in {row.user_id for row in rows}:
        assert [row.is_primary for row in rows if row.user_id == user].count(True) == 1
    for phone in {row.phone for row in rows}:
        assert [row.login_phone for row in rows if row.phone == phone].count(phone) == 1


@pytest.fixture(autouse=True)
def _sound(db: None) -> Any:
    yield
    sound()


# Several of one user.


def test_first_number_is_primary_and_stays_primary() -> None:
    user = somebody("a")
    assert confirm(user, ONE, TWO, THREE) == [True] * 3
    assert phone_of(user) == ONE
    assert phones_of(user) == [ONE, THREE, TWO]
    sound()


def test_change_leaves_only_the_new_number() -> None:
    user = somebody("a")
    confirm(user, ONE, TWO)
    confirm(user, THREE, purpose="change_phone")
    assert phones_of(user) == [THREE]
    confirm(user, ONE, TWO)
    confirm(user, TWO, purpose="change_phone")
    assert phones_of(user) == [TWO]


def test_every_number_of_a_user_signs_in() -> None:
    user = somebody("a")
    confirm(user, ONE, TWO)
    for phone in (ONE, TWO):
        account = sign_in(request_of(), proof(phone))
        assert account is not None
        assert (account.user.id, account.user.phone, account.created) == (str(user.pk), ONE, False)
    assert User.objects.count() == 1


def test_another_number_can_be_made_primary() -> None:
    user = somebody("a")
    confirm(user, ONE, TWO)
    with heard(phone_changed) as told:
        assert make_primary(user, PhoneNumber(TWO))
        assert not make_primary(user, TWO)
        assert not make_primary(user, THREE)
    assert phone_of(user) == TWO
    assert [(one["user"], one["old"], one["new"]) for one in told] == [(user, PhoneNumber(ONE), PhoneNumber(TWO))]
    sound()


def test_newest_number_becomes_primary_after_removal() -> None:
    user = somebody("a")
    confirm(user, ONE, TWO, THREE)
    with heard(phone_changed) as told:
        assert remove_phone(user, ONE)
        assert not remove_phone(user, ONE)
    sound()
    assert phones_of(user) == [THREE, TWO]
    assert [(one["old"].e164, one["new"].e164) for one in told] == [(ONE, THREE)]
    VerifiedPhone.objects.filter(phone=THREE).delete()
    assert phones_of(user) == [TWO]
    VerifiedPhone.objects.get().delete()
    assert phone_of(user) is None


def test_only_login_number_cannot_be_removed() -> None:
    user = somebody("a")
    confirm(user, ONE)
    with pytest.raises(LastPhoneError, match="set a password"):
        remove_phone(user, ONE)
    assert phone_of(user) == ONE
    user.set_password("a password of nobody's")
    with heard(phone_changed) as told:
        assert remove_phone(user, ONE)
    assert phones_of(user) == []
    assert told[0]["new"] is None


@pytest.mark.parametrize("phone", [TWO, "", "nonsense", "\0"])
def test_number_of_another_user_cannot_be_removed(phone: str) -> None:
    user = somebody("a")
    confirm(user, ONE)
    assert not remove_phone(user, phone)
    assert not make_primary(user, phone)


def test_database_enforces_one_primary_number_per_user() -> None:
    user = somebody("a")
    confirm(user, ONE, TWO)
    for wrong in ({"is_primary": True}, {"is_primary": False}, {"login_phone": THREE}, {"phone": ONE}):
        with pytest.raises(IntegrityError), transaction.atomic():
            VerifiedPhone.objects.filter(phone=TWO).update(**wrong)


def test_database_enforces_one_owner_per_number() -> None:
    confirm(somebody("a"), ONE)
    with pytest.raises(IntegrityError), transaction.atomic():
        VerifiedPhone.objects.create(user=somebody("b"), phone=ONE, verified_at=NOON)


def test_deleted_user_leaves_no_number(client: Client) -> None:
    user, other = somebody("a"), somebody("b")
    confirm(user, ONE, TWO)
    confirm(other, THREE)
    with heard(phone_changed, phone_lost) as told:
        user.delete()
    assert [row.phone for row in VerifiedPhone.objects.all()] == [THREE]
    assert told == []
    account = sign_in(request_of(), proof(ONE))
    assert account is not None
    assert account.created


# One of several users.


def test_number_of_another_user_is_not_assigned() -> None:
    owner, other = somebody("a"), somebody("b")
    confirm(owner, ONE)
    with heard(phone_changed, phone_lost, phone_verified) as told:
        assert confirm(other, ONE) == [False]
        assert confirm(other, ONE, purpose="change_phone") == [False]
    assert told == []
    assert phone_of(other) is None
    assert phone_of(owner) == ONE


def test_first_owner_signs_in_with_a_shared_number(configure: Configure) -> None:
    configure(sms="console://", shared_phones=True)
    first, second, third = (somebody(name) for name in "abc")
    for minutes, user in enumerate((first, second, third)):
        assert confirm(user, ONE, minutes=minutes) == [True]
        sound()
    assert [phone_of(user) for user in (first, second, third)] == [ONE] * 3

    def enters() -> str:
        account = sign_in(request_of(), proof(ONE, minutes=10))
        assert account is not None
        assert not account.created
        return account.user.id

    assert enters() == str(first.pk)
    confirm(second, ONE, minutes=20)
    assert enters() == str(first.pk), "proving it again takes it from nobody"
    confirm(first, TWO, purpose="change_phone")
    sound()
    assert enters() == str(second.pk)
    second.delete()
    sound()
    assert enters() == str(third.pk)
    third.delete()
    account = sign_in(request_of(), proof(ONE))
    assert account is not None
    assert account.created


def test_shared_numbers_stay_after_sharing_is_disabled(configure: Configure) -> None:
    configure(sms="console://", shared_phones=True)
    first, second = somebody("a"), somebody("b")
    confirm(first, ONE)
    confirm(second, ONE)
    configure(sms="console://")
    assert confirm(second, ONE) == [True]
    assert confirm(somebody("c"), ONE) == [False]


def test_recycled_number_goes_to_its_latest_verifier(configure: Configure) -> None:
    configure(sms="console://", recycled_numbers="newest")
    loser, winner = somebody("a"), somebody("b")
    confirm(loser, ONE, TWO)
    request = request_of(winner)
    with heard(phone_lost, phone_changed) as told:
        assert set_phone(request, proof(ONE, "confirm", minutes=5)) is not None
    assert [(one["signal"], one["user"], one["phone"], one["request"]) for one in told] == [
        (phone_lost, loser, PhoneNumber(ONE), request)
    ]
    assert (phones_of(loser), phones_of(winner)) == ([TWO], [ONE])
    assert confirm(loser, ONE, minutes=5) == [False], "an older proof takes nothing back"


def test_signup_takes_over_a_recycled_number(configure: Configure) -> None:
    configure(sms="console://", recycled_numbers="newest")
    loser = somebody("a")
    confirm(loser, ONE)
    account = sign_in(request_of(), proof(ONE, "login", minutes=1))
    assert account is not None
    assert account.user.id == str(loser.pk)
    with heard(phone_lost) as told:
        account = sign_in(request_of(), proof(ONE, "signup", minutes=2))
    assert account is not None
    assert account.created
    assert account.user.id != str(loser.pk)
    assert [one["user"] for one in told] == [loser]
    again = sign_in(request_of(), proof(ONE, "signup", minutes=2))
    assert again is not None
    assert (again.created, again.user) == (False, account.user), "two proofs at one moment make one user"


def test_signup_with_a_kept_number_signs_in() -> None:
    user = somebody("a")
    confirm(user, ONE)
    account = sign_in(request_of(), proof(ONE, "signup", minutes=2))
    assert account is not None
    assert (account.user.id, account.created) == (str(user.pk), False)


def test_test_number_transfers_no_number(configure: Configure) -> None:
    configure(sms="console://", recycled_numbers="newest")
    owner, other = somebody("a"), somebody("b")
    confirm(owner, ONE)
    assert set_phone(request_of(other), proof(ONE, "confirm", minutes=5, by_test_number=True)) is None
    account = sign_in(request_of(), proof(ONE, "signup", minutes=5, by_test_number=True))
    assert account is not None
    assert account.user.id == str(owner.pk)


# Signals.


def test_each_removed_number_is_signalled() -> None:
    user = somebody("a")
    request = request_of(user)
    with heard(phone_changed, phone_verified) as told:
        set_phone(request, proof(ONE, "confirm"))
    assert [one["signal"] for one in told] == [phone_verified], "there was no number to tell of"
    assert told[0]["sender"] is User
    assert (told[0]["user"], told[0]["phone"], told[0]["purpose"]) == (user, PhoneNumber(ONE), "confirm")
    assert (str(told[0]["channel"]), str(told[0]["assurance"]), told[0]["request"]) == ("sms", "code", request)
    with heard(phone_changed) as told:
        confirm(user, TWO, minutes=1)
    assert [(one["old"].e164, one["new"].e164) for one in told] == [(ONE, TWO)], "the owner is told of a further one"
    with heard(phone_changed) as told:
        confirm(user, TWO, minutes=2)
    assert told == []
    with heard(phone_changed) as told:
        confirm(user, THREE, purpose="change_phone", minutes=3)
    assert [(one["old"].e164, one["new"].e164) for one in told] == [(ONE, THREE), (TWO, THREE)]
    assert all(one["sender"] is User for one in told)


def test_login_and_signup_are_signalled() -> None:
    for created in (True, False):
        request = request_of()
        with heard(phone_verified) as told:
            account = sign_in(request, proof(ONE))
        assert account is not None
        assert account.created is created
        assert [(one["user"], one["purpose"], one["request"]) for one in told] == [
            (User.objects.get(), "login", request)
        ]


def test_failing_receiver_does_not_stop_the_next(caplog: pytest.LogCaptureFixture) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("a receiver of the site's is broken")

    phone_verified.connect(fail)
    try:
        with heard(phone_verified) as told:
            assert sign_in(request_of(), proof(ONE)) is not None
    finally:
        phone_verified.disconnect(fail)
    assert len(told) == 1
    assert "a receiver of the site's is broken" in caplog.text
    assert ONE not in caplog.text


# Concurrency.


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("shared", [False, True])
def test_concurrent_verifiers_of_a_number_leave_one_owner(configure: Configure, shared: bool) -> None:
    configure(sms="console://", shared_phones=shared)
    users = [somebody(f"user {n}") for n in range(6)]
    got = at_once([lambda user=user: set_phone(request_of(user), proof(ONE, "confirm")) for user in users])
    assert [answer is not None for answer in got].count(True) == (6 if shared else 1)
    assert VerifiedPhone.objects.count() == (6 if shared else 1)
    sound()


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", [{}, {"shared_phones": True}, {"recycled_numbers": "newest"}])
@pytest.mark.parametrize("purpose", ["login", "signup"])
def test_concurrent_signups_create_one_user(configure: Configure, change: dict[str, Any], purpose: str) -> None:
    configure(sms="console://", **change)
    got = at_once([lambda: sign_in(request_of(), proof(ONE, purpose))] * 6)
    assert all(account is not None for account in got)
    assert len({account.user.id for account in got}) == User.objects.count() == 1
    assert [account.created for account in got].count(True) == 1


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
def test_concurrent_numbers_of_a_user_have_one_primary(configure: Configure) -> None:
    user = somebody("a")
    numbers = [f"+98912000001{n}" for n in range(6)]
    got = at_once([lambda phone=phone: set_phone(request_of(user), proof(phone, "confirm")) for phone in numbers])
    assert all(got)
    assert sorted(phones_of(user)) == numbers
    sound()


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
def test_concurrent_transfers_leave_one_owner(configure: Configure) -> None:
    configure(sms="console://", recycled_numbers="newest")
    users = [somebody(f"user {n}") for n in range(6)]
    confirm(users[0], ONE)
    steps = [
        lambda user=user, n=n: set_phone(request_of(user), proof(ONE, "confirm", minutes=n))
        for n, user in enumerate(users[1:], 1)
    ]
    at_once(steps)
    assert VerifiedPhone.objects.get().user == users[-1], "the newest proof has it, whoever came last"
    sound()


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
def test_concurrent_proofs_of_a_renumbered_number_find_one_user(configure: Configure) -> None:
    """Benin's old and new form: its user signs in, and others claim the new form at the same time."""
    owner, others = somebody("owner"), [somebody(f"user {n}") for n in range(3)]
    old, new = "+22997000000", "+2290197000000"
    VerifiedPhone.objects.create(user=owner, phone=old, verified_at=NOON)
    claims = [lambda user=user: set_phone(request_of(user), proof(new, "confirm")) for user in others]
    got = at_once([*claims, *[lambda: sign_in(request_of(), proof(new))] * 3])
    assert {answer.user.id for answer in got if isinstance(answer, Account)} == {str(owner.pk)}
    assert [answer for answer in got if not isinstance(answer, Account)] == [None] * 3
    assert list(VerifiedPhone.objects.values_list("user", "phone")) == [(owner.pk, new)]
    sound()


def at_once(steps: list[Callable[[], Any]]) -> list[Any]:
    """Return the results of steps that all start simultaneously."""
    barrier, got, failed = threading.Barrier(len(steps)), [], []

    def run(step: Callable[[], Any]) -> None:
        try:
            barrier.wait(10)
            got.append(step())
        except Exception as error:  # noqa: BLE001 - reported below
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[step]) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failed == []
    return got


# Miscellaneous.


def test_signed_in_user_shows_the_primary_number() -> None:
    user = somebody("a")
    confirm(user, ONE, TWO)
    shown = signed_in(request_of(user))
    assert shown is not None
    assert shown.phone == ONE


def test_numbers_work_with_use_tz_disabled(settings: Any) -> None:
    settings.USE_TZ = False
    user = somebody("a")
    assert confirm(user, ONE, ONE) == [True, True]
    assert sign_in(request_of(), proof(ONE)) is not None


def test_row_text_shows_no_number() -> None:
    confirm(somebody("a"), ONE)
    row = VerifiedPhone.objects.get()
    assert ONE[3:] not in str(row) + repr(row)
    assert app_settings.account_settings().phone_field_name() is None
    assert phones.owner_of(ONE) == row.user
