"""Test numbers on a Django site: reviewers can sign in, privileged users cannot, production names each number twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from phone_verify_django.models import VerifiedPhone
from phone_verify_django.site import current_site
from tests.clients import Answer, Browser

from .conftest import PHONE, Network

Configure = Callable[..., None]
CODE = "482193"
SETTINGS = {
    "sms": "console://",
    "test_passcodes": f"{PHONE}={CODE}@2030-12-31",
    "test_passcodes_in_production": PHONE,
}

pytestmark = pytest.mark.django_db


def sign_in(visitor: Browser) -> Answer:
    begun = visitor.call("POST", "v1/verifications", {"phone": PHONE})
    assert begun.status == 201, begun.text
    done = visitor.call("POST", f"v1/verifications/{begun.json()['id']}/check", {"code": CODE})
    return visitor.call("POST", "v1/session", {"proof": done.json()["proof"]})


def test_test_number_signs_in_and_nothing_is_sent(visitor: Browser, network: Network, configure: Configure) -> None:
    configure(**SETTINGS)
    answer = sign_in(visitor)
    assert answer.status == 200
    assert answer.json()["user"]["phone"] == PHONE
    assert network.sent == 0


@pytest.mark.parametrize("right", ["is_staff", "is_superuser"])
def test_test_number_signs_in_no_privileged_user(
    visitor: Browser, network: Network, configure: Configure, right: str
) -> None:
    user = User.objects.create(username="somebody", **{right: True})
    VerifiedPhone.objects.create(user=user, phone=PHONE, verified_at=timezone.now())
    configure(**SETTINGS)
    answer = sign_in(visitor)
    assert (answer.status, answer.json()["code"]) == (403, "login_refused")
    assert visitor.call("GET", "v1/session").status == 401


def test_production_requires_each_test_number_twice(network: Network, configure: Configure, settings: Any) -> None:
    alone = {name: value for name, value in SETTINGS.items() if not name.endswith("_in_production")}
    configure(**alone)
    with pytest.raises(ImproperlyConfigured, match="test_passcodes_in_production"):
        current_site()
    settings.DEBUG = True
    assert current_site()
