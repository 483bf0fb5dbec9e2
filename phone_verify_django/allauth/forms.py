"""The two forms of django-allauth for a code sent to a phone. Set them in `ACCOUNT_FORMS`."""

from __future__ import annotations

from allauth.account import forms as allauth_forms  # type: ignore[import-untyped]
from django.core.exceptions import ValidationError

from .adapter import PhoneVerifyAccountAdapter


class PhoneCodeForm(allauth_forms.BaseConfirmCodeForm):  # type: ignore[misc]
    """Check a code with our verifier; django-allauth checks a code sent by mail."""

    #: The error for a right code without a user.
    no_user_error = "unknown_phone"

    def clean_code(self) -> str:
        """Return the code as typed if it is right."""
        adapter = PhoneVerifyAccountAdapter.current()
        phone = adapter.phone_of_mark(self.expected_code)
        # django-allauth expects no code for an unknown number, and only pretends, to keep that secret.
        pretended = not self.expected_code and (phone := adapter.newest_pending()) is not None
        if phone is None:
            return str(super().clean_code())
        code: str = self.cleaned_data["code"]
        error = adapter.error_for_code(phone, code, getattr(self, "user", None))
        if error is not None:
            raise ValidationError(error, code="incorrect_code")
        if pretended:
            raise adapter.validation_error(self.no_user_error)
        return code


class ConfirmLoginCodeForm(allauth_forms.ConfirmLoginCodeForm, PhoneCodeForm):  # type: ignore[misc]
    """The code that signs in."""


class VerifyPhoneForm(allauth_forms.VerifyPhoneForm, PhoneCodeForm):  # type: ignore[misc]
    """The code that verifies a number at sign-up, and a new number later."""

    no_user_error = "phone_taken"
