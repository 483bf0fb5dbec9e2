"""Sites with allauth.mfa: one with our bridge, one with allauth's adapter; journeys on both."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import BARE

from . import projects

pytest.importorskip("allauth")
pytest.importorskip("fido2")

JOURNEYS = Path(__file__).parent / "bridges" / "allauth_mfa_journeys.py"

WITHOUT_BRIDGE = """
INSTALLED_APPS += ["allauth", "allauth.account", "phone_verify_django"]
MIDDLEWARE += ["allauth.account.middleware.AccountMiddleware"]
AUTHENTICATION_BACKENDS = [
    "allauth.account.auth_backends.AuthenticationBackend",
    "phone_verify_django.backends.PhoneBackend",
]
ACCOUNT_EMAIL_VERIFICATION = "none"
"""
SETTINGS = """
INSTALLED_APPS += ["allauth.mfa", "django_otp", "django_otp.plugins.otp_static", "rest_framework"]
MIDDLEWARE += ["django_otp.middleware.OTPMiddleware"]
LOGIN_REDIRECT_URL = "/payout/"
PHONE_VERIFY = {"sms": "console://"}
DATABASES["default"]["TEST"] = {"NAME": "test.sqlite3"}
"""
VIEWS = """
from django.http import HttpResponse

from phone_verify_django.decorators import recent_phone_check_required


@recent_phone_check_required(max_age=900)
def payout(request):
    return HttpResponse("PAYOUT")


def token(user, request):
    return {"token": f"for {user}"}
"""
OUR_URLS = """
from django.urls import include, path
from phone_verify_django.drf import ExchangeView
from shop.payout import payout

ours = [
    path("phone/", include("phone_verify_django.urls")),
    path("payout/", payout),
    path("token/", ExchangeView.as_view(token_for_user="shop.payout.token")),
]
"""
URLS = """
from shop.our_urls import ours

urlpatterns = [*ours, path("accounts/", include("allauth.urls"))]
"""


@pytest.mark.slow
@pytest.mark.parametrize("bridged", [True, False], ids=["bridge", "own_adapter"])
def test_every_journey_passes(pytester: pytest.Pytester, bridged: bool) -> None:
    projects.start(pytester.path)
    if bridged:
        for name, text in projects.files(projects.section("bridges.md", "django-allauth")):
            projects.write(pytester.path, name, text)
    else:
        projects.write(pytester.path, "shop/settings.py", WITHOUT_BRIDGE)
        projects.write(pytester.path, "shop/urls.py", "from django.urls import include\n")
    projects.write(pytester.path, "shop/settings.py", SETTINGS)
    projects.write(pytester.path, "shop/payout.py", VIEWS)
    projects.write(pytester.path, "shop/our_urls.py", OUR_URLS)
    projects.write(pytester.path, "shop/urls.py", URLS)
    projects.write(pytester.path, "shop/without_allauth.py", "from shop.our_urls import ours as urlpatterns\n")
    pytester.makeini(f"[pytest]\nDJANGO_SETTINGS_MODULE = {projects.NAME}.settings\n")
    pytester.makeconftest('pytest_plugins = ["phone_verify.testing.plugin"]\n')
    shutil.copy(JOURNEYS, pytester.path / "test_journeys.py")
    done = pytester.runpytest_subprocess(*BARE, "-W", "error", "-q")
    assert done.ret == 0
    assert done.parseoutcomes()["passed"] >= 25
