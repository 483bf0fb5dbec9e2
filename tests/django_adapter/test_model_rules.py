"""User models with which no user, or only one, can be created: the check and the log name the field."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stores import servers

from .user_models import run_on_a_site

FOUND = """
from django.core.checks import run_checks
def found(id="phone_verify.W045"):
    return [f"{message.msg} {message.hint}" for message in run_checks() if message.id == id]
"""

UNIQUE_EMAIL = """
class Customer(AbstractUser):
    email = models.EmailField(unique=True)
"""
REQUIRED = """
class Customer(AbstractUser):
    birth = models.DateField()
"""
SHORT = """
class Customer(AbstractUser):
    mobile = models.CharField(max_length=11, null=True, unique=True)
"""
TOGETHER = """
class Customer(AbstractUser):
    shop = models.CharField(max_length=9, default="main")
    code = models.CharField(max_length=9)
    class Meta:
        constraints = [models.UniqueConstraint(fields=["shop", "code"], name="one_code")]
"""
SOUND = """
from django.contrib.auth.models import UserManager
from django.utils import timezone

class Slug(models.CharField):
    def pre_save(self, instance, add):
        return instance.username

class Customer(AbstractUser):
    email = models.EmailField(unique=True, null=True)
    mobile = models.CharField(max_length=16, unique=True, null=True)
    birth = models.DateField(null=True)
    made = models.DateTimeField(auto_now_add=True)
    seen = models.DateTimeField(default=timezone.now)
    note = models.TextField()
    slug = Slug(max_length=30, unique=True)
    rank = models.IntegerField(default=0)
"""


@pytest.mark.parametrize(
    ("model", "users", "field", "cure"),
    [
        (UNIQUE_EMAIL, 1, "email", "shop.Customer.email is unique and has the same value for every new user"),
        (REQUIRED, 0, "birth", "shop.Customer.birth is required and has no default"),
        (TOGETHER, 1, "shop, code", "shop.Customer.shop, shop.Customer.code is unique"),
    ],
    ids=["unique", "required", "together"],
)
def test_check_and_log_name_the_field(tmp_path: Path, model: str, users: int, field: str, cure: str) -> None:
    log = run_on_a_site(
        tmp_path,
        model,
        "username",
        f"""{FOUND}
(message,) = found()
assert message.startswith({cure!r}), message
assert "PHONE_VERIFY['signup_form']" in message, message
for phone in (ONE, TWO):
    account = entered(phone)
assert account is None and Customer.objects.count() == {users}
""",
    )
    assert f"no user can be created for a verified number: shop.Customer refuses it because of {field}" in log
    assert "null=True" in log, log
    assert "98912000000" not in log


def test_sound_model_has_no_finding(tmp_path: Path) -> None:
    run_on_a_site(
        tmp_path,
        SOUND,
        "mobile",
        f"{FOUND}assert found() == [], found()\nassert entered(ONE).created and entered(TWO).created",
    )


def test_field_of_the_form_and_own_make_are_trusted(tmp_path: Path) -> None:
    own = """
from phone_verify_django.account_policy import Accounts as Base

class Own(Base):
    def make(self, redeemed, request, extra):
        return super().make(redeemed, request, {**extra, "email": f"{redeemed.verification_id}@shop.example"})
"""
    run_on_a_site(
        tmp_path,
        UNIQUE_EMAIL + own,
        "username",
        f"""{FOUND}
from django.test import override_settings
from django import forms
class Form(forms.Form):
    email = forms.EmailField()
assert len(found()) == 1
for given in ({{"signup_form": Form}}, {{"accounts": "shop.models.Own"}}):
    with override_settings(PHONE_VERIFY=given):
        assert found() == [], given
""",
    )


def test_length_of_the_number_follows_the_regions(tmp_path: Path) -> None:
    run_on_a_site(
        tmp_path,
        SHORT.replace("11", "13"),
        "mobile",
        f"""{FOUND}
from django.test import override_settings
assert "has 13 characters, and a number in E.164 needs 16" in found()[0]
with override_settings(PHONE_VERIFY={{"allowed_regions": ["IR"]}}):
    assert found() == []  # +98 and ten digits
with override_settings(PHONE_VERIFY={{"allowed_regions": ["IR", "CN"]}}):
    assert "needs 14" in found()[0]
""",
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", servers.PARAMETERS)
def test_short_field_is_named_on_servers(tmp_path: Path, kind: str) -> None:
    with servers.database(kind) as url:
        log = run_on_a_site(tmp_path, SHORT, "mobile", "assert entered(ONE) is None", url=url)
    assert "shop.Customer" in log
    assert "mobile" in log
    assert "Set max_length=16" in log
    assert "98912000000" not in log


ALLAUTH = {
    "ACCOUNT_ADAPTER": "phone_verify_django.allauth.adapter.PhoneVerifyAccountAdapter",
    "ACCOUNT_FORMS": {
        "confirm_login_code": "phone_verify_django.allauth.forms.ConfirmLoginCodeForm",
        "verify_phone": "phone_verify_django.allauth.forms.VerifyPhoneForm",
    },
    "MIDDLEWARE": ["allauth.account.middleware.AccountMiddleware"],
}
#: Its field for the number is unique and never NULL.
NEVER_EMPTY = """
class Customer(AbstractUser):
    phone = models.CharField(max_length=16, unique=True)
"""


def test_allauth_refuses_a_number_that_may_not_be_empty(tmp_path: Path) -> None:
    """Its second user without a verified number would get an error page."""
    pytest.importorskip("allauth")
    apps = ["allauth", "allauth.account", "phone_verify_django.allauth"]
    (tmp_path / "refused").mkdir()
    error = r"ImproperlyConfigured: shop\.Customer\.phone is unique and may not be NULL"
    with pytest.raises(AssertionError, match=error):
        run_on_a_site(tmp_path / "refused", NEVER_EMPTY, "phone", "", apps=apps, settings=ALLAUTH)
    nullable = NEVER_EMPTY.replace("unique=True", "unique=True, null=True")
    run_on_a_site(tmp_path, nullable, "phone", "", apps=apps, settings=ALLAUTH)


def test_allauth_sign_up_makes_no_second_account(tmp_path: Path) -> None:
    """django-allauth creates its user first; the number stays with the user whose field has it."""
    pytest.importorskip("allauth")
    log = run_on_a_site(
        tmp_path,
        NEVER_EMPTY.replace("unique=True", "unique=True, null=True"),
        "phone",
        """
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from django.contrib.messages.storage.fallback import FallbackStorage
from phone_verify_django.allauth.adapter import PhoneVerifyAccountAdapter
from phone_verify_django.allauth.models import ClaimedPhone

Customer.objects.create(username="old", phone="09120000001")
user = Customer.objects.create(username="new")
request = request_of()
request._messages = FallbackStorage(request)
request.phone_verify_redeemed = proof(ONE)
ClaimedPhone.objects.create(user=user, phone=ONE)
with context.request_context(request):
    try:
        PhoneVerifyAccountAdapter().set_phone_verified(user, ONE)
    except ImmediateHttpResponse:
        pass
    else:
        raise AssertionError("a second account has the number")
    assert VerifiedPhone.objects.count() == 0
    Customer.objects.filter(username="old").delete()
    PhoneVerifyAccountAdapter().set_phone_verified(user, ONE)
assert phones_of(user) == [ONE]
""",
        apps=["allauth", "allauth.account", "phone_verify_django.allauth", "django.contrib.messages"],
        settings=ALLAUTH,
        region="IR",
    )
    assert "no user is created for +98 ••••••••01: it is in shop.Customer.phone of user 1" in log
