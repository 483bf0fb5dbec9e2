"""Staff on a Django site: users with rights over other users cannot sign in by phone alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.checks import WARNING
from django.core.exceptions import PermissionDenied

from phone_verify.model import Assurance
from phone_verify_django import account_policy, accounts, phones
from phone_verify_django.checks import check_configuration
from phone_verify_django.phones import phones_of
from tests.clients import Answer, Browser

from .conftest import PHONE, Network
from .factories import proof, request_of, somebody

Configure = Callable[..., None]
OPEN = {"sms": "console://", "staff_sign_in_by_phone": True}

pytestmark = pytest.mark.django_db


def owner(**rights: bool) -> User:
    """A user with the number, who then gets these rights."""
    user = somebody("owner")
    phones.assign(user, proof(PHONE))
    User.objects.update(**rights)
    user.refresh_from_db()
    return user


def by_api(visitor: Browser, network: Network) -> Answer:
    begun = visitor.call("POST", "v1/verifications", {"phone": PHONE}).json()
    done = visitor.call("POST", f"v1/verifications/{begun['id']}/check", {"code": network.code})
    return visitor.call("POST", "v1/session", {"proof": done.json()["proof"]})


def by_pages(visitor: Browser, network: Network) -> Answer:
    visitor.post_form("/phone/login/", phone=PHONE)
    return visitor.post_form("/phone/code/", code=network.code)


@pytest.mark.parametrize("right", ["is_staff", "is_superuser"])
def test_staff_do_not_sign_in_by_phone_alone(visitor: Browser, network: Network, right: str) -> None:
    owner(**{right: True})
    answer = by_api(visitor, network)
    assert (answer.status, answer.json()["code"]) == (403, "login_refused")
    assert visitor.call("GET", "v1/session").status == 401


def test_staff_are_refused_on_the_page(visitor: Browser, network: Network) -> None:
    owner(is_staff=True)
    answer = visitor.follow(by_pages(visitor, network))
    assert "sign in with this number" in answer.text
    assert visitor.call("GET", "v1/session").status == 401


def test_one_setting_opens_the_phone_to_staff(visitor: Browser, network: Network, configure: Configure) -> None:
    configure(**OPEN)
    owner(is_staff=True)
    assert by_api(visitor, network).status == 200


@pytest.mark.parametrize(
    ("weak", "opened"),
    [
        ({}, False),
        ({"by_test_number": True}, True),
        ({"short": True}, True),
        ({"assurance": Assurance.CALLER_ID}, True),
    ],
)
def test_staff_are_refused_by_the_backend(weak: dict[str, Any], opened: bool, configure: Configure) -> None:
    """This covers every path that authenticates: the pages, the API, tokens, and custom code."""
    configure(**{**OPEN, "staff_sign_in_by_phone": opened})
    user = owner()
    assert authenticate(request_of(), redeemed=proof(PHONE, **weak)) == user
    User.objects.update(is_staff=True)
    assert authenticate(request_of(), redeemed=proof(PHONE, **weak)) is None
    assert accounts.sign_in(request_of(), proof(PHONE, **weak), session=False) is None
    assert (authenticate(request_of(), redeemed=proof(PHONE)) == user) is opened


def test_short_code_never_signs_in_staff(visitor: Browser, network: Network, configure: Configure) -> None:
    """Redeeming reports that the code was short."""
    configure(**OPEN, code_length=4)
    owner(is_staff=True)
    answer = by_api(visitor, network)
    assert len(network.code) == 4
    assert (answer.status, answer.json()["code"]) == (403, "login_refused")


def test_staff_setting_triggers_a_warning(configure: Configure) -> None:
    for opened, found in ((False, []), (True, [("phone_verify.W019", WARNING)])):
        configure(**{**OPEN, "staff_sign_in_by_phone": opened})
        said = [(message.id, message.level) for message in check_configuration() if message.id == "phone_verify.W019"]
        assert said == found


def test_test_number_is_never_assigned_to_staff() -> None:
    """`accounts.set_phone` is public: it enforces the rule itself."""
    user = somebody("owner", is_staff=True)
    with pytest.raises(PermissionDenied):
        accounts.set_phone(request_of(user), proof(PHONE, "confirm", by_test_number=True))
    assert phones_of(user) == []
    assert accounts.set_phone(request_of(user), proof(PHONE, "confirm", short=True)) is not None


def test_test_number_does_not_renew_a_staff_number() -> None:
    user = owner(is_staff=True)
    with pytest.raises(PermissionDenied):
        phones.touch_verified_at(user, proof(PHONE, by_test_number=True, minutes=5))


class MakesStaff(account_policy.Accounts):
    """Accounts in which every new user is staff."""

    def make(self, redeemed: Any, request: Any, extra: Any) -> Any:
        return somebody("new", is_staff=True)


def test_test_number_creates_no_staff_user(configure: Configure) -> None:
    configure(sms="console://", accounts=MakesStaff)
    assert accounts.sign_in(request_of(), proof(PHONE, "signup", by_test_number=True)) is None
    assert not User.objects.exists()
