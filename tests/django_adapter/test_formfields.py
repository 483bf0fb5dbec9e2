"""The form field for numbers, in a site's forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django import forms
from django.utils.translation import override

from phone_verify.i18n.languages import LANGUAGES
from phone_verify.i18n.texts import texts_in
from phone_verify.model import Outcome, Reason, Redeemed
from phone_verify_django.formfields import PhoneField

from .conftest import PHONE, Network
from .factories import request_of
from .projects import ROOT, files


class Form(forms.Form):
    phone = PhoneField()
    other = PhoneField(required=False)


@pytest.mark.parametrize("typed", [PHONE, "0912 000 0000", "۰۹۱۲-۰۰۰-۰۰۰۰", "٠٩١٢٠٠٠٠٠٠٠", "\u200e+98 (912) 0000000 "])
def test_typed_numbers_are_parsed(configure: Callable[..., None], typed: str) -> None:
    configure(region="IR")
    form = Form({"phone": typed})
    assert form.is_valid(), form.errors
    assert form.cleaned_data == {"phone": PHONE, "other": ""}


@pytest.mark.parametrize(
    "typed", ["", "0912 000 0000", "x", "1" * 65, "\x00", "+98912000000\u00b2", "tel:+989120000000"]
)
def test_invalid_numbers_are_refused(typed: str) -> None:
    """Without a region the national form is invalid too."""
    assert list(Form({"phone": typed}).errors) == ["phone"]


@pytest.mark.parametrize("code", ["en", "fa", "ru", "ar"])
def test_error_is_in_the_page_language(code: str) -> None:
    with override(code):
        assert Form({"phone": "12"}).errors["phone"] == [texts_in(LANGUAGES[code]).page["invalid_phone"]]


def test_widget_is_ltr_with_a_numeric_keyboard() -> None:
    widget: Any = str(Form()["phone"])
    for part in ('dir="ltr"', 'type="tel"', 'autocomplete="tel"', 'inputmode="tel"'):
        assert part in widget


@pytest.mark.django_db
def test_documented_form_requests_a_code_after_expiry(network: Network) -> None:
    """The number is not entered again."""
    contact: dict[str, Any] = {}
    [(_, text)] = files((ROOT / "docs" / "django_reference.md").read_text("utf-8"))
    exec(text, contact)
    request = request_of()
    request.META["REMOTE_ADDR"] = "192.0.2.1"
    assert contact["send_again"](request).reason is Reason.NOT_FOUND
    assert contact["send"](request, PHONE).ok
    network.clock.move(301)
    late = contact["check"](request, PHONE, network.code)
    assert isinstance(late, Outcome)
    assert late.reason is Reason.CLOSED
    assert contact["send_again"](request).ok
    assert network.sent == 2
    assert isinstance(contact["check"](request, PHONE, network.code), Redeemed)
