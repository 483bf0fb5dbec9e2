"""Number changes on Django that the scenarios, which cannot change a session's time, do not cover."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from phone_verify_django.access import CHECKED_AT
from phone_verify_django.accounts import SIGNED_IN_AT
from phone_verify_django.models import VerifiedPhone
from tests.clients import Answer, Browser

from .conftest import PHONE, Network, verified

NEW = "+989120000007"

pytestmark = pytest.mark.django_db


def sign_in(visitor: Browser, network: Network) -> None:
    assert visitor.call("POST", "v1/session", {"proof": verified(visitor, network)["proof"]}).status == 200


def change(visitor: Browser, network: Network, purpose: str = "change_phone", phone: str = NEW) -> Answer:
    network.clock.move(120)
    proof = verified(visitor, network, phone, purpose=purpose)["proof"]
    return visitor.call("PUT", "v1/session/phone", {"proof": proof})


def age(seconds: int | None) -> None:
    """Let the only session belong to a user with sign-in and check this long ago."""
    session = Session.objects.get().get_decoded()
    store = Session.get_session_store_class()
    for moment in (SIGNED_IN_AT, CHECKED_AT):
        if seconds is None:
            del session[moment]
        else:
            session[moment] -= seconds
    Session.objects.update(session_data=store().encode(session))


@pytest.mark.parametrize(("seconds", "status"), [(840, 200), (901, 403), (None, 403)])
def test_stale_session_signs_in_again(visitor: Browser, network: Network, seconds: int | None, status: int) -> None:
    sign_in(visitor, network)
    age(seconds)
    answer = change(visitor, network)
    assert answer.status == status
    if status == 403:
        assert answer.json()["code"] == "reauthentication_required"
        assert [found.phone for found in VerifiedPhone.objects.all()] == [PHONE]


def test_login_by_another_method_counts_as_recent(client: Client) -> None:
    client.force_login(User.objects.create_user("somebody"))
    assert SIGNED_IN_AT in client.session


def test_change_drops_old_number_and_confirmation_keeps_it(visitor: Browser, network: Network) -> None:
    sign_in(visitor, network)
    confirmed = change(visitor, network, "confirm")
    assert (confirmed.status, confirmed.json()["user"]["phone"]) == (200, NEW)
    assert visitor.call("GET", "v1/session").json()["user"]["phone"] == PHONE, "the primary one"
    assert {found.phone for found in VerifiedPhone.objects.all()} == {PHONE, NEW}
    assert change(visitor, network, phone="+989120000008").status == 200
    assert [found.phone for found in VerifiedPhone.objects.all()] == ["+989120000008"]
    assert User.objects.count() == 1


@pytest.mark.parametrize(
    ("accounts", "phone", "status"),
    [(None, NEW, 403), ("LostNumbers", NEW, 200), ("LostNumbers", "+989120000009", 403)],
)
def test_lost_number_follows_the_site_callback(
    visitor: Browser, network: Network, configure: Callable[..., None], accounts: str | None, phone: str, status: int
) -> None:
    named = {"accounts": f"tests.django_adapter.custom_accounts.{accounts}"} if accounts else {}
    configure(sms="console://", **named)
    sign_in(visitor, network)
    age(901)
    answer = change(visitor, network, phone=phone)
    assert answer.status == status
    assert [found.phone for found in VerifiedPhone.objects.all()] == [phone if status == 200 else PHONE]
    if status == 403:
        assert answer.json()["code"] == "reauthentication_required"


def test_old_number_gets_a_notice_after_the_change(
    visitor: Browser, network: Network, configure: Callable[..., None], django_capture_on_commit_callbacks: Any
) -> None:
    configure(sms="console://", notify_old_number=True, site_name="Shop")
    sign_in(visitor, network)
    with django_capture_on_commit_callbacks() as due:
        assert change(visitor, network).status == 200
    before = network.sent
    for tell in due:
        tell()
    assert network.sent == before + 1, "once the change is committed"
    notice = network.transport.notices[-1]
    assert (notice.phone, NEW in notice.message) == (PHONE, False)
    assert "Shop account was changed" in notice.message


def test_session_key_is_cycled(visitor: Browser, network: Network) -> None:
    sign_in(visitor, network)
    before = Session.objects.get().session_key
    assert change(visitor, network).status == 200
    assert Session.objects.get().session_key != before
    assert visitor.call("GET", "v1/session").status == 200


def test_test_number_is_not_assigned_to_staff(
    visitor: Browser, network: Network, configure: Callable[..., None]
) -> None:
    sign_in(visitor, network)
    User.objects.update(is_staff=True)
    configure(sms="console://", test_passcodes=f"{NEW}=482193@2030-12-31", test_passcodes_in_production=NEW)
    begun = visitor.call("POST", "v1/verifications", {"phone": NEW, "purpose": "change_phone"}).json()
    proof = visitor.call("POST", f"v1/verifications/{begun['id']}/check", {"code": "482193"}).json()["proof"]
    answer = visitor.call("PUT", "v1/session/phone", {"proof": proof})
    assert (answer.status, answer.json()["code"]) == (400, "invalid_proof")
    assert not VerifiedPhone.objects.filter(phone=NEW, verified_at__lte=timezone.now()).exists()


def test_others_cannot_exhaust_the_owners_resends(
    client: Client, network: Network, configure: Callable[..., None]
) -> None:
    configure(sms="console://", sends_per_hour=2, resend_after=0)
    owner = User.objects.create_user("owner")
    VerifiedPhone.objects.create(user=owner, phone=PHONE, verified_at=timezone.now())
    client.force_login(owner, "phone_verify_django.backends.PhoneBackend")

    def send(sender: Client, path: str, **fields: str) -> Any:
        return sender.post(f"/phone/v1/verifications{path}", json.dumps(fields), content_type="application/json")

    id = send(client, "", phone=PHONE, purpose="confirm").json()["id"]
    assert [send(Client(), "", phone=PHONE).status_code for _ in range(3)] == [201, 201, 429]
    assert [send(client, f"/{id}/resend").status_code for _ in range(2)] == [200, 429]
