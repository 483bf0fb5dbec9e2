"""Users whom the model's default manager hides, like deleted ones, are refused everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from .user_models import run_on_a_site

DELETABLE = """
class Present(BaseUserManager):
    def get_queryset(self):
        return super().get_queryset().filter(deleted=False)

class Customer(AbstractUser):
    mobile = models.CharField(max_length=20, null=True, unique=True)
    deleted = models.BooleanField(default=False)
    objects = Present()
    everyone = models.Manager()
"""
START = """
entered(ONE)
user = Customer.objects.get()
Customer.everyone.update(deleted=True)
"""


def test_hidden_user_is_refused_by_name_of_the_manager(tmp_path: Path) -> None:
    log = run_on_a_site(
        tmp_path,
        DELETABLE,
        "mobile",
        START
        + """
from django.contrib.auth import SESSION_KEY
request = request_of()
assert sign_in(request, proof(ONE)) is None
assert SESSION_KEY not in request.session
assert sign_in(request_of(), proof(ONE), session=False) is None
assert sign_up(request_of(), proof(ONE)) is None
assert Customer.everyone.count() == 1 and VerifiedPhone.objects.count() == 1
Customer.everyone.update(deleted=False)
assert entered(ONE).user.id == str(user.pk)
""",
    )
    assert "shop.Customer.objects hides user 1, who has the number" in log
    assert "98912000000" not in log


def test_page_and_api_refuse_a_hidden_user(tmp_path: Path) -> None:
    """A right code is answered by 403, and no session is opened."""
    run_on_a_site(
        tmp_path,
        DELETABLE,
        "mobile",
        START
        + """
import re
from django.test import Client
from phone_verify.testing.transport import FakeTransport
from phone_verify_django.testing import override

transport = FakeTransport()
with override(transport=transport):
    client = Client(**{"wsgi.multiprocess": False})
    begun = client.post("/phone/v1/verifications", {"phone": ONE}, content_type="application/json").json()
    code = re.search("[0-9]{6}", transport.notices[-1].text)[0]
    done = client.post(f"/phone/v1/verifications/{begun['id']}/check", {"code": code}, content_type="application/json")
    answer = client.post("/phone/v1/session", {"proof": done.json()["proof"]}, content_type="application/json")
assert (answer.status_code, answer.json()["code"]) == (403, "login_refused"), answer.content
assert client.get("/phone/v1/session").status_code == 401
""",
        sms="console://",
    )


def test_find_of_the_site_may_not_return_a_hidden_user(tmp_path: Path) -> None:
    log = run_on_a_site(
        tmp_path,
        DELETABLE
        + """
from phone_verify_django.account_policy import Accounts as Base

class Own(Base):
    def find(self, redeemed):
        return Customer.everyone.filter(mobile=redeemed.phone.e164).first()
""",
        "mobile",
        START + "assert entered(ONE) is None",
        accounts="shop.models.Own",
    )
    assert "shop.Customer.objects hides user 1" in log


def test_hidden_holder_of_a_shared_number_is_passed_over(tmp_path: Path) -> None:
    run_on_a_site(
        tmp_path,
        DELETABLE.replace(", unique=True", ""),
        "mobile",
        """
entered(ONE)
second = Customer.objects.create(username="second")
assert set_phone(request_of(second), proof(ONE, "confirm")) is not None
Customer.everyone.exclude(pk=second.pk).update(deleted=True)
assert entered(ONE).user.id == str(second.pk)
""",
        shared_phones=True,
    )


def test_number_of_a_hidden_user_moves_without_a_signal(tmp_path: Path) -> None:
    run_on_a_site(
        tmp_path,
        DELETABLE,
        "mobile",
        START
        + """
from phone_verify_django.signals import phone_lost
lost = []
def hear(user, **_):
    lost.append(user)
phone_lost.connect(hear)
assert entered(ONE, "signup", minutes=1).created
assert lost == []
assert list(Customer.everyone.order_by("pk").values_list("mobile", flat=True)) == [None, ONE]
""",
        recycled_numbers="newest",
    )


def test_code_of_a_hidden_user_is_no_second_factor(tmp_path: Path) -> None:
    pytest.importorskip("django_otp")
    run_on_a_site(
        tmp_path,
        DELETABLE,
        "mobile",
        """
import re
from phone_verify.testing.transport import FakeTransport
from phone_verify_django.otp.current import serving
from phone_verify_django.otp.models import PhoneDevice
from phone_verify_django.testing import override

user, transport, request = Customer.objects.create(username="a"), FakeTransport(), request_of()
device = PhoneDevice.objects.create(user=user, phone=ONE)

def code():
    assert "••01" in device.generate_challenge()
    return re.search("[0-9]{6}", transport.notices[-1].text)[0]

with override(transport=transport), serving(request):
    assert device.verify_token(code())
    Customer.objects.update(deleted=True)
    assert not device.verify_token(code())
""",
        apps=["django_otp", "phone_verify_django.otp"],
        settings={
            "MIDDLEWARE": [
                "django.contrib.sessions.middleware.SessionMiddleware",
                "django.contrib.auth.middleware.AuthenticationMiddleware",
                "django_otp.middleware.OTPMiddleware",
                "phone_verify_django.otp.middleware.PhoneFactorMiddleware",
            ]
        },
        sms="console://",
        resend_after=0,
    )


def test_admin_shows_no_name_of_a_hidden_user(tmp_path: Path) -> None:
    run_on_a_site(
        tmp_path,
        DELETABLE,
        "mobile",
        """
entered(ONE)
from django.contrib.admin.sites import AdminSite
from phone_verify_django.admin import VerifiedPhoneAdmin
Customer.everyone.update(username="secret name")
admin, request = VerifiedPhoneAdmin(VerifiedPhone, AdminSite()), request_of()
assert admin.owner(admin.get_queryset(request).get()) == "secret name"
Customer.everyone.update(deleted=True)
row = admin.get_queryset(request).get()
assert admin.owner(row) == "deleted or hidden user"
admin.delete_model(request, row)
assert VerifiedPhone.objects.count() == 0
""",
        apps=["django.contrib.admin", "django.contrib.messages"],
    )
