"""The two forms in which django-allauth asks for a code that came by phone: `ACCOUNT_FORMS` names them."""

from __future__ import annotations

from allauth.account import forms as allauth_forms  # type: ignore[import-untyped]
from django.core.exceptions import ValidationError

from .adapter import PhoneVerifyAccountAdapter


class PhoneCodeForm(allauth_forms.BaseConfirmCodeForm):  # type: ignore[misc]
    """Has a code judged by our verifier; a code that came by mail is judged by django-allauth."""

    #: What to tell whoever typed the right code, where no user waits for it.
    nobody = "unknown_phone"

    def clean_code(self) -> str:
        """The code as typed, if it was right."""
        adapter = PhoneVerifyAccountAdapter.current()
        phone = adapter.phone_of_mark(self.expected_code)
        # Nothing is expected where django-allauth only pretends, so as not to tell which numbers are known.
        pretended = not self.expected_code and (phone := adapter.newest_begun()) is not None
        if phone is None:
            return str(super().clean_code())
        code: str = self.cleaned_data["code"]
        why = adapter.why_not_proven(phone, code, getattr(self, "user", None))
        if why is not None:
            raise ValidationError(why, code="incorrect_code")
        if pretended:
            raise adapter.validation_error(self.nobody)
        return code


class ConfirmLoginCodeForm(allauth_forms.ConfirmLoginCodeForm, PhoneCodeForm):  # type: ignore[misc]
    """The code that signs in."""


class VerifyPhoneForm(allauth_forms.VerifyPhoneForm, PhoneCodeForm):  # type: ignore[misc]
    """The code that proves a number at sign-up, and a new number later."""

    nobody = "phone_taken"
