"""Django's sign-up page, with a custom form that has a field of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import tests.django_adapter.conftest  # noqa: F401  # its settings are Django's for all tests

# isort: split
from django import forms
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.http import HttpRequest
from django.test import RequestFactory
from django.utils import translation

from phone_verify import Channel, PhoneNumber
from phone_verify.model import Assurance, Redeemed
from phone_verify_django.pending_signup import PendingSignup
from phone_verify_django.signup import SignUpView
from tests.test_templates import URLS

CITIES = {"thr": "Tehran", "ifn": "Isfahan"}
WAYS = {"mail": "By mail", "post": "By post", "none": "Not at all"}


class EveryKind(forms.Form):
    """A form with the fields of a shop."""

    first_name = forms.CharField(label="Your name", max_length=30, help_text="As it stands on parcels.")
    email = forms.EmailField(label="E-mail", required=False)
    city = forms.ChoiceField(label="City", choices=CITIES)
    notes = forms.CharField(label="How to find you", required=False, widget=forms.Textarea(attrs={"rows": 3}))
    picture = forms.FileField(label="Picture", required=False)
    news = forms.ChoiceField(label="News", choices=WAYS, widget=forms.RadioSelect)
    likes = forms.MultipleChoiceField(
        label="What you like", choices=CITIES, required=False, widget=forms.CheckboxSelectMultiple
    )
    terms = forms.BooleanField(label="I accept the terms")
    shop = forms.CharField(widget=forms.HiddenInput, initial="7")


def sign_up_page(tag: str, posted: Mapping[str, str] | None = None) -> str:
    """Return the page in this language, with an empty form or with the errors of the posted one."""
    redeemed = Redeemed(
        PhoneNumber("+989120000000"),
        "login",
        "default",
        Channel.SMS,
        Assurance.CODE,
        "made-up",
        datetime(2026, 1, 1, tzinfo=UTC),
        by_test_number=False,
    )
    made, session = RequestFactory(), SessionStore()

    def view_of(request: HttpRequest) -> SignUpView:
        request.user, request.session = AnonymousUser(), session
        view = SignUpView(form_class=EveryKind)
        view.setup(request)
        # Not through `dispatch`, which queries the database for the owner of the number.
        view.pending = PendingSignup(redeemed, remember=None)
        view.urls = {**view.urls, "style": URLS["style"], "script": URLS["script"]}
        return view

    with translation.override(tag):
        if posted is not None:
            refused = made.post("/phone/signup/", posted)
            view_of(refused).post(refused)
        request = made.get("/phone/signup/")
        return view_of(request).get(request).content.decode()
