"""Ownership of numbers, on sites with a custom user model or custom rules for sign-in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_login_failed

from phone_verify.model import Assurance
from phone_verify_django.accounts import phone_of, phones_of, set_phone, sign_in
from phone_verify_django.models import VerifiedPhone
from tests.clients import Browser

from . import custom_accounts
from .conftest import PHONE, Network, verified
from .factories import heard, proof, request_of, somebody
from .user_models import run_on_a_site

OWN = "tests.django_adapter.custom_accounts.Own"
Configure = Callable[..., None]

BY_PHONE = """
class Customer(AbstractBaseUser):
    phone = models.CharField(max_length=16, unique=True)
    USERNAME_FIELD = "phone"
"""
WITH_PHONE = """
class Customer(AbstractUser):
    mobile = models.CharField(max_length=20, unique=True, null=True, blank=True)
"""
WITH_PLAIN_PHONE = """
class Customer(AbstractUser):
    contact = models.CharField(max_length=20, blank=True)
"""


def test_username_may_be_the_phone(tmp_path: Path) -> None:
    """A customer created by the site is not given to a visitor who verifies the number."""
    log = run_on_a_site(
        tmp_path,
        BY_PHONE,
        "phone",
        """
Customer.objects.create(phone=TWO)
first, again, stranger = entered(ONE), entered(ONE), entered(TWO)
assert first.created and not again.created and first.user == again.user and stranger is None
assert names() == [TWO, ONE]
user = Customer.objects.get(phone=ONE)
assert set_phone(request_of(user), proof(THREE, "confirm")) is not None
assert (names(), phones_of(user)) == ([TWO, ONE], [ONE, THREE])
assert make_primary(user, THREE)
assert names() == [TWO, THREE] and user.phone == THREE
assert set_phone(request_of(user), proof(ONE, "change_phone")) is not None
assert (names(), phones_of(user)) == ([TWO, ONE], [ONE])
assert set_phone(request_of(user), proof(TWO, "change_phone")) is None
assert (names(), phones_of(user), user.phone) == ([TWO, ONE], [ONE], ONE)
user.set_password("a password of nobody's")
try:
    remove_phone(user, ONE)
except LastPhoneError:
    pass
else:
    raise AssertionError("the name of a user went")
""",
    )
    assert "no user is created for +98 ••••••••02: it is in shop.Customer.phone of user 1, not verified" in log
    assert "98912000000" not in log


def test_user_phone_field_follows_the_primary_number(tmp_path: Path) -> None:
    log = run_on_a_site(
        tmp_path,
        WITH_PHONE,
        "mobile",
        """
entered(ONE)
user = Customer.objects.get()
assert user.mobile == ONE and user.username.startswith("phone-")
set_phone(request_of(user), proof(TWO, "confirm"))
assert names() == [ONE]
make_primary(user, TWO)
assert names() == [TWO] and user.mobile == TWO
set_phone(request_of(user), proof(THREE, "change_phone"))
assert names() == [THREE]
set_phone(request_of(user), proof(ONE, "confirm"))
remove_phone(user, THREE)
assert names() == [ONE]
VerifiedPhone.objects.all().delete()
assert names() == [None]
Customer.objects.create(username="made by the site", mobile=TWO)
assert set_phone(request_of(user), proof(TWO, "confirm")) is None
user.refresh_from_db()
assert user.mobile is None and phones_of(user) == []
assert entered(TWO) is None and Customer.objects.count() == 2
""",
    )
    assert "a number was refused for +98 ••••••••02: it is in shop.Customer.mobile of user 2, not verified" in log
    assert "no user is created for +98 ••••••••02: it is in shop.Customer.mobile of user 2, not verified" in log


@pytest.mark.parametrize(("model", "field", "empty"), [(WITH_PHONE, "mobile", "None"), (BY_PHONE, "phone", "ONE")])
def test_number_is_removed_if_the_field_refuses_the_next(tmp_path: Path, model: str, field: str, empty: str) -> None:
    """A number that the site has written into another user's field cannot be written again."""
    log = run_on_a_site(
        tmp_path,
        model,
        field,
        f"""
entered(ONE)
user = Customer.objects.get()
user.set_password("a password of the user's")
set_phone(request_of(user), proof(TWO, "confirm"))
Customer.objects.create(password="x", **{{FIELD: TWO}})
assert not make_primary(user, TWO)
assert (phones_of(user), getattr(user, FIELD)) == ([ONE, TWO], ONE)
VerifiedPhone.objects.get(phone=ONE).delete()
user.refresh_from_db()
assert (phones_of(user), getattr(user, FIELD)) == ([TWO], {empty})
""",
    )
    assert log.count("refuses it") == 2
    assert "98912000000" not in log


def test_moved_number_clears_the_previous_owners_field(tmp_path: Path) -> None:
    run_on_a_site(
        tmp_path,
        WITH_PHONE,
        "mobile",
        """
from phone_verify_django.signals import phone_lost
lost = []
def hear(user, **_):
    lost.append((user.mobile, phones_of(user)))
phone_lost.connect(hear)
entered(ONE)
loser = Customer.objects.get()
set_phone(request_of(loser), proof(TWO, "confirm"))
assert entered(ONE, "signup", minutes=1).created
assert names() == [TWO, ONE]
assert lost == [(TWO, [TWO])]
""",
        recycled_numbers="newest",
    )


def test_phone_field_may_be_named(tmp_path: Path) -> None:
    run_on_a_site(
        tmp_path,
        WITH_PLAIN_PHONE,
        "contact",
        """
entered(ONE)
assert names() == [ONE]
VerifiedPhone.objects.get().delete()
assert names() == [""]
""",
        phone_field="contact",
    )


def test_phone_field_may_be_disabled(tmp_path: Path) -> None:
    run_on_a_site(
        tmp_path,
        WITH_PHONE,
        "mobile",
        """
Customer.objects.create(username="made by the site", mobile=ONE)
assert entered(ONE).created
assert names() == [ONE, None]
""",
        phone_field="",
    )


@pytest.mark.parametrize(
    ("model", "mistakes"),
    [
        (
            BY_PHONE,
            [
                ({"shared_phones": True}, "shop.Customer.phone is unique"),
                ({"recycled_numbers": "newest"}, "shop.Customer.phone of the previous owner keeps the number"),
                ({"phone_field": ""}, "The username field is shop.Customer.phone."),
            ],
        ),
        (
            WITH_PHONE,
            [
                ({"shared_phones": True}, "shop.Customer.mobile is unique"),
                ({"phone_field": "telephone"}, "shop.Customer has no text field 'telephone'."),
                ({"phone_field": "last_login"}, "shop.Customer has no text field 'last_login'."),
            ],
        ),
    ],
    ids=["known by the phone", "with a phone"],
)
def test_settings_unfit_for_the_user_model_are_reported(
    tmp_path: Path, model: str, mistakes: list[tuple[dict[str, object], str]]
) -> None:
    trial = f"""
from phone_verify_django.checks import mistakes
for given, says in {mistakes!r}:
    told = [str(mistake) for mistake in mistakes(given)]
    assert len(told) == 1 and told[0].startswith(f"PHONE_VERIFY['{{next(iter(given))}}']: {{says}}"), told
"""
    run_on_a_site(tmp_path, model, "phone", trial)


# Custom rules for sign-in.


@pytest.mark.django_db
def test_accounts_class_decides_who_may_sign_up(visitor: Browser, network: Network, configure: Configure) -> None:
    configure(sms="console://", accounts=OWN)
    answer = visitor.call("POST", "v1/session", {"proof": verified(visitor, network, "+989120000099")["proof"]})
    assert (answer.status, answer.json()["code"]) == (403, "login_refused")
    assert not User.objects.exists()
    answer = visitor.call("POST", "v1/session", {"proof": verified(visitor, network)["proof"]})
    assert answer.json()["created"] is True


@pytest.mark.django_db
def test_start_does_not_reveal_closed_signup(visitor: Browser, network: Network, configure: Configure) -> None:
    configure(sms="console://", accounts=OWN)
    begun = [visitor.call("POST", "v1/verifications", {"phone": phone}) for phone in (PHONE, "+989120000099")]
    shown = [{name: begun_at for name, begun_at in one.json().items() if name not in ("id", "secret")} for one in begun]
    assert [one.status for one in begun] == [201, 201]
    assert shown[0] | {"phone_hint": ""} == shown[1] | {"phone_hint": ""}


@pytest.mark.django_db
def test_accounts_class_may_find_users(configure: Configure) -> None:
    """A user found this way owns the number from then on."""
    configure(sms="console://", accounts=OWN)
    user = somebody(PHONE)
    account = sign_in(request_of(), proof(PHONE))
    assert account is not None
    assert (account.user.id, account.user.phone, account.created) == (str(user.pk), PHONE, False)
    assert phones_of(user) == [PHONE]
    configure(sms="console://")
    assert sign_in(request_of(), proof(PHONE)) == account


@pytest.mark.django_db
def test_accounts_class_decides_who_may_sign_in(configure: Configure) -> None:
    configure(sms="console://", accounts=OWN)
    user = somebody("banned")
    VerifiedPhone.objects.create(user=user, phone=PHONE, verified_at=proof(PHONE).verified_at)
    request = request_of()
    with heard(user_login_failed) as told:
        assert sign_in(request, proof(PHONE)) is None
    assert len(told) == 1
    assert PHONE not in repr(told)
    assert "_auth_user_id" not in request.session


@pytest.mark.django_db
def test_accounts_class_sees_the_assurance(configure: Configure) -> None:
    from dataclasses import replace

    configure(sms="console://", accounts=OWN)
    assert sign_in(request_of(), replace(proof(PHONE), assurance=Assurance.CALLER_ID)) is None
    assert not User.objects.exists()
    assert sign_in(request_of(), proof(PHONE)) is not None


@pytest.mark.django_db
def test_accounts_error_leaves_no_user_behind(visitor: Browser, network: Network, configure: Configure) -> None:
    configure(sms="console://", accounts="tests.django_adapter.custom_accounts.Broken")
    proof = verified(visitor, network)["proof"]
    assert visitor.call("POST", "v1/session", {"proof": proof}).status == 500
    assert visitor.call("GET", "v1/session").status == 401
    assert not User.objects.exists()
    assert visitor.call("POST", "v1/session", {"proof": proof}).json()["code"] == "invalid_proof"


@pytest.mark.django_db
def test_signup_form_data_reaches_the_accounts_class(configure: Configure) -> None:
    from phone_verify_django.accounts import sign_up

    configure(sms="console://", accounts=custom_accounts.Own)
    assert sign_up(request_of(), proof(PHONE), {"first_name": "Mina", "newsletter": True}) is not None
    assert custom_accounts.Own.filled_in == {"first_name": "Mina", "newsletter": True}
    user = User.objects.get()
    assert (user.first_name, phone_of(user)) == ("Mina", PHONE)


@pytest.mark.django_db
@pytest.mark.parametrize("purpose", ["confirm", "change_phone"])
def test_session_gets_a_new_key_with_the_number(purpose: str) -> None:
    request = request_of(somebody("a"))
    request.session["cart"] = 1
    request.session.save()
    before = request.session.session_key
    assert set_phone(request, proof(PHONE, purpose)) is not None
    assert request.session.session_key != before
    assert request.session["cart"] == 1
