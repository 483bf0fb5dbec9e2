"""A site with custom views: subclassed pages, and views that require a verified or recently checked number."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import include, path
from django.views.generic import View

from phone_verify_django.decorators import phone_verified_required, recent_phone_check_required
from phone_verify_django.forms import CodeForm, PhoneForm
from phone_verify_django.mixins import PhoneVerifiedRequiredMixin, RecentPhoneCheckRequiredMixin
from phone_verify_django.views import CodeView, LoginView, LogoutView, VerifyView

from .urls import home


class TermsForm(PhoneForm):
    """A view with an extra field and custom URLs."""

    terms = forms.BooleanField(error_messages={"required": "Accept the terms."})

    def clean_phone(self) -> str:
        typed: str = self.cleaned_data["phone"]
        return f"+98{typed}" if typed.startswith("9") else typed


class CodeAlone(CodeForm):
    """The code without the remember box."""

    remember = asks_remember = None


class OwnLogin(LoginView):
    template_name = "own/login.html"
    form_class = TermsForm
    redirect_authenticated_user = True
    success_url = "verified"
    extra_context = {"motto": "Welcome back"}  # noqa: RUF012 - as Django's own views have it


class OwnCode(CodeView):
    success_url = "verified"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = super().dispatch(request, *args, **kwargs)
        response.headers["X-Own"] = "yes"
        return response


class OwnVerify(VerifyView):
    extra_context = {"motto": "Yours?"}  # noqa: RUF012


class OwnLogout(LogoutView):
    success_url = "/goodbye"


def _said(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.method} let in")


@phone_verified_required
def verified(request: HttpRequest) -> HttpResponse:
    return _said(request)


@phone_verified_required(raise_exception=True)
def verified_or_403(request: HttpRequest) -> HttpResponse:
    return _said(request)


@phone_verified_required
async def averified(request: HttpRequest) -> HttpResponse:
    return _said(request)


@recent_phone_check_required(600)
def recent(request: HttpRequest) -> HttpResponse:
    return _said(request)


@recent_phone_check_required(timedelta(minutes=10), raise_exception=True)
def recent_or_403(request: HttpRequest) -> HttpResponse:
    return _said(request)


@recent_phone_check_required(timedelta(minutes=10))
async def arecent(request: HttpRequest) -> HttpResponse:
    return _said(request)


class Verified(PhoneVerifiedRequiredMixin, View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return _said(request)


class AsyncVerified(PhoneVerifiedRequiredMixin, View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return _said(request)


class Recent(RecentPhoneCheckRequiredMixin, View):
    max_age = timedelta(minutes=10)

    def get(self, request: HttpRequest) -> HttpResponse:
        return _said(request)

    def post(self, request: HttpRequest) -> HttpResponse:
        return _said(request)


class AsyncRecent(RecentPhoneCheckRequiredMixin, View):
    max_age = 600

    async def get(self, request: HttpRequest) -> HttpResponse:
        return _said(request)


#: Views that require a verified number, and those that require a check within ten minutes.
VERIFIED = ["verified", "averified", "verified-view", "averified-view"]
RECENT = ["recent", "arecent", "recent-view", "arecent-view"]

urlpatterns = [
    path("", home, name="home"),
    path("verified", verified, name="verified"),
    path("averified", averified),
    path("verified-view", Verified.as_view()),
    path("averified-view", AsyncVerified.as_view()),
    path("recent", recent),
    path("arecent", arecent),
    path("recent-view", Recent.as_view()),
    path("arecent-view", AsyncRecent.as_view()),
    path("verified-or-403", verified_or_403),
    path("recent-or-403", recent_or_403),
    path("recent-view-or-403", Recent.as_view(raise_exception=True)),
    path("elsewhere", Recent.as_view(verify_url="/other-verify/", login_url="/other-login/")),
    path("enter/", LoginView.as_view()),
    path("plain/", LoginView.as_view(template_name="own/plain.html")),
    path("plain-code/", CodeView.as_view(template_name="own/plain.html")),
    path("code-alone/", CodeView.as_view(template_name="own/plain.html", form_class=CodeAlone)),
    path("crispy/", LoginView.as_view(template_name="own/crispy.html")),
    path("phone/login/", OwnLogin.as_view()),
    path("phone/code/", OwnCode.as_view()),
    path("phone/verify/", OwnVerify.as_view()),
    path("phone/logout/", OwnLogout.as_view()),
    path("phone/", include("phone_verify_django.urls")),
]
