"""A form field that accepts a number as people type it and returns it in E.164."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import get_language

from phone_verify import InvalidPhoneError, PhoneNumber
from phone_verify.i18n.languages import ENGLISH, named
from phone_verify.i18n.texts import texts_in

from .site import current_site

_LONGEST = 64


class PhoneField(forms.CharField):
    """A phone number, in the digits of all our languages, also in the national form of the setting `region`.

    Its clean value is the number in E.164 as text, or an empty text if the field is not required.
    """

    def __init__(self, **kwargs: Any) -> None:
        # Numbers are written from left to right on every page.
        attributes = {"type": "tel", "autocomplete": "tel", "inputmode": "tel", "dir": "ltr"}
        kwargs.setdefault("widget", forms.TextInput(attrs=attributes))
        kwargs.setdefault("max_length", _LONGEST)
        super().__init__(**kwargs)

    def clean(self, value: Any) -> str:
        """Return the number in E.164. Raises `ValidationError` in the language of the page."""
        typed: str = super().clean(value)
        if not typed:
            return ""
        try:
            return self._number(typed).e164
        except InvalidPhoneError:
            texts = texts_in(named(get_language() or "") or ENGLISH)
            raise ValidationError(texts.page["invalid_phone"], code="invalid_phone") from None

    def _number(self, typed: str) -> PhoneNumber:
        policy = current_site().verifier.policy
        return PhoneNumber.read(typed, policy.region, also=policy.regions_after(policy.region))


class StoredPhoneField(PhoneField):
    """A phone number to find in stored data, even if it has become invalid."""

    def _number(self, typed: str) -> PhoneNumber:
        return PhoneNumber.lookup(typed, current_site().verifier.policy.region)
